"""The backbone alone, on batches in memory, as it was and as it is:

    python scripts/benchmarks/network.py [--backbone B] [--batch_size N] [--rounds N]

Measured by speed.py beside ingestion.py.
"""

import sys

from measured import SPEED, compare

if __name__ == "__main__":
    sys.exit(compare(SPEED, "network"))
