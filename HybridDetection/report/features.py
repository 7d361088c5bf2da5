"""Pure arithmetic on features and maps: where evidence lies, which images are alike, two axes."""

import numpy as np
import torch

FIT_ROWS = 4000  # images that the axes are fitted to at the most
SEED = 42


def outside_share(evidence: np.ndarray, mask: np.ndarray) -> float | None:
    """The share of the evidence (h, w), for or against, in patches that the specimen misses.

    `mask` (height, width) bool is the specimen, in the same picture. A patch that the mask only
    touches is part of the specimen. None where there is no evidence at all.
    """
    strength = np.abs(evidence.astype(np.float64))
    reached = cells_reached(mask, *evidence.shape)
    total = strength.sum()
    return float(strength[~reached].sum() / total) if total > 0 else None


def cells_reached(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """Which cells of an h x w grid over a mask (height, width) hold some of it, (h, w) bool."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    reached = np.zeros((h, w), bool)
    reached[rows * h // height, columns * w // width] = True
    return reached


def unit(features: np.ndarray) -> np.ndarray:
    """(n, d) features as vectors of length 1, float32: products of two are their cosines."""
    rows = features.astype(np.float32)  # squares overflow in half precision
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def places_pca(features: np.ndarray, fitted_to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where (n, d) features lie on the first two principal axes of others: (n, 2), and the share
    (2,) of the others' variance along each.

    By a randomised method (Halko et al. 2011); equal features give equal pictures: the seed is
    fixed, and the largest number of an axis positive. Axes are fitted to FIT_ROWS of many.
    """
    count = min(len(fitted_to), FIT_ROWS)
    rows = np.linspace(0, len(fitted_to) - 1, count).round().astype(int)
    sample = torch.from_numpy(fitted_to[rows].astype(np.float32))
    mean = sample.mean(dim=0)
    centred = sample - mean
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        most = min(8, *sample.shape)  # the method is told of a few more axes than are wanted
        _, sizes, axes = torch.pca_lowrank(centred, q=most, center=False, niter=6)
    axes, sizes = axes[:, :2].numpy(), sizes[:2].numpy()
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    shares = sizes**2 / max(float((centred**2).sum()), 1e-12)
    places = (features.astype(np.float32) - mean.numpy()) @ axes
    return places, shares


def fit_square(places: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved and scaled into 0 to 1, both axes by the same factor."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    return (places - (low + high) / 2) / span + 0.5
