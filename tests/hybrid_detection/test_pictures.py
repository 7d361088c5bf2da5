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
from files import open_image
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


def test_the_processes_decode_as_this_one(paths):
    paths[3].write_bytes(b"no picture")
    whole = [
        [(batch.indices, batch.pictures, batch.failures) for batch in batches]
        for batches in (load_pictures(paths, WHOLE, 2, workers) for workers in (0, 1, 3))
    ]
    assert [indices for indices, _, _ in whole[0]] == [[0, 1], [2], [4, 5], [6, 7], [8]]
    assert whole[0][2][1].shape == (2, 224, 224, 3)
    assert whole[0][2][1].dtype == torch.uint8
    assert whole[0][2][1][:, 5, 7].tolist() == [[4, 4, 4], [5, 5, 5]]
    assert list(whole[0][1][2]) == [3]
    for other in whole[1:]:
        for (indices, some, failures), (same, others, again) in zip(whole[0], other, strict=True):
            assert (indices, failures) == (same, again)
            assert torch.equal(some, others)


def test_some_batches_are_chosen(paths):
    for workers in (0, 2):
        batches = load_pictures(paths, WHOLE, 3, workers, [[7, 8], [1]])
        found = [(batch.indices, batch.pictures[:, 0, 0, 0].tolist()) for batch in batches]
        assert found == [([7, 8], [7, 8]), ([1], [1])]


def test_a_batch_without_a_picture_is_empty(tmp_path):
    (batch,) = load_pictures([tmp_path / "gone.png"], WHOLE, 4, 0)
    assert (batch.indices, tuple(batch.pictures.shape)) == ([], (0, 224, 224, 3))
    assert "gone.png: not a readable image" in batch.failures[0]


def test_no_more_than_two_batches_are_decoded_ahead(paths):
    taken = []

    def batches():
        for position in range(9):
            taken.append(position)
            yield [position]

    found = load_pictures(paths, WHOLE, 1, 2, batches())
    seen = [(batch.indices[0], len(taken)) for batch in found]
    assert seen == [(position, min(position + 3, 9)) for position in range(9)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_program_ends_it(paths, monkeypatch, workers):
    def broken(_):
        raise KeyError("a bug")

    monkeypatch.setattr(pictures, "make_picture", lambda preprocess: broken)
    with pytest.raises(KeyError, match="a bug"):
        list(load_pictures(paths, WHOLE, 2, workers))


def test_an_image_too_large_for_the_memory_is_named(paths, monkeypatch):
    def exhausted(_):
        raise MemoryError

    monkeypatch.setattr(pictures, "make_picture", lambda preprocess: exhausted)
    (batch,) = load_pictures(paths[:1], WHOLE, 2, 0)
    assert batch.failures == {0: f"{paths[0]}: too large to resize in the memory that is left"}


def children(process: int) -> set[str]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    if not listed.exists():
        pytest.skip("needs Linux to see the children of a process")
    return set(listed.read_text().split())


def test_nothing_is_left_when_the_caller_stops(paths):
    before = children(os.getpid())
    batches = load_pictures(paths, WHOLE, 1, 2)
    next(batches)
    assert len(children(os.getpid()) - before) == 2
    batches.close()
    assert children(os.getpid()) <= before


def test_nothing_is_left_of_a_killed_program(paths):
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
    def transform(image):
        for _ in range(3):
            warnings.warn("odd tags", UserWarning, stacklevel=1)
        return np.zeros((224, 224, 3), np.uint8)

    monkeypatch.setattr(pictures, "make_picture", lambda preprocess: transform)
    list(load_pictures(paths[:2], WHOLE, 2, 0))
    assert caplog.messages == [f"{path}: odd tags" for path in paths[:2]]


def test_a_fast_models_photographs_are_reduced(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((2000, 1000), 60).convert("RGB").save(path)
    expected = np.asarray(open_image(path, 448).resize((224, 224), Image.Resampling.BILINEAR))
    (batch,) = load_pictures([path], WHOLE, 1, 0, smallest_side=448)
    assert np.array_equal(batch.pictures[0].numpy(), expected)
    (whole,) = load_pictures([path], WHOLE, 1, 0)
    assert not torch.equal(whole.pictures, batch.pictures)
