"""Plots of the classifiers' held-out scores and of the linear classifier's loss."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # the plots go to files; no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from files import atomic
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)


def save(figure: plt.Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight")
    plt.close(figure)


def plot_histograms(
    scores: dict[str, np.ndarray], thresholds: dict[str, float], labels: np.ndarray, path: Path
) -> None:
    """A histogram for each classifier: scores (n,) of both classes and the TNR-95 threshold."""
    figure, axes = plt.subplots(1, len(scores), figsize=(4 * len(scores), 3), squeeze=False)
    for axis, (name, values) in zip(axes[0], scores.items(), strict=True):
        bins = np.linspace(0, 1, 31)
        axis.hist(values[labels == 0], bins, alpha=0.6, density=True, label="non-hybrid")
        axis.hist(values[labels == 1], bins, alpha=0.6, density=True, label="hybrid")
        axis.axvline(thresholds[name], color="black", linestyle="--", label="TNR 95 %")
        axis.set(title=name, xlabel="score", ylabel="density")
    axes[0, 0].legend()
    save(figure, path)


def plot_roc(scores: dict[str, np.ndarray], labels: np.ndarray, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(4.5, 4))
    for name, values in scores.items():
        false_rate, true_rate, _ = roc_curve(labels, values)
        axis.plot(false_rate, true_rate, label=f"{name} ({roc_auc_score(labels, values):.3f})")
    axis.axvline(0.05, color="grey", linestyle=":", label="TNR 95 %")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC (area)")
    axis.legend()
    save(figure, path)


def plot_precision_recall(scores: dict[str, np.ndarray], labels: np.ndarray, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(4.5, 4))
    for name, values in scores.items():
        precision, recall, _ = precision_recall_curve(labels, values)
        area = average_precision_score(labels, values)
        axis.plot(recall, precision, label=f"{name} ({area:.3f})")
    axis.set(xlabel="recall", ylabel="precision", title="Precision-recall (area)")
    axis.legend()
    save(figure, path)


def plot_loss(losses: list[float], path: Path) -> None:
    """The linear classifier's training loss by epoch."""
    figure, axis = plt.subplots(figsize=(4.5, 3))
    axis.plot(np.arange(1, len(losses) + 1), losses)
    axis.set(xlabel="epoch", ylabel="cross-entropy", title="Linear classifier", yscale="log")
    save(figure, path)
