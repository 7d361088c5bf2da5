"""How fast, how exact and how large ingestion.py is, beside the published way:

    python scripts/benchmarks/ingestion.py [--photographs DIR] [--backbone NAME]

The program is speed.py in HybridDetection/submission/, beside what it measures; this is its name
among the scripts.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
PROGRAM = Path(__file__).resolve().parents[2] / FOLDER / "speed.py"

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, PROGRAM, *sys.argv[1:]], check=False).returncode)
