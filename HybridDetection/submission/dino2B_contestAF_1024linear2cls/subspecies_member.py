"""The member of the ensemble that knows the subspecies, and names the likely parents."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from backbones import BACKBONES
from published_members import Origin, check_origin, is_short_text
from weights import numbers, read_arrays

BETWEEN = (0.25, 0.75)  # the share of a parent in a hybrid
QUANTILES = (0.5, 0.95)  # of what non-hybrids show, out of fold; the probabilities there ...
STEEPNESS = 2 * np.log(3)  # ... are 1/4 and 3/4
SURE = 0.5  # the probability from which on a pair of parents is named
PARENTS = ["parent_1", "share_1", "parent_2", "share_2", "parents", "certainty"]  # in tables
MAX_BYTES = 100_000_000  # of all arrays in the file; 14 subspecies take 0.5 MB with DINOv2


@dataclass(frozen=True)
class Parents:
    """The two subspecies between which a specimen most likely lies."""

    first: str  # the one that it is nearer to
    second: str
    share: float  # of the first, 0.5 to 0.75; the second has the rest
    certainty: float  # probability of this pair among all

    def cells(self) -> dict[str, str | float]:
        """What tables say, by the names of their columns."""
        shares = self.share, 1 - self.share
        values = (self.first, shares[0], self.second, shares[1], str(self), self.certainty)
        return dict(zip(PARENTS, values, strict=True))

    def __str__(self) -> str:
        """`8 x 9`, in the order of the evaluation's tables; `unknown` where that is unsure."""
        if self.certainty < SURE:
            return "unknown"
        return " x ".join(sorted((self.first, self.second), key=lambda name: (len(name), name)))


@dataclass(frozen=True)
class SubspeciesScorer:
    """Finds specimens that look like none of the subspecies, or like two of them.

    It learns from photographs of non-hybrids alone, so that a cross which nobody has seen is found
    as well as another. Two things speak for a hybrid. *Undecided*: the entropy of a multinomial
    logistic regression over the K subspecies, divided by log K. *Foreign*: the distance to the
    nearest mean of a subspecies in the space of their linear discriminants (Fisher 1936, Rao 1948)
    under a pooled covariance, shrunk as Ledoit and Wolf (2004) say. Training measures both on
    photographs that its fit did not see. The median there has the probability 1/4, the 95 %
    quantile 3/4, and a logistic function leads through these, so that units and spread do not
    matter; a noisy-or joins the two.

    The parents are the pair whose means have the specimen nearest to the line between them.
    Crosses that training has photographs of (C pairs) are known by their look, too: hybrids of
    dominant traits lie off the line.
    """

    subspecies: np.ndarray  # (K,) names
    weights: np.ndarray  # (K, feature_size) of the logistic regression over the subspecies
    intercepts: np.ndarray  # (K,)
    axes: np.ndarray  # (feature_size, r) discriminants, r < K
    means: np.ndarray  # (K, r) of the subspecies there
    quantiles: np.ndarray  # (2, 2) of undecided and foreign
    spread: np.ndarray  # () mean square, out of fold, of a photograph along one axis
    crosses: np.ndarray  # (C, 2) known ones; places in `subspecies`, ascending
    cross_weights: np.ndarray  # (K + C, feature_size) of a regression that knows the crosses, too
    cross_intercepts: np.ndarray  # (K + C,)
    threshold: np.ndarray  # () of all three members together at a TNR of 95 %; NaN: not known
    origin: Origin

    def hybrid_probability(self, features: np.ndarray) -> np.ndarray:
        """(n, feature_size) features -> (n,) probabilities."""
        middle, high = self.quantiles.T
        units = (self.evidence(features) - middle) / (high - middle)
        return 1 - (1 - logistic(STEEPNESS * (units - 0.5))).prod(axis=1)

    def evidence(self, features: np.ndarray) -> np.ndarray:
        """(n, feature_size) features -> (n, 2): how undecided and how foreign."""
        logs = log_softmax(features @ self.weights.T + self.intercepts)
        undecided = -(np.exp(logs) * logs).sum(axis=1) / np.log(len(self.subspecies))
        foreign = np.sqrt(self.squared_distances(features).min(axis=1))
        return np.stack([undecided, foreign], axis=1)

    def squared_distances(self, features: np.ndarray) -> np.ndarray:
        """(n, feature_size) features -> (n, K): to the means, among the discriminants."""
        places = features @ self.axes
        return ((places[:, None] - self.means) ** 2).sum(axis=2)

    def pairs(self) -> np.ndarray:
        """(P, 2) every two places in `subspecies`, ascending."""
        return np.array(list(combinations(range(len(self.subspecies)), 2)))

    def lines(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each pair (P), the squared distance (n, P) to the line between its means, and the
        share (n, P) of the first at the nearest point, within BETWEEN.
        """
        first, second = self.pairs().T
        spans = self.means[first] - self.means[second]
        squares = np.maximum((spans**2).sum(axis=1), np.finfo(float).tiny)  # of two equal means
        along = features @ self.axes @ spans.T - (self.means[second] * spans).sum(axis=1)
        shares = np.clip(along / squares, *BETWEEN)
        from_second = self.squared_distances(features)[:, second]
        return from_second - 2 * shares * along + shares**2 * squares, shares

    def parents(self, features: np.ndarray) -> list[Parents]:
        """The likeliest two parents of each of (n, feature_size) features."""
        squares, shares = self.lines(features)
        logits = features @ self.cross_weights.T + self.cross_intercepts
        known = np.exp(log_softmax(logits))[:, len(self.subspecies) :]
        chances = np.exp(log_softmax(-squares / (2 * self.spread)))
        chances = chances * (1 - known.sum(axis=1, keepdims=True))
        pairs = self.pairs().tolist()
        for cross, chance in zip(self.crosses.tolist(), known.T, strict=True):
            chances[:, pairs.index(cross)] += chance
        found = []
        for row, pair in enumerate(chances.argmax(axis=1)):
            first, second = self.subspecies[pairs[pair]].tolist()
            share = shares[row, pair]
            if share < 0.5:
                first, second, share = second, first, 1 - share
            found.append(Parents(first, second, float(share), float(chances[row, pair])))
        return found


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -700, 700)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row of (n, k), without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def load_subspecies(
    path: Path, backbone: str | None = None, preprocess: str | None = None
) -> SubspeciesScorer:
    """The subspecies' member in `path`, plain arrays; ValueError for anything else."""
    try:
        scorer = subspecies_scorer(read_arrays(path, MAX_BYTES))
    except Exception as error:  # hostile bytes make zip's and npy's readers raise almost anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not a member that knows the subspecies ({reason})") from error
    check_origin(path, scorer.origin, backbone, preprocess)
    return scorer


def subspecies_scorer(arrays: dict[str, np.ndarray]) -> SubspeciesScorer:
    """The scorer of a file's arrays; ValueError where one is missing, of another shape or wild."""
    memory = {name: arrays.pop(name).item() or None for name in vars(Origin()) if name in arrays}
    origin = Origin.remembered(memory)
    size, names = BACKBONES[origin.backbone].feature_size, arrays["subspecies"].tolist()
    count, rank, crosses = len(names), arrays["axes"].shape[-1], arrays["crosses"]
    known = set(combinations(range(count), 2)).issuperset(map(tuple, crosses))
    shapes = {
        "weights": (count, size),
        "intercepts": (count,),
        "axes": (size, rank),
        "means": (count, rank),
        "quantiles": (2, 2),
        "spread": (),
        "cross_weights": (count + len(crosses), size),
        "cross_intercepts": (count + len(crosses),),
    }
    values = {name: numbers(name, arrays[name], shape) for name, shape in shapes.items()}
    quantiles, threshold = values["quantiles"], arrays["threshold"].item()
    for good, message in (
        (all(map(is_short_text, names)), "a subspecies' name is no printable text, or long"),
        (len(set(names)) == count >= 2, f"subspecies {names}, expected two or more, all unlike"),
        (1 <= rank < count, f"{rank} axes, expected 1 to {count - 1}"),
        (crosses.dtype.kind == "i" and known, "crosses are not pairs of two places, ascending"),
        ((quantiles[:, 0] < quantiles[:, 1]).all(), "quantiles do not ascend"),
        (values["spread"] > 0, "the spread is not above 0"),
        (np.isnan(threshold) or 0 <= threshold <= 1, "threshold is no number of 0 to 1"),
    ):
        if not good:
            raise ValueError(message)
    return SubspeciesScorer(**arrays | values, origin=origin)
