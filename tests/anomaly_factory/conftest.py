"""A small world: a dataset with lists, as the programs of scripts/ write it."""

import io
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from models.pidinet import PiDiNet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of a generator that paints in milliseconds on a CPU."""
    return "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --nThreads 0".split()


def run_program(program: str, *arguments: object, status: int = 0) -> str:
    """Runs a program of AnomalyFactory as a user does, but in this process, which spares another
    import of PyTorch; its output. Fails on another exit status."""
    path = str(ROOT / "AnomalyFactory" / program)
    before, threads = sys.argv, torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
    torch.set_num_threads(1)  # other sums of floats differ in the last bit
    sys.argv, found, said = [path, *map(str, arguments)], 0, io.BytesIO()
    output = io.TextIOWrapper(said, encoding="utf-8", write_through=True)
    try:
        with redirect_stdout(output), redirect_stderr(output):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as stopped:
        found = stopped.code or 0
    finally:
        sys.argv = before
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert found == status, said.getvalue().decode()
    return said.getvalue().decode()


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    return run_program


@pytest.fixture
def run_script(monkeypatch) -> Callable[..., str]:
    """Runs a shell script of AnomalyFactory; the programs that it starts run in this process."""

    def run_script(script: str, *arguments: object, status: int = 0) -> str:
        path = ROOT / "AnomalyFactory/scripts" / script
        said = subprocess.run(
            [path, *map(str, arguments)],
            env=os.environ | {"PYTHON": "echo"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        outputs = []
        for line in said.splitlines():
            program, *words = line.split()
            outputs.append(run_program(Path(program).name, *words, status=status))
        return "".join(outputs)

    return run_script


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """Two photos of each of the subspecies 8 and 9, 48x40, and lists to train and to paint.

    Photos of 8 are red discs on grey, those of 9 blue ones. test_nonsignalhybrid lays 8's colours
    on the four structures, test_signalhybrid lays them on 9's.
    """
    root = tmp_path_factory.mktemp("discs")
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

    def image(subspecies: int, kind: str, number: int) -> str:
        return f"Images/{subspecies}/train/{kind}/{number}.png"

    own, from_8 = [], []  # edges, reference and photograph
    for subspecies, number in ((8, 0), (8, 1), (9, 0), (9, 1)):
        edges, photo = (image(subspecies, kind, number) for kind in ("pidinet_edges", "good"))
        own.append((edges, photo, photo))
        from_8.append((edges, image(8, "good", 0), "Images/nowhere/x.png"))
    for name, lines in {
        **dict.fromkeys(("train_AFhybrid", "train_AFnonhybrid", "test_nonhybrid"), own),
        "test_nonsignalhybrid": from_8,
        "test_signalhybrid": from_8[2:],
    }.items():
        (root / "List" / name).mkdir(parents=True)
        for place, column in enumerate(("edges", "color_ref", "color_gt")):
            text = "".join(f"{line[place]}\n" for line in lines)
            (root / "List" / name / f"{name.split('_')[0]}_{column}.txt").write_text(text)
    return root


@pytest.fixture
def dataset(discs: Path, tmp_path: Path) -> Path:
    """A copy of `discs`, to be changed."""
    return shutil.copytree(discs, tmp_path / "dataset")


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
