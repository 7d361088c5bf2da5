"""model_utils.py: an interrupted extraction goes on where it stopped."""

import model_utils
import numpy as np
import pytest
import torch


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


def test_other_weights_have_another_cache():
    network = torch.nn.Linear(2, 1)
    before = model_utils.cache_name("efficientnet_lite0", network)
    assert model_utils.cache_name("efficientnet_lite0", network) == before
    assert model_utils.cache_name("dinov2_base", network) != before
    with torch.no_grad():
        network.weight[0, 0] += 1
    assert model_utils.cache_name("efficientnet_lite0", network) != before
