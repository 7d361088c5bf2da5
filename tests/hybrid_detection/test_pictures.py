"""pictures.py: worker processes that may be killed; what killed them is named, no other is lost."""

import os
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
from pictures import load_pictures, shared_out
from PIL import Image

WHOLE = "photograph"


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """Nine pictures, each of its own grey."""
    paths = [tmp_path / f"{grey}.png" for grey in range(9)]
    for grey, path in enumerate(paths):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(path)
    return paths


def deadly(path: Path, ends: dict[str, int], once: Path | None = None) -> str:
    """The file's name; the process that is to decode one of `ends` is ended."""
    if path.stem in ends and not (once and once.exists()):
        if once:
            once.touch()
        os.kill(os.getpid(), ends[path.stem])
        time.sleep(60)
    return path.stem


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_whatever_kills(paths, workers):
    task = partial(deadly, ends={"4": signal.SIGKILL, "5": signal.SIGTERM, "8": signal.SIGKILL})
    batches = [[0, 1, 2], [3, 4, 5], [7], [6], [8]]
    killed = "a process that decoded nothing else was killed"
    assert list(shared_out(task, paths, batches, workers)) == [
        ([0, 1, 2], ["0", "1", "2"]),
        ([3, 4, 5], ["3", f"{paths[4]}: {killed}", f"{paths[5]}: {killed}"]),
        ([7], ["7"]),
        ([6], ["6"]),
        ([8], [f"{paths[8]}: {killed}"]),
    ]


def test_an_image_at_which_one_process_was_killed_is_tried_again(paths, tmp_path):
    once = tmp_path / "killed"
    task = partial(deadly, ends={"1": signal.SIGKILL}, once=once)
    assert list(shared_out(task, paths, [[0, 1, 2]], 2)) == [([0, 1, 2], ["0", "1", "2"])]
    assert once.exists()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_processes_gives_the_same_batches(paths, workers):
    paths[3].write_bytes(b"no picture")
    batches = list(load_pictures(paths, WHOLE, 2, workers))
    assert [batch.indices for batch in batches] == [[0, 1], [2], [4, 5], [6, 7], [8]]
    assert [list(batch.failures) for batch in batches] == [[], [3], [], [], []]
    assert "3.png: not a readable image" in batches[1].failures[3]
    for batch in batches:
        assert batch.pictures.dtype == torch.uint8
        expected = torch.tensor(batch.indices).view(-1, 1, 1, 1).expand(-1, 224, 224, 3)
        assert torch.equal(batch.pictures, expected)
    some = load_pictures(paths, WHOLE, 2, workers, [[7, 8], [3]])
    found = [(batch.indices, batch.pictures[:, 0, 0, 0].tolist()) for batch in some]
    assert found == [([7, 8], [7, 8]), ([], [])]


def test_no_more_than_two_batches_are_decoded_ahead(paths):
    taken = []

    def batches():
        for position in range(9):
            taken.append(position)
            yield [position]

    found = load_pictures(paths, WHOLE, 1, 2, batches())
    seen = [(batch.indices[0], len(taken)) for batch in found]
    assert seen == [(position, min(position + 3, 9)) for position in range(9)]


def children(process: int) -> set[str]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    if not listed.exists():
        pytest.skip("needs Linux to see the children of a process")
    return set(listed.read_text().split())


def test_nothing_is_left_when_the_caller_stops_or_is_killed(paths):
    before = children(os.getpid())
    batches = load_pictures(paths, WHOLE, 1, 2)
    next(batches)
    assert len(children(os.getpid()) - before) == 2
    batches.close()
    assert children(os.getpid()) <= before
    child = os.fork()
    if child == 0:
        next(load_pictures(paths, WHOLE, 1, 3))
        signal.pause()
    deadline = time.monotonic() + 20
    while len(workers := children(child)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while alive := [pid for pid in workers if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)
    assert len(workers) == 3


def test_what_a_library_warns_of_is_said_once_of_each_file(paths, monkeypatch, caplog):
    def transform(_):
        for _ in range(3):
            warnings.warn("odd tags", UserWarning, stacklevel=1)
        return np.zeros((224, 224, 3), np.uint8)

    monkeypatch.setattr(pictures, "make_picture", lambda _: transform)
    list(load_pictures(paths[:2], WHOLE, 2, 0))
    assert caplog.messages == [f"{path}: odd tags" for path in paths[:2]]


def needs_the_memory(path: Path, once: Path, before: set[str]) -> str:
    """Ends the process once for file 1, and for file 2 wherever others work beside it."""
    others = children(os.getppid()) - before - {str(os.getpid())}
    if path.stem == "2" and any(not is_zombie(other) for other in others):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.stem == "1" and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return path.stem


def is_zombie(process: str) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_nothing_else_is_decoded_beside_a_file_that_is_tried_again(paths, tmp_path):
    before = children(os.getpid())
    task = partial(needs_the_memory, once=tmp_path / "killed", before=before)
    found = shared_out(task, paths, [[0, 1], [2, 3], [4, 5], [6, 7], [8]], 3)
    assert [name for _, names in found for name in names] == list("012345678")
