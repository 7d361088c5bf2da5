"""Score a collection, of whatever size, on one machine or many:

python scripts/score_collection.py --input DIR_OR_PARQUET --output DIR
"""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/collection/score_collection.py")
