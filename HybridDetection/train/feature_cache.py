"""Features on disk by the content of the image, in SQLite, for any number of runs at once."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

FEATURES = "features (image TEXT PRIMARY KEY, feature BLOB)"
FILES = "files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, image TEXT)"
SETTLED = 2.0  # seconds since its last change, after which a file's next one has another time

Stamp = tuple[int, int, str]  # of a file: bytes, modification time in nanoseconds, SHA-256


@contextmanager
def transaction(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """One transaction of the SQLite file `path`, which has `table`; all of it or nothing.

    OSError where the file cannot be used, ValueError where it is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            yield connection
    except sqlite3.OperationalError as error:  # locked by another training, disk full, ...
        raise OSError(f"{path}: feature cache cannot be used ({error})") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path}: damaged feature cache ({error}); delete it") from error


class FeatureCache:
    """Features (feature_size,) float32 by the SHA-256 of the image file."""

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.feature_size = feature_size

    def known(self) -> set[str]:
        """The images whose features are there."""
        with transaction(self.path, FEATURES) as connection:
            return {image for (image,) in connection.execute("SELECT image FROM features")}

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        """Add the features (n, feature_size) of n images; those that another run has put stay."""
        rows = [np.ascontiguousarray(row, np.float32).tobytes() for row in features]
        with transaction(self.path, FEATURES) as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?)", zip(images, rows, strict=True)
            )

    def read(self, images: Sequence[str | None]) -> np.ndarray:
        """The features (n, feature_size) of n images; NaN for those that are not there."""
        features = np.full((len(images), self.feature_size), np.nan, np.float32)
        question = "SELECT feature FROM features WHERE image = ?"
        with transaction(self.path, FEATURES) as connection:
            for row, image in enumerate(images):
                for (feature,) in connection.execute(question, [image]):
                    features[row] = np.frombuffer(feature, np.float32)
        return features


def hash_file(path: Path, known: Stamp | None) -> Stamp | None:
    """The stamp of a file, `known` where size and time are as before; None if it is unreadable."""
    try:
        seen = path.stat()
        if known is not None and (seen.st_size, seen.st_mtime_ns) == known[:2]:
            return known
        content = path.read_bytes()
    except OSError:
        return None
    return seen.st_size, seen.st_mtime_ns, hashlib.sha256(content).hexdigest()


def hash_files(paths: Sequence[Path], memory: Path, rehash: bool = False) -> list[str | None]:
    """The SHA-256 of each file; None where it cannot be read.

    The SQLite file `memory` remembers it by path, size and modification time, so that an unchanged
    file is not read again, unless `rehash` says so. A file that changed within the last SETTLED
    seconds is not remembered: another change might leave its time and size as they are.
    """
    names = [os.fsencode(path.absolute()) for path in paths]
    with transaction(memory, FILES) as connection:
        files = connection.execute("SELECT * FROM files").fetchall()
    known = {} if rehash else {name: tuple(stamp) for name, *stamp in files}
    settled = time.time_ns() - round(SETTLED * 1e9)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(hash_file, paths, map(known.get, names))
        stamps = list(tqdm(work, "known files", len(names), unit="file", disable=None))
    learnt = [
        (name, *stamp)
        for name, stamp in zip(names, stamps, strict=True)
        if stamp is not None and stamp != known.get(name) and stamp[1] <= settled
    ]
    with transaction(memory, FILES) as connection:
        connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", learnt)
    return [stamp and stamp[2] for stamp in stamps]
