"""engine.py: which engine computes, and that OpenVINO paints and draws what PyTorch does."""

import numpy as np
import pytest
import torch
from models import pidinet
from models.anomaly_factory import Painter
from models.networks import Generator
from util import engine
from util.engine import WORTH, choose_engine
from util.errors import InputError
from util.images import as_pixels

CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")
needs_openvino = pytest.mark.skipif(
    engine.find_spec("openvino") is None, reason="needs OpenVINO: scripts/setup.sh --with cpu"
)


@pytest.mark.parametrize("there", [True, False])
def test_openvino_takes_many_images_on_a_cpu_or_what_is_asked_for(monkeypatch, there):
    monkeypatch.setattr(engine, "find_spec", lambda name: {"openvino": there or None}[name])
    best = "openvino" if there else "torch"
    assert choose_engine(None, CPU, WORTH) == best
    assert choose_engine(None, CPU, WORTH - 1) == choose_engine(None, CUDA, WORTH) == "torch"
    assert choose_engine("torch", CPU, WORTH) == "torch"
    if there:
        assert choose_engine("openvino", CPU, 1) == "openvino"
        with pytest.raises(InputError, match="it computes on a CPU, not on cuda:1"):
            choose_engine("openvino", CUDA, WORTH)
    else:
        with pytest.raises(InputError, match=r"not installed; scripts/setup.sh --with cpu does"):
            choose_engine("openvino", CPU, WORTH)


@needs_openvino
def test_a_painting_is_pytorchs_to_a_grey_level():
    torch.manual_seed(0)
    generator = Generator(ngf=4, n_downsample=2, n_blocks=1)
    painter = Painter(generator, CPU, amp=False)
    quick = Painter(generator, CPU, amp=False, engine="openvino")
    for count, side in ((3, 32), (1, 64)):
        edges, reference = torch.randint(0, 256, (2, count, side, side, 3), dtype=torch.uint8)
        for expected, found in zip(
            painter.paint(edges, reference), quick.paint(edges, reference), strict=True
        ):
            apart = (as_pixels(found).int() - as_pixels(expected).int()).abs()
            assert apart.max() <= 1
            assert (apart > 0).float().mean() < 0.01


@needs_openvino
def test_an_edge_map_is_pytorchs_to_a_grey_level(monkeypatch, tmp_path):
    torch.manual_seed(0)
    network = pidinet.PiDiNet().to(memory_format=torch.channels_last).eval().requires_grad_(False)
    monkeypatch.setattr(pidinet, "load_pidinet", lambda path: network)
    drawn = [pidinet.pidinet_detector(tmp_path, CPU, name) for name in ("torch", "openvino")]
    draw = np.random.default_rng(0)
    for shape in ((2, 48, 64, 3), (1, 65, 33, 3)):
        photos = draw.integers(0, 256, shape, np.uint8)
        expected, found = (detect(photos).astype(int) for detect in drawn)
        assert expected.std() > 1
        assert np.abs(found - expected).max() <= 1
