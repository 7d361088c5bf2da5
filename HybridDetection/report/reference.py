"""What a reference says of the scores: the challenge's numbers, curves, recall by cross."""

from pathlib import Path

import numpy as np
from evaluation import CROSS, read_scored, score_rows
from metrics import cumulated, pr_auc, roc_auc, wilson

CURVE_POINTS = 400  # of a curve, at the most

MEANINGS = {
    "challenge_score": "challenge score: harmonic mean of the three recalls",
    "A_score_major_recall": "recall of signal hybrids",
    "A_score_minor_recall": "recall of the other hybrids of species A",
    "mimic_recall": "recall of hybrids of species B (mimics)",
    "A_PRC_AUC": "PR AUC of species A",
    "A_PRC_AUC_major": "PR AUC of the signal rows",
    "A_PRC_AUC_minor": "PR AUC of the other rows of species A",
    "mimic_PRC_AUC": "PR AUC of species B (mimics)",
}
INDICATORS = {"major": "signal", "minor": "non-signal", "mimic": "mimic"}


def reference_data(predictions: Path, reference: Path) -> dict:
    """What the page shows of a reference file, by the rules of score_predictions.py.

    `labels` and `shows` are by file name. Raises what read_scored and score_rows raise.
    """
    table = read_scored(predictions, reference)
    result = score_rows(table, reference)
    names, labels = table["filename"].tolist(), table["hybrid_stat"].to_numpy()
    shown = table[CROSS].tolist() if CROSS in table.columns else [""] * len(names)
    return {
        "labels": dict(zip(names, labels.tolist(), strict=True)),
        "shows": dict(zip(names, shown, strict=True)),
        "official": [[text, result[name]] for name, text in MEANINGS.items()],
        "crosses": [cross_row(name, cross) for name, cross in result.get("crosses", {}).items()],
        **curves(table["score"].to_numpy(), labels),
    }


def cross_row(name: str, cross: dict) -> list:
    count = cross["hybrids"]
    found = round(cross["recall"] * count)
    return [name, INDICATORS[cross["ssp_indicator"]], found, count, *wilson(found, count)]


def curves(scores: np.ndarray, labels: np.ndarray) -> dict:
    """ROC as (false positive rate, recall), precision-recall as (recall, precision), and areas."""
    hybrids, others = cumulated(scores, labels, 1)
    recall, false = hybrids / hybrids[-1], others / others[-1]
    precision = hybrids / (hybrids + others)
    kept = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).round().astype(int))
    roc = np.concatenate([[[0.0, 0.0]], np.stack([false, recall], axis=1)[kept]])
    return {
        "roc": roc.round(4).tolist(),
        "precision_recall": np.stack([recall, precision], axis=1)[kept].round(4).tolist(),
        "roc_auc": float(roc_auc(scores, labels)),
        "pr_auc": float(pr_auc(scores, labels)),
    }
