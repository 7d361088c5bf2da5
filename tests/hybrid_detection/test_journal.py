"""Runs of ingestion.py that are killed, doubled or shared: the output is that of one run."""

import fcntl
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import ingestion
import journal
import numpy as np
import pytest
import torch
from journal import FAILED, SCORED, UNKNOWN, Journal
from listing import Images
from model import Examined
from PIL import Image
from processes import Processes
from scoring import Scored
from subspecies_member import Parents

SCORES = [0.5, 0.125, 0.75, 0.25, 0.0625, 0.875, 0.375, 0.625, 0.9375]  # exact in a few digits
PREDICTIONS = "\n".join(f"{index}.png,{score:.4f}" for index, score in enumerate(SCORES))


class Stub:
    """Stands in for Model: the grey of a picture chooses its score."""

    batches: list[list[int]]  # the greys in each batch that was scored

    def __init__(self, *_: object) -> None:
        self.files = {"sgd": Path(__file__)}
        self.backbone, self.preprocess = "stub", "photograph"
        self.members = {"sgd": None, "linear": None}
        self.threshold = 0.5
        self.fast, self.smallest_side = False, None

    def load(self) -> None:
        pass

    @staticmethod
    def transform(image: Image.Image) -> torch.Tensor:
        return torch.tensor([image.getpixel((0, 0))[0]])

    def examine(self, batch: torch.Tensor) -> Examined:
        greys = batch[:, 0].tolist()
        self.batches.append(greys)
        scores = np.array([SCORES[grey] for grey in greys])
        parents = [Parents("8", "9", 0.625, score) for score in scores]
        return Examined(scores, {"sgd": scores, "linear": scores / 3}, parents, scores[:, None])


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for grey in range(len(SCORES)):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(folder / f"{grey}.png")
    return folder


@pytest.fixture
def score(images, tmp_path, monkeypatch):
    """Run ingestion's main on the nine pictures, two in a batch; gives its exit status."""
    monkeypatch.setattr(ingestion, "Model", Stub)

    def run_ingestion(*arguments: object, output: str = "out") -> int:
        Stub.batches = []
        command = ["ingestion.py", images, tmp_path / output, "--batch_size", 2, "--workers", 0]
        monkeypatch.setattr(sys, "argv", [*map(str, command), "--details", *map(str, arguments)])
        return ingestion.main()

    return run_ingestion


def in_a_child(function: Callable[[], object]) -> int:
    """Run `function` in a forked process; gives its status, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = function() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(count: int, function: Callable) -> Callable:
    """`function`, which kills its process when it is called for the `count`-th time."""
    calls = []

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return die() if len(calls) == count else function(*arguments)

    return counted


def die_while_writing(batch: int) -> Callable:
    """Journal.write, killed when half of a batch's text is on the disk."""
    calls = []

    def write(self: Journal, lines: list[dict]) -> None:
        calls.append(lines)
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.file.write(text[: len(text) // 2 - 5] if len(calls) == batch else text)
        self.file.flush()
        if len(calls) == batch:
            die()

    return write


# Where the run is killed, and the batches that the next run still scores.
ALL = [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
KILLS = {
    "while it lists": (ingestion, "find_images", lambda _: die, ALL),
    "in the first line": (Journal, "write", lambda _: die_while_writing(1), ALL),
    "before a batch": (Stub, "examine", lambda real: die_after(3, real), ALL[2:]),
    "in a batch's lines": (Journal, "write", lambda _: die_while_writing(3), ALL[1:]),
    "before the output": (ingestion, "write_predictions", lambda _: die, []),
    "between the outputs": (ingestion, "write_details", lambda _: die, []),
    "before it removes the journal": (Journal, "remove", lambda _: die, []),
}


@pytest.mark.parametrize("place", KILLS)
def test_a_killed_run_goes_on(score, tmp_path, monkeypatch, place, capsys):
    assert score(output="whole") == 0
    assert Stub.batches == ALL
    owner, name, deadly, rest = KILLS[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deadly(getattr(owner, name)))
        assert in_a_child(score) == -signal.SIGKILL
    capsys.readouterr()
    assert score() == 0
    assert Stub.batches == rest
    going_on = f"ingestion: going on; {sum(map(len, rest))} images to score\n"
    assert (going_on in capsys.readouterr().err) == (rest != ALL)
    assert (tmp_path / "out/predictions.txt").read_text() == PREDICTIONS
    assert not [path for path in (tmp_path / "out").iterdir() if path.name == journal.FOLDER]
    for name in ("predictions.txt", "details.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == whole


@pytest.fixture
def stopped(score, monkeypatch) -> Callable[[], object]:
    """Leave a run that was killed when it had scored two batches, of [0, 1] and [2, 3]."""
    with monkeypatch.context() as patch:
        patch.setattr(Stub, "examine", die_after(3, Stub.examine))
        assert in_a_child(score) == -signal.SIGKILL


def test_lines_are_on_the_disk_before_the_next_batch(score, monkeypatch):
    events = []
    real_sync, real_examine = os.fsync, Stub.examine

    def sync(file: int) -> None:
        if stat.S_ISREG(os.fstat(file).st_mode):  # else it is a folder
            assert os.fstat(file).st_size == os.lseek(file, 0, os.SEEK_END)
            events.append("synced")
        real_sync(file)

    def examine(self: Stub, batch: torch.Tensor) -> Examined:
        events.append("scored")
        return real_examine(self, batch)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Stub, "examine", examine)
    score()
    output = ["synced"] * 2  # predictions.txt and details.csv
    assert events == ["synced", *["scored", "synced"] * 5, *output]


def test_a_photograph_that_changed_is_scored_again(stopped, score, images, tmp_path):
    Image.new("RGB", (4, 4), (8, 8, 8)).save(images / "1.png")
    (images / "3.png").unlink()
    Image.new("RGB", (4, 4), (7, 7, 7)).save(images / "9.png")
    assert score() == 0
    # The list is now 0 1, 2 4, 5 6, 7 8, 9; a batch is scored whole.
    assert Stub.batches == [[0, 8], [2, 4], [5, 6], [7, 8], [7]]
    lines = (tmp_path / "out/predictions.txt").read_text().splitlines()
    assert lines[1:4] == ["1.png,0.9375", "2.png,0.7500", "4.png,0.0625"]
    assert lines[-1] == "9.png,0.6250"


def test_what_failed_is_named_again_and_tried_again_alone(score, images, monkeypatch, capsys):
    (images / "2.png").write_bytes(b"no picture")
    with monkeypatch.context() as patch:
        patch.setattr(Stub, "examine", die_after(4, Stub.examine))
        assert in_a_child(score) == -signal.SIGKILL
    assert score() == 1
    assert Stub.batches == [[6, 7], [8]]
    errors = capsys.readouterr().err
    assert errors.count("2.png: not a readable image") == 1
    assert "1 file was left out, named above" in errors

    with monkeypatch.context() as patch:
        patch.setattr(Stub, "examine", die_after(4, Stub.examine))
        assert in_a_child(score) == -signal.SIGKILL
    Image.new("RGB", (4, 4), (2, 2, 2)).save(images / "2.png")
    assert score() == 0
    assert Stub.batches == [[2], [6, 7], [8]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("preprocess", "with the preprocess photograph; now it is cutout"),
        ("backbone", "with the backbone stub; now it is cutout"),
        ("fast", "with the mode exact; now it is fast"),
    ],
)
def test_another_setting_is_not_mixed_in(
    stopped, score, tmp_path, monkeypatch, capsys, setting, message
):
    class Other(Stub):
        def load(self) -> None:
            setattr(self, setting, "cutout")

    kept = next((tmp_path / "out" / journal.FOLDER).iterdir())
    before = kept.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(ingestion, "Model", Other)
        assert score() == 1
    errors = capsys.readouterr().err
    assert f"{journal.FOLDER} is of a run that has not ended, {message}" in errors
    assert kept.read_bytes() == before
    assert not (tmp_path / "out/predictions.txt").exists()
    assert score() == 0


def test_other_classifiers_and_photographs_are_not_mixed_in(
    stopped, score, images, tmp_path, monkeypatch, capsys
):
    class Other(Stub):
        def load(self) -> None:
            self.files = {"sgd": images / "0.png"}

    with monkeypatch.context() as patch:
        patch.setattr(ingestion, "Model", Other)
        assert score() == 1
        assert "with the classifiers {'test_journal.py': " in capsys.readouterr().err
    images.rename(tmp_path / "moved")
    images.mkdir()
    Image.new("RGB", (4, 4), (3, 3, 3)).save(images / "0.png")
    images.rename(tmp_path / "others")
    assert score("--images", tmp_path / "none.csv") == 1
    monkeypatch.setattr(
        sys, "argv", ["ingestion.py", str(tmp_path / "others"), str(tmp_path / "out")]
    )
    assert ingestion.main() == 1
    assert f"with the photographs {images}; now it is" in capsys.readouterr().err


def test_a_damaged_journal_is_named(stopped, score, tmp_path, capsys):
    path = tmp_path / "out" / journal.FOLDER / "0_of_1.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("score", "scope")
    path.write_text("".join(lines))
    assert score() == 1
    assert f"{path}, line 3: damaged (KeyError('score')); remove" in capsys.readouterr().err


def test_a_refused_run_leaves_nothing_behind(score, tmp_path, monkeypatch):
    """Else it would stand in the way of the run that it was refused for."""
    together(score, 2, kill=1)
    folder = tmp_path / "out" / journal.FOLDER
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Other(Stub):
        def load(self) -> None:
            self.fast = True

    with monkeypatch.context() as patch:
        patch.setattr(ingestion, "Model", Other)
        assert score() == 1
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after == before | {"0_of_1.jsonl": b""}
    assert together(score, 2) == [0, 0]
    assert (tmp_path / "out/predictions.txt").read_text() == PREDICTIONS


@pytest.mark.parametrize("first", [0, 1])
def test_the_latest_word_counts_whichever_process_says_it(tmp_path, images, first):
    photographs = Images(images, ["0.png"])
    scored = Scored(0.25, {}, None)
    with Journal(tmp_path, {}, first, 2) as one:
        one.add(photographs, {0: "0.png: the memory is short"})
    with Journal(tmp_path, {}, 1 - first, 2) as other:
        other.add(photographs, {0: scored})
        assert list(other.outcomes(photographs)) == [("0.png", scored)]


def test_processes_may_look_for_other_runs_at_once(tmp_path):
    with Journal(tmp_path, {}) as left:
        path = left.own
    with path.open("rb") as file:
        journal.lock(path, file, fcntl.LOCK_SH)
        assert in_a_child(lambda: Journal(tmp_path, {}, 0, 2).file.close()) == 0


def test_freed_memory_is_kept_while_it_scores(score, monkeypatch):
    """Without it a batch takes twice the time of its images one by one."""
    events = []

    @contextmanager
    def kept():
        events.append("kept")
        yield
        events.append(len(Stub.batches))

    monkeypatch.setattr(ingestion, "freed_memory_kept", kept)
    assert score() == 0
    assert events == ["kept", len(ALL)]


# ---- two runs at once ---------------------------------------------------------------------------


def hold(output: Path, rank: int, count: int) -> tuple[int, int]:
    """A process that has a journal open, and a pipe: closing it ends that one's own process."""
    told, tell = os.pipe()
    stopped, stop = os.pipe()
    child = os.fork()
    if child == 0:
        kept = Journal(output, {}, rank, count)
        os.close(stop)
        if os.fork() == 0:  # as one that decodes images, and outlives it by an image
            os.read(stopped, 1)
            os._exit(0)
        os.write(tell, b"x")
        signal.pause()
        kept.file.close()
    assert os.read(told, 1) == b"x"
    return child, stop


@pytest.mark.parametrize("place", [(0, 1), (1, 2)])
def test_a_second_run_on_the_same_output_is_refused(score, tmp_path, capsys, place):
    child, stop = hold(tmp_path / "out", *place)
    try:
        assert score() == 1
        errors = capsys.readouterr().err
        assert f"{tmp_path / 'out' / journal.FOLDER}: another run is at work on this" in errors
        assert Stub.batches == []
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    Journal(tmp_path / "out", {}).remove()  # although a process of its is still there
    os.close(stop)
    assert score() == 0


# ---- several processes --------------------------------------------------------------------------


def test_batches_are_those_of_the_whole_list():
    known = np.array([SCORED] * 4 + [SCORED, UNKNOWN, FAILED, SCORED, SCORED, SCORED, UNKNOWN])
    fresh = np.full(7, UNKNOWN)

    def to_do(known: np.ndarray, size: int, rank: int, count: int) -> list[list[int]]:
        return list(ingestion.batches_to_do(known, size, rank, count))

    assert to_do(fresh, 3, 0, 1) == [[0, 1, 2], [3, 4, 5], [6]]
    assert to_do(fresh, 3, 0, 2) == [[0, 1, 2], [6]]
    assert to_do(fresh, 3, 1, 2) == [[3, 4, 5]]
    assert to_do(fresh, 8, 1, 2) == []
    assert to_do(known, 2, 0, 1) == [[4, 5], [6], [10]]
    assert to_do(known, 2, 0, 2) == [[4, 5]]
    assert to_do(known, 2, 1, 2) == [[6], [10]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def together(run: Callable[[], object], count: int, kill: int | None = None) -> list[int]:
    """The statuses of `count` processes that run as torchrun starts them; one may be to `kill`."""
    port = free_port()
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
            os.environ |= dict(zip(names, map(str, (rank, rank, count)), strict=True))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            status = 99
            try:
                if rank == kill:
                    Stub.examine = die_after(2, Stub.examine)
                status = run() or 0
            finally:
                os._exit(status)
        children.append(child)
    if kill is not None:
        os.waitpid(children[kill], 0)
        for child in children[:kill] + children[kill + 1 :]:  # as torchrun does
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return []
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_several_processes_write_what_one_writes(score, images, tmp_path):
    (images / "5.png").write_bytes(b"no picture")
    assert score(output="whole") == 1
    assert together(score, 2) == [0, 0]  # torchrun would start all anew for another status
    for name in ("predictions.txt", "details.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == whole
    assert not (tmp_path / "out" / journal.FOLDER).exists()


@pytest.mark.parametrize("count", [1, 2])
def test_several_processes_go_on_and_one_goes_on_for_several(score, tmp_path, count):
    together(score, 2, kill=1)
    written = sorted(path.name for path in (tmp_path / "out" / journal.FOLDER).iterdir())
    assert written == ["0_of_2.jsonl", "1_of_2.jsonl"]
    if count == 1:
        assert score() == 0
        assert [2, 3] not in Stub.batches  # process 1 had scored them
    else:
        assert together(score, 2) == [0, 0]
    assert (tmp_path / "out/predictions.txt").read_text() == PREDICTIONS
    assert not (tmp_path / "out" / journal.FOLDER).exists()


@pytest.mark.parametrize(
    ("place", "wanted", "device"),
    [
        ((0, 1, 0), None, None),
        ((5, 8, 1), None, "cuda:1"),
        ((5, 8, 3), "cuda", "cuda:1"),
        ((5, 8, 3), "cuda:0", "cuda:0"),
        ((5, 8, 3), "cpu", "cpu"),
    ],
)
def test_each_process_has_a_gpu(monkeypatch, place, wanted, device):
    """Of two that it sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Processes(*place).device(wanted) == device


def test_each_process_writes_its_share(tmp_path, images):
    photographs = Images(images, sorted(path.name for path in images.iterdir()))
    with Journal(tmp_path, {}, 1, 2) as one, Journal(tmp_path, {}, 0, 2) as other:
        one.add(photographs, {2: "2.png: bad"})
        other.add(photographs, {0: "0.png: bad"})
        assert other.known(photographs).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0]
        with pytest.raises(ValueError, match=r"says nothing of 7 images, such as .*/1\.png"):
            list(other.outcomes(photographs))
