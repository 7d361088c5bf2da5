"""How well scores tell hybrids from the rest, on any set, and how sure that is."""

import numpy as np

TARGET_TNR = 0.95
METRICS = ["tpr_at_tnr95", "threshold", "pr_auc", "roc_auc", "f1", "accuracy"]
RESAMPLES = 1000
SEED = 42

Counts = np.ndarray | float
# In the functions down to `evaluate`, `scores` (n,) belong to rows with 0/1 `labels` (n,). `counts`
# says how often each row is there: once; or (r, n) times in r resamples, which gives r results.


def threshold_at_tnr(scores: np.ndarray, labels: np.ndarray, counts: Counts = 1) -> np.ndarray:
    """The smallest score t such that at least TARGET_TNR of the non-hybrids score <= t.

    ValueError without non-hybrids.
    """
    if np.all(labels == 1):
        raise ValueError("no non-hybrids, so no threshold")
    order = np.argsort(scores)
    at_or_below = np.cumsum((counts * (1 - labels))[..., order], axis=-1)
    share = at_or_below / at_or_below[..., -1:]
    return scores[order[np.argmax(share >= TARGET_TNR, axis=-1)]]


def cumulated(
    scores: np.ndarray, labels: np.ndarray, counts: Counts
) -> tuple[np.ndarray, np.ndarray]:
    """How many hybrids and how many others score at least t, for each score t, highest first."""
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    return tuple(
        np.cumsum((counts * members)[..., order], axis=-1)[..., last]
        for members in (labels, 1 - labels)
    )


def pr_auc(scores: np.ndarray, labels: np.ndarray, counts: Counts = 1) -> np.ndarray:
    """Average precision: the mean precision at the score of each hybrid."""
    hybrids, others = cumulated(scores, labels, counts)
    precision = hybrids / np.maximum(hybrids + others, 1)
    return (precision * np.diff(hybrids, prepend=0)).sum(axis=-1) / hybrids[..., -1]


def roc_auc(scores: np.ndarray, labels: np.ndarray, counts: Counts = 1) -> np.ndarray:
    """The chance that a hybrid scores above a non-hybrid; equal scores count half."""
    hybrids, others = cumulated(scores, labels, counts)
    above = hybrids - np.diff(hybrids, prepend=0) / 2
    pairs = hybrids[..., -1] * others[..., -1]
    return (above * np.diff(others, prepend=0)).sum(axis=-1) / pairs


def evaluate(scores: np.ndarray, labels: np.ndarray, counts: Counts = 1) -> dict[str, np.ndarray]:
    """METRICS, each a number or (r,); both classes must be there.

    As published, F1 and accuracy are those of the calls at a TNR of 95 %: hybrid above the
    threshold.
    """
    threshold = threshold_at_tnr(scores, labels, counts)
    called = scores > threshold[..., None]
    true, hybrids = ((counts * labels * rows).sum(axis=-1) for rows in (called, 1))
    false, others = ((counts * (1 - labels) * rows).sum(axis=-1) for rows in (called, 1))
    return {
        "tpr_at_tnr95": true / hybrids,
        "threshold": threshold,
        "pr_auc": pr_auc(scores, labels, counts),
        "roc_auc": roc_auc(scores, labels, counts),
        "f1": 2 * true / (true + false + hybrids),
        "accuracy": (true + others - false) / (hybrids + others),
    }


def resample(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts (r, n) for a bootstrap over rows that come in `groups` (n,), always the same.

    Groups are drawn with replacement, whole: images of one structure rise and fall together.
    Draws without one of the classes are left out.
    """
    _, members = np.unique(groups, return_inverse=True)
    size = members.max() + 1
    drawn = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), RESAMPLES)
    counts = drawn[:, members]
    return counts[(counts @ labels > 0) & (counts @ (1 - labels) > 0)]


def interval(values: np.ndarray) -> tuple[float, float]:
    """The bounds of the middle 95 % of a bootstrap's `values` (r,)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def wilson(right: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `n` (Wilson 1927)."""
    z = 1.959964
    middle = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (right * (n - right) / n + z * z / 4) ** 0.5
    return middle - half, middle + half
