"""Features on disk: any number of runs append rows, and a matrix reads those asked for."""

import hashlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from durable import make_folder, naming
from tqdm import tqdm

TOGETHER = 900  # rows or files at a time; old versions of SQLite take 999 names in a question
SETTLED = 2.0  # seconds since its last change, after which a file's next one has another time
CHUNK = 1 << 20  # bytes

log = logging.getLogger("features")


@contextmanager
def transaction(path: Path, writing: bool = True) -> Iterator[sqlite3.Connection]:
    """One transaction of the SQLite file `path`, all of it or nothing; while one writes, no other
    does. OSError where it cannot be used, ValueError where it is damaged.
    """
    try:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:  # locked by another training, disk full, ...
        raise OSError(f"{path}: feature cache cannot be used ({error})") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path}: damaged feature cache ({error}); delete it") from error


def blocks(count: int, size: int) -> list[slice]:
    """`count` rows in blocks of `size`, the last one of what is left."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def find(connection: sqlite3.Connection, question: str, names: Sequence) -> list[tuple]:
    """The answers to `question`, which ends in IN, for `names`."""
    answers = []
    for block in blocks(len(names), TOGETHER):
        marks = ",".join("?" * (block.stop - block.start))
        answers += connection.execute(f"{question} ({marks})", names[block]).fetchall()
    return answers


# ---- which image a file holds -------------------------------------------------------------------


def hash_file(path: Path) -> str | None:
    """The SHA-256 of a file; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def look_at(path: Path) -> tuple[int, int] | None:
    """Size in bytes and modification time in nanoseconds; None where there is no plain file."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return (seen.st_size, seen.st_mtime_ns) if stat.S_ISREG(seen.st_mode) else None


def hash_files(paths: Sequence[Path], memory: Path, rehash: bool = False) -> list[str | None]:
    """The SHA-256 of each file; None where it cannot be read.

    The SQLite file `memory` remembers it by path, size and modification time, so that an unchanged
    file is not read again, unless `rehash` says so. A file that changed within the last SETTLED
    seconds is not remembered: another change might leave its time and size as they are.
    """
    memory.parent.mkdir(parents=True, exist_ok=True)
    with transaction(memory) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS files "
            "(path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, image TEXT)"
        )
    hashes: list[str | None] = []
    bar = tqdm(total=len(paths), desc="known files", unit="file", disable=None)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for block in blocks(len(paths), TOGETHER):
            hashes += hash_block(paths[block], memory, rehash, pool)
            bar.update(block.stop - block.start)
    return hashes


def hash_block(
    paths: Sequence[Path], memory: Path, rehash: bool, pool: ThreadPoolExecutor
) -> list[str | None]:
    """`hash_files` for a few; what is read is remembered when all of them are."""
    names = [os.fsencode(path.absolute()) for path in paths]
    seen = list(pool.map(look_at, paths))
    known: dict[bytes, list] = {}
    if not rehash:
        with transaction(memory, writing=False) as connection:
            question = "SELECT path, size, modified, image FROM files WHERE path IN"
            known = {name: values for name, *values in find(connection, question, names)}
    hashes = [
        image if now == (size, modified) else None
        for now, (size, modified, image) in zip(
            seen, (known.get(name, (None, None, None)) for name in names), strict=True
        )
    ]
    unread = [row for row, now in enumerate(seen) if now is not None and hashes[row] is None]
    settled = time.time_ns() - round(SETTLED * 1e9)
    learnt = []
    images = pool.map(hash_file, [paths[row] for row in unread])
    for row, image in zip(unread, images, strict=True):
        hashes[row] = image
        if image is not None and seen[row][1] <= settled:
            learnt.append((names[row], *seen[row], image))
    if learnt:
        with transaction(memory) as connection:
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", learnt)
    return hashes


# ---- features -----------------------------------------------------------------------------------


class FeatureMatrix:
    """n rows of features, (n, d) float32, that lie on disk: what is asked for is read, none kept.

    `features[rows]` is an array (m, d) for a slice, a mask (n,) or numbers (m,) of rows; `select`
    reads none. An image that cannot be read has a row of NaN.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, feature_size: int, places: np.ndarray) -> None:
        self.path = path
        self.places = places  # (n,) of the rows in the file; -1: an image that cannot be read
        self.shape = (len(places), feature_size)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> np.ndarray:
        places = self.places[rows]
        features = np.full((len(places), self.shape[1]), np.nan, self.dtype)
        there = places >= 0
        if there.any():
            # Mapped anew each time: pages of a map that stays open would add up to all of the file.
            shape = (int(places.max()) + 1, self.shape[1])
            stored = np.memmap(self.path, self.dtype, "r", shape=shape)
            features[there] = stored[places[there]]
        return features

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def select(self, rows: np.ndarray) -> "FeatureMatrix":
        """The matrix of `rows`, a mask or numbers."""
        return FeatureMatrix(self.path, self.shape[1], self.places[rows])


Features = np.ndarray | FeatureMatrix


def select(features: Features, rows: np.ndarray) -> Features:
    """The matrix of `rows`, a mask or numbers; of one on disk none is read."""
    return features.select(rows) if isinstance(features, FeatureMatrix) else features[rows]


class FeatureCache:
    """Features by the SHA-256 of the image file, for any number of runs at once.

    Beside the SQLite file that says which image's row lies where, a file of the same name with the
    suffix .f32 holds the rows one after the other, float32 without a header. `put` appends: rows
    are on disk before the index names them, in a transaction that locks other writers out. So an
    interrupted run leaves, at the worst, rows that no index names, which the next one writes over.
    """

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.rows = path.with_suffix(".f32")
        self.feature_size = feature_size
        make_folder(path.parent)
        with transaction(path) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS places (place INTEGER PRIMARY KEY, image TEXT UNIQUE)"
            )
            self.rows.touch()
            count = self._count(connection)
            if self.rows.stat().st_size < count * self._row_bytes:
                raise ValueError(
                    f"{self.rows}: damaged feature cache, {self.rows.stat().st_size:,} bytes for "
                    f"{count:,} rows of {self._row_bytes:,}; delete it and {path.name}"
                )

    @property
    def _row_bytes(self) -> int:
        return 4 * self.feature_size

    def _count(self, connection: sqlite3.Connection) -> int:
        """How many rows the index knows; they lie from 0 on without gaps."""
        return connection.execute("SELECT COALESCE(MAX(place) + 1, 0) FROM places").fetchone()[0]

    def _append(
        self, connection: sqlite3.Connection, images: Sequence[str], features: np.ndarray
    ) -> None:
        question = "SELECT image FROM places WHERE image IN"
        known = {image for (image,) in find(connection, question, images)}
        new = {image: row for row, image in enumerate(images) if image not in known}
        first = self._count(connection)
        with naming(self.rows), self.rows.open("r+b") as file:
            file.seek(first * self._row_bytes)
            file.write(np.ascontiguousarray(features[list(new.values())], np.float32).data)
            file.flush()
            os.fsync(file.fileno())
        connection.executemany("INSERT INTO places VALUES (?, ?)", enumerate(new, start=first))

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        """Append the features (n, d) of n images; what another run has put stays."""
        with transaction(self.path) as connection:
            self._append(connection, images, features)

    def places(self, images: Sequence[str | None]) -> np.ndarray:
        """Where the rows of n images lie, (n,); -1 where they are not there."""
        asked = list({image for image in images if image is not None})
        with transaction(self.path, writing=False) as connection:
            found = dict(find(connection, "SELECT image, place FROM places WHERE image IN", asked))
        return np.array([found.get(image, -1) for image in images], np.int64)

    def matrix(self, images: Sequence[str | None]) -> FeatureMatrix:
        """The rows of n images, NaN for those that are not there."""
        return FeatureMatrix(self.rows, self.feature_size, self.places(images))
