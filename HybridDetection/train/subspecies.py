"""Fit the member of the ensemble that knows the subspecies, on photographs alone."""

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from data_utils import plain
from painted import is_painted
from published_members import Origin
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from subspecies_member import QUANTILES, SubspeciesScorer

C = 0.03  # inverse strength of the ridge penalty of the regressions, on standardised features
FOLDS = 5
SEED = 42


class Photographs(NamedTuple):
    """What the fit learns from."""

    features: np.ndarray  # (n, d) of non-hybrids
    places: np.ndarray  # (n,) of their subspecies in `names`
    names: np.ndarray  # (K,) ascending
    hybrid_features: np.ndarray  # (m, d) of hybrids whose parents are among `names`
    hybrid_crosses: np.ndarray  # (m,) places of their crosses in `crosses`
    crosses: np.ndarray  # (C, 2) places of the parents in `names`, ascending


def fit_subspecies(table: pd.DataFrame, features: np.ndarray, backbone: str) -> SubspeciesScorer:
    """The member fitted to the photographs among n rows of the CSV and their features (n, d).

    Painted images are left out, and photographs whose subspecies the CSV does not say. Hybrids
    only teach the look of their cross, for naming parents. ValueError where that is too little.
    """
    photographs = select(table, features)
    count = len(photographs.names)
    if count < 2:
        raise ValueError(
            f"the CSV names {count} subspecies of non-hybrid photographs, expected two or more"
        )
    scorer = fit_scorer(photographs.features, photographs.places, photographs.names, backbone)
    evidence, squares = judge_out_of_fold(photographs, backbone)
    quantiles = np.quantile(evidence, QUANTILES, axis=0).T
    weights, intercepts = fit_regression(
        np.concatenate([photographs.features, photographs.hybrid_features]),
        np.concatenate([photographs.places, count + photographs.hybrid_crosses]),
    )
    return replace(
        scorer,
        quantiles=quantiles,
        spread=squares.mean(),
        crosses=photographs.crosses,
        cross_weights=weights,
        cross_intercepts=intercepts,
    )


def select(table: pd.DataFrame, features: np.ndarray) -> Photographs:
    """The photographs of the table that say which subspecies, or which two, they show."""
    photograph = ~is_painted(table)
    hybrid = table["label"].to_numpy() == 1
    subspecies = table["subspecies"].map(plain).to_numpy(str)
    pure = photograph & ~hybrid & (subspecies != "")
    names, places = np.unique(subspecies[pure], return_inverse=True)
    columns = table[["parent_subspecies_1", "parent_subspecies_2"]]
    parents = columns.map(plain).to_numpy(str)
    known = photograph & hybrid & np.isin(parents, names).all(axis=1)
    known &= parents[:, 0] != parents[:, 1]
    pairs = np.sort(np.searchsorted(names, parents[known]), axis=1).reshape(-1, 2)
    crosses, of_hybrids = np.unique(pairs, axis=0, return_inverse=True)
    return Photographs(
        features[pure].astype(float),
        places,
        names,
        features[known].astype(float),
        of_hybrids.ravel(),
        crosses.astype(np.int64),
    )


def fit_scorer(
    features: np.ndarray, places: np.ndarray, names: np.ndarray, backbone: str
) -> SubspeciesScorer:
    """The member with everything that non-hybrids tell, and nothing measured out of fold yet."""
    weights, intercepts = fit_regression(features, places)
    axes, means = fit_discriminants(features, places)
    return SubspeciesScorer(
        subspecies=names,
        weights=weights,
        intercepts=intercepts,
        axes=axes,
        means=means,
        quantiles=np.tile([0.0, 1.0], (2, 1)),
        spread=np.array(1.0),
        crosses=np.zeros((0, 2), np.int64),
        cross_weights=weights,
        cross_intercepts=intercepts,
        threshold=np.array(np.nan),
        origin=Origin(backbone),
    )


def fit_regression(features: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, d) and intercepts (K,) of a multinomial logistic regression.

    Features (n, d) are standardised and the K classes (n,) weighted to be equal, so that rare
    subspecies count as much as common ones.
    """
    scaler = StandardScaler().fit(features)
    rows = scaler.transform(features)
    axes = np.eye(rows.shape[1])
    if len(rows) < len(axes):
        # The best weights lie in the span of the rows, and the penalty is the same in any rotation:
        # only as many numbers as rows need to be found.
        axes = np.linalg.svd(rows, full_matrices=False)[2]  # (n, d)
    regression = LogisticRegression(C=C, class_weight="balanced", max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change no decision
        regression.fit(rows @ axes.T, classes)
    weights = regression.coef_ @ axes / scaler.scale_
    intercepts = regression.intercept_ - weights @ scaler.mean_
    if len(weights) == 1:  # two classes have one row: the logit of the second
        return np.concatenate([-weights, weights]) / 2, np.append(-intercepts, intercepts) / 2
    return weights, intercepts


def fit_discriminants(features: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (d, r) of the linear discriminants of features (n, d), and the K means (K, r) there.

    Fisher (1936), Rao (1948): the span of the means, r < K dimensions, whitened by the covariance
    within subspecies. That is pooled, so that a subspecies of two photographs borrows it from the
    others, and shrunk as Ledoit and Wolf (2004) say. The features are not standardised: shrinking
    then holds the directions steady in which the features hardly vary.
    """
    means = np.stack([features[places == place].mean(axis=0) for place in np.unique(places)])
    covariance, _ = ledoit_wolf(features - means[places], assume_centered=True)
    if not np.trace(covariance) > 0:
        raise ValueError("all photographs of a subspecies have the same features")
    lower = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(lower, (means - means.mean(axis=0)).T).T
    _, sizes, directions = np.linalg.svd(whitened, full_matrices=False)
    rank = int((sizes[: len(means) - 1] > 1e-6 * sizes[0]).sum())
    axes = np.linalg.solve(lower.T, directions[:rank].T)
    return axes, means @ axes


def judge_out_of_fold(photographs: Photographs, backbone: str) -> tuple[np.ndarray, np.ndarray]:
    """The evidence (m, 2) that photographs are hybrids, by fits that saw none of them, and the
    mean squares (m,) along one axis of their distance to the mean of their own subspecies.

    Every fit knows every subspecies: a photograph of one that it does not know would say how
    foreign it looks, not how a non-hybrid does.
    """
    features, places = photographs.features, photographs.places
    folds = deal(places)
    evidence, squares = [], []
    for fold in range(folds.max() + 1):
        learnt, judged = folds != fold, folds == fold
        scorer = fit_scorer(features[learnt], places[learnt], photographs.names, backbone)
        evidence.append(scorer.evidence(features[judged]))
        own = scorer.squared_distances(features[judged])[np.arange(judged.sum()), places[judged]]
        squares.append(own / scorer.axes.shape[1])
    return np.concatenate(evidence), np.concatenate(squares)


def deal(places: np.ndarray) -> np.ndarray:
    """A fold for each photograph (n,): those of a subspecies are shuffled and dealt out in turn.

    So every fold has its share of each subspecies, and of two photographs each is judged by a fit
    with the other. A subspecies of one photograph is in all fits, and never judged: fold -1.
    """
    rng = np.random.default_rng(SEED)
    folds = np.full(len(places), -1)
    turn = 0
    for place in np.unique(places):
        rows = rng.permutation(np.flatnonzero(places == place))
        if len(rows) > 1:
            folds[rows] = (turn + np.arange(len(rows))) % FOLDS
            turn += len(rows)
    return folds
