"""A small world: a dataset with lists, as the programs of scripts/ write it."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from models.pidinet import PiDiNet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tiny() -> list[str]:
    """Options of a generator that paints in milliseconds on a CPU."""
    return "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --nThreads 0".split()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a program of AnomalyFactory as a user does, from outside the repository."""
    started = []

    def start(program: str, *arguments: object, prefix: Sequence[str] = ()) -> subprocess.Popen:
        path = str(ROOT / "AnomalyFactory" / program)
        command = [path] if program.endswith(".sh") else [sys.executable, *prefix, path]
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd="/",
            env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_process(start) -> Callable[..., str]:
    """Runs a program to its end; its output. Fails on another exit status or a traceback."""

    def run_process(program: str, *arguments: object, status: int = 0, **options: object) -> str:
        process = start(program, *arguments, **options)
        output = "".join(process.communicate(timeout=300))
        assert process.returncode == status, output
        assert "Traceback" not in output, output
        return output

    return run_process


@pytest.fixture
def run(monkeypatch, capsys) -> Iterator[Callable[..., str]]:
    """Like `run_process`, but in this process, which spares another import of PyTorch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as `start` does: other sums of floats differ in the last bit
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job

    def run(program: str, *arguments: object, status: int = 0) -> str:
        path = str(ROOT / "AnomalyFactory" / program)
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        try:
            runpy.run_path(path, run_name="__main__")
            found = 0
        except SystemExit as stopped:
            found = stopped.code
        output = "".join(capsys.readouterr())
        assert found == status, output
        return output

    yield run
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write_lists(folder: Path, split: str, lines: list[tuple[str, str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, column in enumerate(("edges", "color_ref", "color_gt")):
        text = "".join(f"{line[place]}\n" for line in lines)
        (folder / f"{split}_{column}.txt").write_text(text)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos of each of the subspecies 8 and 9, 48x40, and lists to train and to paint.

    Photos of 8 are red discs on grey, those of 9 blue ones. test_nonsignalhybrid lays 8's colours
    on the four structures, test_signalhybrid lays them on 9's.
    """
    root = tmp_path / "dataset"
    for subspecies, colour in ((8, (200, 40, 30)), (9, (30, 40, 200))):
        for number in range(2):
            photo = np.full((40, 48, 3), 210, np.uint8)
            cv2.circle(photo, (24, 20), 9 + 3 * number, colour, -1)
            edges = np.full((40, 48, 3), 255, np.uint8)
            cv2.circle(edges, (24, 20), 9 + 3 * number, (0, 0, 0), 1)
            for kind, image in (("good", photo), ("pidinet_edges", edges)):
                folder = root / "Images" / str(subspecies) / "train" / kind
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])

    def path(subspecies: int, kind: str, number: int) -> str:
        return f"Images/{subspecies}/train/{kind}/{number}.png"

    photos = [(subspecies, number) for subspecies in (8, 9) for number in range(2)]
    own = [(path(s, "pidinet_edges", n), path(s, "good", n), path(s, "good", n)) for s, n in photos]
    from_8 = [(edges, path(8, "good", 0), "Images/nowhere/x.png") for edges, _, _ in own]
    write_lists(root / "List" / "train_AFhybrid", "train", own)
    write_lists(root / "List" / "train_AFnonhybrid", "train", own)
    write_lists(root / "List" / "test_nonhybrid", "test", own)
    write_lists(root / "List" / "test_nonsignalhybrid", "test", from_8)
    write_lists(root / "List" / "test_signalhybrid", "test", from_8[2:])
    return root


@pytest.fixture
def random_pidinet() -> dict[str, torch.Tensor]:
    """Random weights in PiDiNet's published layout, 3x3 kernels and keys prefixed `module.`.

    Scaled so that edge strengths on noise take most values from 0 to 255.
    """
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, value in PiDiNet().state_dict().items():
        shape = [min(side, 3) if i > 1 else side for i, side in enumerate(value.shape)]
        inputs = max(1, int(np.prod(shape[1:])))
        weights[f"module.{key}"] = torch.randn(shape, generator=generator) / inputs**0.5
    return weights
