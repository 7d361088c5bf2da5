"""Challenge scores of 100,000 rows, by scikit-learn and by ours:

    python scripts/benchmarks/challenge_scoring.py [--rounds N] [--rows N]

Ours reads its two files, too. Measured by HybridDetection/train/time_detector.py.
"""

import sys

from measured import DETECTOR, compare

if __name__ == "__main__":
    sys.exit(compare(DETECTOR, "scoring"))
