"""Painted or photographed: how well a classifier tells, on specimens that it never saw."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quality.inputs import Key
from quality.resample import with_interval

FOLDS = 3  # few: an image counts in a fold when both of its sources lie in it
REPEATS = 5  # of the whole, with other folds
FEWEST = 5  # images of each kind that a fold must hold


@dataclass(frozen=True)
class Fold:
    """Places of painted images and of photographs, to fit on and to test with."""

    fit_painted: np.ndarray
    fit_photos: np.ndarray
    test_painted: np.ndarray
    test_photos: np.ndarray

    @property
    def is_large_enough(self) -> bool:
        return min(map(len, vars(self).values())) >= FEWEST


def folds_by_photograph(
    sources: Sequence[tuple[Key, Key]],  # of each painted image: its structure and its reference
    photos: Sequence[Key],
    random: np.random.Generator,
) -> list[Fold]:
    """FOLDS folds that share no photograph: a painted image is fitted on only when both of its
    sources are, and tested with only when neither is."""
    keys = list(dict.fromkeys([*photos, *(key for pair in sources for key in pair)]))
    order = random.permutation(len(keys)) % FOLDS
    fold_of = dict(zip(keys, order.tolist(), strict=True))
    painted = np.array([[fold_of[key] for key in pair] for pair in sources]).reshape(-1, 2)
    photographed = np.array([fold_of[key] for key in photos])
    return [
        Fold(
            np.flatnonzero((painted != fold).all(axis=1)),
            np.flatnonzero(photographed != fold),
            np.flatnonzero((painted == fold).all(axis=1)),
            np.flatnonzero(photographed == fold),
        )
        for fold in range(FOLDS)
    ]


def told_apart(
    painted: np.ndarray,  # (n, d) features
    photos: np.ndarray,  # (m, d)
    sources: Sequence[tuple[Key, Key]],  # of each painted image: its structure and its reference
    keys: Sequence[Key],  # of each photograph
    random: np.random.Generator,
) -> tuple[dict[str, float] | None, np.ndarray]:
    """The area under the ROC curve with its interval, and how painted each image looks, (n,).

    A logistic regression on standardised features, cross-validated; the mean over all folds. 0.5:
    nobody could tell; 1: always told. The second is the mean probability over the folds that
    tested the image, NaN for one that was in none. None where no fold is large enough.
    """
    outcomes = []  # of each fold: the places and the probabilities of its painted images, wins
    looks, tests = np.zeros(len(painted)), np.zeros(len(painted))
    for _ in range(REPEATS):
        for fold in folds_by_photograph(sources, keys, random):
            if not fold.is_large_enough:
                continue
            fitted = np.concatenate([painted[fold.fit_painted], photos[fold.fit_photos]])
            labels = np.repeat([1, 0], [len(fold.fit_painted), len(fold.fit_photos)])
            model = fit(fitted, labels)
            found = model.predict_proba(painted[fold.test_painted])[:, 1]
            others = model.predict_proba(photos[fold.test_photos])[:, 1]
            looks[fold.test_painted] += found
            tests[fold.test_painted] += 1
            outcomes.append((fold, wins(found, others)))
    looks = np.divide(looks, tests, out=np.full(len(painted), np.nan), where=tests > 0)
    if not outcomes:
        return None, looks

    def area(weights: np.ndarray, photo_weights: np.ndarray) -> float:
        areas = [
            weighted_area(won, weights[fold.test_painted], photo_weights[fold.test_photos])
            for fold, won in outcomes
        ]
        areas = [value for value in areas if np.isfinite(value)]
        return float(np.mean(areas)) if areas else float("nan")

    structures = [structure for structure, _ in sources]
    result = with_interval(area, [structures, keys], random)
    return {**result, "tested": int((tests > 0).sum())}, looks


def fit(features: np.ndarray, labels: np.ndarray):
    """The logistic regression; both kinds weigh the same, however many there are."""
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits do not matter here
        return make_pipeline(StandardScaler(), model).fit(features, labels)


def wins(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """(p, n): 1 where a positive scores above a negative, 1/2 where they are even, else 0."""
    return np.heaviside(positives[:, None] - negatives, 0.5)


def weighted_area(won: np.ndarray, weights: np.ndarray, other_weights: np.ndarray) -> float:
    """The area under the ROC curve (Mann and Whitney 1947) of weighted images."""
    total = weights.sum() * other_weights.sum()
    return float(weights @ won @ other_weights / total) if total else float("nan")
