"""The challenge's scores of a predictions.txt, or of some members in a details.csv:

    python scripts/score_predictions.py --predictions predictions.txt --reference ref_val.csv
    ... --predictions details.csv --members sgd linear --reference ref_val.csv

Prints a table; --output writes the official keys as JSON.
"""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/train/evaluation.py")
