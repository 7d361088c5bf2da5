"""scoring.py: what has no score, and memory that is short."""

from types import SimpleNamespace

import numpy as np
import pytest
import scoring
import torch
from model import Examined
from subspecies_member import Parents


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
def test_memory_that_is_short_for_a_batch_is_said_with_a_remedy(error):
    with pytest.raises(ValueError, match="short for 7 images at once; say a smaller --batch_size"):
        with scoring.enough_memory(7):
            raise error
    with pytest.raises(RuntimeError, match="3 channels"), scoring.enough_memory(7):
        raise RuntimeError("expected a tensor of 3 channels")


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
        raise ERRORS["cuda"]

    model.examine = exhausted
    assert list(next(scoring.score_images(model, paths, 4, 0, [[1]]))) == [1]
    with pytest.raises(ValueError, match="short for 4 images"):
        next(scoring.score_images(model, paths, 4, 0, [[3]]))
