"""The member of the ensemble that knows the subspecies, and names the likely parents."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from backbones import NETWORKS, WINGS, version
from published_members import Origin, is_short_text
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
    version: np.ndarray  # () of the way from a photograph to its features
    origin: Origin

    def log_chances(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n, K + C) logarithms of the probabilities of the subspecies, then of
        the crosses.
        """
        return log_softmax(features.astype(np.float64) @ self.weights.T + self.intercepts)

    def hybrid_probability(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n,) probabilities."""
        pure = self.log_chances(features)[:, : len(self.subspecies)]
        return -np.expm1(pure.max(axis=1))

    def others(self, features: np.ndarray, power: float = 1) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest subspecies (n,) of (n, d) features; and of what it leaves, the share
        (n, K + C) of all others, raised to a `power`.
        """
        logs = power * self.log_chances(features)
        likeliest = logs[:, : len(self.subspecies)].argmax(axis=1)
        logs[np.arange(len(logs)), likeliest] = -np.inf
        return likeliest, np.exp(log_softmax(logs))

    def slopes(self, features: np.ndarray) -> np.ndarray:
        """Of the log-odds of `hybrid_probability` at (n, d) features, (n, d)."""
        likeliest, others = self.others(features)
        return others @ self.weights - self.weights[likeliest]

    def parents(self, features: np.ndarray) -> list[Parents]:
        """The likeliest two parents of each of (n, d) features, if it is a hybrid.

        It is then not of the likeliest subspecies alone: what the others have of the probability
        speaks for a pair of it with each of them, what a known cross has for that cross.
        """
        logs = self.log_chances(features)
        found = []
        for of_it, best, others in zip(logs, *self.others(features, SHARPENED), strict=True):
            pure = range(len(self.subspecies))
            pairs = {(min(best, i), max(best, i)): others[i] for i in pure if i != best}
            for cross, chance in zip(self.crosses.tolist(), others[len(pure) :], strict=True):
                pairs[tuple(cross)] = pairs.get(tuple(cross), 0.0) + chance
            pair = max(pairs, key=pairs.get)
            first, second = sorted(pair, key=lambda i: -of_it[i])
            share = 1 / (1 + np.exp(of_it[second] - of_it[first]))
            names = str(self.subspecies[first]), str(self.subspecies[second])
            found.append(Parents(*names, float(min(share, MOST)), float(pairs[pair])))
        return found


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row of (n, k), without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def load_subspecies(path: Path) -> SubspeciesScorer:
    """The subspecies' member in `path`, plain arrays; ValueError for anything else."""
    try:
        return subspecies_scorer(read_arrays(path, MAX_BYTES))
    except Exception as error:  # hostile bytes make zip's and npy's readers raise almost anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: not a member that knows the subspecies ({reason}); train again"
        ) from error


def subspecies_scorer(arrays: dict[str, np.ndarray]) -> SubspeciesScorer:
    """The scorer of a file's arrays; ValueError where one is missing, of another shape or wild."""
    memory = {name: arrays.pop(name).item() or None for name in vars(Origin()) if name in arrays}
    origin = Origin.remembered(memory)
    names, crosses = arrays["subspecies"], arrays["crosses"]
    count, size = len(names), NETWORKS[WINGS].feature_size
    shapes = {"weights": (count + len(crosses), size), "intercepts": (count + len(crosses),)}
    values = {name: numbers(name, arrays[name], shape) for name, shape in shapes.items()}
    threshold, seen = arrays["threshold"], arrays["version"]
    for good, message in (
        (names.ndim == 1 and names.dtype.kind == "U", "the subspecies are no list of names"),
        (
            all(map(is_short_text, names.tolist())),
            "a subspecies' name is no printable text, or long",
        ),
        (len(set(names.tolist())) == count >= 2, "expected two subspecies or more, all unlike"),
        (are_pairs(crosses, count), "crosses are not pairs of two places, ascending, all unlike"),
        (threshold.shape == () and threshold.dtype.kind == "f", "threshold is no number"),
        (np.isnan(threshold) or 0 <= threshold <= 1, "threshold is no number of 0 to 1"),
        (seen.shape == () and seen == version(WINGS), "wings are laid otherwise now"),
    ):
        if not good:
            raise ValueError(message)
    return SubspeciesScorer(**arrays | values, origin=origin)


def are_pairs(crosses: np.ndarray, count: int) -> bool:
    """Whether `crosses` are pairs of two of `count` places, the smaller first, each once."""
    if crosses.dtype.kind != "i" or crosses.shape != (len(crosses), 2):
        return False
    ascending = np.diff(crosses, prepend=-1, append=count) > 0
    return bool(ascending.all()) and len(np.unique(crosses, axis=0)) == len(crosses)
