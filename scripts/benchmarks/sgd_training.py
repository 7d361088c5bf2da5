"""Training of the SGD classifier, scikit-learn's own call and ours:

    python scripts/benchmarks/sgd_training.py [--rounds N] [--rows N] [--iterations N]

The folds of its calibration use all cores. Measured by HybridDetection/train/time_detector.py.
"""

import sys

from measured import DETECTOR, compare

if __name__ == "__main__":
    sys.exit(compare(DETECTOR, "sgd"))
