"""The challenge's scores of a predictions.txt, or of some members in a details.csv."""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/train/evaluation.py")
