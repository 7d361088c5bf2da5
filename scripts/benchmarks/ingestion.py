"""Scoring photographs the published way, as ingestion.py does, and with --fast:

    python scripts/benchmarks/ingestion.py [--photographs DIR] [--classifiers DIR] [--backbone B]

Times, and how far the scores drift. Measured by speed.py beside ingestion.py.
"""

import sys

from measured import SPEED, compare

if __name__ == "__main__":
    sys.exit(compare(SPEED, "photographs"))
