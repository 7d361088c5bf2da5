"""Features of image files: extracted once by a frozen backbone, then kept on disk in SQLite."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import torch
from backbones import PREPROCESS, backbone_spec, build_backbone, extract, version
from pictures import freed_memory_kept, load_pictures
from torch import nn
from tqdm import tqdm

Change = Callable[[torch.Tensor], torch.Tensor]  # of pictures of bytes


class FeatureCache:
    """Features (feature_size,) float32 by the SHA-256 of the image file."""

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.feature_size = feature_size

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the SQLite file; all of it or nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        table = "features (image TEXT PRIMARY KEY, feature BLOB)"
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
                yield connection
        except sqlite3.Error as error:  # locked by another training, disk full, damaged
            remedy = "delete it if damaged"
            raise OSError(f"{self.path}: unusable feature cache ({error}); {remedy}") from error

    def known(self) -> set[str]:
        """The images whose features are there."""
        with self.transaction() as connection:
            return {image for (image,) in connection.execute("SELECT image FROM features")}

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        """Add the features (n, feature_size) of n images; those that another run has put stay."""
        rows = [np.ascontiguousarray(row, np.float32).tobytes() for row in features]
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?)", zip(images, rows, strict=True)
            )

    def read(self, images: Sequence[str | None]) -> np.ndarray:
        """The features (n, feature_size) of n images; NaN for those that are not there."""
        features = np.full((len(images), self.feature_size), np.nan, np.float32)
        question = "SELECT feature FROM features WHERE image = ?"
        with self.transaction() as connection:
            for row, image in enumerate(images):
                for (feature,) in connection.execute(question, [image]):
                    features[row] = np.frombuffer(feature, np.float32)
        return features


def open_cache(
    backbone: str,
    network: nn.Module,
    folder: Path,
    view: str = PREPROCESS,
    changes: Sequence[str] = (),
) -> FeatureCache:
    """The cache in `folder` of this backbone, its weights and what it looks at, also changed."""
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.cpu().contiguous().numpy())
    definition = " ".join([view, str(version(view)), weights.hexdigest(), *changes])
    key = hashlib.sha256(definition.encode()).hexdigest()[:16]
    size = (1 + len(changes)) * backbone_spec(backbone).feature_size
    return FeatureCache(folder / f"{backbone}-{key}.sqlite", size)


def hash_files(paths: Sequence[Path]) -> list[str | None]:
    """The SHA-256 of each file; None where it cannot be read."""

    def hash_file(path: Path) -> str | None:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(hash_file, paths)
        return list(tqdm(work, "known files", len(paths), unit="file", disable=None))


def extract_features(
    paths: Sequence[Path],
    backbone: str,
    device: torch.device,
    batch_size: int,
    workers: int,
    cache_dir: Path,
    view: str = PREPROCESS,
    changes: Mapping[str, Change] | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Features (n, feature_size) float32 of n image files, and why some could not be read.

    With `changes`, by names that say all of them, (n, (1 + changes) * feature_size): those of the
    pictures, then those of the pictures changed.

    A file that cannot be read has a row of NaN and its position in the second result. What is in
    the cache is not extracted again; what is extracted is stored batch by batch, so that an
    interrupted run goes on where it stopped.
    """
    network = build_backbone(backbone, device)
    changes = changes or {}
    cache = open_cache(backbone, network, cache_dir, view, list(changes))
    hashes = hash_files(paths)
    failed: dict[str | None, str] = {None: "the file cannot be read"}  # by image
    known = cache.known() | failed.keys()
    missing: dict[str, Path] = {}  # the first file of each image
    for image, path in zip(hashes, paths, strict=True):
        if image not in known:
            missing.setdefault(image, path)
    images, files = list(missing), list(missing.values())
    with tqdm(total=len(images), desc="features", disable=None) as bar, freed_memory_kept():
        for batch in load_pictures(files, view, batch_size, workers):
            if batch.indices:
                seen = [batch.pictures, *(change(batch.pictures) for change in changes.values())]
                features = [extract(network, some, backbone, device).cpu() for some in seen]
                cache.put([images[i] for i in batch.indices], torch.cat(features, dim=1).numpy())
            failed.update({images[index]: why for index, why in batch.failures.items()})
            bar.update(len(batch.indices) + len(batch.failures))
    failures = {row: failed[image] for row, image in enumerate(hashes) if image in failed}
    return cache.read(hashes), failures
