"""A page of scored photographs: which are hybrids, of which parents, and where it shows."""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/report/detection_report.py")
