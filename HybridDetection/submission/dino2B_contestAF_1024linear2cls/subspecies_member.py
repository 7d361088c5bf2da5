"""The member of the ensemble that knows the subspecies, and names the likely parents."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from backbones import NETWORKS, WINGS
from published_members import Origin, check_origin, is_short_text
from weights import numbers, read_arrays

MOST = 0.75  # the share of a parent in a hybrid, at the most
SHARPENED = 2  # power of the probabilities, by which the certainty of parents means what it says
SURE = 0.5  # the probability from which on a pair of parents is named
PARENTS = ["parent_1", "share_1", "parent_2", "share_2", "parents", "certainty"]  # in tables
MAX_BYTES = 100_000_000  # of all arrays in the file; 14 subspecies and a cross take 0.3 MB


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
    """Finds specimens that look like none of the subspecies, but like two of them.

    A multinomial logistic regression over the K subspecies and the C crosses that training has
    photographs of, on what WingStages sees of wings that are laid alike. The probability of a
    hybrid is 1 less the highest one of a subspecies: that of a cross counts, and so does being
    torn between subspecies, by which crosses that nobody has seen are found.
    """

    subspecies: np.ndarray  # (K,) names
    crosses: np.ndarray  # (C, 2) known ones; places in `subspecies`, ascending
    weights: np.ndarray  # (K + C, d) float32
    intercepts: np.ndarray  # (K + C,)
    threshold: np.ndarray  # () of all members together at a TNR of 95 %; NaN: not known
    origin: Origin

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n, K + C) probabilities of the subspecies, then of the crosses."""
        logits = features.astype(np.float64) @ self.weights.T + self.intercepts
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return chances / chances.sum(axis=1, keepdims=True)

    def hybrid_probability(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n,) probabilities."""
        return 1 - self.probabilities(features)[:, : len(self.subspecies)].max(axis=1)

    def slopes(self, features: np.ndarray) -> np.ndarray:
        """Of the log-odds of `hybrid_probability` at (n, d) features, (n, d)."""
        chances = self.probabilities(features)
        likeliest = chances[:, : len(self.subspecies)].argmax(axis=1)
        chances[np.arange(len(chances)), likeliest] = 0
        others = chances / chances.sum(axis=1, keepdims=True)
        return others @ self.weights - self.weights[likeliest]

    def parents(self, features: np.ndarray) -> list[Parents]:
        """The likeliest two parents of each of (n, d) features, if it is a hybrid.

        It is then not of the likeliest subspecies alone: what the others have of the probability
        speaks for a pair of it with each of them, what a known cross has for that cross.
        """
        chances = self.probabilities(features)
        pure = chances[:, : len(self.subspecies)]
        likeliest = pure.argmax(axis=1)
        rest = chances**SHARPENED
        rest[np.arange(len(rest)), likeliest] = 0
        rest /= rest.sum(axis=1, keepdims=True)
        found = []
        for of_it, others, best in zip(pure, rest, likeliest.tolist(), strict=True):
            pairs = {
                tuple(sorted((best, other))): others[other]
                for other in range(len(of_it))
                if other != best
            }
            for cross, chance in zip(self.crosses.tolist(), others[len(of_it) :], strict=True):
                pairs[tuple(cross)] = pairs.get(tuple(cross), 0.0) + chance
            first, second = max(pairs, key=pairs.get)
            certainty = float(pairs[first, second])
            if of_it[first] < of_it[second]:
                first, second = second, first
            share = of_it[first] / (of_it[first] + of_it[second])
            names = str(self.subspecies[first]), str(self.subspecies[second])
            found.append(Parents(*names, float(min(share, MOST)), certainty))
        return found


def load_subspecies(
    path: Path, backbone: str | None = None, preprocess: str | None = None
) -> SubspeciesScorer:
    """The subspecies' member in `path`, plain arrays; ValueError for anything else."""
    try:
        scorer = subspecies_scorer(read_arrays(path, MAX_BYTES))
    except Exception as error:  # hostile bytes make zip's and npy's readers raise almost anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: not a member that knows the subspecies ({reason}); train again"
        ) from error
    check_origin(path, scorer.origin, backbone, preprocess)
    return scorer


def subspecies_scorer(arrays: dict[str, np.ndarray]) -> SubspeciesScorer:
    """The scorer of a file's arrays; ValueError where one is missing, of another shape or wild."""
    memory = {name: arrays.pop(name).item() or None for name in vars(Origin()) if name in arrays}
    origin = Origin.remembered(memory)
    names, crosses = arrays["subspecies"].tolist(), arrays["crosses"]
    count, size = len(names), NETWORKS[WINGS].feature_size
    known = set(combinations(range(count), 2)).issuperset(map(tuple, crosses))
    shapes = {"weights": (count + len(crosses), size), "intercepts": (count + len(crosses),)}
    values = {name: numbers(name, arrays[name], shape) for name, shape in shapes.items()}
    threshold = arrays["threshold"].item()
    for good, message in (
        (all(map(is_short_text, names)), "a subspecies' name is no printable text, or long"),
        (len(set(names)) == count >= 2, f"subspecies {names}, expected two or more, all unlike"),
        (crosses.dtype.kind == "i" and known, "crosses are not pairs of two places, ascending"),
        (np.isnan(threshold) or 0 <= threshold <= 1, "threshold is no number of 0 to 1"),
    ):
        if not good:
            raise ValueError(message)
    return SubspeciesScorer(**arrays | values, origin=origin)
