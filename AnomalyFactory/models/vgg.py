"""VGG19's convolutions with ImageNet weights, for the perceptual loss."""

from pathlib import Path

from torch import nn
from util.checkpoint import fit, load_weights
from util.errors import InputError

FILE_NAME = "vgg19-dcbb9e9d.pth"


def vgg19_features(backbones: Path) -> nn.Sequential:
    """`vgg19().features` with the weights in `backbones`, else from torchvision's download."""
    # Importing torchvision takes longer than importing torch; painting never needs it.
    from torchvision.models import VGG19_Weights

    path = backbones / FILE_NAME
    if path.exists():
        weights = load_weights(path)
    else:
        try:
            weights = VGG19_Weights.IMAGENET1K_V1.get_state_dict(
                progress=True, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:  # no network; another file than expected
            raise InputError(
                f"{path}: VGG19's weights are not there, and torchvision's download from"
                f" {VGG19_Weights.IMAGENET1K_V1.url} failed ({error}). Put the file there, or train"
                " without it: --no_vgg_loss"
            ) from error
    parts = {key.partition("features.")[2]: value for key, value in weights.items()}
    parts.pop("", None)  # the classifier
    features = vgg19_layers()
    fit(features, parts, path, advice=f"expected torchvision's {FILE_NAME}")
    return features


def vgg19_layers() -> nn.Sequential:
    """`vgg19().features` with random weights, without drawing the 123 million of its classifier."""
    from torchvision.models.vgg import cfgs, make_layers

    return make_layers(cfgs["E"])
