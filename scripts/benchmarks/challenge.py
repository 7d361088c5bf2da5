"""How well hybrids are found on the challenge's own photographs, in two tables: CHALLENGE.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.program import become

if __name__ == "__main__":
    become("HybridDetection/train/challenge.py")
