"""The command lines of the published repository, letter by letter."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from options import base_options, test_options, train_options
from util import distributed
from util.errors import InputError

TRAIN_HYBRID = """
python train.py --dataroot ./Datasets/Images4TrainAFhybrid/List/train_AFhybrid/
    --primitive seg_edges --no_instance --tps_aug 1 --tps_percent 0.99 --gpu_ids 0,1,2,3
    --batchSize 40 --ngf 64 --name AF4hybrid --block_aug --reflect_aug --save_latest_freq 1000
    --display_freq 100 --input_nc 6 --encoder_nc 6 --decoder_nc 3 --output_nc 3 --kRef 1
    --netG AFsplitglobal --use_edgemask 0.0 --mask_loss_weight 10 --train_mode BootAF_I2DE
"""
TRAIN_NONHYBRID = (
    TRAIN_HYBRID.replace("hybrid", "nonhybrid") + " --load_pretrain ./checkpoints/AF4hybrid"
)
PAINT_NONHYBRID = """
python test.py --dataroot ./Datasets/Images4TrainAFnonhybrid/List/test_nonhybrid/
    --primitive seg_edges --phase test --no_instance --results_dir ./results/butterflyContest/nh/
    --input_nc 6 --encoder_nc 6 --decoder_nc 3 --output_nc 3 --kRef 1 --tps_aug 0
    --tps_percent 0.99 --netG AFsplitglobal --how_many 5 --gpu_ids 0 --name AF4nonhybrid
    --train_mode BootAF_I2DE --test_mode BootAF_I2DE --use_edgemask 0.0 --refImgExt png
"""
COMMANDS = [TRAIN_HYBRID, TRAIN_NONHYBRID, PAINT_NONHYBRID]
SHORT = "--ndf 2 --no_vgg_loss --niter 1 --niter_decay 0".split()


@pytest.fixture
def root(dataset: Path, tmp_path: Path) -> Path:
    """A folder that looks like the repository's root."""
    root = tmp_path / "root"
    for name in ("Images4TrainAFhybrid", "Images4TrainAFnonhybrid"):
        shutil.copytree(dataset, root / "Datasets" / name)
    return root


@pytest.mark.parametrize("folder", [".", "AnomalyFactory"])
def test_published_commands_run(run, root, repository, monkeypatch, tiny, folder):
    monkeypatch.setattr(base_options, "ROOT", root)
    monkeypatch.chdir(repository / folder)
    outputs = []
    for command in COMMANDS:
        _, program, *words = shlex.split(command)
        small = [*tiny, *(SHORT if program == "train.py" else [])]
        outputs.append(run(program, *words, *small))
    generators = root / "Models/AFgenerators"
    assert "1 of 1 steps done, 40 images" in outputs[0]
    found = f"{root}/checkpoints/AF4hybrid is not there: taking {generators}/AF4hybrid\n"
    assert found in outputs[1]
    assert (generators / "AF4nonhybrid/latest_net_G.pth").is_file()
    assert "4 pairs of test_nonhybrid, 0 of them painted before" in outputs[2]
    results = root / "results/butterflyContest/nh"
    assert sorted(path.name for path in results.glob("*.png")) == [
        "AF_8_8_gen00000.png",
        "AF_8_8_gen00001.png",
        "AF_9_9_gen00002.png",
        "AF_9_9_gen00003.png",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_gpu_published_commands_say_so(run, monkeypatch, command):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    _, program, *words = shlex.split(command)
    output = run(program, *words, status=2)
    assert "GPU 0 is not there, this machine has 0. Use --gpu_ids -1 to work on the CPU" in output


def test_the_way_of_the_published_readme(root, repository, tiny):
    """`test_AF4hybrid.sh` with one list paints that list and no other."""
    shutil.copytree(repository / "AnomalyFactory", root / "AnomalyFactory")
    train = [sys.executable, *shlex.split(TRAIN_HYBRID)[1:], *tiny, *SHORT]
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    where = {"cwd": root / "AnomalyFactory", "env": environment, "check": True}
    subprocess.run(train, **where)
    dataroot = "./Datasets/Images4TrainAFnonhybrid/List/test_signalhybrid/"
    paint = ["./scripts/test_AF4hybrid.sh", "--dataroot", dataroot]
    for results in (["--results_dir", "./results/butterflyContest/mine/"], []):
        subprocess.run([*paint, *results, *tiny], **where)
    found = (root / "results").rglob("AF_*.png")
    painted = sorted(path.relative_to(root / "results").as_posix() for path in found)
    assert painted == [
        "butterflyContest/mine/AF_9_8_gen00000.png",
        "butterflyContest/mine/AF_9_8_gen00001.png",
        "butterflyContest/sh/AF_9_8_gen00000.png",
        "butterflyContest/sh/AF_9_8_gen00001.png",
    ]


@pytest.mark.parametrize(
    ("parse", "published"),
    [
        (train_options.train_options, base_options.PUBLISHED | train_options.PUBLISHED),
        (test_options.test_options, base_options.PUBLISHED | test_options.PUBLISHED),
    ],
)
def test_every_other_value_is_refused_with_a_reason(capsys, parse, published):
    required = ["--name", "x", "--dataroot", "x"]
    spelled = "--use_edgemask 0 --input_nc 6.0 --kRef 01 --aspect_ratio 1".split()
    assert parse([*required, *spelled]) == parse(required)
    for name, (value, reason) in published.items():
        if value is None:
            assert parse([*required, f"--{name}"]) == parse(required)
            continue
        assert parse([*required, f"--{name}", str(value)]) == parse(required)
        with pytest.raises(SystemExit):
            parse([*required, f"--{name}", "7"])
        error = capsys.readouterr().err
        assert f"argument --{name}: '7': expected {value}, the only one there is: {reason}" in error


def test_several_gpus_start_as_many_processes(monkeypatch):
    started = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(distributed.os, "execv", lambda *command: started.append(command) or 1 / 0)
    monkeypatch.setattr(sys, "argv", ["train.py", "--gpu_ids", "1,3"])
    with pytest.raises(ZeroDivisionError):
        distributed.start([1, 3])
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node=2".split()
    command = [sys.executable, *torchrun, "train.py", "--gpu_ids", "1,3"]
    assert started == [(sys.executable, command)]
    with pytest.raises(InputError, match="GPU 4 is not there, this machine has 4"):
        distributed.start([0, 1, 2, 3, 4])
