"""Fit the member of the ensemble that knows the subspecies, on photographs alone."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from backbones import WINGS, version
from data_utils import plain
from painted import is_painted
from published_members import Origin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from subspecies_member import SubspeciesScorer
from torch.nn import functional as F
from wings import GROUND, SIDE

C = 0.0001  # inverse strength of the ridge penalty, on standardised features
LEAST_SPREAD = 1e-3  # of a feature: what hardly varies in training is not blown up
STEPS = 100  # of the optimiser; later ones change no decision


class View(NamedTuple):
    """How one side is changed to learn from it once more: in other light, its wings laid askew."""

    right: bool
    degrees: float  # by which wings are turned
    scale: float
    stretch: float  # of the width against the height
    gamma: float
    gains: tuple[float, float, float]  # of red, green and blue


# Fixed, so that a photograph has the same features in every training.
VIEWS = (
    View(False, 4, 1.05, 1.0, 0.85, (1, 1, 1)),
    View(True, -4, 0.95, 1.0, 1.18, (1, 1, 1)),
    View(False, -3, 1.0, 0.94, 1.0, (0.92, 1, 1.08)),
    View(True, 3, 1.0, 1.06, 1.0, (1.08, 1, 0.92)),
)


def change(pictures: torch.Tensor, view: View) -> torch.Tensor:
    """One side of the wings in pictures (n, k * SIDE, SIDE, 3) as the `view` shows it, (n, SIDE,
    SIDE, 3); all bytes.

    Its forewing and its hindwing are each turned about the middle of their half; the ground stays.
    """
    side = pictures[:, -SIDE:] if view.right else pictures[:, -2 * SIDE : -SIDE]
    halves = side.float().div(255).reshape(-1, SIDE // 2, SIDE, 3).permute(0, 3, 1, 2)
    ground = (halves - GROUND / 255).abs().amax(dim=1, keepdim=True) < 1.5 / 255
    light = halves**view.gamma * torch.tensor(view.gains).view(1, 3, 1, 1)
    halves = torch.where(ground, 0, light.clamp(0, 1) - GROUND / 255)
    angle = math.radians(view.degrees)
    across, along = view.scale * view.stretch, view.scale / view.stretch
    turn = view.scale * math.sin(angle)  # affine_grid's lengths are halves of the picture's own
    rows = [across * math.cos(angle), -turn / 2, 0.0, turn * 2, along * math.cos(angle), 0.0]
    way = torch.tensor(rows).float().view(1, 2, 3).expand(len(halves), 2, 3)
    grid = F.affine_grid(way, list(halves.shape), align_corners=False)
    halves = F.grid_sample(halves, grid, align_corners=False) + GROUND / 255
    return halves.permute(0, 2, 3, 1).reshape(side.shape).mul(255).round().byte()


class Photographs(NamedTuple):
    """Which rows of a table are learnt from, and as what."""

    rows: np.ndarray  # (m,) places in the table: non-hybrids, then hybrids of known parents
    classes: np.ndarray  # (m,) place in `names`, or len(names) + place in `crosses`
    names: np.ndarray  # (K,) subspecies, ascending
    crosses: np.ndarray  # (C, 2) places of the parents in `names`, ascending


def fit_subspecies(photographs: Photographs, wings: np.ndarray, origin: Origin) -> SubspeciesScorer:
    """The member fitted to `photographs`, of two subspecies or more, among n rows of the CSV.

    `wings` (n,) has for each row an array (v, d) of what is seen of it, plain and in VIEWS.
    """
    seen = wings[photographs.rows]
    classes = np.repeat(photographs.classes, [len(views) for views in seen])
    weights, intercepts = fit_regression(np.concatenate(seen), classes)
    return SubspeciesScorer(
        subspecies=photographs.names,
        crosses=photographs.crosses,
        weights=weights.astype(np.float32),
        intercepts=intercepts,
        threshold=np.array(np.nan),
        version=np.array(version(WINGS)),
        origin=origin,
    )


def select(table: pd.DataFrame) -> Photographs:
    """The photographs of the table that say which subspecies, or which two, they show.

    Painted images are left out.
    """
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
    rows = np.concatenate([np.flatnonzero(pure), np.flatnonzero(known)])
    classes = np.concatenate([places, len(names) + of_hybrids.ravel()])
    return Photographs(rows, classes, names, crosses.astype(np.int64))


def fit_regression(features: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, d) and intercepts (K,) of a multinomial logistic regression.

    Features (n, d) are standardised and the K classes (n,) weighted to be equal, so that rare
    subspecies count as much as common ones.
    """
    scaler = StandardScaler().fit(features)
    scaler.scale_ = np.maximum(np.sqrt(scaler.var_), LEAST_SPREAD)
    regression = LogisticRegression(C=C, class_weight="balanced", max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(scaler.transform(features), classes)
    weights = regression.coef_.astype(np.float64) / scaler.scale_
    intercepts = regression.intercept_ - weights @ scaler.mean_
    if len(weights) == 1:  # two classes have one row: the logit of the second
        return np.concatenate([-weights, weights]) / 2, np.append(-intercepts, intercepts) / 2
    return weights, intercepts
