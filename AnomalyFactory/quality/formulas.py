"""The statistics of the report: distances between sets of features, the bootstrap, and a classifier
that is asked what is painted. Photographs are named by any hashable, such as their paths."""

from collections.abc import Callable, Hashable, Sequence

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

Array = np.ndarray
Photos = Sequence[Hashable]  # of images, the photograph that each is or was painted on

# ---- distances ----------------------------------------------------------------------------------


def frechet(one: Array, other: Array, *weights: Array) -> float:
    """The Frechet distance (Heusel et al. 2017) between Gaussians with the means and covariances
    of features (n, d) and (m, d); NaN where either side has less than two images. `weights`, (n,)
    and (m,), say how often each image counts: once without them.

    The trace of the root of the covariances' product is the nuclear norm of the product of the
    centred features, which is fast where there are fewer images than features.
    """
    means, sides = [], []
    weights = weights or (np.ones(len(one)), np.ones(len(other)))
    for features, counts in zip((one, other), weights, strict=True):
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


def kernels(one: Array, other: Array) -> list[Array]:
    """KID's kernel (x.y / d + 1)^3 of features (n, d) and (m, d): (n, n), (m, m) and (n, m)."""
    one, other = one.astype(float), other.astype(float)
    return [polynomial_kernel(*pair) for pair in ((one, one), (other, other), (one, other))]


def kid(own: Array, other: Array, between: Array, weights: Array, other_weights: Array) -> float:
    """The unbiased squared maximum mean discrepancy (Binkowski et al. 2018) of `kernels`, whose
    images count as often as `weights`, (n,) and (m,), say; an image is never compared with itself.
    NaN where either side has not two different ones."""
    found = 0.0
    for kernel, counts in ((own, weights), (other, other_weights)):
        pairs = counts.sum() ** 2 - (counts**2).sum()
        if pairs <= 0:
            return float("nan")
        found += (counts @ kernel @ counts - counts**2 @ np.diag(kernel)) / pairs
    cross = weights @ between @ other_weights / (weights.sum() * other_weights.sum())
    return float(found - 2 * cross)


def kid_of_subsets(own: Array, other: Array, between: Array) -> float:
    """The mean KID over random subsets, drawn as torchmetrics does from a seed of their own."""
    size, random = min(KID_SUBSET, *between.shape), torch.Generator().manual_seed(0)

    def draw(count: int) -> Array:
        drawn = torch.randperm(count, generator=random)[:size].numpy()
        return np.bincount(drawn, minlength=count)

    drawn = [(draw(len(other)), draw(len(own))) for _ in range(KID_SUBSETS)]
    return float(np.mean([kid(own, other, between, ours, theirs) for theirs, ours in drawn]))


def by_photograph(sources: Array, photos: Photos) -> tuple[Array, Array, int]:
    """Both as places, (n, 2) and (m,), among all photographs that occur, and their number."""
    places, everyone = pd.factorize(np.concatenate([photos, np.ravel(sources)]))
    return places[len(photos) :].reshape(-1, 2), places[: len(photos)], len(everyone)


def halves(
    painted: Array, photos: Array, sources: Array, keys: Photos, random: np.random.Generator
) -> dict[str, float] | None:
    """Equal numbers against one half of the photographs: the other half, and what was painted
    from the other half alone; means over HALVINGS. None where a half has too few. Arguments as
    those of `told_apart`."""
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
    groups: Sequence[Photos],  # of images, by the photograph that each comes from
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
    """The mean of the finite among `values`, with its interval; `photos` as in `with_interval`."""
    known = values.dropna().astype(float)
    return with_interval(
        lambda weights: float(np.average(known, weights=weights)), [photos[known.index]], random
    )


# ---- painted or photographed? -------------------------------------------------------------------


def told_apart(
    painted: Array,  # (n, d) features
    photos: Array,  # (m, d)
    sources: Array,  # (n, 2) photographs that each was painted from: structure and reference
    keys: Photos,  # (m,)
    random: np.random.Generator,
) -> tuple[dict[str, float] | None, Array]:
    """The area under the ROC curve with its interval, and how painted each image looks, (n,).

    A logistic regression on standardised features, in which both kinds weigh the same,
    cross-validated; the mean over all folds. 0.5: nobody could tell; 1: always told. The second is
    the mean probability over the folds that tested the image, NaN for one that was in none. None
    where no fold is large enough.

    Folds share no photograph: a painted image is fitted on only when both of its sources are, and
    tested with only when neither is.
    """
    outcomes = []  # what was tested, and whether painted images (rows) look it more
    looks, tests = np.zeros(len(painted)), np.zeros(len(painted))
    of_painted, of_photos, count = by_photograph(sources, keys)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model = make_pipeline(StandardScaler(), model)
    for _ in range(REPEATS):
        fold_of = random.permutation(count) % FOLDS
        for fold in range(FOLDS):
            inside, among = fold_of[of_painted] == fold, fold_of[of_photos] == fold
            chosen = ~inside.any(axis=1), ~among, inside.all(axis=1), among
            ours, others, new, photographed = map(np.flatnonzero, chosen)
            if min(map(len, (ours, others, new, photographed))) < FEWEST_IN_FOLD:
                continue
            labels = np.repeat([1, 0], [len(ours), len(others)])
            model.fit(np.concatenate([painted[ours], photos[others]]), labels)
            found = model.predict_proba(painted[new])[:, 1]
            beside = model.predict_proba(photos[photographed])[:, 1]
            looks[new] += found
            tests[new] += 1
            outcomes.append((new, photographed, np.heaviside(found[:, None] - beside, 0.5)))
    looks = np.divide(looks, tests, out=np.full(len(painted), np.nan), where=tests > 0)
    if not outcomes:
        return None, looks

    def area(weights: Array, photo_weights: Array) -> float:
        areas = []  # Mann and Whitney 1947
        for new, photographed, won in outcomes:
            ours, others = weights[new], photo_weights[photographed]
            if ours.any() and others.any():
                areas.append(ours @ won @ others / (ours.sum() * others.sum()))
        return float(np.mean(areas)) if areas else float("nan")

    result = with_interval(area, [np.asarray(sources)[:, 0], keys], random)
    return {**result, "tested": int((tests > 0).sum())}, looks
