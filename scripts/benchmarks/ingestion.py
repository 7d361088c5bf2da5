"""Scoring photographs the published way and as ingestion.py does; its memory:

    python scripts/benchmarks/ingestion.py [--photographs DIR] [--classifiers DIR] [--backbone B]

Times, drift of the scores and the largest memory, in three tables. Measured by speed.py beside
ingestion.py.
"""

import sys

from measured import SPEED, compare

if __name__ == "__main__":
    sys.exit(any([compare(SPEED, claim) for claim in ("photographs", "network", "memory")]))
