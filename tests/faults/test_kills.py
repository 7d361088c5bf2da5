"""Every long program, killed at random points and started again, ends as one that ran through.

    pytest tests/faults/test_kills.py --kills 30

kills each program as often; what happened is printed with -s. By default only those are killed that
a run of all tests has time for.

A program is killed within its own work, not while it imports PyTorch: when a number of its units,
such as images, batches or steps, that is drawn at random is done, and a random part of the next.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from common.challenge_csv import COLUMNS
from models.networks import Generator
from PIL import Image, ImageDraw

SUBMISSION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
PHOTOS = 14
FEATURE_BYTES = 4 * 1280  # of an image, from the light backbone
POLL = 0.005  # seconds between two looks at how far a program is
LONGEST = 400  # seconds that a program may take in all
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Program:
    """A program on its data; `{out}` in its arguments stands for the folder that it writes."""

    path: str
    arguments: list[str]
    units: tuple[str, ...]  # patterns of files that are whole or absent, and written once
    outputs: tuple[str, ...]  # patterns of all files that must be as after one run
    environment: dict[str, str] = field(default_factory=dict)
    go_on: Callable[[Path], list[str]] = lambda out: []  # more arguments, once it was killed
    whole: Callable[[Path], object] | None = None  # reads a file that is replaced now and then
    replaced: tuple[str, ...] = ()  # patterns of these
    # How many units are done, by the folder and the time of the start; else files of `units`.
    progress: Callable[[Path, float], int] | None = None
    kept_lines: tuple[str, ...] = ()  # patterns of files whose whole lines stay, each said once
    # Painted images count by their pixels: beside these they bear when their inputs were made.
    by_pixels: bool = False
    usual_kills: int = 0  # without --kills

    def done(self, out: Path, since: float) -> int:
        if self.progress is not None:
            return self.progress(out, since)
        return len(names_of(out, self.units))


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
    return Program("scripts/prepare_images.py", arguments, images, images, usual_kills=2)


def cut_out(world: Path, **_: object) -> Program:
    draw_photos(world / "photos", PHOTOS)
    return Program(
        "HybridDetection/cut_folder.py",
        ["--input", f"{world}/photos", "--output", "{out}", "--workers", "2"],
        units=("masks/*",),  # written last, and tells what both were made from
        outputs=("images/*", "masks/*", "cutouts.csv", "doubtful.html"),
        whole=pixels,
        replaced=("images/*",),
        usual_kills=1,
    )


def draw_edges(world: Path, **_: object) -> Program:
    draw_photos(world / "photos", 2 * PHOTOS, (600, 400))
    arguments = ["--detector", "scharr", "--input", f"{world}/photos", "--output", "{out}"]
    arguments += ["--batch_size", "2", "--gpu_ids", "-1"]
    maps = ("*.png",)
    return Program("AnomalyFactory/extract_edges.py", arguments, maps, maps, usual_kills=2)


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
        progress=lambda out, since: lines_in(out, "AF/loss_log.csv"),
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
        usual_kills=1,
    )


def score(world: Path, classifiers: Path) -> Program:
    draw_photos(world / "photos", 6 * PHOTOS)
    arguments = [f"{world}/photos", "{out}", "--classifiers", str(classifiers), "--details"]
    arguments += ["--device", "cpu", "--batch_size", "2", "--workers", "1"]
    return Program(
        f"{SUBMISSION}/ingestion.py",
        arguments,
        units=(),
        outputs=("predictions.txt", "details.csv"),
        progress=lambda out, since: lines_in(out, "predictions.journal/*.jsonl"),
        kept_lines=("predictions.journal/*.jsonl",),
        usual_kills=1,
    )


def score_collection(world: Path, classifiers: Path) -> Program:
    pytest.importorskip("ray", reason="needs scripts/setup.sh --with collection")
    draw_photos(world / "photos", 2 * PHOTOS)
    arguments = ["--input", f"{world}/photos", "--output", "{out}", "--shard", "1"]
    arguments += ["--classifiers", str(classifiers), "--device", "cpu", "--actors", "1"]
    shards = ("[!_.]*.parquet",)
    return Program("scripts/score_collection.py", arguments, shards, shards)


def training_arguments(world: Path, cache: str) -> list[str]:
    root = world / "Images4TrainClassifier"
    draw_photos(root / "Images", 4 * PHOTOS)
    write_table(root / "List/butterfly_anomaly_AF.csv", PHOTOS, 4 * PHOTOS)
    arguments = ["--ROOT_DATA_DIR", str(root), "--CLF_SAVE_DIR", "{out}/classifiers"]
    arguments += ["--CACHE_DIR", cache, "--backbone", "efficientnet_lite0"]
    return arguments + "--NEPOCH 3 --DEVICE cpu --WORKERS 0 --BATCH_SIZE 2".split()


TRAINED = ("classifiers/*.p*", "classifiers/*.npz", "classifiers/**/*.csv")


def extract_features(world: Path, **_: object) -> Program:
    """The training, killed while it extracts."""

    def rows(out: Path, since: float) -> int:
        return sum(path.stat().st_size for path in out.glob("cache/*.f32")) // FEATURE_BYTES

    return Program(
        "HybridDetection/train/training.py",
        [*training_arguments(world, "{out}/cache"), "--preprocess", "cutout"],
        units=(),
        outputs=("cache/*.f32", *TRAINED),
        progress=rows,
    )


def train_classifiers(world: Path, **_: object) -> Program:
    """The training, killed when the features are there."""

    def steps(out: Path, since: float) -> int:
        page = out / "classifiers/training.html"
        if not page.is_file() or page.stat().st_mtime < since:  # of the start before
            return 0
        return page.read_text().partition("<h2>Steps</h2>")[2].count("<tr>")

    return Program(
        "HybridDetection/train/training.py",
        training_arguments(world, f"{world}/cache"),
        units=(),
        outputs=TRAINED,
        whole=lambda path: torch.load(path, weights_only=True),
        replaced=("classifiers/*.pth",),
        progress=steps,
    )


def quick_start(world: Path, **_: object) -> Program:
    environment = {
        "VENV": sys.prefix,
        "WORK": "{out}",
        "SCALE": "0.42",
        "DETECTOR": "scharr",
        "GENERATOR": "--loadSize 32 --ngf 4 --n_blocks_global 1 --n_downsample_global 2",
        "EPOCHS": "1",
        "NEPOCH": "2",
        "MEMBERS": "sgd+linear",
    }
    results = ("predictions.txt", "details.csv", "scores.json", "calls.csv", "clf1024.pth")
    return Program(
        "scripts/quickstart.sh",
        [],
        units=("*/.done/*",),
        outputs=(
            *("*/.done/*", "*/demo/**/*.*", "*/Datasets/**/*.*", "*/results/**/AF_*.png"),
            "*/generators/*/latest_net_*.pth",
            *(f"*/efficientnet_lite0/**/{name}" for name in results),
        ),
        environment=environment,
        by_pixels=True,
    )


PROGRAMS = (
    *(prepare_images, cut_out, draw_edges, train_generator, paint, score, score_collection),
    *(extract_features, train_classifiers, quick_start),
)


def names_of(out: Path, patterns: tuple[str, ...]) -> set[str]:
    """The files, without hidden ones, which are being written."""
    found = (path for pattern in patterns for path in out.glob(pattern) if path.is_file())
    return {path.relative_to(out).as_posix() for path in found if not path.name.startswith(".")}


def contents(out: Path, patterns: tuple[str, ...], by_pixels: bool = False) -> dict[str, bytes]:
    return {
        name: pixels(out / name)
        if by_pixels and Path(name).match("AF_*.png")
        else (out / name).read_bytes()
        for name in names_of(out, patterns)
    }


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def identities(out: Path, patterns: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Of each whole file, what changes when it is written anew."""
    return {
        name: ((out / name).stat().st_ino, (out / name).stat().st_mtime_ns)
        for name in names_of(out, patterns)
    }


def whole_lines(out: Path, patterns: tuple[str, ...]) -> list[bytes]:
    lines = b"".join(contents(out, patterns).values()).splitlines(keepends=True)
    return [line for line in lines if line.endswith(b"\n")]


def lines_in(out: Path, pattern: str) -> int:
    try:
        return len(whole_lines(out, (pattern,)))
    except FileNotFoundError:  # removed or replaced meanwhile
        return 0


class Started:
    """A program at work, with all processes that it starts."""

    def __init__(self, root: Path, program: Program, out: Path, more: list[str]) -> None:
        self.program, self.out = program, out
        self.log = out.with_name("log.txt")
        places = [text.replace("{out}", str(out)) for text in program.arguments]
        changes = {
            name: text.replace("{out}", str(out)) for name, text in program.environment.items()
        }
        out.parent.mkdir(exist_ok=True)
        if "WORK" in changes:
            out.mkdir(exist_ok=True)
        runner = [] if program.path.endswith(".sh") else [sys.executable]
        self.since = time.time()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*runner, root / program.path, *places, *more],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ | ENVIRONMENT | {"KILLED": str(out.parent)} | changes,
                start_new_session=True,  # its workers are killed with it, as by a power cut
            )

    def wait(self, units: int | None = None) -> bool:
        """Until so many units are done; whether it ended, which must be well, before."""
        end = time.monotonic() + LONGEST
        while self.process.poll() is None:
            assert time.monotonic() < end, f"hangs: {self.said()}"
            if units is not None and self.program.done(self.out, self.since) >= units:
                return False
            time.sleep(POLL)
        assert self.process.returncode == 0, self.said()
        return True

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + 30
        while left := self.left():  # Ray's end by themselves when who started them is gone
            assert time.monotonic() < end, f"processes stay: {left}"
            time.sleep(10 * POLL)

    def left(self) -> list[str]:
        """The processes that were started with KILLED, by whomever, and still run."""
        mine = os.fsencode(f"KILLED={self.out.parent}")
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                command = (place / "cmdline").read_bytes()
                started_so = mine in (place / "environ").read_bytes()
            except OSError:  # it has ended, or is another's
                continue
            if command and started_so:
                found.append(f"{place.name} {command[:80]!r}")
        return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs kill -9 and /proc")
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_a_killed_program_ends_as_one_that_ran_through(
    tmp_path, repository, classifiers, request, make
):
    world = tmp_path / "world"
    world.mkdir()
    program = make(world, classifiers=classifiers)
    kills = request.config.getoption("--kills") or program.usual_kills
    if not kills:
        pytest.skip("takes long; --kills 1 kills it, too")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    out, through = tmp_path / "runs/out", tmp_path / "through"

    def start() -> Started:
        return Started(repository, program, out, program.go_on(out))

    begun = time.monotonic()
    running = start()
    most = 0
    while running.process.poll() is None:  # how far it comes, and when its work begins
        done = program.done(out, running.since)
        if done and not most:
            begun = time.monotonic()
        most = max(most, done)
        time.sleep(POLL)
    running.wait()
    unit = (time.monotonic() - begun) / most  # seconds, roughly
    out.rename(through)  # all runs write to the same path, which some files name
    expected = contents(through, program.outputs, program.by_pixels)
    assert expected and most > 1

    draw = random.Random(make.__name__)
    killed = rounds = 0
    at: list[int] = []  # how many units were done when it was killed
    before: dict[str, tuple[int, int]] = {}
    lines: list[bytes] = []
    while killed < kills:
        done = program.done(out, time.time())
        running = start()
        # Not all of the rest, or most kills would come near the end.
        last = max(done + 1, (done + most) // 2)
        ended = running.wait(draw.randint(done + 1, last) if done + 1 < most else None)
        if not ended:
            try:
                running.process.wait(draw.uniform(0, unit))
                ended = running.wait()
            except subprocess.TimeoutExpired:
                at.append(program.done(out, running.since))
                running.kill()
                killed += 1
                print(f"\n{make.__name__}: killed at {at[-1]} of {most}", end="", flush=True)
                # In its last moment nothing is left to do but to leave.
                ended = contents(out, program.outputs, program.by_pixels) == expected
        for name, content in contents(out, program.units).items():
            assert content == expected[name], f"{name} is half written after {killed} kills"
        now = identities(out, program.units)
        assert {name: now.get(name) for name in before} == before, "work was redone"
        before = now
        if not ended:
            said = whole_lines(out, program.kept_lines)
            assert said[: len(lines)] == lines, "what was said was changed"
            names = [json.loads(line).get("name") for line in said]
            assert len(set(names)) == len(names), "work was redone"
            lines = said
        for name in names_of(out, program.replaced):
            program.whole(out / name)
        if ended or killed == kills:
            rounds += 1
            if not ended:
                start().wait()
            found = contents(out, program.outputs, program.by_pixels)
            assert found.keys() == expected.keys()
            assert [name for name in expected if found[name] != expected[name]] == []
            shutil.rmtree(out)
            before, lines = {}, []
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(
        f"\n{make.__name__}: {killed} kills in {rounds} rounds, at {sorted(at)} of {most} units; "
        f"a unit takes {unit:.2f} s; {seconds:.0f} s of CPU"
    )
