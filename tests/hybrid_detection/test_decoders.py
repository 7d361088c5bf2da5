"""Decoding in processes that may be killed: what killed them is named, and nothing else is lost."""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import decoders
import pytest
import torch
from decoders import Decoders
from pictures import ButterflyDataset, load_batches
from PIL import Image


def colour(image: Image.Image) -> torch.Tensor:
    return torch.tensor(image.getpixel((0, 0)), dtype=torch.float32)


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """Nine pictures, each of its own grey."""
    paths = [tmp_path / f"{grey}.png" for grey in range(9)]
    for grey, path in enumerate(paths):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(path)
    return paths


class Deadly:
    """Grey values by position; the process that decodes one of `deadly` is ended."""

    def __init__(self, paths: list[Path], deadly: dict[int, int | None], once: Path | None = None):
        self.paths = paths
        self.deadly = deadly
        self.once = once

    def __getitem__(self, position: int) -> tuple[torch.Tensor, bytes]:
        if position in self.deadly and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            if self.deadly[position] is None:
                os._exit(3)
            os.kill(os.getpid(), self.deadly[position])
            time.sleep(60)
        return torch.tensor([float(position)]), b"a picture"


def decoded(images: Deadly, count: int, batches: list[list[int]]) -> list:
    """The batches with numbers in the place of tensors."""
    found = Decoders(images, count, batch_size=3)(batches)
    return [
        (batch, [item if isinstance(item, str) else item[0].item() for item in items])
        for batch, items in found
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_come_in_order_whatever_kills(paths, count):
    images = Deadly(paths, {4: signal.SIGKILL, 5: None, 8: None})
    batches = [[0, 1, 2], [3, 4, 5], [7], [8]]
    ended = "two processes that decoded it were ended"
    assert decoded(images, count, batches) == [
        ([0, 1, 2], [0, 1, 2]),
        (
            [3, 4, 5],
            [3, f"{paths[4]}: {ended} (signal 9)", f"{paths[5]}: {ended} (status 3)"],
        ),
        ([7], [7]),
        ([8], [f"{paths[8]}: {ended} (status 3)"]),
    ]


def test_an_image_at_which_one_process_was_killed_is_tried_again(paths, tmp_path):
    images = Deadly(paths, {1: signal.SIGKILL}, once=tmp_path / "killed")
    assert decoded(images, 2, [[0, 1, 2]]) == [([0, 1, 2], [0, 1, 2])]
    assert (tmp_path / "killed").exists()


def test_the_processes_decode_as_this_one(paths):
    paths[3].write_bytes(b"no picture")
    whole = [
        [(batch.indices, batch.images.tolist(), batch.failures) for batch in batches]
        for batches in (load_batches(paths, colour, 2, workers) for workers in (0, 1, 3))
    ]
    assert [indices for indices, _, _ in whole[0]] == [[0, 1], [2], [4, 5], [6, 7], [8]]
    assert whole[0][2][1] == [[4, 4, 4], [5, 5, 5]]
    assert list(whole[0][1][2]) == [3]
    assert whole[0] == whole[1] == whole[2]


def test_some_batches_are_chosen(paths):
    for workers in (0, 2):
        batches = load_batches(paths, colour, 3, workers, [[7, 8], [1]])
        assert [(batch.indices, batch.images[:, 0].tolist()) for batch in batches] == [
            ([7, 8], [7, 8]),
            ([1], [1]),
        ]


def test_no_more_than_two_batches_are_decoded_ahead(paths, tmp_path):
    taken = []

    def batches():
        for position in range(9):
            taken.append(position)
            yield [position]

    seen = [
        (batch.indices[0], len(taken)) for batch in load_batches(paths, colour, 1, 2, batches())
    ]
    assert seen == [(position, min(position + 3, 9)) for position in range(9)]


def test_an_error_of_the_program_ends_it(paths):
    def broken(image):
        raise KeyError("a bug")

    with pytest.raises(RuntimeError, match=r"(?s)could not be prepared.*KeyError: 'a bug'"):
        list(load_batches(paths, broken, 2, 2))


def test_nothing_is_left_when_the_caller_stops(paths):
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("needs Linux to see the children of a process")
    before = set(children.read_text().split())
    batches = load_batches(paths, colour, 1, 2)
    next(batches)
    assert len(set(children.read_text().split()) - before) == 2
    batches.close()
    assert set(children.read_text().split()) <= before


def test_rows_and_batches_have_a_bound(paths):
    with pytest.raises(ValueError, match="batches of 2049 images, expected 2048 at most"):
        Decoders(Deadly(paths, {}), 1, batch_size=2049)
    too_large = torch.zeros(3 * 224 * 224 + 1)
    with pytest.raises(RuntimeError, match=r"of \(602116, 0\) bytes, expected 602112 "):
        list(load_batches(paths, lambda image: too_large, 1, 1))


def test_what_the_largest_batch_asks_for_fits_into_a_pipe():
    """Else this process and one of its own could wait for each other for ever."""
    pairs = [(10**9 + row, row) for row in range(decoders.LARGEST_BATCH)]
    asked = decoders.AHEAD * len(decoders.FORK.reducer.ForkingPickler.dumps(pairs))
    assert sys.platform != "linux" or asked <= 65_536


def test_what_a_library_warns_of_is_said_once_of_each_file(tmp_path, draw, caplog):
    paths = [draw(tmp_path / f"{number}.png", (9, 9, 9)) for number in range(2)]

    def transform(image):
        for _ in range(3):
            warnings.warn("odd tags", UserWarning, stacklevel=1)
        return torch.zeros(1)

    dataset = ButterflyDataset(paths, transform)
    assert [dataset[number][1] for number in range(2)] == [b"", b""]
    assert caplog.messages == [f"{path}: odd tags" for path in paths]
