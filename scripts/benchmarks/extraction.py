"""Features of photographs, one at a time and as training extracts them:

    python scripts/benchmarks/extraction.py [--rounds N] [--rows N] [--backbone B]

Each way builds the backbone anew. Measured by HybridDetection/train/time_detector.py.
"""

import sys

from measured import DETECTOR, compare

if __name__ == "__main__":
    sys.exit(compare(DETECTOR, "extraction"))
