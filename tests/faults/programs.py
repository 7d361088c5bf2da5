"""Programs as a user starts them, without the seconds in which each imports PyTorch.

A launcher imports it once and forks for every start: that child is a process of its own, which can
be killed, given a small disk, or left to run beside another.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import worlds
from models.networks import Generator

ROOT = Path(__file__).resolve().parents[2]
SUBMISSION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
LONGEST = 300  # seconds that a program may take

LAUNCHER = """
import json, os, resource, runpy, signal, sys
import cv2, PIL.Image, matplotlib.pyplot, numpy, pandas, sklearn.linear_model, torch, tqdm
import timm, torchvision.transforms
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def play(job):
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(job["log"] + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    if job["room"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], job["room"]))
    sys.argv = job["command"]
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    exec(job["before"], {})
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0
    except SystemExit as stopped:
        if isinstance(stopped.code, str):
            print(stopped.code, file=sys.stderr)
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        import traceback
        traceback.print_exc()
        return 99
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        sys.stdin = open(os.devnull)
        status = play(job)
        sys.stdout.flush(), sys.stderr.flush()
        os.write(os.open(job["log"] + "end", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), b"%d" % status)
        os._exit(status)
    print(child, flush=True)
"""


@dataclass
class Finished:
    status: int
    said: str  # to stdout, then to stderr


class Running:
    """A program at work; its workers are killed with it, as by a power cut."""

    def __init__(self, pid: int, log: str) -> None:
        self.pid, self.log, self.begun = pid, log, time.monotonic()

    def runs(self) -> bool:
        try:
            os.kill(self.pid, 0)
            return True
        except ProcessLookupError:
            return False

    def wait(self) -> Finished:
        while self.runs():
            assert time.monotonic() < self.begun + LONGEST, f"it hangs: {self.said()}"
            time.sleep(0.005)
        end = Path(f"{self.log}end")
        assert end.exists(), f"it crashed: {self.said()}"
        return Finished(int(end.read_text() or 98), self.said())

    def said(self) -> str:
        return "".join(
            Path(self.log + name).read_text("utf-8", "replace") for name in ("out", "err")
        )

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        while self.runs() or self.workers():
            time.sleep(0.005)

    def workers(self) -> list[str]:
        """The processes that it started and that still run."""
        states = []
        for place in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                state, _, group = place.read_text().rpartition(")")[2].split()[:3]
                states += [state] if int(group) == self.pid else []
        return [state for state in states if state not in "ZX"]


class Programs:
    """Starts programs of the repository; their logs lie in `logs`."""

    def __init__(self, logs: Path) -> None:
        self.logs, self.count = logs, 0
        environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        self.launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        command: list[object],
        room: int | None = None,  # bytes beyond which no file grows, as if the disk were full
        before: str = "",  # Python that runs first
    ) -> Running:
        self.count += 1
        log = str(self.logs / f"{self.count}.")
        program, *arguments = map(str, command)
        job = {"command": [str(ROOT / program), *arguments], "log": log}
        self.launcher.stdin.write(json.dumps(job | {"room": room, "before": before}) + "\n")
        self.launcher.stdin.flush()
        return Running(int(self.launcher.stdout.readline()), log)

    def run(self, command: list[object], **options: object) -> Finished:
        done = self.start(command, **options).wait()
        assert "Traceback" not in done.said, done.said
        return done


# ---- the table of writers -----------------------------------------------------------------------


@dataclass(frozen=True)
class Writer:
    """A program on its data; `{out}` in its arguments stands for the folder that it writes."""

    program: str
    arguments: list[object]
    outputs: tuple[str, ...]  # patterns of all files that must be as after one run
    photos: Path  # what it reads
    once: tuple[str, ...] = ()  # patterns of those that are written once, not anew by a resume
    go_on: Callable[[Path], list[str]] = lambda out: []  # more arguments, once it was stopped

    def command(self, out: Path) -> list[object]:
        arguments = [str(text).replace("{out}", str(out)) for text in self.arguments]
        return [self.program, *arguments, *self.go_on(out)]

    def found(self, out: Path) -> dict[str, bytes]:
        """The files by name, without hidden ones, which are being written."""
        paths = {path for pattern in self.outputs for path in out.glob(pattern)}
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(paths)
            if path.is_file() and not path.name.startswith(".")
        }


def prepare_images(world: Path) -> Writer:
    worlds.draw_photos(world / "photos", 8, (900, 600))
    worlds.write_table(world / "train.csv", [f"S{number:03d}.png" for number in range(8)], 2)
    arguments = ["--csv", world / "train.csv", "--photos", world / "photos", "--datasets", "{out}"]
    images = ("Images4*/**/*.png",)
    return Writer(
        "scripts/prepare_images.py", [*arguments, "--workers", 2], images, world / "photos", images
    )


def cut_folder(world: Path) -> Writer:
    worlds.draw_photos(world / "photos", 8)
    arguments = ["--input", world / "photos", "--output", "{out}", "--workers", 1]
    outputs = ("images/*", "masks/*", "cutouts.csv", "doubtful.html")
    return Writer(
        "HybridDetection/cut_folder.py", arguments, outputs, world / "photos", ("masks/*",)
    )


def extract_edges(world: Path) -> Writer:
    worlds.draw_photos(world / "photos", 20, (600, 400))
    arguments = ["--detector", "scharr", "--input", world / "photos", "--output", "{out}"]
    arguments += ["--batch_size", 2, "--gpu_ids", -1]
    maps = ("*.png",)
    return Writer("AnomalyFactory/extract_edges.py", arguments, maps, world / "photos", maps)


TINY = "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --n_downsample_global 2 --nThreads 0"


def train_generator(world: Path) -> Writer:
    dataset = worlds.write_dataset(world, 4)
    arguments = [*TINY.split(), "--dataroot", dataset, "--checkpoints_dir", "{out}"]
    arguments += "--name AF --phase train_AFhybrid --ndf 2 --no_vgg_loss --batchSize 2".split()
    arguments += "--niter 2 --niter_decay 2 --print_freq 4 --save_latest_freq 4".split()
    arguments += "--save_epoch_freq 2 --display_freq 8".split()
    return Writer(
        "AnomalyFactory/train.py",
        arguments,
        ("AF/*.pth", "AF/loss_log.csv", "AF/samples.html", "AF/samples/*"),
        dataset / "Images",
        go_on=lambda out: ["--continue_train"] if (out / "AF/resume.pth").exists() else [],
    )


def paint(world: Path) -> Writer:
    dataset = worlds.write_dataset(world, 20)
    torch.manual_seed(0)
    (world / "AF").mkdir()
    torch.save(Generator(2, 2, 1).state_dict(), world / "AF/latest_net_G.pth")
    arguments = [*TINY.split(), "--dataroot", dataset, "--phase", "test_nonhybrid", "--name", "AF"]
    arguments += ["--checkpoints_dir", world, "--results_dir", "{out}", "--batchSize", 4]
    outputs = ("AF_*.png", "*.html", "gallery/**/*.jpg", "gallery/**/*.json")
    photos = dataset / "Images"
    return Writer("AnomalyFactory/test.py", arguments, outputs, photos, ("AF_*.png",))


def score(world: Path) -> Writer:
    worlds.draw_photos(world / "photos", 24)
    classifiers = worlds.write_pair(world / "classifiers")
    arguments = [world / "photos", "{out}", "--classifiers", classifiers, "--details"]
    arguments += ["--device", "cpu", "--batch_size", 2, "--workers", 0]
    outputs = ("predictions.txt", "details.csv")
    program = f"{SUBMISSION}/ingestion.py"
    return Writer(program, arguments, outputs, world / "photos")


def train_classifiers(world: Path) -> Writer:
    root = world / "Images4TrainClassifier"
    worlds.draw_photos(root / "Images", 30)
    names = [f"S{number:03d}.png" for number in range(30)]
    worlds.write_table(root / "List/butterfly_anomaly_AF.csv", names, 12)
    arguments = ["--ROOT_DATA_DIR", root, "--CLF_SAVE_DIR", "{out}/classifiers"]
    arguments += ["--CACHE_DIR", "{out}/cache", "--backbone", "efficientnet_lite0"]
    arguments += "--NEPOCH 3 --DEVICE cpu --WORKERS 0 --BATCH_SIZE 2".split()
    outputs = ("classifiers/*.p*", "classifiers/*.npz", "classifiers/**/*.csv")
    program = "HybridDetection/train/training.py"
    return Writer(program, arguments, outputs, root / "Images")


WRITERS = {
    make.__name__: make
    for make in (
        *(prepare_images, cut_folder, extract_edges, train_generator, paint, score),
        train_classifiers,
    )
}
