"""scoring.py where memory is short: halves, down to one image, which is named."""

import numpy as np
import pytest
import scoring
import torch
from model import Examined
from subspecies_member import Parents


class Small:
    """A model whose memory holds `room` pictures, and never the one whose first byte is 5."""

    preprocess, smallest_side = "photograph", None

    def __init__(self, room: int, error: Exception) -> None:
        self.room = room
        self.error = error
        self.tried: list[list[int]] = []

    def examine(self, pictures: torch.Tensor) -> Examined:
        numbers = pictures.flatten(1)[:, 0].tolist()
        self.tried.append(numbers)
        if len(numbers) > self.room or 5 in numbers:
            raise self.error
        return Examined(np.array(numbers) / 8, {}, None, np.zeros((len(numbers), 1)))


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
    outcomes = scoring.score_batch(small, torch.arange(7)[:, None])
    assert small.tried[:4] == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2], [0], [1, 2]]
    assert small.tried[4:] == [[3, 4, 5, 6], [3, 4], [5, 6], [5], [6]]
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


def test_what_has_no_score_is_named_and_moves_no_other(draw, tmp_path):
    paths = [draw(tmp_path / f"{index}.png") for index in range(4)]
    paths[1].write_bytes(b"no picture")
    model = Small(3, ValueError())
    model.examine = lambda pictures: Examined(
        np.array([0.25, np.inf, 0.75]),
        {"sgd": np.array([0.125, 0.5, 0.75])},
        [Parents("8", "9", 0.6, chance) for chance in (0.7, 0.8, 0.9)],
        np.zeros((3, 1)),
    )
    (outcomes,) = scoring.score_images(model, paths, 4, 0)
    assert f"{paths[1]}: not a readable image" in outcomes.pop(1)
    assert outcomes == {
        0: scoring.Scored(0.25, {"sgd": 0.125}, Parents("8", "9", 0.6, 0.7)),
        2: f"{paths[2]}: its score is inf; check the weights",
        3: scoring.Scored(0.75, {"sgd": 0.75}, Parents("8", "9", 0.6, 0.9)),
    }
    small = Small(0, torch.OutOfMemoryError())
    (outcomes,) = scoring.score_images(small, paths[2:], 2, 0)
    named = "it cannot be scored in the memory that is left"
    assert outcomes == {index: f"{path}: {named}" for index, path in enumerate(paths[2:])}
