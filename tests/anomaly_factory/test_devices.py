"""What is done on a GPU, asked where there is none: layouts and precisions.

Under PyTorch's FakeTensorMode tensors have a device, a type and a layout but no numbers, so that
the real forward pass runs as on a GPU up to its kernels."""

from collections.abc import Iterator

import models.anomaly_factory
import pytest
import torch
from models.anomaly_factory import AnomalyFactory, Painter
from models.networks import Generator, InstanceNorm
from options.train_options import train_options
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from util.device import chosen_amp, prepare
from util.distributed import Process

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
HALF, FULL = torch.bfloat16, torch.float32
SMALL = "--name x --dataroot x --loadSize 32 --ngf 2 --ndf 2 --n_blocks_global 1".split()


@pytest.fixture
def gpu(monkeypatch) -> Iterator[None]:
    """As if there were a GPU with bfloat16. Networks are built outside FakeTensorMode: only so can
    they be moved to a device inside."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    for name in ("build_generator", "MultiscaleDiscriminator"):
        build = unset_fake_temporarily()(getattr(models.anomaly_factory, name))
        monkeypatch.setattr(models.anomaly_factory, name, build)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def batch(count: int = 2) -> dict[str, torch.Tensor]:
    names = ("edges", "reference", "target")
    return {name: torch.zeros(count, 32, 32, 3, dtype=torch.uint8) for name in names}


def is_channels_last(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


def types_of_norms(network: nn.Module) -> set[tuple[torch.dtype, torch.dtype]]:
    """Is filled by a forward pass: what each normalisation gets, and what it gives."""
    types: set[tuple[torch.dtype, torch.dtype]] = set()
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            module.register_forward_hook(lambda _, got, out: types.add((got[0].dtype, out.dtype)))
    return types


@pytest.mark.parametrize(
    ("device", "options", "kind"), [(GPU, [], HALF), (GPU, ["--no-amp"], FULL), (CPU, [], FULL)]
)
def test_a_gpu_trains_channels_last_in_bfloat16(gpu, device, options, kind):
    with unset_fake_temporarily():
        vgg = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(30)))
    model = AnomalyFactory(train_options([*SMALL, *options]), Process(device), vgg)
    types = [types_of_norms(network) for network in (model.netG, model.netD)]
    model.set_input(batch())
    model.forward()
    assert model.amp == (kind == HALF) and types == [{(kind, kind)}] * 2
    for network in (model.netG, model.netD, model.vgg):
        for weight in network.parameters():
            assert weight.dtype == FULL and (device == CPU) <= weight.is_contiguous()
            assert device == CPU or weight.dim() < 4 or is_channels_last(weight)
    for images in (model.pair, model.target):
        assert images.dtype == FULL and images.device == device
        assert images.is_contiguous() == (device == CPU) != is_channels_last(images)
    assert model.judged.dtype == FULL


def test_a_gpu_paints_channels_last_with_weights_in_bfloat16(gpu):
    with unset_fake_temporarily():
        network = Generator(2, 4, 1)
    painter = Painter(network, GPU, amp=True)
    types, seen = types_of_norms(network), []
    network.register_forward_pre_hook(lambda _, got: seen.append(got[0]))
    painted = painter.paint(*(batch()[name] for name in ("edges", "reference")))
    assert types == {(HALF, HALF)}
    convolutions = [weight for weight in network.parameters() if weight.dim() == 4]
    assert all(is_channels_last(weight) and weight.dtype == HALF for weight in convolutions)
    assert is_channels_last(seen[0]) and {image.device for image in painted} == {GPU}


def test_precision_is_as_asked_else_as_before_else_by_the_device(monkeypatch):
    asked_for = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **o: asked_for.append(o) or True)
    for asked, device, before, chosen in (
        (None, GPU, None, True),
        (None, CPU, None, False),
        (None, GPU, False, False),  # what was begun in float32 goes on so
        (None, CPU, True, True),
        (False, GPU, True, False),
        (True, CPU, False, True),
    ):
        assert chosen_amp(asked, device, before) is chosen
    assert asked_for == [{"including_emulation": False}]  # on older GPUs it is emulated, and slow
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert chosen_amp(None, GPU) is False
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", False)
    for exact, expected in ((True, (False, "ieee")), (False, (True, "tf32"))):  # PyTorch's last
        prepare(exact)
        assert (cudnn.benchmark, cudnn.conv.fp32_precision) == expected
