"""scoring.py where memory is short: halves, down to one image, which is named."""

from types import SimpleNamespace

import numpy as np
import pytest
import scoring
import torch
from model import Examined
from subspecies_member import Parents

LEFT = "it cannot be scored in the memory that is left"


def cpu_error() -> RuntimeError:
    """What torch says when a CPU's memory is short."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    return caught.value


ERRORS = {
    "cpu": cpu_error(),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    "numpy": np._core._exceptions._ArrayMemoryError((1,), np.dtype(float)),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_a_batch_that_is_too_large_is_halved(error, caplog):
    """Memory holds two pictures, and never the one whose byte is 5."""
    tried = []

    def score(pictures: torch.Tensor) -> list[int]:
        tried.append(pictures.flatten().tolist())
        if len(pictures) > 2 or 5 in tried[-1]:
            raise error
        return tried[-1]

    found = scoring.by_halves(score, torch.arange(7)[:, None])
    assert found == [0, 1, 2, 3, 4, LEFT, 6]
    assert tried[:4] == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2], [0], [1, 2]]
    assert tried[4:] == [[3, 4, 5, 6], [3, 4], [5, 6], [5], [6]]
    assert "memory is short for 7 images at once; scoring them by halves" in caplog.text


def test_another_error_is_not_swallowed():
    def score(_: torch.Tensor) -> list[int]:
        raise RuntimeError("expected a tensor of 3 channels")

    with pytest.raises(RuntimeError, match="3 channels"):
        scoring.by_halves(score, torch.zeros(2, 1))


def test_what_has_no_score_is_named_and_moves_no_other(draw, tmp_path):
    paths = [draw(tmp_path / f"{index}.png") for index in range(4)]
    paths[1].write_bytes(b"no picture")
    parents = [Parents("8", "9", 0.6, chance) for chance in (0.7, 0.8, 0.9)]
    members = {"sgd": np.array([0.125, 0.5, 0.75])}
    said = Examined(np.array([0.25, np.inf, 0.75]), members, parents, np.zeros((3, 1)))
    model = SimpleNamespace(preprocess="photograph", smallest_side=None, examine=lambda _: said)
    (outcomes,) = scoring.score_images(model, paths, 4, 0, [[0, 1, 2, 3]])
    assert f"{paths[1]}: not a readable image" in outcomes.pop(1)
    assert outcomes == {
        0: scoring.Scored(0.25, {"sgd": 0.125}, parents[0]),
        2: f"{paths[2]}: its score is inf; check the weights",
        3: scoring.Scored(0.75, {"sgd": 0.75}, parents[2]),
    }

    def exhausted(_: torch.Tensor) -> Examined:
        raise torch.OutOfMemoryError

    model.examine = exhausted
    outcomes = list(scoring.score_images(model, paths, 4, 0, [[3], [1]]))
    assert outcomes[0] == {3: f"{paths[3]}: {LEFT}"}
    assert list(outcomes[1]) == [1]
