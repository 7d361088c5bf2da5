"""Score a collection, of whatever size, on one machine or many."""

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/collection/score_collection.py")
