"""scoring.py where memory is short: halves, down to one image, which is named."""

from typing import ClassVar

import numpy as np
import pytest
import scoring
import torch
from model import Examined
from PIL import Image
from torchvision.transforms import Compose, PILToTensor, Resize


class Small:
    """A model whose memory holds `room` images, and never the one with the number 5."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room = room
        self.error = error
        self.smallest_side = None
        self.tried: list[list[int]] = []

    def examine(self, batch: torch.Tensor) -> Examined:
        numbers = batch[:, 0].int().tolist()
        self.tried.append(numbers)
        if len(numbers) > self.room or 5 in numbers:
            raise self.error
        return Examined(batch[:, 0].numpy() / 8, {}, None, batch.numpy())


def cpu_error() -> RuntimeError:
    """What torch says when a CPU's memory is short."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    return caught.value


ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    "numpy": np._core._exceptions._ArrayMemoryError((1,), np.dtype(float)),
}


@pytest.mark.parametrize("kind", ["cpu", *ERRORS])
def test_a_batch_that_is_too_large_is_halved(kind, caplog):
    small = Small(2, ERRORS[kind] if kind in ERRORS else cpu_error())
    outcomes = scoring.score_batch(small, torch.arange(7.0)[:, None])
    assert small.tried == [
        [0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2],
        [0],
        [1, 2],
        [3, 4, 5, 6],
        [3, 4],
        [5, 6],
        [5],
        [6],
    ]
    named = "it cannot be scored in the memory that is left"
    assert [getattr(outcome, "score", outcome) for outcome in outcomes] == [
        *(0, 1 / 8, 2 / 8, 3 / 8, 4 / 8),
        named,
        6 / 8,
    ]
    assert "memory is short for 7 images at once; scoring them by halves" in caplog.text


def test_another_error_is_not_swallowed():
    small = Small(1, RuntimeError("expected a tensor of 3 channels"))
    with pytest.raises(RuntimeError, match="3 channels"):
        scoring.score_batch(small, torch.zeros(2, 1))
    assert len(small.tried) == 1


def test_the_image_that_does_not_fit_is_named(draw, tmp_path):
    paths = [draw(tmp_path / f"{index}.png", (index, 0, 0), (1, 1)) for index in range(2)]
    small = Small(0, torch.OutOfMemoryError())
    small.transform = lambda image: torch.zeros(1)
    (outcomes,) = scoring.score_images(small, paths, 2, 0)
    assert outcomes == {
        index: f"{path}: it cannot be scored in the memory that is left"
        for index, path in enumerate(paths)
    }


class Album(Small):
    """Stands for the report's gallery."""

    thumbnail = 16
    kept: ClassVar[list[int]] = []

    def keep(self, positions: list[int], thumbnails: list[bytes]) -> None:
        assert len(thumbnails) == len(positions)
        self.kept.extend(positions)


def test_an_image_that_does_not_fit_has_no_picture_in_the_report(tmp_path):
    paths = [tmp_path / f"{red}.png" for red in (4, 5, 6)]
    for red, path in zip((4, 5, 6), paths, strict=True):
        Image.new("RGB", (1, 1), (red, 0, 0)).save(path)
    album = Album(2, torch.OutOfMemoryError())
    album.transform = Compose(
        [Compose([Resize((1, 1))]), PILToTensor(), lambda image: image[0, 0].float()]
    )
    (outcomes,) = scoring.score_images(album, paths, 3, 0, gallery=album)
    assert outcomes[1] == f"{paths[1]}: {scoring.NO_MEMORY}"
    assert album.kept == [0, 2]
