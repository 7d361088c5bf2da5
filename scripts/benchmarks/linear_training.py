"""Training of the linear classifier, a plain loop and ours:

    python scripts/benchmarks/linear_training.py [--rounds N] [--rows N]

Ours in one block, and streamed in small ones. Measured by HybridDetection/train/time_detector.py.
"""

import sys

from measured import DETECTOR, compare

if __name__ == "__main__":
    sys.exit(compare(DETECTOR, "linear"))
