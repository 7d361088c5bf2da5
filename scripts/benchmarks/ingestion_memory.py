"""The largest memory of ingestion.py for few and for many small pictures:

    python scripts/benchmarks/ingestion_memory.py [--counts N ...] [--workers N]

Measured by speed.py beside ingestion.py.
"""

import sys

from measured import SPEED, compare

if __name__ == "__main__":
    sys.exit(compare(SPEED, "memory"))
