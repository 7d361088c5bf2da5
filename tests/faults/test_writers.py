"""Every long program x every fault: what it writes is whole or absent, and it goes on.

    pytest tests/faults/test_writers.py --kills 30

kills each program as often, at random times.
"""

import errno
import io
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from common.files import atomic
from faults.programs import WRITERS, Finished, Programs, Writer
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, and limits")


SLOW = ("train_generator", "train_classifiers")


@dataclass
class Through:
    """A program, what it wrote in one go, and how many seconds it took."""

    writer: Writer
    expected: dict[str, bytes]
    seconds: float
    out: Path  # where all its runs write: some files name it


@pytest.fixture(scope="module")
def through(programs, tmp_path_factory):
    """What each program writes, made once."""
    known: dict[str, Through] = {}

    def run_through(name: str) -> Through:
        if name not in known:
            world = tmp_path_factory.mktemp(name)
            writer = WRITERS[name](world)
            out = world / "out"
            begun = time.monotonic()
            done = programs.run(writer.command(out))
            assert done.status == 0, done.said
            seconds = time.monotonic() - begun
            known[name] = Through(writer, writer.found(out), seconds, out)
            assert known[name].expected
            out.rename(world / "through")
        case = known[name]
        if case.out.exists():
            case.out.rename(case.out.with_name(f"out{time.monotonic_ns()}"))
        return case

    return run_through


def check_whole(name: str, content: bytes) -> None:
    """A file that was found after a kill opens."""
    if name.endswith(".pth"):
        torch.load(io.BytesIO(content), weights_only=True)
    elif name.endswith((".png", ".jpg")):
        Image.open(io.BytesIO(content)).load()
    elif name.endswith(".npz"):
        np.load(io.BytesIO(content))


def end_well(programs: Programs, case: Through) -> Finished:
    """Start the same command again; it ends, and all is as after one run."""
    done = programs.run(case.writer.command(case.out))
    assert done.status == 0, done.said
    found = case.writer.found(case.out)
    assert found.keys() == case.expected.keys()
    assert [name for name in found if found[name] != case.expected[name]] == []
    return done


def part_files(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_program_ends_as_one_that_ran_through(programs, through, request, name):
    kills = request.config.getoption("--kills")
    if not kills and name in SLOW:
        pytest.skip("takes long; --kills 1 kills it, too")
    case = through(name)
    draw = random.Random(name)
    killed, seconds = 0, case.seconds
    for _ in range(5 * (kills or 1)):
        if killed == (kills or 1):
            break
        running = programs.start(case.writer.command(case.out))
        time.sleep(seconds * draw.uniform(0.3, 0.9))
        ended = not running.runs()
        if ended:  # it is quicker than it was the first time
            seconds *= 0.4
        else:
            running.kill()
            killed += 1
        standing = case.writer.found(case.out)
        for file, content in standing.items():
            check_whole(file, content)
        once = {path for pattern in case.writer.once for path in case.out.glob(pattern)}
        once = {path for path in once if path.is_file() and path.name[0] != "."}
        times = {path: path.stat().st_mtime_ns for path in once}
        for path in times:
            assert path.read_bytes() == case.expected[path.relative_to(case.out).as_posix()]
        end_well(programs, case)
        assert {path: path.stat().st_mtime_ns for path in times} == times, "work was redone"
        case = through(name)
    assert killed == (kills or 1)


@pytest.mark.parametrize(
    "name",
    [
        *("prepare_images", "cut_folder", "extract_edges", "train_generator", "paint", "score"),
        pytest.param("train_classifiers", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_named_and_leaves_nothing_half_written(programs, through, name):
    case = through(name)
    room = max(map(len, case.expected.values())) - 1
    if name == "score":  # its output is small beside what it writes down on the way
        room = min(map(len, case.expected.values())) - 1
    done = programs.run(case.writer.command(case.out), room=room)
    assert done.status not in (0, 99), done.said
    assert "large" in done.said or "full" in done.said or "disk I/O" in done.said, done.said
    assert str(case.out) in done.said
    for file, content in case.writer.found(case.out).items():
        check_whole(file, content)
        if name not in ("train_generator", "train_classifiers"):
            assert content == case.expected[file]
    assert part_files(case.out) == []
    end_well(programs, case)


@pytest.mark.parametrize("name", ["prepare_images", "paint", "score"])
def test_a_folder_that_cannot_be_written_is_named(programs, through, name):
    locked = "/proc/sys"  # nothing can be made there, by root neither
    done = programs.run(through(name).writer.command(Path(locked, "out")))
    assert done.status not in (0, 99), done.said
    assert locked in done.said


@pytest.mark.parametrize("name", ["prepare_images", "cut_folder", "extract_edges", "paint"])
def test_two_at_once_make_what_one_does(programs, through, name):
    case = through(name)
    both = [programs.start(case.writer.command(case.out)) for _ in range(2)]
    ends = [running.wait() for running in both]
    assert [end.status for end in ends] == [0, 0], [end.said for end in ends]
    assert case.writer.found(case.out) == case.expected


# Stops at the first image, until a file says go.
STOPPED = """
import os
import PIL.Image, time
real = PIL.Image.open
def open_later(*arguments, **options):
    open({at!r}, "w").close()
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    return real(*arguments, **options)
PIL.Image.open = open_later
"""


@pytest.mark.parametrize("name", ["train_generator", "score"])
def test_a_second_one_at_work_on_the_same_output_is_refused(programs, through, tmp_path, name):
    case = through(name)
    at, go = tmp_path / "at", tmp_path / "go"
    before = STOPPED.format(at=str(at), go=str(go))
    first = programs.start(case.writer.command(case.out), before=before)
    while not at.exists():
        assert first.runs(), first.said()
        time.sleep(0.01)
    second = programs.run(case.writer.command(case.out))
    assert second.status not in (0, 99), second.said
    assert str(case.out) in second.said
    go.touch()
    done = first.wait()
    assert done.status == 0, done.said
    assert case.writer.found(case.out) == case.expected


def test_what_must_outlive_a_power_cut_is_synced_under_its_name(tmp_path, monkeypatch):
    """By the module that test_trees.py holds alike in the three trees."""
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink())
    )
    for durable, expected in ((False, 0), (True, 2)):
        with atomic(tmp_path / "a.txt", durable=durable) as part:
            part.write_text("whole")
        assert len(synced) == expected
    assert synced == [part, tmp_path]
    with pytest.raises(OSError, match="told"), atomic(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise OSError(errno.EIO, "told")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
