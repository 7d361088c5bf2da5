"""The challenge's scores of a predictions.txt, or of some members in a details.csv:

    python scripts/score_predictions.py --predictions predictions.txt --reference ref_val.csv
    ... --predictions details.csv --members sgd linear --reference ref_val.csv

Prints a table; --output writes the official keys as JSON. The arithmetic is
HybridDetection/train/evaluation.py; this is its name among the scripts.
"""

import subprocess
import sys
from pathlib import Path

EVALUATION = Path(__file__).resolve().parents[1] / "HybridDetection/train/evaluation.py"

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, EVALUATION, *sys.argv[1:]], check=False).returncode)
