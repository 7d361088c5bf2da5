"""PiDiNet's edge maps, as its authors run it and as ours does:

    python scripts/benchmarks/edge_maps.py [--rounds N] [--images N]

Kernels are random, as the time is the same. Measured by AnomalyFactory/time_generators.py.
"""

import sys

from measured import GENERATORS, compare

if __name__ == "__main__":
    sys.exit(compare(GENERATORS, "edge_maps"))
