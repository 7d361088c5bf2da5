"""What is done on a GPU, asked where there is none: layouts, precisions, and who waits for what.

Under PyTorch's FakeTensorMode tensors have a device, a type and a layout but no numbers, so that
the real forward pass runs as on a GPU up to its kernels."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import models.anomaly_factory
import pytest
import torch
import train
from data.datasets import loader
from models.anomaly_factory import AnomalyFactory, Painter
from models.networks import Generator, InstanceNorm
from options.train_options import train_options
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from util import report
from util.background import Background, Fetched, ahead
from util.device import chosen_amp, layout, prepare
from util.distributed import Process
from util.errors import InputError
from util.report import Report
from util.training_page import Progress

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
START = Progress(done=0, end=5, before=0, batch_size=2, steps_per_epoch=5, seconds=0.0)
SMALL = "--name x --dataroot x --loadSize 32 --ngf 2 --ndf 2 --n_blocks_global 1".split()


def small_vgg() -> nn.Sequential:
    with unset_fake_temporarily():
        return nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(30)))


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


def trained(device: torch.device, *options: str) -> tuple[AnomalyFactory, set]:
    """A model after the forward pass, and the types of its normalisations."""
    model = AnomalyFactory(train_options([*SMALL, *options]), Process(device), small_vgg())
    found = [types_of_norms(network) for network in (model.netG, model.netD)]
    model.set_input(batch())
    model.forward()
    return model, found[0] | found[1]


def test_a_gpu_trains_channels_last_in_bfloat16(gpu):
    model, types = trained(GPU)
    assert model.amp
    assert types == {(torch.bfloat16, torch.bfloat16)}
    for network in (model.netG, model.netD, model.vgg):
        assert all(is_channels_last(w) for w in network.parameters() if w.dim() == 4)
        assert all(weight.dtype == torch.float32 for weight in network.parameters())
    for images in (model.pair, model.target):
        assert is_channels_last(images) and images.dtype == torch.float32
        assert images.device == GPU
    assert not model.pair.is_contiguous()
    assert model.judged.dtype == torch.float32
    model, types = trained(GPU, "--no-amp")
    assert not model.amp and types == {(torch.float32, torch.float32)}


def test_a_cpu_trains_contiguous_in_float32():
    model, types = trained(CPU)
    assert not model.amp and types == {(torch.float32, torch.float32)}
    for network in (model.netG, model.netD, model.vgg):
        assert all(weight.is_contiguous() for weight in network.parameters())
    assert model.pair.is_contiguous() and not is_channels_last(model.pair)


def test_instance_normalisation_is_group_norm_on_a_cpu_only(gpu, monkeypatch):
    called = []
    for name in ("group_norm", "instance_norm"):
        monkeypatch.setattr(
            nn.functional, name, lambda features, *_, name=name: called.append(name)
        )
    for device in (CPU, GPU):
        InstanceNorm(3)(torch.empty(1, 3, 4, 4, device=device))
    assert called == ["group_norm", "instance_norm"]


def test_a_gpu_paints_channels_last_with_weights_in_bfloat16(gpu):
    with unset_fake_temporarily():
        network = Generator(2, 4, 1)
    painter = Painter(network, GPU, amp=True)
    types, seen = types_of_norms(network), []
    network.register_forward_pre_hook(lambda _, got: seen.append(got[0]))
    fake, mask = painter.paint(*(batch()[name] for name in ("edges", "reference")))
    assert types == {(torch.bfloat16, torch.bfloat16)}
    assert all(
        is_channels_last(weight) and weight.dtype == torch.bfloat16
        for weight in network.parameters()
        if weight.dim() == 4
    )
    assert is_channels_last(seen[0]) and not seen[0].is_contiguous()
    assert fake.device == mask.device == GPU


@pytest.mark.parametrize(
    ("asked", "device", "before", "chosen"),
    [
        (None, GPU, None, True),
        (None, CPU, None, False),
        (None, GPU, False, False),  # what was begun in float32 goes on so
        (None, CPU, True, True),
        (False, GPU, True, False),
        (True, CPU, False, True),
    ],
)
def test_bfloat16_is_as_asked_else_as_before_else_by_the_device(
    monkeypatch, asked, device, before, chosen
):
    asked_for = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **o: asked_for.append(o) or True)
    assert chosen_amp(asked, device, before) is chosen
    if asked_for:  # on older GPUs it is emulated, and slow
        assert asked_for == [{"including_emulation": False}]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert chosen_amp(None, GPU) is False


def test_how_cudnn_convolves(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    try:
        for exact, expected in ((True, (False, "ieee")), (False, (True, "tf32"))):
            prepare(exact)
            cudnn = torch.backends.cudnn
            assert (cudnn.benchmark, cudnn.conv.fp32_precision) == expected
    finally:
        torch.backends.cudnn.conv.fp32_precision = "tf32"  # PyTorch's own choice


def test_memory_is_pinned_for_a_gpu_only():
    assert layout(CPU) == torch.contiguous_format and layout(GPU) == torch.channels_last
    assert [loader([], [], 0, device).pin_memory for device in (CPU, GPU)] == [False, True]


class Event:
    """Stands for a CUDA event; notes what is asked of it."""

    notes: list[str]

    def record(self) -> None:
        self.notes.append("recorded")

    def synchronize(self) -> None:
        self.notes.append("waited")


def test_what_is_fetched_is_waited_for_when_it_is_asked_for(gpu, monkeypatch):
    notes = Event.notes = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    on_gpu = torch.empty(2, 3, 4, 4, device=GPU).to(memory_format=torch.channels_last)
    fetched = Fetched({"images": [on_gpu, (on_gpu,)], "steps": 3})
    assert notes == ["recorded"]
    content = fetched.get()
    assert notes == ["recorded", "waited"]
    assert content["steps"] == 3
    for tensor in (content["images"][0], content["images"][1][0]):
        assert tensor.device == CPU and tensor.is_contiguous()


def test_on_a_cpu_nothing_is_copied():
    weight = torch.rand(2, 3, 4, 4)
    assert Fetched([weight]).get()[0].data_ptr() == weight.data_ptr()


class Told:
    """Stands for a model in training whose losses are 1, 2, 3 and so on, or what is said."""

    def __init__(self, device: torch.device, *values: float):
        self.device, self.values = device, list(values)
        self.last_losses = {"G_GAN": None}
        self.optimizer_G = torch.optim.Adam([torch.zeros(1)], lr=0.5)

    def losses(self) -> torch.Tensor:
        return torch.tensor([self.values.pop(0)])


@pytest.fixture
def reports(tmp_path):
    """Makes a report of a training on a device that logs every step of 2 images."""
    opt = train_options([*SMALL, "--batchSize", "2", "--print_freq", "2", "--no_html"])
    with Background(1, 4) as background:
        yield lambda device: Report(opt, tmp_path, START, Process(device), background)


def test_a_gpus_losses_are_read_late_and_all_of_them(reports, tmp_path):
    model, told = Told(GPU, 1, 2, 3, 4, 5), reports(GPU)
    logged = []
    for done in range(1, 6):
        told.after_step(model, 1, done)
        logged.append([float(row["G_GAN"]) for row in told.log.rows])
    assert logged == [[], [], [], [1], [1, 2]]
    told.read_all()
    assert (tmp_path / "loss_log.csv").read_text().splitlines()[1:] == [
        f"{2 * step},1,0.5,{step}" for step in range(1, 6)
    ]


@pytest.mark.parametrize(("device", "noticed"), [(CPU, 2), (GPU, 2 + report.LAG)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named_with_its_step(reports, device, noticed, value):
    model, told = Told(device, 1, value, 3, 4, 5), reports(device)
    for done in range(1, noticed):
        told.after_step(model, 7, done)
    message = rf"step 2, epoch 7: the loss G_GAN is {value}, .* a --lr below 0\.5"
    with pytest.raises(InputError, match=message):
        told.after_step(model, 7, noticed)
    assert [row["images"] for row in told.log.rows] == ["2"]


@pytest.mark.parametrize("device", [CPU, GPU])
def test_only_a_cpu_waits_for_its_state_to_be_written(device):
    go, written = threading.Event(), []

    def write(content: str) -> None:
        assert device == CPU or go.wait(20)
        written.append(content)

    with Background(1, 1) as saves:
        train.hand_over(saves, Told(device), write, "state")
        assert written == (["state"] if device == CPU else [])
        assert saves.busy == (device == GPU)
        go.set()
    assert written == ["state"]


def test_work_in_the_background_keeps_its_order_and_bound():
    go, done = threading.Event(), []

    def work(number: int) -> None:
        assert go.wait(20)
        done.append(number)

    with Background(threads=1, most=2) as background:
        background.submit(work, 0)
        background.submit(work, 1)
        threading.Timer(0.05, go.set).start()
        background.submit(work, 2)  # waits for the first
        assert done[0] == 0
    assert done == [0, 1, 2]
    with ThreadPoolExecutor(2) as pool:
        begun = []
        found = ahead(lambda item: begun.append(item) or item, range(9), pool, most=2)
        assert next(found) == 0
        assert max(begun) <= 2
        assert list(found) == list(range(1, 9))


@pytest.mark.parametrize("call", ["submit", "busy", "wait", "end"])
def test_an_error_in_the_background_comes_up(call):
    def fail() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"), Background(1, 1) as background:
        background.submit(fail)
        if call == "submit":
            background.submit(print)
        elif call == "wait":
            background.wait()
        while call == "busy" and background.busy:
            pass
    go, done = threading.Event(), []
    with pytest.raises(ZeroDivisionError), Background(1, 4) as background:
        for work in (go.wait, fail, lambda: done.append(1)):
            background.submit(work)  # the block's own error goes before that of its work
        go.set()
        assert 1 / 0
    assert done == [1]
