"""Features of image files: extracted once by frozen networks, then kept on disk in SQLite."""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from backbones import NETWORKS, PREPROCESS, build_backbone, extract, version
from engine import ENGINES, choose_engine
from journal import transaction
from pictures import freed_memory_kept, load_pictures
from processes import CORES
from torch import nn
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

TABLE = "CREATE TABLE IF NOT EXISTS features (image TEXT PRIMARY KEY, feature BLOB);"


@dataclass(frozen=True)
class Look:
    """What one network looks at."""

    network: str  # a key of NETWORKS
    view: str = PREPROCESS
    # Of pictures of bytes, by names that say all of them: they are looked at so changed, too.
    changes: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(
        default_factory=dict, hash=False
    )


class FeatureCache:
    """Features (feature_size,) float32 by the SHA-256 of the image file."""

    def __init__(self, path: Path, feature_size: int) -> None:
        self.path = path
        self.feature_size = feature_size

    def opened(self) -> AbstractContextManager[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return transaction(self.path, TABLE, "delete this cache of features if it is damaged")

    def known(self) -> set[str]:
        """The images whose features are there."""
        with self.opened() as connection:
            return {image for (image,) in connection.execute("SELECT image FROM features")}

    def put(self, images: Sequence[str], features: np.ndarray) -> None:
        """Add the features (n, feature_size) of n images; those that another run has put stay."""
        rows = [np.ascontiguousarray(row, np.float32).tobytes() for row in features]
        with self.opened() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?)", zip(images, rows, strict=True)
            )

    def read(self, images: Sequence[str | None]) -> np.ndarray:
        """The features (n, feature_size) of n images; NaN for those that are not there."""
        features = np.full((len(images), self.feature_size), np.nan, np.float32)
        question = "SELECT feature FROM features WHERE image = ?"
        with self.opened() as connection:
            for row, image in enumerate(images):
                for (feature,) in connection.execute(question, [image]):
                    features[row] = np.frombuffer(feature, np.float32)
        return features


def open_cache(look: Look, network: nn.Module, engine: str, folder: Path) -> FeatureCache:
    """The cache in `folder` of what the `network` with these weights looks at, by an engine."""
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.cpu().contiguous().numpy())
    definition = " ".join([look.view, str(version(look.view)), weights.hexdigest(), *look.changes])
    definition += f" {engine}" * (engine != "torch")
    key = hashlib.sha256(definition.encode()).hexdigest()[:16]
    size = (1 + len(look.changes)) * NETWORKS[look.network].feature_size
    return FeatureCache(folder / f"{look.network}-{key}.sqlite", size)


def hash_files(paths: Sequence[Path]) -> list[str | None]:
    """The SHA-256 of each file; None where it cannot be read."""

    def hash_file(path: Path) -> str | None:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return None

    bar = {"desc": "known files", "unit": "file", "disable": None}
    return thread_map(hash_file, paths, max_workers=CORES, **bar)


def extract_features(
    paths: Sequence[Path],
    looks: Mapping[Look, np.ndarray | slice],
    device: torch.device,
    batch_size: int,
    workers: int,
    cache_dir: Path,
    engine: str | None = None,
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Of each of the `looks`, the features (m, (1 + changes) * feature_size) float32 of those m of
    n image files that its mask (n,) or slice names; and why some files could not be read.

    Behind the features of a picture are those of it changed. A file that cannot be read has a row
    of NaN and its position in the second result. Each is decoded once for all that look at it.
    What is in the cache is not extracted again; what is extracted is stored batch by batch, so that
    an interrupted run goes on where it stopped. `engine` is choose_engine's.
    """
    engine = choose_engine(engine, device, len(paths))
    rows = {look: np.arange(len(paths))[named] for look, named in looks.items()}
    networks = {name: build_backbone(name, device) for name in {look.network for look in looks}}
    caches = {look: open_cache(look, networks[look.network], engine, cache_dir) for look in looks}
    hashes = hash_files(paths)
    failed: dict[str | None, str] = {None: "the file cannot be read"}  # by image
    lacking: dict[str, list[Look]] = {}  # by image, the looks that are not in their caches
    for look, named in rows.items():
        known = caches[look].known() | failed.keys()
        for image in dict.fromkeys(hashes[row] for row in named):
            if image not in known:
                lacking.setdefault(image, []).append(look)
    file_of = dict(zip(reversed(hashes), reversed(paths), strict=True))  # the first of each
    images = [image for image in dict.fromkeys(hashes) if image in lacking]
    view = "+".join(sorted({look.view for missing in lacking.values() for look in missing}))
    if images:
        networks = {name: ENGINES[engine](network) for name, network in networks.items()}
    waiting: dict[Look, dict[str, torch.Tensor]] = {look: {} for look in looks}

    def extract_waiting(look: Look) -> None:
        names, plain = list(waiting[look]), torch.stack(list(waiting[look].values()))
        waiting[look].clear()
        shown = [plain, *(change(plain) for change in look.changes.values())]
        network = networks[look.network]
        seen = [extract(network, some, look.network, device).cpu() for some in shown]
        caches[look].put(names, torch.cat(seen, dim=1).numpy())

    with tqdm(total=len(images), desc="features", disable=None) as bar, freed_memory_kept():
        files = [file_of[image] for image in images]
        for batch in load_pictures(files, view, batch_size, workers) if files else ():
            failed.update({images[index]: why for index, why in batch.failures.items()})
            for index, picture in zip(batch.indices, batch.pictures, strict=True):
                for look in lacking[images[index]]:
                    waiting[look][images[index]] = picture.clone()  # frees the rest of its batch
                    if len(waiting[look]) == batch_size:
                        extract_waiting(look)
            bar.update(len(batch.indices) + len(batch.failures))
        for look in filter(waiting.get, looks):
            extract_waiting(look)
    failures = {row: failed[image] for row, image in enumerate(hashes) if image in failed}
    read = [caches[look].read([hashes[row] for row in named]) for look, named in rows.items()]
    return read, failures
