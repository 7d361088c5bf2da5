"""A page to look at scored photographs: which are hybrids, of which parents, where it shows:

python scripts/report.py --predictions predictions.txt --images PHOTOGRAPHS
... --reference ref_val.csv                     with what a reference says of the scores
"""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/report/detection_report.py")
