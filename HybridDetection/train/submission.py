"""Puts the submission folder on the path, and those of the programs around it.

Programs outside the submission folder import this first. Codabench gets that folder alone, so
nothing in it may import this.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TREE = REPOSITORY / "HybridDetection"

for name in ("submission/dino2B_contestAF_1024linear2cls", "train", "report", "."):
    folder = str(TREE / name)
    if folder not in sys.path:
        sys.path.append(folder)
