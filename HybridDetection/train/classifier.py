"""Fit the published classifiers to features, and write the members."""

import hashlib
import io
import logging
import math
import pickle
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data_utils import FOLDS
from dataset import Rows
from joblib import parallel_config
from model import MEMBERS
from products import LinearByOneDnn
from published_members import LinearClassifier, Origin
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedKFold
from specimens import deal
from torch.nn import functional as F
from tqdm import tqdm

LEARNING_RATE = 1e-4
ROWS_PER_EPOCH = 0.9  # a fresh random share of the rows makes each full-batch step
SEED = 42

log = logging.getLogger("training")


def make_sgd(folds: Sequence[tuple] | None = None) -> ClassifierMixin:
    """The published SGD classifier: logistic regression by SGD, calibrated by Platt scaling.

    As published, calibration deals rows into FOLDS, whatever they show; else it takes `folds`.
    """
    classifier = SGDClassifier(
        loss="log_loss",
        alpha=1e-3,
        penalty="l2",
        eta0=1e-3,
        learning_rate="adaptive",
        n_iter_no_change=100,
        max_iter=1000,
        class_weight="balanced",
        random_state=SEED,
    )
    return CalibratedClassifierCV(classifier, cv=folds)


def fit_sgd(
    features: np.ndarray, labels: np.ndarray, backbone: str, groups: np.ndarray | None = None
) -> ClassifierMixin:
    """The SGD classifier of a backbone, fitted to features (n, d) and 0/1 labels (n,).

    With `groups` (n, k), the specimens that rows show, none is calibrated on what it learnt from,
    as far as folds of both classes can be dealt so.
    """
    dealt = () if groups is None else deal(StratifiedKFold(FOLDS), groups, labels)
    folds = [fold for fold in dealt if all(len(set(labels[rows])) == 2 for rows in fold)] or None
    # The folds of the calibration in threads: processes would each take a copy of the features.
    with warnings.catch_warnings(), parallel_config("threading", n_jobs=-1):
        # The published settings stop at max_iter on most data; that is part of them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = make_sgd(folds).fit(features, labels)
    classifier.backbone_ = backbone
    return classifier


def fit_linear(
    features: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    device: torch.device,
    start: dict[str, torch.Tensor] | None = None,
) -> tuple[LinearClassifier, list[float]]:
    """The linear classifier trained on features (n, d) and 0/1 labels (n,), and its loss by epoch.

    Adam, cross-entropy; each epoch is one step on a fresh random share of the rows. Training goes
    on from the state dict `start`.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        classifier = LinearClassifier(features.shape[1])
    if start is not None:
        classifier.load_state_dict(start)
    classifier.to(device).train()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=LEARNING_RATE, fused=True)
    size = round(ROWS_PER_EPOCH * len(labels))
    inputs = torch.as_tensor(features, device=device)
    targets = torch.tensor(labels, dtype=torch.long, device=device)
    losses = []
    for _ in tqdm(range(epochs), desc="linear classifier", unit="epoch", disable=None):
        rows = torch.randperm(len(labels), generator=generator)[:size].to(device)
        with LinearByOneDnn():
            loss = F.cross_entropy(classifier(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(
                f"linear classifier: the loss is {losses[-1]} in epoch {len(losses)}; look for "
                "features or, with CTN, weights that are far too large"
            )
    return classifier.eval(), losses


def training_id(
    rows: Rows,
    start: Mapping[str, torch.Tensor] | None,
    backbone: str,
    preprocess: str,
    epochs: int,
) -> str:
    """16 hexadecimal digits; the same for equal features, rows, start and settings."""
    digest = hashlib.sha256(f"{backbone} {preprocess} {epochs} {rows.features.shape}".encode())
    digest.update(np.ascontiguousarray(rows.features))
    for views in rows.wings:
        digest.update(np.ascontiguousarray(views))
    taught = ["hybrid_stat", "subspecies", "parent_subspecies_1", "parent_subspecies_2"]
    digest.update(rows.table[taught].to_csv(index=False).encode())
    for tensor in (start or {}).values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def keep_published(folder: Path) -> None:
    """Copy the classifiers in `folder` to a new folder in it, `published`, where one of them
    remembers no training: no other training would bring them back.
    """
    there = {folder / member.file: member for member in MEMBERS.values() if member.published}
    there = {path: member for path, member in there.items() if path.is_file()}

    def foreign(path: Path) -> bool:
        try:
            return there[path].load(path).origin.training is None
        except ValueError:  # what cannot be read was not written here
            return True

    if any(map(foreign, there)):
        places = (folder / f"published{number or ''}" for number in count())
        kept = next(place for place in places if not place.exists())
        kept.mkdir()
        for path in there:
            shutil.copy2(path, kept)
        log.warning("the classifiers that were in %s are kept in %s", folder, kept)


def save_sgd(classifier: ClassifierMixin, origin: Origin, path: Path) -> None:
    """Write a pickle that remembers its origin."""
    classifier.training_, classifier.preprocess_ = origin.training, origin.preprocess
    path.write_bytes(pickle.dumps(classifier))


def save_linear(state: dict[str, torch.Tensor], origin: Origin, path: Path) -> None:
    """Write a plain state dict that remembers its origin in PyTorch's own metadata."""
    state._metadata[""] |= asdict(origin)
    buffer = io.BytesIO()  # torch.save writes a file's name into it; a buffer has none
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())


def save_arrays(record: Any, path: Path) -> None:
    """Write a dataclass of arrays and their `origin`; the same arrays give the same bytes."""
    arrays = {name: value for name, value in vars(record).items() if name != "origin"}
    origin = {name: np.array(text or "") for name, text in asdict(record.origin).items()}
    with path.open("wb") as file:
        np.savez(file, **arrays, **origin)
