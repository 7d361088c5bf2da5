"""The faster paths: memory layout, bfloat16 and reduced decoding."""

import backbones
import files
import model
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    return backbones.build_backbone("efficientnet_lite0", CPU)


def test_convolutions_lie_channels_last_and_features_stay(lite0):
    first = lite0.conv_stem.weight
    assert first.is_contiguous(memory_format=torch.channels_last)
    noise = torch.rand(3, 3, 224, 224)
    features = backbones.extract(lite0, noise, CPU)
    usual = backbones.BACKBONES["efficientnet_lite0"].build().eval()
    usual = usual.to(memory_format=torch.contiguous_format)
    assert not usual.conv_stem.weight.is_contiguous(memory_format=torch.channels_last)
    apart = (features - backbones.extract(usual, noise, CPU)).abs().max()
    assert 0 < apart < 1e-4


def test_fast_computes_in_bfloat16(lite0):
    exact, fast = model.Model(device="cpu"), model.Model(device="cpu", fast=True)
    exact.features = lite0
    noise = torch.rand(3, 3, 224, 224)
    before = exact.extract(noise)
    network = backbones.BACKBONES["efficientnet_lite0"].build().eval()
    fast.features = model.in_bfloat16(network)
    assert network.conv_stem.weight.dtype == torch.bfloat16
    assert {module.weight.dtype for module in network.modules() if is_norm(module)} == {
        torch.float32
    }
    after = fast.extract(noise)
    assert after.dtype == torch.float32
    assert 1e-4 < (after - before).norm() / before.norm() < 0.1


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d)


def test_photographs_of_a_fast_model_keep_what_is_looked_at():
    for preprocess, side in [("photograph", 448), ("cutout", 800)]:
        fast = model.Model(device="cpu", fast=True, preprocess=preprocess)
        assert fast.smallest_side == side
        assert model.Model(device="cpu", preprocess=preprocess).smallest_side is None


@pytest.mark.parametrize(
    ("name", "side", "size"),
    [
        ("a.jpg", None, (2000, 1000)),
        ("a.jpg", 448, (1000, 500)),
        ("a.jpg", 500, (1000, 500)),
        ("a.jpg", 501, (2000, 1000)),
        ("a.jpg", 125, (250, 125)),
        ("a.jpg", 10, (250, 125)),
        ("a.png", 125, (2000, 1000)),
    ],
)
def test_a_jpeg_is_reduced_no_further_than_is_said(tmp_path, name, side, size):
    path = tmp_path / name
    Image.linear_gradient("L").resize((2000, 1000)).convert("RGB").save(path)
    small = files.open_image(path, side)
    assert small.size == size
    whole = files.open_image(path).resize(size, Image.Resampling.BOX)
    assert np.abs(np.subtract(small, whole, dtype=int)).max() <= 3
