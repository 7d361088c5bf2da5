"""Several processes: each draws, paints and trains its share, and they stop together."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
import train
from models.anomaly_factory import AnomalyFactory
from models.networks import Generator
from options.train_options import train_options
from torch import nn
from util import distributed
from util.distributed import Process
from util.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
TORCHRUN = "-m torch.distributed.run --standalone --nproc_per_node=2".split()
# Runs programs one after the other in one process, which spares further imports of PyTorch.
IN_TURN = """
import json, runpy, sys
import torch.distributed as dist
dist.destroy_process_group = lambda: None  # the group of the first program serves all
for sys.argv in json.loads(sys.argv[1]):
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stopped:
        if stopped.code:
            raise
    dist.init_process_group = lambda *_, **__: None
"""


def test_two_processes_do_what_one_does(run, tiny, dataset, draw, random_pidinet, tmp_path):
    """Photos of two sizes and a list of four in batches that both processes get some of."""
    weights, generator = tmp_path / "weights.pth", tmp_path / "AF/latest_net_G.pth"
    torch.save({"state_dict": random_pidinet}, weights)
    torch.manual_seed(0)
    generator.parent.mkdir()
    torch.save(Generator(ngf=2, n_blocks=1).state_dict(), generator)
    for number, size in enumerate([(40, 32), (24, 48), (40, 32), (40, 32), (24, 48)]):
        draw(tmp_path / f"photos/{number}.png", size=size)
    paths = ("--dataroot", dataset, "--checkpoints_dir", tmp_path)
    edges = ("--gpu_ids", -1, "--weights", weights, "--batch_size", 2)
    edges = ("extract_edges.py", "--input", tmp_path / "photos", *edges, "--output")
    painting = ("test.py", *tiny, *paths, "--name", "AF", "--phase", "test_nonhybrid")
    painting += ("--batchSize", 3, "--results_dir")
    training = "--ndf 2 --no_vgg_loss --batchSize 4 --print_freq 4 --micro_batch 1".split()
    training = ("train.py", *tiny, *paths, *training, "--phase", "train_AFhybrid", "--name")
    run(*edges, tmp_path / "edges/one")
    run(*painting, tmp_path / "painted/one")
    run(*training, "one", "--niter", 2, "--niter_decay", 0)

    driver = tmp_path / "in_turn.py"
    driver.write_text(IN_TURN)
    several = [
        (*edges, tmp_path / "edges/two"),
        (*painting, tmp_path / "painted/two"),
        (*training, "two", "--niter", 100_000, "--nThreads", 1),
    ]
    commands = [[str(ROOT / "AnomalyFactory" / name), *map(str, rest)] for name, *rest in several]
    process = subprocess.Popen(
        [sys.executable, *TORCHRUN, driver, json.dumps(commands)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "AnomalyFactory")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        reports, said = 0, ""
        while reports < 2:
            line = process.stdout.readline()
            assert line, said
            said, reports = said + line, reports + ("images/s: G_GAN" in line)
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert process.returncode != 0 and "error:" not in said
    for once in ("5 photos, 5 to do", "5 edge maps drawn", "4 pairs of test_nonhybrid, 0 of"):
        assert said.count(once) == 1
    for kind, count in (("edges", 5), ("painted", 4 + 4 + 1)):  # images, strips and page
        one, two = (
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
            for folder in (tmp_path / kind / "one", tmp_path / kind / "two")
        )
        assert len(one) == count and one == two
    steps = torch.load(tmp_path / "two/resume.pth", weights_only=True)["steps"]
    assert f"{steps} of 108000 steps done" in said
    one, two = (
        [list(map(float, row.split(","))) for row in log.read_text().splitlines()[1:3]]
        for log in (tmp_path / name / "loss_log.csv" for name in ("one", "two"))
    )
    assert len(one) == 2 and two == [pytest.approx(row, rel=1e-3) for row in one]


def test_several_gpus_start_as_many_processes(tmp_path, monkeypatch):
    second = Process(CPU, rank=1, world=2)
    opt = train_options("--name x --dataroot x --gpu_ids -1 --batchSize 3".split())
    with pytest.raises(InputError, match="--batchSize 3 is the total over all 2 processes"):
        train.train(opt, tmp_path, second)
    assert list(range(5))[second.share] == [1, 3]
    started = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(distributed.os, "execv", lambda *command: started.append(command) or 1 / 0)
    monkeypatch.setattr(sys, "argv", ["train.py", "--gpu_ids", "1,3"])
    with pytest.raises(ZeroDivisionError):
        distributed.start([1, 3])
    command = [sys.executable, *TORCHRUN, "train.py", "--gpu_ids", "1,3"]
    assert started == [(sys.executable, command)]
    with pytest.raises(InputError, match="GPU 4 is not there, this machine has 4"):
        distributed.start([0, 1, 2, 3, 4])


def test_a_batch_in_parts_is_the_same_step(monkeypatch):
    """One step of 8 images against 4 x 2, and against 3 + 3 + 2."""
    layers = [(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()) for _ in range(15)]
    small_vgg = nn.Sequential(*(layer for pair in layers for layer in pair))
    arguments = "--name x --dataroot x --gpu_ids -1 --ngf 4 --ndf 4 --n_blocks_global 1".split()
    opt = train_options([*arguments, "--loadSize", "32", "--gentle"])
    random = torch.Generator().manual_seed(0)
    batch = {
        name: torch.randint(256, (8, 32, 32, 3), dtype=torch.uint8, generator=random)
        for name in ("edges", "reference", "target")
    }
    gradients: list[torch.Tensor] = []  # of each network, as they are averaged once a step

    def note(_: Process, tensors: Iterable[torch.Tensor]) -> None:
        gradients.append(torch.cat([tensor.ravel() for tensor in tensors]))

    monkeypatch.setattr(Process, "average", note)
    found = []
    for micro_batch in (8, 2, 3):
        model = AnomalyFactory(opt, Process(CPU), small_vgg)
        train.step(model, batch, micro_batch)
        found.append(dict(zip(model.last_losses, model.losses().tolist(), strict=True)))
    assert list(found[0]) == ["G_GAN", "G_GAN_Feat", "G_L1", "G_VGG", "D_real", "D_fake"]
    assert len(gradients) == 3 * (2 + 1)  # the losses are averaged, too
    for part, losses in enumerate(found):
        assert losses == pytest.approx(found[0], rel=1e-5)
        for whole, of_parts in zip(gradients[:2], gradients[3 * part :][:2], strict=True):
            assert (of_parts - whole).norm() < 1e-5 * whole.norm()


@pytest.mark.parametrize(("cores", "given"), [(3, 3), (64, 8)])
def test_threads_are_no_more_than_the_cores_of_the_container(monkeypatch, cores, given):
    asked = []
    monkeypatch.setattr(distributed.joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(distributed.torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(distributed.torch, "set_num_threads", asked.append)
    distributed.start([])
    assert asked == [given]
