"""Where a quick start's scores lie, and what its images, training sets, members and numbers are
called."""

from pathlib import Path

from demo.notes import checked, read_note, reading, stage

PREPROCESSES = {"photograph": "whole photographs", "cutout": "cutouts"}
KINDS = {"photographs": "without painted images", "generated": "with painted images"}
PUBLISHED = "sgd+linear"
MEMBERS = {PUBLISHED: "published", f"{PUBLISHED}+subspecies": "all three"}
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
NUMBERS = dict.fromkeys(SCORES, float)
CROSS = {"ssp_indicator": str, "hybrids": int, "recall": float}


def read_scores(detectors: Path, kind: str, members: str) -> dict:
    """What score_predictions.py wrote for classifiers trained on `kind`, scoring by `members`.

    Each cross has its `group` and how many hybrids are `found` of it, too. `detectors` is the
    folder of a backbone in that of the run. ValueError for another content.
    """
    path = detectors / kind / members / "scores.json"
    next_step = stage("score", kind, detectors.name, members)
    scores = read_note(path, {**NUMBERS, "one_hybrid": NUMBERS, "crosses": {}}, next_step)
    with reading(path, next_step):
        for cross in scores["crosses"].values():
            checked(cross, CROSS)
            cross["group"] = GROUPS[cross["ssp_indicator"]]
            cross["found"] = round(cross["recall"] * cross["hybrids"])
    return scores


def title(names: dict[str, str], name: str) -> str:
    """What `names` calls `name`; a set of members that it does not list stands for itself."""
    return names.get(name, name)
