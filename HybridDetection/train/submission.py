"""Import this first: it puts the submission folder, whose code is what gets scored, on the path."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUBMISSION = REPOSITORY / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"

sys.path.insert(0, str(SUBMISSION))
