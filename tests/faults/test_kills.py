"""Every long program, killed at random points and started again, ends as one that ran through.

    pytest tests/faults/test_kills.py --kills 30

kills each program as often; what happened is printed with -s. By default only the programs that
start quickly are killed, which is what a run of all tests has time for.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from common.challenge_csv import COLUMNS
from models.networks import Generator
from PIL import Image, ImageDraw

SUBMISSION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
PHOTOS = 14


@dataclass(frozen=True)
class Program:
    """A program on its data; `{out}` in its arguments stands for the folder that it writes."""

    path: str
    arguments: list[str]
    units: tuple[str, ...]  # patterns of files that are whole or absent, and written once
    outputs: tuple[str, ...]  # patterns of all files that must be as after one run
    go_on: Callable[[Path], list[str]] = lambda out: []  # more arguments, once it was killed
    whole: Callable[[Path], object] | None = None  # reads a file that is replaced now and then
    replaced: tuple[str, ...] = ()  # patterns of these
    quick: bool = False


def draw_photos(folder: Path, count: int, size: tuple[int, int] = (160, 120)) -> None:
    """Pictures with wings that can be cut out, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        image = Image.new("RGB", size, (225, 222, 205))
        pen = ImageDraw.Draw(image)
        wings = tuple(draw.integers(0, 120, 3).tolist())
        for box in [(30, 20, 76, 60), (84, 20, 130, 60), (46, 50, 78, 84), (82, 50, 114, 84)]:
            pen.ellipse(box, fill=wings)
        pen.rectangle((74, 35, 86, 70), fill=wings)
        image.save(folder / f"S{number:03d}.png")


def write_table(path: Path, hybrids: int, count: int) -> None:
    rows = [",".join(COLUMNS)]
    for number in range(count):
        kind = "hybrid" if number < hybrids else "non-hybrid"
        cells = ",8.0,9.0" if number < hybrids else f"{8 + number % 2}.0,,"
        rows.append(f"S{number},http://x/{number},{kind},train,z,m,{cells},S{number:03d}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def prepare_images(world: Path, **_: object) -> Program:
    draw_photos(world / "photos", PHOTOS, (900, 600))
    write_table(world / "train.csv", 2, PHOTOS)
    images = ("Images4*/**/*.png",)
    arguments = ["--csv", f"{world}/train.csv", "--photos", f"{world}/photos"]
    arguments += ["--datasets", "{out}", "--workers", "2"]
    return Program("scripts/prepare_images.py", arguments, images, images, quick=True)


def cut_out(world: Path, **_: object) -> Program:
    draw_photos(world / "photos", PHOTOS)
    return Program(
        f"{SUBMISSION}/cutout.py",
        ["--input", f"{world}/photos", "--output", "{out}", "--workers", "2"],
        units=("images/*", "masks/*"),
        outputs=("images/*", "masks/*", "cutouts.csv", "doubtful.html"),
    )


def draw_edges(world: Path, **_: object) -> Program:
    draw_photos(world / "photos", 2 * PHOTOS, (600, 400))
    arguments = ["--detector", "scharr", "--input", f"{world}/photos", "--output", "{out}"]
    arguments += ["--batch_size", "2", "--gpu_ids", "-1"]
    return Program("AnomalyFactory/extract_edges.py", arguments, ("*.png",), ("*.png",), quick=True)


TINY = "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --n_downsample_global 2 --nThreads 0"


def draw_dataset(world: Path, count: int) -> Path:
    """A generator's data set with a list to train on and one to paint."""
    dataset = world / "dataset"
    draw_photos(dataset / "Images/8/train/good", count, (48, 40))
    draw_photos(dataset / "Images/8/train/pidinet_edges", count, (48, 40))
    for name in ("train_AFhybrid", "test_nonhybrid"):
        folder = dataset / "List" / name
        folder.mkdir(parents=True)
        split = name.split("_")[0]
        for column, kind in (
            ("edges", "pidinet_edges"),
            *(("color_ref", "good"), ("color_gt", "good")),
        ):
            lines = [f"Images/8/train/{kind}/S{number:03d}.png" for number in range(count)]
            (folder / f"{split}_{column}.txt").write_text("\n".join(lines) + "\n")
    return dataset


def train_generator(world: Path, **_: object) -> Program:
    dataset = draw_dataset(world, 6)
    arguments = [*TINY.split(), "--dataroot", str(dataset), "--checkpoints_dir", "{out}"]
    arguments += "--name AF --phase train_AFhybrid --ndf 2 --no_vgg_loss --batchSize 2".split()
    arguments += "--niter 6 --niter_decay 6 --print_freq 4 --save_latest_freq 8".split()
    arguments += "--save_epoch_freq 4 --display_freq 20".split()

    def go_on(out: Path) -> list[str]:
        return ["--continue_train"] if (out / "AF/resume.pth").exists() else []

    return Program(
        "AnomalyFactory/train.py",
        arguments,
        units=(),
        outputs=("AF/*.pth", "AF/loss_log.csv", "AF/samples.html", "AF/samples/*"),
        go_on=go_on,
        whole=lambda path: torch.load(path, weights_only=True),
        replaced=("AF/*.pth",),
    )


def paint(world: Path, **_: object) -> Program:
    dataset = draw_dataset(world, 4 * PHOTOS)
    torch.manual_seed(0)
    (world / "AF").mkdir()
    torch.save(Generator(2, 2, 1).state_dict(), world / "AF/latest_net_G.pth")
    arguments = [*TINY.split(), "--dataroot", str(dataset), "--phase", "test_nonhybrid"]
    arguments += ["--checkpoints_dir", str(world), "--name", "AF", "--results_dir", "{out}"]
    return Program(
        "AnomalyFactory/test.py",
        [*arguments, "--batchSize", "4"],
        units=("AF_*.png",),
        outputs=("AF_*.png", "*.html", "gallery/**/*.jpg", "gallery/**/*.json"),
    )


def score(world: Path, classifiers: Path, **_: object) -> Program:
    draw_photos(world / "photos", 3 * PHOTOS)
    arguments = [f"{world}/photos", "{out}", "--classifiers", str(classifiers), "--details"]
    arguments += ["--device", "cpu", "--batch_size", "2", "--workers", "1"]
    files = ("predictions.txt", "details.csv")
    return Program(f"{SUBMISSION}/ingestion.py", arguments, (), files)


def train_classifiers(world: Path, **_: object) -> Program:
    root = world / "Images4TrainClassifier"
    draw_photos(root / "Images", 3 * PHOTOS)
    write_table(root / "List/butterfly_anomaly_AF.csv", PHOTOS, 3 * PHOTOS)
    arguments = ["--ROOT_DATA_DIR", str(root), "--CLF_SAVE_DIR", "{out}/classifiers"]
    arguments += ["--CACHE_DIR", "{out}/cache", "--backbone", "efficientnet_lite0"]
    arguments += "--NEPOCH 3 --DEVICE cpu --WORKERS 0 --BATCH_SIZE 2".split()
    return Program(
        "HybridDetection/train/training.py",
        arguments,
        units=(),
        outputs=("classifiers/*.p*", "classifiers/*.npz", "classifiers/**/*.csv"),
    )


PROGRAMS = (
    *(prepare_images, cut_out, draw_edges, train_generator, paint, score, train_classifiers),
)


def contents(out: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    found = (path for pattern in patterns for path in out.glob(pattern) if path.is_file())
    kept = (path for path in found if not path.name.startswith("."))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in kept}


def identities(out: Path, patterns: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Of each whole file, what changes when it is written anew."""
    return {
        name: ((out / name).stat().st_ino, (out / name).stat().st_mtime_ns)
        for name in contents(out, patterns)
    }


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_a_killed_program_ends_as_one_that_ran_through(
    tmp_path, repository, classifiers, request, make
):
    world = tmp_path / "world"
    world.mkdir()
    program = make(world, classifiers=classifiers)
    kills = request.config.getoption("--kills")
    if not kills and not program.quick:
        pytest.skip("starts slowly; --kills 1 kills it, too")
    kills = kills or 2

    def start(out: Path, *more: str) -> subprocess.Popen:
        arguments = [argument.replace("{out}", str(out)) for argument in program.arguments]
        return subprocess.Popen(
            [sys.executable, repository / program.path, *arguments, *more],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # its workers are killed with it, as when a machine goes down
            text=True,
        )

    def finish(out: Path, *more: str) -> None:
        process = start(out, *more)
        _, errors = process.communicate()
        assert process.returncode == 0, errors

    through = tmp_path / "through"
    begun = time.monotonic()
    finish(through)
    lasted = time.monotonic() - begun
    expected = contents(through, program.outputs)
    assert expected

    draw = random.Random(make.__name__)
    killed = finished = kept = 0
    rounds = 0
    out = tmp_path / "killed"
    before: dict[str, tuple[int, int]] = {}
    while killed < kills:
        process = start(out, *program.go_on(out))
        try:
            _, errors = process.communicate(timeout=draw.uniform(0.3, 1.05) * lasted)
            assert process.returncode == 0, errors
            finished += 1
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
        for name, content in contents(out, program.units).items():
            assert content == expected[name], f"{name} is half written after {killed} kills"
        now = identities(out, program.units)
        assert {name: now.get(name) for name in before} == before, "work was redone"
        before = now
        kept = max(kept, len(before))
        for name in contents(out, program.replaced):
            program.whole(out / name)
        if process.returncode == 0 or killed == kills:
            rounds += 1
            if process.returncode:
                finish(out, *program.go_on(out))
            found = contents(out, program.outputs)
            assert found.keys() == expected.keys()
            assert [name for name in expected if found[name] != expected[name]] == []
            shutil.rmtree(out)
            before = {}
    print(f"{make.__name__}: {killed} kills over {lasted:.1f} s in {rounds} rounds, {kept} kept")
