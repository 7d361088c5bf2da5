"""Plots of held-out scores by kind of image, and of the linear classifier's loss."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # the plots go to files; no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from files import atomic
from metrics import threshold_at_tnr
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

# By kind of image: scores by classifier, and 0/1 labels.
Samples = dict[str, tuple[dict[str, np.ndarray], np.ndarray]]


def save(figure: plt.Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)


def subplots(rows: int, columns: int, width: float, height: float) -> tuple[plt.Figure, np.ndarray]:
    """A figure with axes (rows, columns) of `width` and `height` inches each."""
    size = (width * columns, height * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")


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
        for name, values in scores.items():
            display.from_predictions(truth, values, name=name, ax=axis)
        axis.set(title=f"{kind}: {title}")
    save(figure, path)


def plot_roc(samples: Samples, path: Path) -> None:
    plot_curves(samples, path, "ROC", RocCurveDisplay)


def plot_precision_recall(samples: Samples, path: Path) -> None:
    plot_curves(samples, path, "precision-recall", PrecisionRecallDisplay)


def plot_loss(losses: list[float], path: Path) -> None:
    """The linear classifier's training loss by epoch."""
    figure, ((axis,),) = subplots(1, 1, 4.5, 3)
    axis.plot(np.arange(1, len(losses) + 1), losses)
    axis.set(xlabel="epoch", ylabel="cross-entropy", title="Linear classifier", yscale="log")
    save(figure, path)
