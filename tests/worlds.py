"""The made-up worlds that tests share: small photographs, data sets, weights, classifiers."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from backbones import BACKBONES
from published_members import LinearClassifier
from sklearn.linear_model import SGDClassifier
from subspecies_member import SubspeciesScorer

# ---- every tree ---------------------------------------------------------------------------------


# ---- AnomalyFactory -----------------------------------------------------------------------------


# ---- HybridDetection ----------------------------------------------------------------------------


def write_linear(folder: Path, metadata: object = None, feature_size: int = 1280) -> Path:
    """clf1024.pth of random weights, whose scores are spread, with PyTorch's `metadata`."""
    torch.manual_seed(0)
    linear = LinearClassifier(feature_size)
    linear.classifier[9].weight.data *= 60
    linear.classifier[9].bias.data = 60 * linear.classifier[9].bias - torch.tensor([0, 2.1])
    state = linear.state_dict()
    if metadata is not None:
        state._metadata = metadata
    path = folder / "clf1024.pth"
    torch.save(state, path)
    return path


def write_sgd(folder: Path, feature_size: int = 1280, **memory: object) -> Path:
    """sgd_clf.pkl of random weights that remembers `memory`."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, feature_size))
    sgd = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    sgd.coef_ = rng.standard_normal((1, feature_size)) / 8
    sgd.intercept_ = np.array([1.5])
    vars(sgd).update(memory)
    path = folder / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(sgd))
    return path


def write_pair(
    folder: Path,
    training: str | None = "1f3c",
    backbone: str | None = "efficientnet_lite0",
    preprocess: str | None = None,
) -> Path:
    """Both classifiers of one training; None: without that memory, as the published ones are."""
    memory = {"backbone": backbone, "training": training, "preprocess": preprocess}
    memory = {name: value for name, value in memory.items() if value is not None}
    size = BACKBONES[backbone or "dinov2_base"].feature_size
    write_linear(folder, {"": {"version": 1} | memory}, size)
    write_sgd(folder, size, **{f"{name}_": value for name, value in memory.items()})
    return folder


def write_third(folder: Path, scorer: SubspeciesScorer, **memory: object) -> Path:
    """subspecies.npz of `scorer`, whose origin is changed to `memory`."""
    origin = replace(scorer.origin, **memory)
    arrays = {name: value for name, value in vars(scorer).items() if name != "origin"}
    path = folder / "subspecies.npz"
    np.savez(path, **arrays, **{name: np.array(text or "") for name, text in vars(origin).items()})
    return path


# ---- scripts ------------------------------------------------------------------------------------
