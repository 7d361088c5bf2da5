"""PiDiNet, the edge detector of Su et al., "Pixel Difference Networks for Efficient Edge
Detection", ICCV 2021: the table-5 network (carv4, 60 channels, with CDCM and CSAM).

The published network convolves differences of pixels. Such a layer is linear in its weights and
in its input, so each kernel is rewritten once, at load time, as a plain convolution kernel with
the same output. What runs here are plain convolutions only.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from util import checkpoint
from util.engine import InOpenVino
from util.errors import InputError

SMALLEST_SIDE = 8  # pixels: the network halves a photo three times
CHANNELS = 60
FUSED_CHANNELS = 24
STAGES = ((1, 3), (2, 4), (3, 4), (4, 4))  # stage, blocks in it; the first layer is `init_block`
WIDTHS = {1: CHANNELS, 2: 2 * CHANNELS, 3: 4 * CHANNELS, 4: 4 * CHANNELS}

# carv4: central, angular and radial differences, then a vanilla kernel, four times over.
DIFFERENCES = dict(
    zip(
        ["init_block"] + [f"block{s}_{b}.conv1" for s, n in STAGES for b in range(1, n + 1)],
        ["cd", "ad", "rd", "cv"] * 4,
        strict=True,
    )
)

# For each of the nine pixels of a 3x3 patch, row by row, the one before it clockwise on the ring.
PRECEDING = [3, 0, 1, 6, 4, 2, 7, 8, 5]
# The eight directions from the centre in a 5x5 patch: the outer pixels and the inner ones.
OUTER = [0, 2, 4, 10, 14, 20, 22, 24]
INNER = [6, 7, 8, 11, 13, 16, 17, 18]

ADVICE = "expected table5_pidinet.pth (carv4, 60)"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def vanilla_kernel(kind: str, weight: Tensor) -> Tensor:
    """The plain convolution kernel that does what a pixel-difference kernel does.

    `weight` is (out, in, 3, 3). `kind` is "cv" (vanilla: returned as it is), "cd" (each pixel
    minus the centre), "ad" (each pixel of the ring minus the next one clockwise) or "rd" (outer
    ring minus inner ring, (out, in, 5, 5)). Section 3.2 of the paper.
    """
    if kind == "cv":
        return weight
    flat = weight.flatten(2)
    if kind == "cd":
        centre = torch.zeros_like(flat)
        centre[:, :, 4] = flat.sum(dim=2)
        return (flat - centre).view_as(weight)
    if kind == "ad":
        # A pixel has its own weight, and is subtracted under that of the one before it.
        return (flat - flat[:, :, PRECEDING]).view_as(weight)
    radial = weight.new_zeros(*weight.shape[:2], 25)
    radial[:, :, OUTER] = flat[:, :, 1:]  # the first weight has no pixel pair in the paper
    radial[:, :, INNER] = -flat[:, :, 1:]
    return radial.view(*weight.shape[:2], 5, 5)


class PDCBlock(nn.Module):
    """Residual block: depthwise (pixel-difference) convolution, ReLU, 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, downsample: bool):
        super().__init__()
        self.downsample = downsample
        if downsample:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        depthwise = {"padding": kernel_size // 2, "groups": in_channels, "bias": False}
        self.conv1 = nn.Conv2d(in_channels, in_channels, kernel_size, **depthwise)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample:
            x = F.max_pool2d(x, 2)
        y = self.conv2(F.relu_(self.conv1(x)))
        return y + (self.shortcut(x) if self.downsample else x)


class CDCM(nn.Module):
    """Compact dilation convolution module: one 3x3 convolution at each of four dilations, added."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1)
        for number, dilation in enumerate((5, 7, 9, 11), start=1):
            spread = {"padding": dilation, "dilation": dilation, "bias": False}
            self.add_module(f"conv2_{number}", nn.Conv2d(out_channels, out_channels, 3, **spread))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(x))
        return self.conv2_1(x) + self.conv2_2(x) + self.conv2_3(x) + self.conv2_4(x)


class CSAM(nn.Module):
    """Compact spatial attention module: the input times a one-channel map in (0, 1)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 1)
        self.conv2 = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv2(self.conv1(F.relu(x))))


class PiDiNet(nn.Module):
    """The network with plain kernels; `load_pidinet` fills it from the published weights."""

    def __init__(self):
        super().__init__()
        self.init_block = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
        channels = CHANNELS
        for stage, blocks in STAGES:
            for number in range(1, blocks + 1):
                name = f"block{stage}_{number}"
                kernel_size = 5 if DIFFERENCES[f"{name}.conv1"] == "rd" else 3
                downsample = stage > 1 and number == 1
                block = PDCBlock(channels, WIDTHS[stage], kernel_size, downsample)
                self.add_module(name, block)
                channels = WIDTHS[stage]
        widths = WIDTHS.values()
        self.dilations = nn.ModuleList(CDCM(width, FUSED_CHANNELS) for width in widths)
        self.attentions = nn.ModuleList(CSAM(FUSED_CHANNELS) for _ in widths)
        self.conv_reduces = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv2d(FUSED_CHANNELS, 1, 1)}) for _ in widths
        )
        self.classifier = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Edge probability (batch, 1, height, width) in [0, 1] of `images` from `normalise`, with
        sides of 8 pixels or more, for three halvings."""
        x = self.init_block(images)
        maps = []
        for index, (stage, blocks) in enumerate(STAGES):
            for number in range(1, blocks + 1):
                x = self.get_submodule(f"block{stage}_{number}")(x)
            fused = self.attentions[index](self.dilations[index](x))
            side = self.conv_reduces[index]["conv"](fused)
            size = images.shape[2:]
            maps.append(F.interpolate(side, size, mode="bilinear", align_corners=False))
        return torch.sigmoid(self.classifier(torch.cat(maps, dim=1)))


def normalise(pixels: Tensor) -> Tensor:
    """`pixels`, uint8 (batch, 3, height, width) RGB, as float32 in the units of the network."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def load_pidinet(path: Path) -> PiDiNet:
    """The network in evaluation mode, on the CPU, with the weights of `path`: `table5_pidinet.pth`
    as its authors publish it. Raises InputError when it holds anything else."""
    content = checkpoint.load(path)
    if not isinstance(content, dict) or "state_dict" not in content:
        raise InputError(f"{path}: no `state_dict` in it; expected table5_pidinet.pth")

    def plain(key: str, weight: Tensor) -> Tensor:
        kind = DIFFERENCES.get(key.removesuffix(".weight"), "cv")
        if kind != "cv" and weight.shape[2:] != (3, 3):
            raise InputError(f"{path}: {key!r} is {list(weight.shape)}, no 3x3 kernel; {ADVICE}")
        return vanilla_kernel(kind, weight)

    keys = checkpoint.as_tensors(content["state_dict"], path)
    network = PiDiNet()
    checkpoint.fit(network, {key: plain(key, keys[key]) for key in keys}, path, ADVICE)
    # Channels last: twice as fast on a CPU, where most of the work is in 1x1 convolutions.
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def pidinet_detector(
    path: Path, device: torch.device, engine: str = "torch"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from photos, RGB uint8 (n, h, w, 3), to edge strength, uint8 (n, h, w): 255 times
    PiDiNet's output, rounded down as published."""
    network = load_pidinet(path).to(device)
    if engine == "openvino":
        network = InOpenVino(network, torch.zeros(1, 3, 256, 256))

    def detect(photos: np.ndarray) -> np.ndarray:
        # A stack of (h, w, 3) photos is channels last already: the layout the network wants.
        pixels = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return (255 * network(normalise(pixels)))[:, 0].to(torch.uint8).cpu().numpy()

    return detect
