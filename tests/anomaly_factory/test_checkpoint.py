"""Checkpoints on disk: the same bytes for the same weights, and what is said about damaged ones."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from util import checkpoint, lock
from util.errors import InputError

WEIGHTS = {"weight": torch.arange(200.0)}


def test_equal_weights_give_equal_bytes(tmp_path: Path):
    checkpoint.save(WEIGHTS, tmp_path / "latest_net_G.pth")
    checkpoint.save(WEIGHTS, tmp_path / "40_net_G.pth")
    written = (tmp_path / "latest_net_G.pth").read_bytes()
    assert (tmp_path / "40_net_G.pth").read_bytes() == written
    assert torch.equal(checkpoint.load(tmp_path / "40_net_G.pth")["weight"], WEIGHTS["weight"])


class OnDevice(torch.Tensor):
    """Stands for a tensor on a GPU: `to` gives it as a plain one."""

    def to(self, device: str, **layout: object) -> torch.Tensor:
        assert device == "cpu"
        return self.as_subclass(torch.Tensor).to(device, **layout)


def test_saved_tensors_lie_on_the_cpu(tmp_path: Path):
    """A file that holds anything but plain tensors is refused by PyTorch's safe loader."""
    moved = WEIGHTS["weight"].as_subclass(OnDevice)
    checkpoint.save({"netG": {"weight": moved}, "others": [1, (moved, "x")]}, tmp_path / "r.pth")
    found = torch.load(tmp_path / "r.pth", weights_only=True)
    assert torch.equal(found["netG"]["weight"], WEIGHTS["weight"])
    assert torch.equal(found["others"][1][0], WEIGHTS["weight"])
    assert found["others"][0] == 1 and found["others"][1][1] == "x"


def test_saving_leaves_unfinished_files_of_others(tmp_path: Path):
    unfinished = tmp_path / ".resume.0123456789abcdef.part.pth", tmp_path / f".{16 * 'a'}.part.pth"
    for path in unfinished:
        path.touch()
    checkpoint.save(WEIGHTS, tmp_path / "resume.pth")
    assert all(path.exists() for path in unfinished)


def test_a_lock_says_who_holds_it_and_is_released(tmp_path: Path):
    folder = tmp_path / "AF"
    with pytest.raises(ZeroDivisionError), lock.held(folder):
        host, process = (folder / "training.lock").read_text().split()
        assert (host, process) == (platform.node(), str(os.getpid()))
        with pytest.raises(InputError, match=f"is running, process {process} on {host}"):
            lock.held(folder).__enter__()
        assert (folder / "training.lock").read_text() == f"{host} {process}"
        assert 1 / 0
    assert not folder.exists()


@pytest.mark.parametrize("text", ["{host} 41", "{host} {own}", ""])
def test_a_stale_lock_is_taken_over(tmp_path: Path, text: str):
    """Its process has ended, its number is another's now, or it ended before it wrote a word."""
    text = text.format(host=platform.node(), own=os.getpid())
    (tmp_path / "training.lock").write_text(text)
    leftover = tmp_path / ".0123456789abcdef.part.pth"
    leftover.touch()
    kept = tmp_path / ".mine.part.pth"
    kept.touch()
    with lock.held(tmp_path):
        held = f"{platform.node()} {os.getpid()}"
        assert (tmp_path / "training.lock").read_text() == held
        assert not leftover.exists() and kept.exists()
    assert not (tmp_path / "training.lock").exists()


def test_a_lock_of_another_machine_is_left(tmp_path: Path):
    path = tmp_path / "training.lock"
    path.write_text("node7 41")
    message = "was started on node7, process 41, .*; when it runs no more, remove"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            lock.held(tmp_path).__enter__()
    assert path.read_text() == "node7 41"


@pytest.mark.parametrize(("job", "restarts"), [("8", "1"), ("7", "0"), ("", "1")])
def test_a_job_that_slurm_starts_again_elsewhere_takes_its_lock(
    tmp_path: Path, monkeypatch, job: str, restarts: str
):
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    path = tmp_path / "training.lock"
    path.write_text("node7 41 7")
    with pytest.raises(InputError, match="was started on node7, process 41, "):
        lock.held(tmp_path).__enter__()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with lock.held(tmp_path):
        assert path.read_text() == f"{platform.node()} {os.getpid()} 7"


def test_many_starts_at_once_leave_one(tmp_path: Path):
    """Over a stale lock, and over one that is released while others try."""
    (tmp_path / "training.lock").write_text(f"{platform.node()} 41")
    (tmp_path / "loss_log.csv").touch()  # the folder stays
    program = """
import sys, time
from pathlib import Path
from util import lock
folder = Path(sys.argv[1])
end = time.monotonic() + 2
while time.monotonic() < end:
    try:
        with lock.held(folder):
            (folder / "inside").mkdir()  # fails when another is inside
            (folder / "inside").rmdir()
            print("held")
    except lock.InputError:
        pass
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    folder = Path(lock.__file__).parents[1]
    starts = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
        for _ in range(3)
    ]
    for start in starts:
        output, errors = start.communicate(timeout=60)
        assert start.returncode == 0, errors
        assert b"held" in output


def test_any_damage_is_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "net.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"net\.pth: not a checkpoint"):
            checkpoint.load(path)


@pytest.mark.parametrize(
    ("key", "kind", "wanted"),
    [
        ("num_batches_tracked", torch.float32, "integers"),
        ("num_batches_tracked", torch.complex64, "integers"),
        ("weight", torch.int64, "floats"),
    ],
)
def test_counts_are_integers_and_all_else_floats(key: str, kind: torch.dtype, wanted: str):
    network = torch.nn.BatchNorm2d(3)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    weights["num_batches_tracked"] += 7
    checkpoint.fit(network, weights, Path("net.pth"))
    assert network.num_batches_tracked == 7
    with pytest.raises(InputError, match=f"'{key}' is .* expected {wanted}"):
        checkpoint.fit(network, weights | {key: weights[key].to(kind)}, Path("net.pth"))
