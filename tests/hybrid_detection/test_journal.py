"""Runs of ingestion.py that are killed, doubled or shared: the output is that of one run."""

import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import backbones
import ingestion
import journal
import numpy as np
import processes
import pytest
import torch
from journal import FAILED, SCORED, UNKNOWN, Journal
from listing import Images
from model import Examined
from PIL import Image
from scoring import Scored
from subspecies_member import Parents

SCORES = [0.5, 0.125, 0.75, 0.25, 0.0625, 0.875, 0.375, 0.625, 0.9375]  # exact in a few digits
PREDICTIONS = "\n".join(f"{index}.png,{score:.4f}" for index, score in enumerate(SCORES))
ALL = [[0, 1], [2, 3], [4, 5], [6, 7], [8]]


class Stub:
    """Stands in for Model: the grey of a picture chooses its score."""

    batches: list[list[int]]  # the greys in each batch that was scored
    backbone, fast, smallest_side = "stub", False, None
    bfloat16 = False
    preprocess = view = "photograph"
    members, threshold = dict.fromkeys(["sgd", "linear"]), 0.5

    def __init__(self, *_: object) -> None:
        self.files = {"sgd": Path(__file__)}

    def load(self, engine: object) -> None: ...

    def examine(self, pictures: torch.Tensor) -> Examined:
        greys = pictures[:, 0, 0, 0].tolist()
        self.batches.append(greys)
        scores = np.array([SCORES[grey] for grey in greys])
        parents = [Parents("8", "9", 0.625, score) for score in scores]
        return Examined(scores, {"sgd": scores, "linear": scores / 3}, parents, scores[:, None])


def grey_picture(path: Path, grey: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(path)


@pytest.fixture
def images(tmp_path) -> Path:
    for grey in range(len(SCORES)):
        grey_picture(tmp_path / f"images/{grey}.png", grey)
    return tmp_path / "images"


@pytest.fixture
def score(images, tmp_path, monkeypatch):
    """Run ingestion's main on the nine pictures, two in a batch; gives its exit status."""
    monkeypatch.setattr(ingestion, "Model", Stub)

    def run_ingestion(*arguments: object, output: str = "out", folder: Path = images) -> int:
        Stub.batches = []
        command = ["ingestion.py", folder, tmp_path / output, "--batch_size", 2, "--workers", 0]
        monkeypatch.setattr(sys, "argv", [*map(str, command), "--details", *map(str, arguments)])
        return ingestion.main()

    return run_ingestion


def contents(folder: Path) -> dict[str, bytes]:
    """Of the outputs, which are there, and nothing else."""
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in visible}


def fork(function: Callable[[], object]) -> int:
    """Run `function` in a process of its own; gives its id."""
    if (child := os.fork()) == 0:
        try:
            os._exit(function() or 0)
        finally:
            os._exit(99)
    return child


def end_of(child: int) -> int:
    """Its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_after(count: int, function: Callable) -> Callable:
    """`function`, which kills its process when it is called for the `count`-th time."""
    calls = itertools.count(1)
    return lambda *all: os.kill(os.getpid(), 9) if next(calls) == count else function(*all)


@pytest.fixture
def killed(score, monkeypatch):
    """Leave a run that was killed when it called something for the `count`-th time."""

    def run_and_kill(owner: object, name: str, count: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, die_after(count, getattr(owner, name)))
            assert end_of(fork(score)) == -signal.SIGKILL

    return run_and_kill


# Where the run is killed, and the batches that the next run still scores.
KILLS = {
    "before it has settings": (journal.json, "dumps", 1, ALL),
    "before a batch": (Stub, "examine", 3, ALL[2:]),
    "in a batch's transaction": (journal, "stamp", 6, ALL[2:]),
    "between the outputs": (ingestion, "details_row", 4, []),
    "before it removes the journal": (Journal, "remove", 1, []),
}


@pytest.mark.parametrize("place", KILLS)
def test_a_killed_run_goes_on(score, killed, tmp_path, place, capfd):
    assert score(output="whole") == 0
    assert Stub.batches == ALL
    *at, rest = KILLS[place]
    killed(*at)
    capfd.readouterr()
    assert score() == 0
    assert Stub.batches == rest
    going_on = f"ingestion: going on; {sum(map(len, rest))} images to score\n"
    assert (going_on in capfd.readouterr().err) == (rest != ALL)
    assert (tmp_path / "out/predictions.txt").read_text() == PREDICTIONS
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.fixture
def stopped(killed) -> None:
    """Leave a run that was killed when it had scored two batches, of [0, 1] and [2, 3]."""
    killed(Stub, "examine", 3)


def test_a_photograph_that_changed_is_scored_again(stopped, score, images, tmp_path):
    grey_picture(images / "1.png", 8)
    (images / "3.png").unlink()
    grey_picture(images / "9.png", 7)
    assert score() == 0
    # The list is now 0 1, 2 4, 5 6, 7 8, 9; a batch is scored whole.
    assert Stub.batches == [[0, 8], [2, 4], [5, 6], [7, 8], [7]]
    lines = (tmp_path / "out/predictions.txt").read_text().splitlines()
    assert lines[1:4] == ["1.png,0.9375", "2.png,0.7500", "4.png,0.0625"]
    assert lines[-1] == "9.png,0.6250"


def test_what_failed_is_named_again_and_tried_again_alone(score, killed, images, capfd):
    (images / "2.png").write_bytes(b"no picture")
    for status, again in ((1, []), (0, [[2]])):
        killed(Stub, "examine", 4)
        capfd.readouterr()
        if again:
            grey_picture(images / "2.png", 2)
        assert score() == status
        assert Stub.batches == [*again, [6, 7], [8]]
        errors = capfd.readouterr().err
        assert errors.count("2.png: not a readable image") == status
        assert errors.count("1 file was left out, named above") == status


def test_what_is_not_of_that_run_is_not_mixed_in(
    stopped, score, images, tmp_path, monkeypatch, capfd
):
    other = {"sgd": Path(__file__).with_name("conftest.py")}
    kept = tmp_path / "out" / journal.FOLDER
    damaged = kept / "1.sqlite"
    grey_picture(images.parent / "0.png", 3)
    for owner, name, value, what in (
        (Stub, "preprocess", "cutout", "preprocess"),
        (Stub, "backbone", "other", "backbone"),
        (Stub, "fast", True, "mode"),
        (Stub, "__init__", lambda self, *_: setattr(self, "files", other), "classifiers"),
        (ingestion, "choose_engine", lambda *_: "openvino", "--engine"),
        (backbones, "VERSION", 7, "version of the method"),
        (None, "folder", images.parent, "photographs"),
    ):
        with monkeypatch.context() as patch:
            if owner:
                patch.setattr(owner, name, value)
            assert score(folder=images if owner else value) == 1
        errors = capfd.readouterr().err
        assert f"{kept} is of a run that has not ended, with the {what} " in errors
        assert "Start it as it was and it goes on, or remove that folder" in errors
    damaged.write_bytes(b"no database" * 100)
    assert score() == 1
    errors = capfd.readouterr().err
    assert f"{damaged}: file is not a database" in errors
    assert f"remove {kept} to begin anew" in errors
    damaged.unlink()
    assert not (tmp_path / "out/predictions.txt").exists()
    assert score() == 0
    assert Stub.batches == ALL[2:]


@pytest.mark.parametrize("first", [0, 1])
def test_the_latest_word_counts_whichever_process_says_it(tmp_path, images, first):
    photographs = Images(images, ["0.png"])
    scored = Scored(0.1 + 0.2, {"sgd": 1 / 3}, Parents("8", "9", 2 / 3, 0.7))
    said = [(UNKNOWN, first, "0.png: the memory is short"), (FAILED, 1 - first, scored)]
    for known, rank, outcome in [*said, (SCORED, 0, scored)]:
        with Journal(tmp_path) as kept:
            assert kept.begin({}, photographs).tolist() == [known]
            Journal(tmp_path, rank).add(photographs, {0: outcome})
            assert list(kept.outcomes(photographs)) == [("0.png", outcome)]


def test_what_nothing_is_said_of_is_not_left_out(score, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(ingestion, "batches_to_do", lambda *_: [[0, 1]])
    assert score() == 1
    assert "says nothing of 7 images (first: 2.png): start the same" in capfd.readouterr().err
    assert not (tmp_path / "out/predictions.txt").exists()


# ---- two runs at once, and several processes ----------------------------------------------------


def test_a_second_run_on_the_same_output_is_refused(score, images, tmp_path, capfd):
    with Journal(tmp_path / "out") as kept:
        kept.begin({}, Images(images, []))
        assert end_of(fork(score)) == 1
        assert f"{kept.folder}: another run is at work on this output" in capfd.readouterr().err
    kept.remove()
    assert score() == 0


def test_batches_are_those_of_the_whole_list_each_for_one_process():
    known = np.array([SCORED] * 4 + [SCORED, UNKNOWN, FAILED, SCORED, SCORED, SCORED, UNKNOWN])
    shared = [list(ingestion.batches_to_do(known, 2, rank, 2)) for rank in (0, 1)]
    assert shared == [[[4, 5]], [[6], [10]]]
    assert list(ingestion.batches_to_do(known, 2, 0, 1)) == [[4, 5], [6], [10]]


def together(run: Callable[[], object], count: int, kill: int | None = None) -> list[int]:
    """The statuses of `count` processes that run as torchrun starts them; one may be to `kill`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def member(rank: int) -> object:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in places.items()}
        os.environ["MASTER_ADDR"] = "127.0.0.1"
        if rank == kill:
            Stub.examine = die_after(2, Stub.examine)
        return run()

    children = [fork(partial(member, rank)) for rank in range(count)]
    if kill is not None:
        end_of(children.pop(kill))
        for child in children:  # as torchrun does
            os.kill(child, signal.SIGKILL)
    return [end_of(child) for child in children]


def test_several_processes_write_what_one_writes(score, images, tmp_path):
    (images / "5.png").write_bytes(b"no picture")
    assert score(output="whole") == 1
    assert together(score, 2) == [0, 0]  # torchrun would start all anew for another status
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    for path in images.iterdir():
        path.unlink()
    first, other = together(score, 2)  # a refusal ends all
    assert first == 1 and other != 0


@pytest.mark.parametrize("count", [1, 2])
def test_several_processes_go_on_and_one_goes_on_for_several(score, tmp_path, count):
    together(score, 2, kill=1)
    kept = tmp_path / "out" / journal.FOLDER
    assert sorted(path.name for path in kept.glob("*.sqlite")) == ["0.sqlite", "1.sqlite"]
    assert (together(score, 2) if count == 2 else [score(), 0]) == [0, 0]
    if count == 1:
        assert [2, 3] not in Stub.batches  # process 1 had scored them
    assert (tmp_path / "out/predictions.txt").read_text() == PREDICTIONS
    assert not kept.exists()


def test_each_process_has_a_gpu(monkeypatch):
    """Of two that it sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = {None: "cuda:1", "cuda": "cuda:1", "cuda:0": "cuda:0"}
    for place, given in (((), {"cuda": "cuda"}), ((0, 1, 0), {None: None}), ((5, 8, 3), devices)):
        for name, value in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), place, strict=False):
            monkeypatch.setenv(name, str(value))
        assert processes.torchrun_process() == (place[:2] or (0, 1))
        assert {wanted: processes.torchrun_device(wanted) for wanted in given} == given


def test_threads_are_no_more_than_the_cores_of_the_container(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for cores in (3, 64):
        monkeypatch.setattr(processes, "CORES", cores)
        processes.use_own_cores()
    assert asked == [3, 8]
