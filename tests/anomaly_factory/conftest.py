"""A small world: a dataset with lists, as the programs of scripts/ write it."""

import io
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import worlds
from models.pidinet import PiDiNet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of a generator that paints in milliseconds on a CPU."""
    return "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --nThreads 0".split()


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """Runs a program of AnomalyFactory as a user does, but in this process, which spares another
    import of PyTorch; its output. Fails on another exit status."""

    def run_program(program: str, *arguments: object, status: int = 0) -> str:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
        said = io.BytesIO()
        output = io.TextIOWrapper(said, encoding="utf-8", write_through=True)
        with redirect_stdout(output), redirect_stderr(output):
            found = worlds.play(f"AnomalyFactory/{program}", *arguments)
        assert found == status, said.getvalue().decode()
        return said.getvalue().decode()

    return run_program


@pytest.fixture
def run_script(run) -> Callable[..., str]:
    """Runs a shell script of AnomalyFactory; the programs that it starts run in this process."""

    def run_script(script: str, *arguments: object, status: int = 0) -> str:
        command = [ROOT / "AnomalyFactory/scripts" / script, *map(str, arguments)]
        said = subprocess.check_output(command, env=os.environ | {"PYTHON": "echo"}, text=True)
        lines = [line.split() for line in said.splitlines()]
        return "".join(run(Path(of).name, *words, status=status) for of, *words in lines)

    return run_script


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """Two photos of each of the subspecies 8 and 9, 48x40, and lists to train and to paint.

    Photos of 8 are red discs on grey, those of 9 blue ones. test_nonsignalhybrid lays 8's colours
    on the four structures, test_signalhybrid lays them on 9's.
    """
    root = tmp_path_factory.mktemp("discs")
    own, from_8 = [], []  # edges, reference and photograph
    for subspecies, colour in ((8, (200, 40, 30)), (9, (30, 40, 200))):
        for number in range(2):
            photo, edges = (np.full((40, 48, 3), level, np.uint8) for level in (210, 255))
            cv2.circle(photo, (24, 20), 9 + 3 * number, colour, -1)
            cv2.circle(edges, (24, 20), 9 + 3 * number, (0, 0, 0), 1)
            names = [
                f"Images/{subspecies}/train/{k}/{number}.png" for k in ("pidinet_edges", "good")
            ]
            for name, image in zip(names, (edges, photo), strict=True):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / name), image[..., ::-1])
            own.append((*names, names[1]))
            from_8.append((names[0], "Images/8/train/good/0.png", "Images/nowhere/x.png"))
    for name, lines in {
        **dict.fromkeys(("train_AFhybrid", "train_AFnonhybrid", "test_nonhybrid"), own),
        "test_nonsignalhybrid": from_8,
        "test_signalhybrid": from_8[2:],
    }.items():
        (root / "List" / name).mkdir(parents=True)
        for place, column in enumerate(("edges", "color_ref", "color_gt")):
            path = root / "List" / name / f"{name.split('_')[0]}_{column}.txt"
            path.write_text("".join(f"{line[place]}\n" for line in lines))
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
