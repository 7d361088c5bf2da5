"""Features of image files: extracted once by a frozen backbone, then kept on disk in SQLite."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import cutout
import numpy as np
import torch
from backbones import PREPROCESS, backbone_spec, build_backbone, extract
from pictures import freed_memory_kept, load_pictures
from processes import of_first, torchrun_process
from torch import nn
from tqdm import tqdm

FILES = "files.sqlite"  # in the cache's folder: which image a file holds
# Of the features by what they are of. Raise the first when the way from a picture to them changes,
# in files.py, pictures.py or backbones.py: all of them are then extracted anew.
VERSIONS = {"photograph": 1, "cutout": cutout.VERSION}
SETTLED = 2.0  # seconds since its last change, after which a file's next one has another time

FEATURE_TABLE = "features (image TEXT PRIMARY KEY, feature BLOB)"
FILE_TABLE = "files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, image TEXT)"
Stamp = tuple[int, int, str]  # of a file: bytes, modification time in nanoseconds, SHA-256


@contextmanager
def transaction(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """One transaction of the SQLite file `path`, which has `table`; all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            yield connection
    except sqlite3.Error as error:  # locked by another training, disk full, damaged
        raise OSError(f"{path}: unusable feature cache ({error}); delete it if damaged") from error


class FeatureCache:
    """Features (feature_size,) float32 by the SHA-256 of the image file."""

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.feature_size = feature_size

    def known(self) -> set[str]:
        """The images whose features are there."""
        with transaction(self.path, FEATURE_TABLE) as connection:
            return {image for (image,) in connection.execute("SELECT image FROM features")}

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        """Add the features (n, feature_size) of n images; those that another run has put stay."""
        rows = [np.ascontiguousarray(row, np.float32).tobytes() for row in features]
        with transaction(self.path, FEATURE_TABLE) as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?)", zip(images, rows, strict=True)
            )

    def read(self, images: Sequence[str | None]) -> np.ndarray:
        """The features (n, feature_size) of n images; NaN for those that are not there."""
        features = np.full((len(images), self.feature_size), np.nan, np.float32)
        question = "SELECT feature FROM features WHERE image = ?"
        with transaction(self.path, FEATURE_TABLE) as connection:
            for row, image in enumerate(images):
                for (feature,) in connection.execute(question, [image]):
                    features[row] = np.frombuffer(feature, np.float32)
        return features


def open_cache(
    backbone: str, network: nn.Module, folder: Path, preprocess: str = PREPROCESS
) -> FeatureCache:
    """The cache in `folder` of this backbone, its weights and what it looks at."""
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.cpu().contiguous().numpy())
    definition = f"{preprocess} {VERSIONS[preprocess]} {weights.hexdigest()}"
    key = hashlib.sha256(definition.encode()).hexdigest()[:16]
    return FeatureCache(folder / f"{backbone}-{key}.sqlite", backbone_spec(backbone).feature_size)


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
    with transaction(memory, FILE_TABLE) as connection:
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
    with transaction(memory, FILE_TABLE) as connection:
        connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", learnt)
    return [stamp and stamp[2] for stamp in stamps]


def extract_features(
    paths: Sequence[Path],
    backbone: str,
    device: torch.device,
    batch_size: int,
    workers: int,
    cache_dir: Path,
    preprocess: str = PREPROCESS,
    rehash: bool = False,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Features (n, feature_size) float32 of n image files, and why some could not be read.

    A file that cannot be read has a row of NaN and its position in the second result. What is in
    the cache is not extracted again; what is extracted is stored batch by batch, so that an
    interrupted run goes on where it stopped. After each batch `watch` is told how many of those to
    extract are done. Of several processes each extracts its share, and the first what is left.
    """
    network = build_backbone(backbone, device)
    cache = open_cache(backbone, network, cache_dir, preprocess)
    failed: dict[str | None, str] = {None: "the file cannot be read"}  # by image

    def store(paths: Sequence[Path]) -> tuple[list[str | None], dict[str | None, str]]:
        """Extract what is not in the cache; gives the files' hashes, and those that failed."""
        hashes = hash_files(paths, cache_dir / FILES, rehash)
        known = cache.known() | failed.keys()
        missing: dict[str, Path] = {}  # the first file of each image
        for image, path in zip(hashes, paths, strict=True):
            if image not in known:
                missing.setdefault(image, path)
        images, files, done = list(missing), list(missing.values()), 0
        with tqdm(total=len(images), desc="features", disable=None) as bar, freed_memory_kept():
            for batch in load_pictures(files, preprocess, batch_size, workers):
                if batch.indices:
                    features = extract(network, batch.pictures, backbone, device).cpu().numpy()
                    cache.put([images[index] for index in batch.indices], features)
                failed.update({images[index]: why for index, why in batch.failures.items()})
                seen = len(batch.indices) + len(batch.failures)
                done += seen  # a bar that is not shown does not count
                bar.update(seen)
                watch(done, len(images))
        return hashes, failed

    process, processes = torchrun_process()
    if processes > 1:
        store(paths[process::processes])
    hashes, failed = of_first(store, paths)
    failures = {row: failed[image] for row, image in enumerate(hashes) if image in failed}
    return cache.read(hashes), failures
