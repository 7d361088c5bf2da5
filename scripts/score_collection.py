"""Score a collection, of whatever size, on one machine or many:

    python scripts/score_collection.py --input DIR_OR_PARQUET --output DIR

The work is done by HybridDetection/collection/collection.py, which says more; this is its name
among the scripts.
"""

import os
import sys
from pathlib import Path

COLLECTION = Path(__file__).resolve().parents[1] / "HybridDetection/collection/collection.py"

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, str(COLLECTION), *sys.argv[1:]])
