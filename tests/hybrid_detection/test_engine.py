"""engine.py: which engine computes, and that OpenVINO gives PyTorch's numbers where it is there."""

import sys
from functools import partial

import engine
import ingestion
import pytest
import torch
from backbones import build_backbone, extract, in_pytorch
from engine import ENGINES, WORTH, InOpenVino, choose_engine
from model_utils import Look, extract_features
from worlds import write_pair

CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")


@pytest.mark.parametrize("there", [True, False])
def test_openvino_takes_many_images_on_a_cpu_or_what_is_asked_for(monkeypatch, there):
    monkeypatch.setattr(engine, "find_spec", lambda name: {"openvino": there or None}[name])
    best = "openvino" if there else "torch"
    assert choose_engine(None, CPU, WORTH) == best
    assert choose_engine(None, CPU, WORTH - 1) == choose_engine(None, CUDA, WORTH) == "torch"
    assert choose_engine("torch", CPU, WORTH) == "torch"
    if there:
        assert choose_engine("openvino", CPU, 1) == "openvino"
        with pytest.raises(ValueError, match="it computes on a CPU, not on cuda:1"):
            choose_engine("openvino", CUDA, WORTH)
    else:
        with pytest.raises(ValueError, match=r"not installed; scripts/setup.sh --with cpu does"):
            choose_engine("openvino", CPU, WORTH)


@pytest.mark.parametrize("network", ["efficientnet_lite0", "wings"])
def test_openvino_gives_the_features_of_pytorch(network):
    pytest.importorskip("openvino", reason="needs OpenVINO: scripts/setup.sh --with cpu")
    draw = torch.Generator().manual_seed(0)
    plain = build_backbone(network, CPU)
    compiled = InOpenVino(build_backbone(network, CPU))  # which nobody else holds
    for count in (3, 1):
        pictures = torch.randint(0, 256, (count, 448, 224, 3), dtype=torch.uint8, generator=draw)
        expected = extract(plain, pictures, network, CPU)
        found = extract(compiled, pictures, network, CPU)
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    before = found.clone()
    extract(compiled, pictures.flip(2), network, CPU)
    assert torch.equal(before, found)  # is not written over by the next


@pytest.fixture
def engines(monkeypatch) -> list[str]:
    """The engines that were given networks; PyTorch stands in for OpenVINO, which may lack."""
    asked = []

    def note(name, network, *rough):
        asked.append(name)
        return in_pytorch(network, *rough)

    for name in ENGINES:
        monkeypatch.setitem(ENGINES, name, partial(note, name))
    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    return asked


def test_features_of_either_engine_are_kept_apart(engines, draw, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", (9 * n, 40, 90)) for n in range(3)]
    how = {Look("efficientnet_lite0"): slice(None)}, CPU, 2, 0, tmp_path / "cache"
    for wanted in ("openvino", "openvino", "torch", None):
        extract_features(paths, *how, wanted)
    assert engines == ["openvino", "torch"]  # what is there is not computed again
    assert len([*(tmp_path / "cache").glob("*.sqlite")]) == 2


def test_features_of_many_images_are_openvinos(engines, draw, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "WORTH", 3)
    paths = [draw(tmp_path / f"{n}.png", (9 * n, 40, 90)) for n in range(3)]
    for count in (2, 3):
        looks = {Look("efficientnet_lite0"): slice(None)}
        extract_features(paths[:count], looks, CPU, 2, 0, tmp_path / "cache")
    assert engines == ["torch", "openvino"]


def test_ingestion_scores_by_the_engine_that_is_asked_for(engines, draw, tmp_path, monkeypatch):
    draw(tmp_path / "images/a.png", (200, 90, 20))
    folder = tmp_path / "classifiers"
    folder.mkdir()
    command = ["ingestion.py", str(tmp_path / "images"), str(tmp_path / "out"), "--device", "cpu"]
    command += ["--classifiers", str(write_pair(folder)), "--workers", "0"]
    for arguments in ([], ["--engine", "openvino"]):
        monkeypatch.setattr(sys, "argv", command + arguments)
        assert ingestion.main() == 0
    monkeypatch.setattr(engine, "WORTH", 1)
    monkeypatch.setattr(sys, "argv", command)
    assert ingestion.main() == 0
    assert engines == ["torch", "openvino", "openvino"]
