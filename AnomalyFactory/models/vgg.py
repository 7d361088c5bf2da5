"""VGG19's convolutions with ImageNet weights, for the perceptual loss."""

from pathlib import Path

from torch import nn
from util.checkpoint import fit, load_weights
from util.errors import InputError

FILE_NAME = "vgg19-dcbb9e9d.pth"


def vgg19_features(backbones: Path) -> nn.Sequential:
    """`vgg19().features` with the weights in `backbones`."""
    path = backbones / FILE_NAME
    if not path.exists():
        raise InputError(
            f"{path}: VGG19's weights are not there; scripts/download_models.sh vgg19 fetches them,"
            " --no_vgg_loss trains without"
        )
    weights = load_weights(path)
    parts = {key.partition("features.")[2]: value for key, value in weights.items()}
    parts.pop("", None)  # the classifier
    features = vgg19_layers()
    fit(features, parts, path, advice=f"expected torchvision's {FILE_NAME}")
    return features


def vgg19_layers() -> nn.Sequential:
    """`vgg19().features` with random weights, without drawing the 123 million of its classifier."""
    from torchvision.models.vgg import cfgs, make_layers

    return make_layers(cfgs["E"])
