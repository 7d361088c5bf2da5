"""What a quick start's settings and numbers are called, and what it wrote, read back."""

import json
from pathlib import Path

PREPROCESSES = {"photograph": "whole photographs", "cutout": "cutouts"}
KINDS = {"photographs": "without painted images", "generated": "with painted images"}
MEMBERS = {"sgd+linear": "published", "sgd+linear+subspecies": "all three"}
SCORES = {
    "challenge_score": "challenge score",
    "A_score_major_recall": "signal hybrids: recall",
    "A_score_minor_recall": "non-signal hybrids: recall",
    "mimic_recall": "mimic hybrids: recall",
    "A_PRC_AUC": "species A: PR AUC",
    "A_PRC_AUC_major": "signal: PR AUC",
    "A_PRC_AUC_minor": "non-signal: PR AUC",
    "mimic_PRC_AUC": "mimics: PR AUC",
}
GROUPS = {"major": "signal", "minor": "non-signal", "mimic": "mimic"}


def read_scores(detectors: Path, kind: str, members: str) -> dict:
    """What score_predictions.py wrote for classifiers trained on `kind`, scoring by `members`.

    Each cross has its `group` and how many hybrids are `found` of it, too. `detectors` is the
    folder of a backbone in that of the run.
    """
    scores = json.loads((detectors / kind / members / "scores.json").read_text(encoding="utf-8"))
    for cross in scores["crosses"].values():
        cross["group"] = GROUPS[cross["ssp_indicator"]]
        cross["found"] = round(cross["recall"] * cross["hybrids"])
    return scores
