"""The third member on real photographs, in a folder for each subspecies:

    python scripts/benchmarks/real_photos.py DIR

Leave-one-out, the confusions, and how high a subspecies scores that no fit has seen. The program
is HybridDetection/train/real_photos.py, beside the fit that it tries; this is its name among the
scripts.
"""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "HybridDetection/train/real_photos.py"

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, PROGRAM, *sys.argv[1:]], check=False).returncode)
