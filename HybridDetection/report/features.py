"""Pure arithmetic on features and maps: where evidence lies, which images are alike, two axes."""

import numpy as np
import torch

FIT_ROWS = 4000  # images that the axes are fitted to at the most
TSNE_ROWS = 5000  # images in a t-SNE at the most; 26 s of a processor
TSNE_AXES = 30  # principal axes that t-SNE starts from
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


def most_similar(features: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each of (n, d) features the place (n,) of the most similar of (m, d), by cosine."""
    return (unit(features) @ unit(among).T).argmax(axis=1)


def unit(features: np.ndarray) -> np.ndarray:
    rows = features.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def principal_axes(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean (d,) of (n, d) features, their first axes (d, count), and the share of the variance
    along each (count,).

    By a randomised method with a fixed seed (Halko et al. 2011); the largest number of an axis is
    positive, so that pictures of equal features are alike.
    """
    rows = spread_evenly(len(features), FIT_ROWS)
    sample = torch.from_numpy(features[rows].astype(np.float32))
    mean = sample.mean(dim=0)
    centred = sample - mean
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        count = min(count, *sample.shape)
        _, sizes, axes = torch.pca_lowrank(
            centred, q=min(count + 6, *sample.shape), center=False, niter=6
        )
    axes, sizes = axes[:, :count].numpy(), sizes[:count].numpy()
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(count)])
    shares = sizes**2 / max(float((centred**2).sum()), 1e-12)
    return mean.numpy(), axes, shares


def spread_evenly(n: int, most: int) -> np.ndarray:
    """The places, ascending, of `most` among n, or of all."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def places_pca(features: np.ndarray, fitted_to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where (n, d) features lie on two principal axes of others: (n, 2), and the axes' shares."""
    mean, axes, shares = principal_axes(fitted_to, 2)
    blocks = range(0, len(features), 4096)
    places = [(features[i : i + 4096].astype(np.float32) - mean) @ axes for i in blocks]
    places = np.concatenate(places)
    missing = 2 - axes.shape[1]  # of features all alike, or one image
    return np.pad(places, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def places_tsne(features: np.ndarray) -> np.ndarray:
    """Where (n, d) features lie in a t-SNE (van der Maaten and Hinton 2008), (n, 2).

    Of more than TSNE_ROWS some have none: NaN.
    """
    from sklearn.manifold import TSNE  # seconds to import, and rarely asked for

    rows = spread_evenly(len(features), TSNE_ROWS)
    mean, axes, _ = principal_axes(features, TSNE_AXES)
    start = (features[rows].astype(np.float32) - mean) @ axes
    perplexity = min(30, max(1, (len(rows) - 1) / 3))
    places = np.full((len(features), 2), np.nan)
    if len(rows) > 2:
        tsne = TSNE(perplexity=perplexity, init="random", random_state=SEED)
        places[rows] = tsne.fit_transform(start)
    return places


def fit_square(places: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved and scaled into 0 to 1, both axes by the same factor; NaN stays."""
    if not np.isfinite(places).any():
        return places
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    span = max(float((high - low).max()), 1e-12)
    return (places - (low + high) / 2) / span + 0.5
