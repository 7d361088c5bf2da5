"""model_utils.py: each row is its image's, kept under a key, and an interruption loses nothing."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import backbones
import cutout
import model_utils
import numpy as np
import pictures
import pytest
import torch
from backbones import WINGS
from model_utils import FeatureCache, Look, extract_features
from PIL import Image

CPU, LIGHT = torch.device("cpu"), "efficientnet_lite0"


@pytest.fixture
def paths(tmp_path, draw):
    return [draw(tmp_path / f"images/{index}.png") for index in range(5)]


def extract(paths, cache_dir, *view, batch=2, workers=0):
    every = {Look(LIGHT, *view): slice(None)}
    (features,), failures = extract_features(paths, every, CPU, batch, workers, cache_dir)
    return features, failures


def test_an_interrupted_extraction_resumes(tmp_path, paths, monkeypatch):
    """In the second of three batches: that one and the third are left to do."""
    real, sizes = model_utils.extract, []

    def interrupt(network, pictures, *arguments):
        sizes.append(len(pictures))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return real(network, pictures, *arguments)

    monkeypatch.setattr(model_utils, "extract", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract(paths, tmp_path / "cache")
    for _ in range(2):
        extract(paths, tmp_path / "cache")
    assert sizes == [2, 2, 2, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_is_the_feature_of_its_image(tmp_path, paths, workers):
    """One unreadable file, two with the same picture, and none; batches of three."""
    paths[1].write_bytes(b"no picture")
    paths += [shutil.copy(paths[0], tmp_path / "images/same.png"), tmp_path / "none.png"]
    features, failures = extract(paths, tmp_path / "cache", batch=3, workers=workers)
    network, make_picture = backbones.build_backbone(LIGHT, CPU), backbones.make_picture()
    assert list(failures) == [1, 6] and "1.png: not a readable image" in failures[1]
    assert np.isnan(features).all(axis=1).tolist() == [row in failures for row in range(7)]
    for row in (0, 2, 3, 4, 5):
        picture = torch.from_numpy(np.array(make_picture(Image.open(paths[row]))))
        with torch.inference_mode():
            expected = network(backbones.normalise(picture[None], LIGHT))[0].numpy()
        assert np.abs(features[row] - expected).max() < 1e-4
    assert np.abs(features[2] - features[3]).max() > 0.1


def test_a_photograph_is_decoded_once_for_all_that_look_at_it(tmp_path, specimen, monkeypatch):
    paths = [specimen(tmp_path / "brown.png"), specimen(tmp_path / "blue.png", (20, 40, 90))]
    upside_down = Look(WINGS, WINGS, {"upside down": lambda pictures: pictures[:, -448:].flip(2)})
    first = np.array([True, False])
    looks = {Look(LIGHT, "cutout"): slice(None), Look(WINGS, WINGS): first, upside_down: ~first}
    opened = []
    really = pictures.open_image
    monkeypatch.setattr(pictures, "open_image", lambda *of: opened.append(of[0]) or really(*of))
    together, _ = extract_features(paths, looks, CPU, 1, 0, tmp_path / "cache")
    assert sorted(opened) == sorted(paths)
    assert [found.shape for found in together] == [(2, 1280), (1, 3072), (1, 6144)]
    for (look, named), found in zip(looks.items(), together, strict=True):
        (alone,), _ = extract_features(paths, {look: named}, CPU, 1, 0, tmp_path / look.view)
        assert np.array_equal(found, alone)
    plain, flipped = np.split(together[2][0], 2)
    assert np.abs(plain - flipped).max() > 0.01
    mirrored = Look(WINGS, WINGS, {"mirrored": lambda pictures: pictures[:, -448:].flip(1)})
    (other,), _ = extract_features(paths, {mirrored: ~first}, CPU, 1, 0, tmp_path / "cache")
    assert np.abs(other - together[2]).max() > 0.01


def test_what_has_a_cache_of_its_own(tmp_path, monkeypatch):
    """Other weights, another backbone, cutouts and a raised version; nothing else.

    The way from a picture to the features is that of cutouts, too.
    """
    network = torch.nn.Linear(2, 1)

    def name(backbone="dinov2_base", view="photograph"):
        return model_utils.open_cache(Look(backbone, view), network, "torch", tmp_path).path.name

    first = name()
    assert name() == first
    assert re.fullmatch(r"dinov2_base-[0-9a-f]{16}\.sqlite", first)
    found = [first, name(view="cutout"), name("efficientnet_lite0")]
    for module in (cutout, backbones):
        monkeypatch.setattr(module, "VERSION", 1000)
        found.append(name(view="cutout"))
        assert (name() == first) == (module is cutout)
    found.append(name())
    with torch.no_grad():
        network.weight[0, 0] += 1
    found.append(name())
    assert len(set(found)) == len(found) == 7


def rows_of(names):
    """Features that tell which image they are of."""
    numbers = np.array(names, np.float32)
    return np.stack([numbers, -numbers, numbers / 8], axis=1)


def test_each_image_has_its_own_row_also_of_two_runs_at_once(tmp_path):
    cache = FeatureCache(tmp_path / "cache/features.sqlite", 3)
    names = [str(number) for number in range(40)]

    def put(names):
        for name in names:
            cache.put([name], rows_of([name]))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put, (names, names[::-1])))
    cache.put(["99", "5"], rows_of(["99", "1"]))  # 5 is there already and stays
    assert cache.known() == {*names, "99"}
    features = cache.read(["3", "99", None, "5", "88", "3"])
    assert features.dtype == np.float32
    assert np.array_equal(features[[0, 1, 3, 5]], rows_of(["3", "99", "5", "3"]))
    assert np.isnan(features[[2, 4]]).all()
    assert np.array_equal(cache.read(names), rows_of(names))
    cache.path.write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"features\.sqlite: file is not .*; delete this cache"):
        cache.known()
