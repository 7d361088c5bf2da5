"""model_utils.py: each row is its image's, kept under a key, and an interruption loses nothing."""

import re
import shutil
from pathlib import Path

import backbones
import cutout
import model_utils
import numpy as np
import pytest
import torch
from PIL import Image

CPU = torch.device("cpu")


@pytest.fixture
def paths(tmp_path, draw):
    return [draw(tmp_path / f"images/{index}.png") for index in range(5)]


def extract(paths, cache_dir, *arguments, **options):
    return model_utils.extract_features(
        paths, "efficientnet_lite0", CPU, 2, 0, cache_dir, *arguments, **options
    )


@pytest.fixture
def asked(monkeypatch):
    """The files of each call of `load_pictures` that has any."""
    calls = []
    load_pictures = model_utils.load_pictures

    def counting(paths, *arguments):
        if paths:
            calls.append([path.name for path in paths])
        return load_pictures(paths, *arguments)

    monkeypatch.setattr(model_utils, "load_pictures", counting)
    return calls


def test_an_interrupted_extraction_resumes(tmp_path, paths, asked):
    """After each batch `watch` is told how far it is, and here ends it."""
    told = []
    expected, failures = extract(paths, tmp_path / "whole", watch=lambda *seen: told.append(seen))
    assert expected.shape == (5, 1280)
    assert failures == {}
    assert told == [(2, 5), (4, 5), (5, 5)]

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(paths, tmp_path / "resumed", watch=interrupt)
    features, _ = extract(paths, tmp_path / "resumed")
    assert asked[1:] == [[path.name for path in paths], ["2.png", "3.png", "4.png"]]
    assert np.abs(features - expected).max() < 1e-4


def test_each_process_extracts_its_share(tmp_path, draw, monkeypatch, asked):
    """Then the first finds the others' shares, and the result is that of one process."""
    paths = [draw(tmp_path / f"images/{index}.png") for index in range(7)]
    paths[5].write_bytes(b"no picture")
    expected, failures = extract(paths, tmp_path / "alone")
    asked.clear()
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)

    def of_first(function, *arguments):
        """Called when the share is done: then the second has done its own, too; not the third."""
        assert asked == [["0.png", "3.png", "6.png"]]
        with monkeypatch.context() as patch:
            patch.setattr(model_utils, "of_first", lambda function, paths: function(paths[1::3]))
            patch.setenv("RANK", "1")
            extract(paths, tmp_path / "shared")
        return function(*arguments)

    monkeypatch.setattr(model_utils, "of_first", of_first)
    features, failed = extract(paths, tmp_path / "shared")
    assert asked[1:] == [["1.png", "4.png"], ["2.png", "5.png"]]
    assert (list(failed), list(failures)) == ([5], [5])
    assert np.abs(features - expected)[[0, 1, 2, 3, 4, 6]].max() < 1e-4
    assert np.isnan(features[5]).all()


def test_a_file_is_read_again_where_it_is_asked_for(tmp_path, paths, monkeypatch):
    given = []
    hash_files = model_utils.hash_files

    def watched(paths, memory, rehash):
        given.append((memory, rehash))
        return hash_files(paths, memory, rehash)

    monkeypatch.setattr(model_utils, "hash_files", watched)
    extract(paths[:1], tmp_path / "cache", rehash=True)
    extract(paths[:1], tmp_path / "cache")
    memory = tmp_path / "cache/files.sqlite"
    assert given == [(memory, True), (memory, False)]


def test_missing_weights_name_a_backbone_whose_are_there(monkeypatch):
    def missing(name, device):
        raise FileNotFoundError(f"no weights of {name}.")

    monkeypatch.setattr(model_utils, "build_backbone", missing)
    for name, ending in {
        "dinov2_base": r"\. Without a download: --backbone efficientnet_lite0\.",
        "efficientnet_lite0": r"\.",
    }.items():
        with pytest.raises(FileNotFoundError, match=f"^no weights of {name}{ending}$"):
            model_utils.extract_features([], name, CPU, 2, 0, Path("cache"))


def test_what_has_a_cache_of_its_own(tmp_path, monkeypatch, caplog):
    """Other weights, another backbone, cutouts and a raised version; nothing else."""
    caplog.set_level("INFO")
    network = torch.nn.Linear(2, 1)

    def name(backbone="dinov2_base", preprocess="photograph"):
        return model_utils.open_cache(backbone, network, tmp_path, preprocess).path.name

    first = name()
    (tmp_path / first).touch()
    assert name() == first
    assert re.fullmatch(r"dinov2_base-[0-9a-f]{16}\.sqlite", first)
    assert caplog.text == ""
    cut = name(preprocess="cutout")
    assert f"{cut}: no features of these weights and of a cutout yet" in caplog.text
    found = [first, cut, name("efficientnet_lite0")]
    monkeypatch.setitem(model_utils.VERSIONS, "cutout", model_utils.VERSIONS["cutout"] + 1)
    assert name() == first  # photographs stay
    found.append(name(preprocess="cutout"))
    with torch.no_grad():
        network.weight[0, 0] += 1
    found.append(name())
    assert len(set(found)) == 5


def test_features_of_cutouts_are_those_of_photographs_cut_by_hand(tmp_path, specimen):
    photograph = specimen(tmp_path / "photo.png")
    by_hand = tmp_path / "by_hand.png"
    cutout.cut_out(Image.open(photograph))[0].save(by_hand)
    (whole, cut), _ = extract([photograph, by_hand], tmp_path / "cache")
    assert np.abs(whole - cut).max() > 0.1
    features, _ = extract([photograph, by_hand], tmp_path / "cache", "cutout")
    assert np.abs(features - cut).max() < 1e-4
    assert len(list((tmp_path / "cache").glob("efficientnet_lite0-*.sqlite"))) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_is_the_feature_of_its_image(tmp_path, paths, workers):
    """One unreadable file, and two with the same picture; batches of three."""
    paths[1].write_bytes(b"no picture")
    paths.append(shutil.copy(paths[0], tmp_path / "images/same.png"))
    features, failures = model_utils.extract_features(
        paths, "efficientnet_lite0", CPU, 3, workers, tmp_path / "cache"
    )
    network = backbones.build_backbone("efficientnet_lite0", CPU)
    make_picture = backbones.make_picture()
    assert list(failures) == [1]
    assert "1.png: not a readable image" in failures[1]
    assert np.isnan(features).all(axis=1).tolist() == [row == 1 for row in range(6)]
    for row in (0, 2, 3, 4, 5):
        picture = torch.from_numpy(np.array(make_picture(Image.open(paths[row]))))
        with torch.inference_mode():
            expected = network(backbones.normalise(picture[None], "efficientnet_lite0"))[0].numpy()
        assert np.abs(features[row] - expected).max() < 1e-4
    assert np.abs(features[2] - features[3]).max() > 0.1
