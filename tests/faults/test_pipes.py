"""A pipe where a file is expected: opening it would wait for ever. Images: test_images.py."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data import lists
from quality.inputs import how_painted, stated_inputs
from util import results
from util.errors import InputError
from util.visualizer import LossLog

NAME = "AF_8_9_gen00000.png"


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """A test that waits fails after 5 s."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the pipe"))
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def ends(path: Path) -> None:
    found = results.Results(path.parent, "list", {NAME: ("a", "b")}, {}, 256, with_page=False)
    found.begin(overwrite=True)


REFUSING: dict[str, Callable[[Path], object]] = {
    "gallery/list/painted.json": lambda path: results.read_note(path.parents[2], "list"),
    NAME: ends,
    "painted.png": stated_inputs,
    "test_color_ref.txt": lists.read_lines,
}


@pytest.mark.parametrize("name", REFUSING)
def test_a_pipe_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(InputError, match=re.escape(str(path))):
        REFUSING[name](path)
    assert path.is_fifo()


def test_a_pipe_says_nothing_of_how_images_were_painted(tmp_path):
    os.mkfifo(tmp_path / "painted.json")
    assert how_painted(tmp_path) == []


def test_a_pipe_in_the_place_of_a_loss_log_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "loss_log.csv")
    assert LossLog(tmp_path, 4).rows == []
    assert (tmp_path / "loss_log.csv").is_file()
