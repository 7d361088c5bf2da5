"""A page to look at scored photographs: which are hybrids, of which parents, where it shows:

    python scripts/report.py --predictions predictions.txt --images PHOTOGRAPHS
    ... --reference ref_val.csv                     with what a reference says of the scores

The page is made by HybridDetection/report/detection_report.py; this is its name among the scripts.
"""

import os
import sys
from pathlib import Path

REPORT = Path(__file__).resolve().parents[1] / "HybridDetection/report/detection_report.py"

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, str(REPORT), *sys.argv[1:]])
