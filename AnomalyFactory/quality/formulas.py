"""The statistics of the report: distances between sets of features, the bootstrap, and a classifier
that is asked what is painted. Photographs are named by any hashable, such as their paths."""

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KID_SUBSETS = 50  # over which KID is averaged
KID_SUBSET = 1000  # images of each, at the most

DRAWS = 200  # of a bootstrap
LEVEL = 95  # per cent of the draws that lie within an interval

HALVINGS = 10  # of the photographs, at random; the yardstick is the mean over them
FEWEST_IN_HALF = 10  # images of each kind

FOLDS = 3  # few: an image counts in a fold when both of its sources lie in it
REPEATS = 5  # of the whole, with other folds
FEWEST_IN_FOLD = 5  # images of each kind

# ---- distances ----------------------------------------------------------------------------------


def frechet(
    one: np.ndarray,  # (n, d) features
    other: np.ndarray,  # (m, d)
    weights: np.ndarray | None = None,  # (n,) how often each counts; default: once
    other_weights: np.ndarray | None = None,  # (m,)
) -> float:
    """The Frechet distance (Heusel et al. 2017) between Gaussians with the means and covariances
    of the features; NaN where either side has less than two images.

    The trace of the root of the covariances' product is the nuclear norm of the product of the
    centred features, which is fast where there are fewer images than features.
    """
    means, sides = [], []
    for features, counts in ((one, weights), (other, other_weights)):
        counts = np.ones(len(features)) if counts is None else counts
        if counts.sum() < 2:
            return float("nan")
        features, counts = features[counts > 0].astype(float), counts[counts > 0]
        means.append(np.average(features, axis=0, weights=counts))
        # Rows R whose R'R is the covariance, as many as there are features at most.
        rows = np.sqrt(counts / (counts.sum() - 1))[:, None] * (features - means[-1])
        sides.append(np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows)
    shift = ((means[0] - means[1]) ** 2).sum()
    spread = sum((rows**2).sum() for rows in sides)
    return float(shift + spread - 2 * np.linalg.norm(sides[0] @ sides[1].T, "nuc"))


def kernels(one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """KID's kernel (x.y / d + 1)^3 of features (n, d) and (m, d): (n, n), (m, m) and (n, m)."""
    one, other = one.astype(float), other.astype(float)
    return [polynomial_kernel(*pair) for pair in ((one, one), (other, other), (one, other))]


def kid(
    own: np.ndarray,  # (n, n) kernel
    other: np.ndarray,  # (m, m)
    between: np.ndarray,  # (n, m)
    weights: np.ndarray,  # (n,) how often each counts
    other_weights: np.ndarray,  # (m,)
) -> float:
    """The unbiased squared maximum mean discrepancy (Binkowski et al. 2018); an image is never
    compared with itself. NaN where either side has not two different ones."""
    found = 0.0
    for kernel, counts in ((own, weights), (other, other_weights)):
        pairs = counts.sum() ** 2 - (counts**2).sum()
        if pairs <= 0:
            return float("nan")
        found += (counts @ kernel @ counts - counts**2 @ np.diag(kernel)) / pairs
    cross = weights @ between @ other_weights / (weights.sum() * other_weights.sum())
    return float(found - 2 * cross)


def kid_of_subsets(own: np.ndarray, other: np.ndarray, between: np.ndarray) -> float:
    """The mean KID over random subsets, drawn as torchmetrics does from a seed of their own."""
    size, random = min(KID_SUBSET, *between.shape), torch.Generator().manual_seed(0)

    def draw(count: int) -> np.ndarray:
        drawn = torch.randperm(count, generator=random)[:size].numpy()
        return np.bincount(drawn, minlength=count)

    drawn = [(draw(len(other)), draw(len(own))) for _ in range(KID_SUBSETS)]
    return float(np.mean([kid(own, other, between, ours, theirs) for theirs, ours in drawn]))


def by_photograph(
    sources: np.ndarray,  # (n, 2) of each painted image: its structure and reference
    photos: Sequence[Hashable],  # (m,)
) -> tuple[np.ndarray, np.ndarray, int]:
    """The same as places, (n, 2) and (m,), among all photographs that occur, and their number."""
    places, everyone = pd.factorize(np.concatenate([photos, np.ravel(sources)]))
    return places[len(photos) :].reshape(-1, 2), places[: len(photos)], len(everyone)


def halves(
    painted: np.ndarray,  # (n, d) features
    photos: np.ndarray,  # (m, d)
    sources: np.ndarray,  # (n, 2)
    keys: Sequence[Hashable],  # (m,) photographs
    random: np.random.Generator,
) -> dict[str, float] | None:
    """Equal numbers against one half of the photographs: the other half, and what was painted
    from the other half alone. None where a half has too few."""
    sources, keys, count = by_photograph(sources, keys)
    rows = []
    for _ in range(HALVINGS):
        first = np.argsort(random.permutation(count)) < count // 2
        sets = first[keys], ~first[keys], first[sources].all(axis=1)
        own, other, new = (random.permutation(np.flatnonzero(chosen)) for chosen in sets)
        size = min(len(own), len(other), len(new))
        if size < FEWEST_IN_HALF:
            continue
        against, ones = photos[other[:size]], np.ones(size)
        row = {"images": size}
        for name, side in {"painted": painted[new], "photographs": photos[own]}.items():
            row[f"frechet_{name}"] = frechet(side[:size], against)
            row[f"kid_{name}"] = kid(*kernels(side[:size], against), ones, ones)
        rows.append(row)
    return pd.DataFrame(rows).mean().to_dict() if rows else None


# ---- how far a figure moves when other specimens are drawn: the bootstrap, by photograph ---------


def with_interval(
    figure: Callable[..., float],  # of the weights of each group
    groups: Sequence[Sequence[Hashable]],  # of images, by the photograph that each comes from
    random: np.random.Generator,
    value: float | None = None,  # default: the figure with all weights 1
) -> dict[str, float]:
    """`value`, `low` and `high` of a figure of weighted images: LEVEL % of DRAWS draws (those that
    give a number) lie between the two, the percentile bootstrap (Efron 1979).

    Each draw takes as many photographs as there are, with replacement; an image counts as often as
    its photograph was taken. With a `value` of its own, the draws are moved so that their mean lies
    there: drawing with replacement makes images equal, and that alone raises a Frechet distance.
    NaN for both ends where all draws are equal: none in so many images says nothing of how far it
    may move.
    """
    found = dict.fromkeys(("value", "low", "high"), float("nan"))
    if not all(map(len, groups)):
        return found
    places, everyone = pd.factorize(np.concatenate(groups))
    chances, ends = np.full(len(everyone), 1 / len(everyone)), np.cumsum([*map(len, groups)])[:-1]
    counts = random.multinomial(len(everyone), chances, size=DRAWS)
    draws = np.array([figure(*np.split(drawn[places], ends)) for drawn in counts])
    draws = draws[np.isfinite(draws)]
    found["value"] = figure(*(np.ones(len(group)) for group in groups)) if value is None else value
    if len(draws) and np.ptp(draws) > 0:
        shift = 0 if value is None else value - draws.mean()
        found["low"], found["high"] = np.percentile(
            draws + shift, [(100 - LEVEL) / 2, (100 + LEVEL) / 2]
        ).tolist()
    return found


def mean_with_interval(
    values: pd.Series, photos: pd.Series, random: np.random.Generator
) -> dict[str, float]:
    """The mean of the finite among `values` (n,), with its interval; each comes from one of
    `photos` (n,)."""
    known = values.dropna().astype(float)
    mean = lambda weights: float(np.average(known, weights=weights))  # noqa: E731
    return with_interval(mean, [photos[known.index]], random)


# ---- painted or photographed? -------------------------------------------------------------------


def folds_by_photograph(
    sources: np.ndarray, photos: Sequence[Hashable], random: np.random.Generator
) -> Iterator[list[np.ndarray]]:
    """FOLDS folds that share no photograph: places of painted images and of photographs to fit on,
    and of those to test with. A painted image is fitted on only when both of its `sources` (n, 2)
    are, and tested with only when neither is."""
    sources, photos, count = by_photograph(sources, photos)
    fold_of = random.permutation(count) % FOLDS
    painted, photographed = fold_of[sources], fold_of[photos]
    for fold in range(FOLDS):
        to_fit = (painted != fold).all(axis=1), photographed != fold
        to_test = (painted == fold).all(axis=1), photographed == fold
        yield [np.flatnonzero(chosen) for chosen in (*to_fit, *to_test)]


def told_apart(
    painted: np.ndarray,  # (n, d) features
    photos: np.ndarray,  # (m, d)
    sources: np.ndarray,  # (n, 2)
    keys: Sequence[Hashable],  # (m,) photographs
    random: np.random.Generator,
) -> tuple[dict[str, float] | None, np.ndarray]:
    """The area under the ROC curve with its interval, and how painted each image looks, (n,).

    A logistic regression on standardised features, cross-validated; the mean over all folds. 0.5:
    nobody could tell; 1: always told. The second is the mean probability over the folds that
    tested the image, NaN for one that was in none. None where no fold is large enough.
    """
    outcomes = []  # what was tested, and whether painted images (rows) look it more
    looks, tests = np.zeros(len(painted)), np.zeros(len(painted))
    for _ in range(REPEATS):
        for fold in folds_by_photograph(sources, keys, random):
            if min(map(len, fold)) < FEWEST_IN_FOLD:
                continue
            ours, others, new, photographed = fold
            labels = np.repeat([1, 0], [len(ours), len(others)])
            model = fit(np.concatenate([painted[ours], photos[others]]), labels)
            found = model.predict_proba(painted[new])[:, 1]
            beside = model.predict_proba(photos[photographed])[:, 1]
            looks[new] += found
            tests[new] += 1
            outcomes.append((new, photographed, np.heaviside(found[:, None] - beside, 0.5)))
    looks = np.divide(looks, tests, out=np.full(len(painted), np.nan), where=tests > 0)
    if not outcomes:
        return None, looks

    def area(weights: np.ndarray, photo_weights: np.ndarray) -> float:
        areas = []  # Mann and Whitney 1947
        for new, photographed, won in outcomes:
            ours, others = weights[new], photo_weights[photographed]
            if ours.any() and others.any():
                areas.append(ours @ won @ others / (ours.sum() * others.sum()))
        return float(np.mean(areas)) if areas else float("nan")

    result = with_interval(area, [[structure for structure, _ in sources], keys], random)
    return {**result, "tested": int((tests > 0).sum())}, looks


def fit(features: np.ndarray, labels: np.ndarray):
    """The logistic regression; both kinds weigh the same, however many there are."""
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), model).fit(features, labels)
