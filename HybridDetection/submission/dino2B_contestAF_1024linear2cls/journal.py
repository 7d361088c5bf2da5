"""What has been scored so far, on disk beside the output, so that a killed run goes on.

OUTPUT_DIR/predictions.journal/ holds a database for each process of a run: a row an image, with its
score or why it has none, written in a transaction a batch. That of the first process says what the
scores depend on, too. When the output is in place the folder is removed.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from listing import Images
from scoring import Scored
from subspecies_member import Parents

FOLDER = "predictions.journal"
UNKNOWN, FAILED, SCORED = range(3)  # what is known of an image
TABLES = """
CREATE TABLE IF NOT EXISTS settings (json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS said (
    name TEXT PRIMARY KEY, time INTEGER NOT NULL, stamp TEXT, outcome TEXT NOT NULL
) WITHOUT ROWID;
"""


class Journal:
    """This process adds to its own database; the first one reads those of all."""

    def __init__(self, output_dir: Path, rank: int = 0) -> None:
        self.folder = output_dir / FOLDER
        self.own = self.folder / f"{rank}.sqlite"
        self.lock = FileLock(self.folder / "lock", timeout=1)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def begin(self, settings: Mapping[str, Any], images: Images) -> np.ndarray:
        """Take the output for this run; what is known (n,) of the images: UNKNOWN, FAILED, SCORED.

        `settings`, as JSON knows them, are what the scores depend on. Raises ValueError where
        another run is at work on this output, or one with other settings has not ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"{self.folder}: another run is at work on this output; wait until it ends, or "
                "choose another OUTPUT_DIR"
            ) from error
        with self.opened(self.own) as database:
            found = database.execute("SELECT json FROM settings").fetchone()
            if found is None:
                database.execute("INSERT INTO settings VALUES (?)", [json.dumps(settings)])
        before = settings if found is None else json.loads(found[0])
        for name, now in settings.items():
            if before.get(name) != now:
                raise ValueError(
                    f"{self.folder} is of a run that has not ended, with the {name} "
                    f"{before.get(name)}; now it is {now}. Start it as it was and it goes on, or "
                    "remove that folder to begin anew"
                )
        known = np.full(len(images), UNKNOWN, np.uint8)
        for index, row in enumerate(self.said(images)):
            if row and row[1] is None:
                known[index] = FAILED
            elif row and row[1] == stamp(images[index]):  # else the file has changed since
                known[index] = SCORED
        return known

    def opened(self, path: Path) -> AbstractContextManager[sqlite3.Connection]:
        remedy = f"start the same command again, or remove {self.folder} to begin anew"
        return transaction(path, TABLES, remedy)

    def add(self, images: Images, outcomes: Mapping[int, Scored | str]) -> None:
        """Write down what is said of some images, by position; on disk when this returns."""
        rows = []
        for index, outcome in outcomes.items():
            scored = isinstance(outcome, Scored)
            said = json.dumps(asdict(outcome) if scored else outcome)
            stamped = stamp(images[index]) if scored else None
            rows.append((images.names[index], time.time_ns(), stamped, said))
        with self.opened(self.own) as database:
            database.executemany("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)", rows)

    def said(self, images: Images) -> Iterator[tuple[int, str | None, str] | None]:
        """Time, stamp and outcome of each image, in order; None where no database has it.

        The latest counts: which process an image is for changes with their number.
        """
        rows = (self.rows(path, images) for path in self.folder.glob("*.sqlite"))
        for found in zip(*rows, strict=True):
            yield max(filter(None, found), key=itemgetter(0), default=None)

    def rows(self, path: Path, images: Images) -> Iterator[tuple[int, str | None, str] | None]:
        """What `said` gives, of one database."""
        question = "SELECT time, stamp, outcome FROM said WHERE name = ?"
        with self.opened(path) as database:
            database.execute("BEGIN")  # a transaction for each takes five times as long
            for name in images.names:
                yield database.execute(question, [name]).fetchone()

    def outcomes(self, images: Images) -> Iterator[tuple[str, Scored | str]]:
        """Name and outcome of each image, in order; ValueError where one has none."""
        said = zip(images.names, self.said(images), strict=True)
        for name, row in said:
            if row is None:
                number = 1 + sum(other is None for _, other in said)
                nothing = f"{self.folder}: says nothing of {number} images (first: {name})"
                raise ValueError(f"{nothing}: start the same command again")
            outcome = json.loads(row[2])
            if not isinstance(outcome, str):
                parents = outcome["parents"] and Parents(**outcome["parents"])
                outcome = Scored(outcome["score"], outcome["members"], parents)
            yield name, outcome

    def remove(self) -> None:
        """The run has ended."""
        shutil.rmtree(self.folder)


@contextmanager
def transaction(path: Path, tables: str, remedy: str) -> Iterator[sqlite3.Connection]:
    """One of the database `path`, with its `tables`: all of it is done, or nothing.

    ValueError, with the `remedy`, where it is damaged or the disk is full.
    """
    try:
        with closing(sqlite3.connect(path, timeout=60)) as database, database:
            database.executescript(tables)
            yield database
    except sqlite3.Error as error:
        raise ValueError(f"{path}: {error}; {remedy}") from error


def stamp(path: Path) -> str:
    """Size and time of the last change; empty where the file is gone."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_ctime_ns}"
