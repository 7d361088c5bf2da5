"""Puts the folders on the path from which the report takes the model and the evaluation.

Imported first by the modules here. It lies outside the submission folder, which goes to Codabench,
and outside train/, which reports can be made without.
"""

import sys
from pathlib import Path

HYBRID_DETECTION = Path(__file__).resolve().parents[1]
for folder in ("train", "submission/dino2B_contestAF_1024linear2cls"):
    if str(HYBRID_DETECTION / folder) not in sys.path:
        sys.path.append(str(HYBRID_DETECTION / folder))
