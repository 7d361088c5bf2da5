"""The faster paths: memory layout, bfloat16 and reduced decoding, and how they are measured."""

import argparse

import backbones
import files
import model
import numpy as np
import pytest
import speed
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


# ---- the benchmark ------------------------------------------------------------------------------


@pytest.fixture
def options() -> argparse.Namespace:
    return argparse.Namespace(
        photographs=speed.SAMPLES,
        how_many=3,
        rounds=1,
        backbone="efficientnet_lite0",
        classifiers=None,
        device="cpu",
        batch_size=2,
        workers=0,
        counts=[3, 9],
    )


def test_all_ways_score_the_same_photographs(options, monkeypatch):
    monkeypatch.setattr(speed, "time_ways", lambda ways, *_, **__: [run() for run in ways.values()])
    measured = speed.photographs(options)
    assert measured["title"] == "Scores of 3 photographs (2 unlike) by efficientnet_lite0"
    ours, fast, quarters, *_ = measured["notes"]
    largest = float(ours.split(" at the most")[0].rpartition(" ")[2])
    assert ours.startswith("Scores of ours differ by ")
    assert largest < 1e-4
    assert fast.startswith("Scores of ours, --fast differ by ")
    assert quarters == "Published scores by quarters: 0.119, 0.31, 0.5, 0.69, 0.881."


def test_drift_is_told():
    assert speed.drift("x", np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.4, 0.3])) == (
        "Scores of x differ by 2.0e-01 at the most, 6.7e-02 in the mean; "
        "Spearman's correlation 0.5000."
    )


def test_equal_values_share_their_rank():
    assert speed.ranked(np.array([5.0, 1.0, 5.0, 9.0])).tolist() == [2.5, 1, 2.5, 4]


def test_the_largest_memory_is_told(options, monkeypatch):
    monkeypatch.setattr(speed, "peaks", lambda count, _: [100.0 + count, 7.0])
    measured = speed.memory(options)
    assert list(measured["ways"]) == ["3 pictures", "9 pictures"]
    assert measured["notes"][1] == "9 pictures: 109 MB, 1.058 of the first; a worker 7 MB."


def test_a_process_of_its_own_measures_memory():
    program, worker = speed.peaks(9, workers=1)
    assert 50 < worker <= program < 5000
