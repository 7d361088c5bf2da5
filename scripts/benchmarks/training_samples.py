"""Training samples of the generators, with the plain spline and with ours:

    python scripts/benchmarks/training_samples.py [--rounds N] [--images N]

On one core. Measured by AnomalyFactory/time_generators.py.
"""

import sys

from measured import GENERATORS, compare

if __name__ == "__main__":
    sys.exit(compare(GENERATORS, "training_samples"))
