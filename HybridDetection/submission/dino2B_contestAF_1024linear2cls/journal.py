"""What has been scored so far, on disk beside the output, so that a killed run goes on.

OUTPUT_DIR/predictions.journal/ holds a file for each process of a run. The first line says what the
scores depend on. Every other is an image: its score, or why it has none; the latest word counts.
Lines are written whole batches at a time and synced, and a torn one is no line. When the output
is in place the folder is removed. For Linux and macOS, whose fcntl it uses.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from durable import make_folder, naming
from files import sync
from listing import Images
from scoring import Scored
from subspecies_member import Parents

FOLDER = "predictions.journal"
# What Python raises for lines that are none of ours.
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
UNKNOWN, FAILED, SCORED = range(3)  # what is known of an image
PLACE = np.dtype(
    [("known", np.uint8), ("file", np.uint16), ("offset", np.uint64), ("time", np.uint64)]
)


class Journal:
    """The files of all processes; this one appends to its own, and holds it alone.

    `settings`, as JSON knows them, are what the scores depend on. Raises ValueError where another
    run is at work on this output, or one with other settings has not ended.
    """

    def __init__(
        self, output_dir: Path, settings: Mapping[str, Any], rank: int = 0, count: int = 1
    ) -> None:
        self.folder = output_dir / FOLDER
        self.made = [place for place in (self.folder, output_dir) if not place.exists()]
        self.settings = json.loads(json.dumps(settings))
        self.latest = 0  # time of what any process has written, as far as this one knows
        self.own = self.folder / f"{rank}_of_{count}.jsonl"
        self.siblings = f"*_of_{count}.jsonl"
        make_folder(self.folder)
        self.file = take(self.own)
        try:
            self.refuse_other_runs()
            self.refuse_other_settings()
            self.cut_torn_line()
            sync(self.folder)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with naming(self.own):  # what could not be written is tried again
            self.file.close()

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*_of_*.jsonl"))

    def refuse_other_runs(self) -> None:
        """Of another number of processes; one of the same number holds our file."""
        for path in self.paths():
            if not path.match(self.siblings):
                with suppress(FileNotFoundError), path.open("rb") as file:
                    lock(path, file, fcntl.LOCK_SH)  # several processes may look at once

    def cut_torn_line(self) -> None:
        """Remove what a killed process had not written to the end; begin an empty file."""
        end = sum(len(line) for line in whole_lines(self.file))
        self.file.truncate(end)
        if end == 0:
            self.write([{"settings": self.settings}])

    def refuse_other_settings(self) -> None:
        for path in self.paths():
            _, head = next(self.lines(path), (0, {"settings": self.settings}))
            if head.get("settings") != self.settings:
                raise ValueError(self.difference(head.get("settings")))

    def difference(self, theirs: object) -> str:
        theirs = theirs if isinstance(theirs, dict) else {}
        names = [name for name in self.settings if theirs.get(name) != self.settings[name]]
        first = names[0] if names else "settings"
        return (
            f"{self.folder} is of a run that has not ended, with the {first} {theirs.get(first)}; "
            f"now it is {self.settings.get(first)}. Start it as it was and it goes on, or remove "
            "that folder to begin anew"
        )

    @contextmanager
    def opened(self, path: Path) -> Iterator[BinaryIO]:
        """A file to read; our own as it is, since closing a second handle would free its lock."""
        if path == self.own:
            yield self.file
        else:
            with path.open("rb") as file:
                yield file

    def lines(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Offset and content of each whole line of a file; ValueError for a damaged one."""
        offset = 0
        with self.opened(path) as file:
            for number, text in enumerate(whole_lines(file), start=1):
                try:
                    line = json.loads(text)
                    if not isinstance(line, dict):
                        raise TypeError("no object")
                    if number > 1:
                        check_line(line)
                except DAMAGE as error:
                    raise ValueError(
                        f"{path}, line {number}: damaged ({error!r}); remove {self.folder} to "
                        "begin anew"
                    ) from error
                yield offset, line
                offset += len(text)

    def add(self, images: Images, outcomes: Mapping[int, Scored | str]) -> None:
        """Write down what is said of some images, by position; on disk when this returns."""
        self.latest = max(time.time_ns(), self.latest + 1)  # clocks are set, and differ
        now = {"time": self.latest}
        self.write([now | line_of(images, index, outcome) for index, outcome in outcomes.items()])

    def write(self, lines: list[dict[str, Any]]) -> None:
        self.file.seek(0, os.SEEK_END)
        with naming(self.own):
            self.file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            self.file.flush()
            os.fsync(self.file.fileno())

    def places(self, images: Images) -> np.ndarray:
        """(n,) of PLACE: what is known of each image, and which line of which file says so.

        The latest does. Which process an image is for changes with the list and the batch size.
        """
        places = np.zeros(len(images), PLACE)
        for number, path in enumerate(self.paths()):
            for offset, line in self.lines(path):
                self.latest = max(self.latest, line.get("time", 0))
                index = images.position(line["name"]) if "name" in line else None
                if index is not None and line["time"] >= places[index]["time"]:
                    known = FAILED if "error" in line else SCORED
                    places[index] = known, number, offset, line["time"]
        return places

    def known(self, images: Images) -> np.ndarray:
        """(n,) UNKNOWN, FAILED or SCORED; a file that has changed since is UNKNOWN."""
        places = self.places(images)
        for index, line in self.said(places):
            if places[index]["known"] == SCORED and line.get("file") != stamp(images[index]):
                places[index]["known"] = UNKNOWN
        return places["known"]

    def outcomes(self, images: Images) -> Iterator[tuple[str, Scored | str]]:
        """Name and outcome of each image, in order; ValueError where one has none."""
        places = self.places(images)
        missing = np.flatnonzero(places["known"] == UNKNOWN)
        if len(missing):
            raise ValueError(
                f"{self.folder} says nothing of {len(missing)} images, such as "
                f"{images[missing[0]]}: start the same command again"
            )
        for index, line in self.said(places):
            yield images.names[index], outcome_of(line)

    def said(self, places: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        """Position and line of each image of which something is known, in order."""
        with ExitStack() as stack:
            files = [stack.enter_context(self.opened(path)) for path in self.paths()]
            for index in np.flatnonzero(places["known"]).tolist():
                _, number, offset, _ = places[index].tolist()
                files[number].seek(offset)
                yield index, json.loads(files[number].readline())

    def remove(self) -> None:
        """The run has ended: remove all files, and what folders it made and left empty."""
        for path in self.paths():
            path.unlink()
        for folder in [self.folder, *self.made]:
            with suppress(OSError):  # the output is in it
                folder.rmdir()


def line_of(images: Images, index: int, outcome: Scored | str) -> dict[str, Any]:
    name = images.names[index]
    if isinstance(outcome, str):
        return {"name": name, "error": outcome}
    line = {"name": name, "file": stamp(images[index]), "score": outcome.score}
    parents = outcome.parents and astuple(outcome.parents)
    return line | {"members": outcome.members, "parents": parents}


def check_line(line: dict[str, Any]) -> None:
    """One of DAMAGE unless the line is of an image."""
    if not isinstance(line["name"], str):
        raise TypeError("no name")
    if type(line["time"]) is not int or not 0 <= line["time"] < 2**63:
        raise ValueError(f"time {line['time']}")
    outcome_of(line)


def outcome_of(line: dict[str, Any]) -> Scored | str:
    """What `line_of` wrote; one of DAMAGE where a part is missing or of another kind."""
    if "error" in line:
        return str(line["error"])
    parents = line["parents"]
    if parents is not None:
        first, second, share, certainty = parents
        parents = Parents(str(first), str(second), float(share), float(certainty))
    members = {name: float(probability) for name, probability in line["members"].items()}
    return Scored(float(line["score"]), members, parents)


def stamp(path: Path) -> list[int] | None:
    """Size and time of the last change; None where the file is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_ctime_ns]


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    for line in file:
        if line.endswith(b"\n"):
            yield line


def take(path: Path) -> BinaryIO:
    """The file, made where there is none, locked until it is closed or the process has ended."""
    while True:
        file = path.open("a+b")
        try:
            lock(path, file, fcntl.LOCK_EX)
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:  # the run that had it ended and removed it meanwhile
            make_folder(path.parent)
        except BaseException:
            file.close()
            raise
        file.close()


def lock(path: Path, file: BinaryIO, kind: int) -> None:
    """Lock the file, for itself (LOCK_EX) or with others that look (LOCK_SH).

    ValueError where another process has it for itself. Children do not hold their parent's lock.
    """
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ValueError(
            f"{path.parent}: another run is at work on this output; wait until it ends, stop it, "
            "or choose another OUTPUT_DIR"
        ) from error
