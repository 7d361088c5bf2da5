"""Puts the folders on the path from which the report takes the model and the evaluation.

Imported first by detection_report.py. The report lies outside the submission folder, of which
Codabench gets a part.
"""

import sys
from pathlib import Path

HYBRID_DETECTION = Path(__file__).resolve().parents[1]
for folder in ("train", "submission/dino2B_contestAF_1024linear2cls"):
    if str(HYBRID_DETECTION / folder) not in sys.path:
        sys.path.append(str(HYBRID_DETECTION / folder))
