"""Checkpoints on disk: the same bytes for the same weights, and what is said about damaged ones."""

from pathlib import Path

import pytest
import torch
from util import checkpoint
from util.errors import InputError

WEIGHTS = {"weight": torch.arange(200.0)}


def test_equal_weights_give_equal_bytes(tmp_path: Path):
    checkpoint.save(WEIGHTS, tmp_path / "latest_net_G.pth")
    checkpoint.save(WEIGHTS, tmp_path / "40_net_G.pth")
    written = (tmp_path / "latest_net_G.pth").read_bytes()
    assert (tmp_path / "40_net_G.pth").read_bytes() == written
    assert torch.equal(checkpoint.load(tmp_path / "40_net_G.pth")["weight"], WEIGHTS["weight"])


def test_saving_removes_what_a_killed_save_left(tmp_path: Path):
    for name in (".resume.123.part.pth", ".other.123.part.pth"):
        (tmp_path / name).touch()
    checkpoint.save(WEIGHTS, tmp_path / "resume.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.123.part.pth",
        "resume.pth",
    ]


def test_any_damage_is_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "net.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"net\.pth: not a checkpoint"):
            checkpoint.load(path)
