"""Plots of held-out scores by kind of image, and of the linear classifier's loss."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from files import atomic
from matplotlib.figure import Figure  # without pyplot, which looks for a screen
from metrics import TARGET_TNR, threshold_at_tnr
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

# By kind of image: scores by classifier, and 0/1 labels.
Samples = dict[str, tuple[dict[str, np.ndarray], np.ndarray]]


def save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def subplots(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with axes (rows, columns) of `width` and `height` inches each."""
    figure = Figure((width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def plot_histograms(samples: Samples, path: Path) -> None:
    """Scores of both classes and the TNR-95 threshold: a row a kind, a column a classifier."""
    figure, axes = subplots(len(samples), max(len(scores) for scores, _ in samples.values()), 4, 3)
    bins = np.linspace(0, 1, 31)
    style = {"alpha": 0.6, "density": True, "histtype": "stepfilled"}
    for row, (kind, (scores, labels)) in zip(axes, samples.items(), strict=True):
        for axis, (name, values) in zip(row, scores.items(), strict=True):
            axis.hist(values[labels == 0], bins, label="non-hybrid", **style)
            axis.hist(values[labels == 1], bins, label="hybrid", **style)
            threshold = threshold_at_tnr(values, labels)
            axis.axvline(threshold, color="black", linestyle="--", label="TNR 95 %")
            axis.set(title=f"{kind}: {name}", xlabel="score", ylabel="density")
    axes[0, 0].legend()
    save(figure, path)


def plot_curves(samples: Samples, path: Path, title: str, display: Any) -> None:
    """For each kind of image an axis, and on it each classifier's curve with the area below."""
    figure, ((*axes,),) = subplots(1, len(samples), 4.5, 4)
    for axis, (kind, (scores, truth)) in zip(axes, samples.items(), strict=True):
        if display is RocCurveDisplay:
            axis.axvline(1 - TARGET_TNR, color="grey", linestyle=":", label="TNR 95 %")
        for name, values in scores.items():
            display.from_predictions(truth, values, name=name, ax=axis)
        # Without the display's "(Positive label: 1)".
        labels = (axis.get_xlabel(), axis.get_ylabel())
        x, y = (label.partition(" (")[0].lower() for label in labels)
        axis.set(title=f"{kind}: {title}", xlabel=x, ylabel=y)
    save(figure, path)


plot_roc = partial(plot_curves, title="ROC", display=RocCurveDisplay)
plot_precision_recall = partial(
    plot_curves, title="precision-recall", display=PrecisionRecallDisplay
)


def plot_loss(losses: list[float], path: Path) -> None:
    """The linear classifier's training loss by epoch."""
    figure, ((axis,),) = subplots(1, 1, 4.5, 3)
    axis.plot(np.arange(1, len(losses) + 1), losses)
    axis.set(xlabel="epoch", ylabel="cross-entropy", title="Linear classifier", yscale="log")
    save(figure, path)
