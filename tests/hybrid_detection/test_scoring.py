"""scoring.py: what has no score, and memory that is short."""

from types import SimpleNamespace

import numpy as np
import pytest
import scoring
import torch
from model import Examined
from subspecies_member import Parents


def test_memory_that_is_short_for_a_batch_is_said_with_a_remedy():
    message = "short for 7 images at once; say a smaller --batch_size"
    with pytest.raises(ValueError, match=message), scoring.enough_memory(7):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
    for empty in (torch.empty, np.empty):
        with pytest.raises(ValueError, match=message), scoring.enough_memory(7):
            empty(1 << 56)
    with pytest.raises(RuntimeError, match="3 channels"), scoring.enough_memory(7):
        raise RuntimeError("expected a tensor of 3 channels")


def test_what_has_no_score_is_named_and_moves_no_other(draw, tmp_path):
    paths = [draw(tmp_path / f"{index}.png") for index in range(3)]
    parents = [Parents("8", "9", 0.6, chance) for chance in (0.7, 0.8, 0.9)]
    members = {"sgd": np.array([0.125, 0.5, 0.75])}
    said = Examined(np.array([0.25, np.inf, 0.75]), members, parents, np.zeros((3, 1)))
    model = SimpleNamespace(view="photograph", smallest_side=None, examine=lambda _: said)
    assert next(scoring.score_images(model, paths, 4, 0, [[0, 1, 2]])) == {
        0: scoring.Scored(0.25, {"sgd": 0.125}, parents[0]),
        1: f"{paths[1]}: its score is inf; check the weights",
        2: scoring.Scored(0.75, {"sgd": 0.75}, parents[2]),
    }
