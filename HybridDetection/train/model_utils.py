"""Features of image files: extracted once by a frozen backbone, then kept on disk."""

import hashlib
import inspect
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import PIL
import timm
import torch
import torchvision
from submission import (
    BACKBONES,
    IMAGE_SIZE,
    PREPROCESS,
    backbone_spec,
    build_backbone,
    cutout,
    load_batches,
    make_transform,
    to_rgb,
)
from torch import nn
from tqdm import tqdm


def hash_file(path: Path) -> str | None:
    """The SHA-256 of a file; None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def hash_weights(network: nn.Module) -> str:
    """A digest of every tensor of `network`, whatever file it came from."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.hexdigest()


def cache_name(backbone: str, network: nn.Module, preprocess: str = PREPROCESS) -> str:
    """File name of the cache: its own for other weights, preprocessing, pooling or versions."""
    spec = backbone_spec(backbone)
    steps, packages = [make_transform, to_rgb], [PIL, timm, torch, torchvision]
    if preprocess == "cutout":
        steps.append(cutout)
        packages.append(cv2)
    definition = (
        hash_weights(network),
        inspect.getsource(type(network)),  # how the tokens are pooled to features
        (IMAGE_SIZE, spec.mean, spec.std),
        [inspect.getsource(step) for step in steps],
        [package.__version__ for package in packages],
    )
    key = hashlib.sha256(repr(definition).encode()).hexdigest()
    return f"{backbone}-{key[:16]}.sqlite"


class FeatureCache:
    """Features by the SHA-256 of the image file, in one SQLite file; each `put` is durable."""

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.feature_size = feature_size
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS features (image TEXT PRIMARY KEY, feature BLOB)"
            )

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.OperationalError as error:  # locked by another training, disk full, ...
            raise OSError(f"{self.path}: feature cache cannot be used ({error})") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path}: damaged feature cache ({error}); delete it") from error

    def get_all(self) -> dict[str, np.ndarray]:
        """Every stored feature vector, (feature_size,) float32, by the hash of its image."""
        with self._connect() as connection:
            rows = connection.execute("SELECT image, feature FROM features").fetchall()
        features = {image: np.frombuffer(blob, np.float32) for image, blob in rows}
        if any(feature.shape != (self.feature_size,) for feature in features.values()):
            raise ValueError(f"{self.path}: damaged feature cache; delete it")
        return features

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        rows = [(image, row.tobytes()) for image, row in zip(images, features, strict=True)]
        with self._connect() as connection:
            connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)


def frozen_backbone(name: str, device: torch.device) -> nn.Module:
    """build_backbone; where its weights are missing, the error also names those that are there."""
    try:
        return build_backbone(name, device)
    except FileNotFoundError as error:
        ready = [other for other, spec in BACKBONES.items() if other != name and spec.package()]
        if not ready:
            raise
        options = " or ".join(f"--backbone {other}" for other in ready)
        raise FileNotFoundError(f"{error} Without a download: {options}.") from error


def extract_features(
    paths: Sequence[Path],
    backbone: str,
    device: torch.device,
    batch_size: int,
    workers: int,
    cache_dir: Path,
    preprocess: str = PREPROCESS,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Features (n, feature_size) float32 of n image files, and why some could not be read.

    With the `preprocess` "cutout" they are those of the specimens alone. A file that cannot be
    read has a row of NaN and its position in the second result. What is in the cache is not
    extracted again; what is extracted is stored batch by batch, so that an interrupted run goes on
    where it stopped. After each batch `watch` is told how many of those to extract are done.
    """
    network = frozen_backbone(backbone, device)
    feature_size = backbone_spec(backbone).feature_size
    cache = FeatureCache(cache_dir / cache_name(backbone, network, preprocess), feature_size)
    stored = cache.get_all()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = list(pool.map(hash_file, paths))

    first = {image: i for i, image in reversed(list(enumerate(hashes))) if image is not None}
    positions = sorted(position for image, position in first.items() if image not in stored)
    missing = [paths[position] for position in positions]
    failed: dict[str | None, str] = {None: "the file cannot be read"}
    transform = make_transform(backbone, preprocess)
    with tqdm(total=len(missing), desc="features", unit="image", disable=None) as bar:
        for batch in load_batches(missing, transform, batch_size, workers):
            if batch.indices:
                with torch.inference_mode():
                    features = network(batch.images.to(device)).float().cpu().numpy()
                images = [hashes[positions[index]] for index in batch.indices]
                cache.put(images, features)
                stored |= zip(images, features, strict=True)
            for index, message in batch.failures.items():
                failed[hashes[positions[index]]] = message
            bar.update(len(batch.indices) + len(batch.failures))
            watch(bar.n, len(missing))

    unreadable = np.full(feature_size, np.nan, np.float32)
    table = np.stack([stored.get(image, unreadable) for image in hashes])
    failures = {i: failed[image] for i, image in enumerate(hashes) if image in failed}
    return table, failures
