"""Plots of held-out scores by kind of image, and of the linear classifier's loss."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # the plots go to files; no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from evaluation import pr_auc, roc_auc, threshold_at_tnr
from files import atomic
from sklearn.metrics import precision_recall_curve, roc_curve

# By kind of image: scores by classifier, and 0/1 labels.
Samples = dict[str, tuple[dict[str, np.ndarray], np.ndarray]]


def save(figure: plt.Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)


def plot_histograms(samples: Samples, path: Path) -> None:
    """Scores of both classes and the TNR-95 threshold: a row a kind, a column a classifier."""
    columns = max(len(scores) for scores, _ in samples.values())
    size = (4 * columns, 3 * len(samples))
    figure, axes = plt.subplots(
        len(samples), columns, figsize=size, squeeze=False, layout="constrained"
    )
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


def plot_roc(samples: Samples, path: Path) -> None:
    figure, axes = axes_for(samples)
    for axis, (kind, (scores, labels)) in zip(axes, samples.items(), strict=True):
        for name, values in scores.items():
            false_rate, true_rate, _ = roc_curve(labels, values)
            axis.plot(false_rate, true_rate, label=f"{name} ({roc_auc(values, labels):.3f})")
        axis.axvline(0.05, color="grey", linestyle=":", label="TNR 95 %")
        title = f"{kind}: ROC (area)"
        axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
        axis.legend()
    save(figure, path)


def plot_precision_recall(samples: Samples, path: Path) -> None:
    figure, axes = axes_for(samples)
    for axis, (kind, (scores, labels)) in zip(axes, samples.items(), strict=True):
        for name, values in scores.items():
            precision, recall, _ = precision_recall_curve(labels, values)
            axis.plot(recall, precision, label=f"{name} ({pr_auc(values, labels):.3f})")
        title = f"{kind}: precision-recall (area)"
        axis.set(xlabel="recall", ylabel="precision", title=title)
        axis.legend()
    save(figure, path)


def axes_for(samples: Samples) -> tuple[plt.Figure, np.ndarray]:
    """A figure with an axis for each kind of image, side by side."""
    size = (4.5 * len(samples), 4)
    figure, axes = plt.subplots(1, len(samples), figsize=size, squeeze=False, layout="constrained")
    return figure, axes[0]


def plot_loss(losses: list[float], path: Path) -> None:
    """The linear classifier's training loss by epoch."""
    figure, axis = plt.subplots(figsize=(4.5, 3), layout="constrained")
    axis.plot(np.arange(1, len(losses) + 1), losses)
    axis.set(xlabel="epoch", ylabel="cross-entropy", title="Linear classifier", yscale="log")
    save(figure, path)
