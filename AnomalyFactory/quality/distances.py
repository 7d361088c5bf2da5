"""Distances between sets of images, and between single ones, in the space of their features."""

import warnings

import numpy as np
import torch
from torch import nn

KID_SUBSETS = 50  # over which torchmetrics averages
KID_SUBSET = 1000  # images of each, at the most


class Features(nn.Module):
    """Hands features through, where torchmetrics expects a network that extracts them."""

    def __init__(self, number: int):
        super().__init__()
        self.num_features = number

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def frechet_and_kid(painted: np.ndarray, photos: np.ndarray) -> tuple[float, float]:
    """torchmetrics' Frechet distance (Heusel et al. 2017) and KID (Binkowski et al. 2018).

    `painted` (n, d) and `photos` (m, d) are features of two images at least. The KID is the mean
    over random subsets, drawn from a seed of their own.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    network = Features(painted.shape[1])
    size = min(KID_SUBSET, len(painted), len(photos))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # KID says that it keeps the features
        metrics = (
            FrechetInceptionDistance(feature=network),
            KernelInceptionDistance(feature=network, subsets=KID_SUBSETS, subset_size=size),
        )
    for metric in metrics:
        metric.update(torch.from_numpy(photos).double(), real=True)
        metric.update(torch.from_numpy(painted).double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        frechet, (kid, _) = (metric.compute() for metric in metrics)
    return float(frechet), float(kid)


def frechet(
    one: np.ndarray,  # (n, d) features
    other: np.ndarray,  # (m, d)
    weights: np.ndarray | None = None,  # (n,) how often each counts; default: once
    other_weights: np.ndarray | None = None,  # (m,)
) -> float:
    """The Frechet distance between two Gaussians with the means and covariances of the features.

    The same number as torchmetrics', a hundred times as fast where there are fewer images than
    features: the trace of the root of the covariances' product is the nuclear norm of the product
    of the centred features. NaN where either side has less than two images.
    """
    sides = [centred(one, weights), centred(other, other_weights)]
    if any(side is None for side in sides):
        return float("nan")
    (mean, rows), (other_mean, other_rows) = sides
    shift = ((mean - other_mean) ** 2).sum()
    spread = (rows**2).sum() + (other_rows**2).sum()
    return float(shift + spread - 2 * np.linalg.norm(rows @ other_rows.T, "nuc"))


def centred(
    features: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """The mean (d,) of features, and rows R (k, d) whose R'R is their covariance; k is d at most.

    None where there are less than two.
    """
    weights = np.ones(len(features)) if weights is None else weights
    features, weights = features[weights > 0].astype(float), weights[weights > 0]
    if weights.sum() < 2:
        return None
    mean = np.average(features, axis=0, weights=weights)
    rows = np.sqrt(weights / (weights.sum() - 1))[:, None] * (features - mean)
    if len(rows) > rows.shape[1]:
        rows = np.linalg.qr(rows, mode="r")
    return mean, rows


def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """KID's kernel (n, m) of features (n, d) and (m, d): (x.y / d + 1)^3."""
    return (one.astype(float) @ other.astype(float).T / one.shape[1] + 1) ** 3


def kid(
    own: np.ndarray,  # (n, n) kernel
    other: np.ndarray,  # (m, m)
    between: np.ndarray,  # (n, m)
    weights: np.ndarray,  # (n,) how often each counts
    other_weights: np.ndarray,  # (m,)
) -> float:
    """The unbiased squared maximum mean discrepancy; an image is never compared with itself."""
    total, other_total = weights.sum(), other_weights.sum()
    if not total or not other_total:
        return float("nan")
    cross = weights @ between @ other_weights / (total * other_total)
    return float(mean_of_pairs(own, weights) + mean_of_pairs(other, other_weights) - 2 * cross)


def mean_of_pairs(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of `values` (n, n) over all pairs of two different images; NaN for none."""
    pairs = weights.sum() ** 2 - (weights**2).sum()
    if pairs <= 0:
        return float("nan")
    total = weights @ values @ weights - (weights**2 * np.diag(values)).sum()
    return float(total / pairs)


def euclidean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances (n, m) between features (n, d) and (m, d)."""
    one, other = one.astype(float), other.astype(float)
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))


def nearest_others(photos: np.ndarray) -> np.ndarray:
    """The distance (m,) of each of two photographs at least to the nearest other one."""
    distances = euclidean(photos, photos)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def diversity(
    distances: np.ndarray,  # (n, n) between painted images
    pairs: np.ndarray,  # (n,) the number of each one's pair of subspecies
    expected: np.ndarray,  # (n,) mean distance between photographs of these subspecies
    weights: np.ndarray,  # (n,) how often each counts
) -> float:
    """The mean distance between images of one pair, over that between photographs.

    1: as varied as photographs; 0: all alike. NaN where no pair has two images.
    """
    same = (pairs[:, None] == pairs).astype(float)
    np.fill_diagonal(same, 0)
    there = weights @ (same * distances) @ weights
    wanted = weights @ (same * expected) @ weights
    return float(there / wanted) if wanted > 0 else float("nan")


def principal_places(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) of features along their two main directions, and the share (2,) of the
    variance that each holds (Pearson 1901)."""
    centred_features = features.astype(float) - features.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred_features, full_matrices=False)
    total = (sizes**2).sum()
    shares = sizes[:2] ** 2 / total if total else np.zeros(2)
    return left[:, :2] * sizes[:2], shares
