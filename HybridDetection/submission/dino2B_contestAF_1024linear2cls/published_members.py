"""The published members of the ensemble: a linear classifier and a calibrated SGD classifier."""

import io
import pickle
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from backbones import BACKBONE, BACKBONES, PREPROCESS, PREPROCESSES
from torch import nn
from weights import load_checked, numbers, read_state_dict, refuse_text


@dataclass(frozen=True)
class Origin:
    """What a classifier remembers of its training; the published ones remember nothing."""

    backbone: str = BACKBONE
    training: str | None = None  # an id that the members of one training share
    preprocess: str = PREPROCESS

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (name == "training" and value is None) and not is_short_text(value):
                raise ValueError(f"its {name} is not a short text")
        for name, known in (("backbone", BACKBONES), ("preprocess", PREPROCESSES)):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")

    @classmethod
    def remembered(cls, memory: Mapping[str, Any], suffix: str = "") -> "Origin":
        """What stands in a file's `memory`, under these names and the `suffix`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: memory[name + suffix] for name in names if name + suffix in memory})

    def __str__(self) -> str:
        training = "no training's id" if self.training is None else f"training {self.training}"
        cutouts = " of cutouts" if self.preprocess == "cutout" else ""
        return f"trained on features of {self.backbone}{cutouts} ({training})"


def is_short_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 100 and value.isprintable()


def check_origin(path: Path, origin: Origin, backbone: str | None, preprocess: str | None) -> None:
    """ValueError where `path` comes from another backbone or preprocess than is asked for."""
    for name, asked, found, seen in (
        ("backbone", backbone, origin.backbone, f"features of {origin.backbone}"),
        ("preprocess", preprocess, origin.preprocess, f"{origin.preprocess}s"),
    ):
        if asked not in (None, found):
            raise ValueError(
                f"{path} was trained on {seen}, but the {name} is {asked}: use --{name} {found}, "
                "or train the classifiers again"
            )


class LinearClassifier(nn.Module):
    """Features -> 1024 -> 1024 -> 512 -> 2 logits (non-hybrid, hybrid)."""

    origin = Origin()  # load_linear sets what the file says

    def __init__(self, feature_size: int = 1536) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([feature_size, 1024, 1024, 512]):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.classifier = nn.Sequential(*layers, nn.Linear(512, 2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classifier(features)

    @torch.inference_mode()
    def hybrid_probability(self, features: torch.Tensor) -> np.ndarray:
        """(n, feature_size) features -> (n,) probabilities; the module must be in eval mode."""
        return self(features).float().softmax(dim=1)[:, 1].cpu().numpy()


def load_linear(path: Path) -> LinearClassifier:
    """The linear classifier in `path`, a plain state dict that may remember its origin; ValueError
    for anything else.
    """
    state = read_state_dict(path)
    try:
        origin = Origin.remembered(getattr(state, "_metadata", {}).get("", {}))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged memory of its training ({error})") from error
    classifier = LinearClassifier(BACKBONES[origin.backbone].feature_size)
    load_checked(classifier, classifier.load_state_dict, dict(state), path)
    classifier.origin = origin
    return classifier.eval()


@dataclass(frozen=True)
class SGDScorer:
    """The probabilities of a pickled SGD classifier, computed without scikit-learn.

    One row for each calibrated fold; a bare SGDClassifier is one fold with slope -1, offset 0.
    """

    weights: np.ndarray  # (folds, feature_size)
    intercepts: np.ndarray  # (folds,)
    slopes: np.ndarray  # (folds,)  Platt's a
    offsets: np.ndarray  # (folds,)  Platt's b
    origin: Origin

    def hybrid_probability(self, features: np.ndarray) -> np.ndarray:
        """(n, feature_size) features -> (n,) probabilities."""
        decisions = features @ self.weights.T + self.intercepts
        exponents = np.clip(self.slopes * decisions + self.offsets, -700, 700)
        return (1 / (1 + np.exp(exponents))).mean(axis=1)


class PickledRecord:
    """Stands in for a scikit-learn object: keeps the attributes, runs none of its code."""

    def __init__(self, *_: Any) -> None:
        pass


SKLEARN_RECORDS = {
    ("sklearn.calibration", "CalibratedClassifierCV"),
    ("sklearn.calibration", "_CalibratedClassifier"),
    ("sklearn.calibration", "_SigmoidCalibration"),
    ("sklearn.linear_model._stochastic_gradient", "SGDClassifier"),
    ("sklearn.linear_model._sgd_fast", "Log"),  # the loss object of scikit-learn up to 1.5
    ("_loss", "CyHalfBinomialLoss"),  # its successor, as 1.6 to 1.8 call it
    ("sklearn._loss._loss", "CyHalfBinomialLoss"),  # and as 1.9 does
}


def plain_dtype(dtype: np.dtype) -> np.dtype:
    """`dtype` if it is one of numbers; a forged one can make numpy follow any pointer."""
    plain = np.dtype(dtype.str)  # without the fields and flags that a pickle can set
    if plain.kind not in "fiub":
        raise pickle.UnpicklingError(f"an array of {plain} has no place in an SGD classifier")
    return plain


class PlainArray(np.ndarray):
    """An array of numbers, whatever a pickle says."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, raw = state
        super().__setstate__((version, shape, plain_dtype(dtype), fortran, raw))


NUMPY_GLOBALS = {
    ("numpy", "ndarray"): PickledRecord,  # named beside _reconstruct, never called
    ("numpy", "dtype"): np.dtype,
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: PlainArray(0),
    ("numpy._core.multiarray", "scalar"): lambda dtype, raw: np.frombuffer(
        raw, plain_dtype(dtype), count=1
    )[0],
    ("numpy._core.numeric", "_frombuffer"): lambda raw, dtype, shape, order: np.frombuffer(
        raw, plain_dtype(dtype)
    ).reshape(shape, order=order),
}


class SGDUnpickler(pickle.Unpickler):
    """Reads SGD classifiers of scikit-learn 1.4 to today; refuses every global it does not know."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in SKLEARN_RECORDS:
            return type(name, (PickledRecord,), {})
        module = module.replace("numpy.core.", "numpy._core.", 1)  # its name before numpy 2
        if (module, name) in NUMPY_GLOBALS:
            return NUMPY_GLOBALS[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in an SGD classifier")


def check_claims(pickled: bytes) -> None:
    """UnpicklingError for a pickle that claims more objects or bytes than it can hold.

    The unpickler would set memory aside for them before it looks. Lengths are checked by genops.
    """
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("PUT", "LONG_BINPUT") and argument > len(pickled):
            raise pickle.UnpicklingError(f"{argument:,} objects in {len(pickled):,} bytes")


def load_sgd(path: Path) -> SGDScorer:
    """The SGD classifier pickled in `path`, calibrated or bare; ValueError for anything else."""
    try:
        refuse_text(path)
        content = path.read_bytes()
        check_claims(content)
        return sgd_scorer(SGDUnpickler(io.BytesIO(content)).load())
    except Exception as error:  # hostile bytes make the unpickler raise almost anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not an SGD classifier ({reason})") from error


def sgd_scorer(pickled: Any) -> SGDScorer:
    """The arrays of an unpickled SGD classifier; ValueError for what the published one is not."""
    origin = Origin.remembered(vars(pickled), "_")
    feature_size = BACKBONES[origin.backbone].feature_size
    if type(pickled).__name__ == "SGDClassifier":
        folds, slopes, offsets = [pickled], [-1.0], [0.0]
    else:
        folds = [member.estimator for member in pickled.calibrated_classifiers_]
        calibrators = [member.calibrators[0] for member in pickled.calibrated_classifiers_]
        slopes = [numbers("a_", calibrator.a_, ()) for calibrator in calibrators]
        offsets = [numbers("b_", calibrator.b_, ()) for calibrator in calibrators]
    if len(folds) > 1000:  # a pickle can name one fold any number of times
        raise ValueError(f"{len(folds):,} folds, expected 1,000 at the most")
    for fold in folds:
        if numbers("classes_", fold.classes_, (2,)).tolist() != [0, 1]:
            raise ValueError("expected a classifier of the classes 0 and 1")
    return SGDScorer(
        weights=np.concatenate([numbers("coef_", fold.coef_, (1, feature_size)) for fold in folds]),
        intercepts=np.concatenate([numbers("intercept_", f.intercept_, (1,)) for f in folds]),
        slopes=np.array(slopes),
        offsets=np.array(offsets),
        origin=origin,
    )
