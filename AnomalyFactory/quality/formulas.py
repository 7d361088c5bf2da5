"""The arithmetic of the report: distances of features, the bootstrap, and a classifier that is
asked what is painted."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain

import cv2
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KID_SUBSETS = 50  # over which KID is averaged
KID_SUBSET = 1000  # images of each, at the most

DRAWS = 200  # of a bootstrap
LEVEL = 95  # per cent of the draws that lie within an interval

FOLDS = 3  # few: an image counts in a fold when both of its sources lie in it
REPEATS = 5  # of the whole, with other folds
FEWEST_IN_FOLD = 5  # images of each kind

EDGE = 96  # of 255: the strength from which on a pixel is an edge; a pattern may be fainter than
# an outline, and half of it is inherited where painting was asked for half
TOLERANCE = 2  # pixels by which an edge may lie elsewhere: 0.0055 of the diagonal (BSDS: 0.0075)

LEVELS = 64  # of a channel's distribution that are compared
PAPER = 14.0  # a pixel this near to the ground's colour is ground; units of CIE Lab
THIN = 5  # pixels; what is thinner is a leg, an antenna, print or a scale's line
CRUMB = 0.03  # of the area of the largest piece; smaller ones are print or dirt
PLATE = 0.88  # a chart or label fills more than this share of its rectangle; wings fill less

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
    pairs = (one, one), (other, other), (one, other)
    return [(a.astype(float) @ b.astype(float).T / a.shape[1] + 1) ** 3 for a, b in pairs]


def kid(
    own: np.ndarray,  # (n, n) kernel
    other: np.ndarray,  # (m, m)
    between: np.ndarray,  # (n, m)
    weights: np.ndarray,  # (n,) how often each counts
    other_weights: np.ndarray,  # (m,)
) -> float:
    """The unbiased squared maximum mean discrepancy (Binkowski et al. 2018); an image is never
    compared with itself."""
    total, other_total = weights.sum(), other_weights.sum()
    if not total or not other_total:
        return float("nan")
    cross = weights @ between @ other_weights / (total * other_total)
    return float(mean_of_pairs(own, weights) + mean_of_pairs(other, other_weights) - 2 * cross)


def kid_of_subsets(own: np.ndarray, other: np.ndarray, between: np.ndarray) -> float:
    """The mean KID over random subsets, drawn as torchmetrics does from a seed of their own."""
    size, random = min(KID_SUBSET, *between.shape), torch.Generator().manual_seed(0)
    found = []
    for _ in range(KID_SUBSETS):
        photos = torch.randperm(len(other), generator=random)[:size].numpy()
        painted = torch.randperm(len(own), generator=random)[:size].numpy()
        kernels = own[np.ix_(painted, painted)], other[np.ix_(photos, photos)]
        found.append(kid(*kernels, between[np.ix_(painted, photos)], np.ones(size), np.ones(size)))
    return float(np.mean(found))


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


# ---- how far a figure moves when other specimens are drawn: the bootstrap, by photograph ---------


def weights_by_source(
    groups: Sequence[Sequence[Hashable]], random: np.random.Generator
) -> Iterator[list[np.ndarray]]:
    """DRAWS bootstrap weights (Efron 1979) of groups of images, whose sources `groups` name.

    Each draw takes as many sources as there are, with replacement; an image counts as often as its
    source was taken. What is painted on one photograph, and the photograph, so come together.
    """
    everyone = dict.fromkeys(chain.from_iterable(groups))
    sources = {source: place for place, source in enumerate(everyone)}
    places = [np.array([sources[source] for source in group], int) for group in groups]
    chances = np.full(len(sources), 1 / len(sources))
    for _ in range(DRAWS):
        counts = random.multinomial(len(sources), chances)
        yield [counts[place] for place in places]


def with_interval(
    figure: Callable[..., float],  # of the weights of each group
    groups: Sequence[Sequence[Hashable]],
    random: np.random.Generator,
    value: float | None = None,  # default: the figure with all weights 1
) -> dict[str, float]:
    """`value`, `low` and `high` of a figure of weighted images: LEVEL % of the draws that give a
    number lie between the two (the percentile method).

    With a `value` of its own, the draws are moved so that their mean lies there: drawing with
    replacement makes images equal, and that alone raises a Frechet distance. NaN for both ends
    where all draws are equal: none in so many images says nothing of how far it may move.
    """
    found = dict.fromkeys(("value", "low", "high"), float("nan"))
    if not all(len(group) for group in groups):
        return found
    draws = np.array([figure(*weights) for weights in weights_by_source(groups, random)])
    draws = draws[np.isfinite(draws)]
    found["value"] = figure(*[np.ones(len(group)) for group in groups]) if value is None else value
    if len(draws) and value is not None:
        draws += value - draws.mean()
    if len(draws) and np.ptp(draws) > 0:
        ends = np.percentile(draws, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
        found["low"], found["high"] = ends.tolist()
    return found


def mean_with_interval(
    values: Sequence[float], sources: Sequence[Hashable], random: np.random.Generator
) -> dict[str, float]:
    """The mean of the finite among `values` (n,), with its interval."""
    known = {place: value for place, value in enumerate(values) if np.isfinite(value)}
    numbers = np.array(list(known.values()))

    def mean(weights: np.ndarray) -> float:
        return float(weights @ numbers / weights.sum()) if weights.any() else float("nan")

    return with_interval(mean, [[sources[place] for place in known]], random)


# ---- painted or photographed? -------------------------------------------------------------------


def folds_by_photograph(
    sources: Sequence[tuple[Hashable, Hashable]],  # of each painted image: structure, reference
    photos: Sequence[Hashable],
    random: np.random.Generator,
) -> Iterator[list[np.ndarray]]:
    """FOLDS folds that share no photograph: places of painted images and of photographs to fit on,
    and of those to test with. A painted image is fitted on only when both of its sources are, and
    tested with only when neither is."""
    keys = list(dict.fromkeys([*photos, *chain.from_iterable(sources)]))
    fold_of = dict(zip(keys, random.permutation(len(keys)) % FOLDS, strict=True))
    painted = np.array([[fold_of[key] for key in pair] for pair in sources]).reshape(-1, 2)
    photographed = np.array([fold_of[key] for key in photos])
    for fold in range(FOLDS):
        to_fit = (painted != fold).all(axis=1), photographed != fold
        to_test = (painted == fold).all(axis=1), photographed == fold
        yield [np.flatnonzero(chosen) for chosen in (*to_fit, *to_test)]


def told_apart(
    painted: np.ndarray,  # (n, d) features
    photos: np.ndarray,  # (m, d)
    sources: Sequence[tuple[Hashable, Hashable]],  # of each painted image: structure, reference
    keys: Sequence[Hashable],  # of each photograph
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter here
        return make_pipeline(StandardScaler(), model).fit(features, labels)


# ---- edges --------------------------------------------------------------------------------------


def is_edge(edges: np.ndarray) -> np.ndarray:
    """Where edge maps, dark lines on white, uint8, have an edge, bool."""
    return edges <= 255 - EDGE


def edge_agreement(asked: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """F1, precision and recall of the edges `found` against those `asked` for, bool (h, w).

    An edge counts as met within TOLERANCE pixels (Martin et al. 2004, without their one-to-one
    matching). Precision: found edges that were asked for; recall: asked edges that were found. All
    are 1 where neither has an edge, and 0 where only one has.
    """
    if not asked.any() or not found.any():
        value = float(asked.any() == found.any())
        return value, value, value
    precision = float((found & near(asked)).sum() / found.sum())
    recall = float((asked & near(found)).sum() / asked.sum())
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0, precision, recall


def near(edges: np.ndarray) -> np.ndarray:
    """Where an edge is not further than TOLERANCE pixels."""
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= TOLERANCE


# ---- colours ------------------------------------------------------------------------------------


def to_lab(image: np.ndarray) -> np.ndarray:
    """CIE Lab, float32, of uint8 RGB (h, w, 3): 100 from black to white, 2 are just seen."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def wings_of(photo: np.ndarray) -> np.ndarray:
    """Where the specimen is in a photograph or cutout, uint8 RGB (h, w, 3); bool (h, w).

    What differs from the median colour along the border, without thin parts, crumbs and what fills
    its rectangle as charts and labels do; holes are filled. A mask to compare colours in, not to
    cut out by: the page shows its outline. Everything where nothing is found.
    """
    lab = to_lab(photo)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    apart = np.linalg.norm(lab - np.median(border, axis=0), axis=2) > PAPER
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN))
    thick = cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, disc)
    shapes = [(cv2.contourArea(outline), outline) for outline in outlines_of(thick)]
    shapes = [(area, outline) for area, outline in shapes if not is_plate(area, outline)]
    largest = max((area for area, _ in shapes), default=0)
    kept = [outline for area, outline in shapes if area >= CRUMB * largest > 0]
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.drawContours(mask, kept, -1, 1, cv2.FILLED)
    return mask > 0 if mask.any() else np.ones(mask.shape, bool)


def outlines_of(mask: np.ndarray) -> Sequence[np.ndarray]:
    return cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def is_plate(area: float, outline: np.ndarray) -> bool:
    """Whether a shape fills its smallest rectangle as a chart or a label does."""
    _, (width, height), _ = cv2.minAreaRect(outline)
    return area > PLATE * width * height


def colours_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The distribution of the colours in `mask`: LEVELS quantiles of L*, a* and b*, (LEVELS, 3)."""
    places = (np.arange(LEVELS) + 0.5) / LEVELS
    return np.quantile(to_lab(image)[mask], places, axis=0)


def colour_distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two distributions of `colours_of` are apart, in units of CIE Lab.

    The earth mover's distance of each channel, joined as the sides of a box: of two even colours
    it is their CIE 1976 difference. Where on the wing a colour lies does not matter.
    """
    return float(np.linalg.norm(np.abs(one - other).mean(axis=0)))
