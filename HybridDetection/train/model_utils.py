"""Features of image files: extracted once by a frozen backbone, then kept on disk."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from backbones import (
    BACKBONES,
    PREPROCESS,
    backbone_spec,
    build_backbone,
    extract,
)
from feature_cache import FeatureCache, hash_files
from pictures import freed_memory_kept, load_pictures
from processes import of_first, torchrun_process
from torch import nn
from tqdm import tqdm

FILES = "files.sqlite"  # in the cache's folder: which image a file holds
# Of the features by what they are of. Raise one when the way from a picture to them changes, in
# files.py, cutout.py, pictures.py or backbones.py: all of them are then extracted anew.
VERSIONS = {"photograph": 1, "cutout": 1}

log = logging.getLogger("features")


def hash_weights(network: nn.Module) -> str:
    """A digest of every tensor of `network`, whatever file it came from."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.hexdigest()


def open_cache(
    backbone: str, network: nn.Module, folder: Path, preprocess: str = PREPROCESS
) -> FeatureCache:
    """The cache in `folder` of this backbone, its weights and what it looks at; a line says where
    there is none yet, but others.
    """
    definition = f"{preprocess} {VERSIONS[preprocess]} {hash_weights(network)}"
    key = hashlib.sha256(definition.encode()).hexdigest()[:16]
    path = folder / f"{backbone}-{key}.sqlite"
    if not path.exists() and any(folder.glob(f"{backbone}-*.sqlite")):
        log.info("%s: no features of these weights and of a %s yet", path, preprocess)
    return FeatureCache(path, backbone_spec(backbone).feature_size)


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
    rehash: bool = False,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Features (n, feature_size) float32 of n image files, and why some could not be read.

    With the `preprocess` "cutout" they are those of the specimens alone. A file that cannot be
    read has a row of NaN and its position in the second result. What is in the cache is not
    extracted again; what is extracted is stored batch by batch, so that an interrupted run goes on
    where it stopped. Files that the cache remembers are not even read, unless `rehash` says so.
    After each batch `watch` is told how many of those to extract are done.

    Of several processes each extracts its share, and the first what is left.
    """
    network = frozen_backbone(backbone, device)
    cache = open_cache(backbone, network, cache_dir, preprocess)
    failed: dict[str | None, str] = {None: "the file cannot be read"}

    def store(paths: Sequence[Path]) -> tuple[list[str | None], dict[str | None, str]]:
        """Extract what is not in the cache; gives the files' hashes, and those that failed."""
        hashes = hash_files(paths, cache_dir / FILES, rehash)
        known = cache.known() | failed.keys()
        missing: dict[str, Path] = {}  # the first file of each image
        for image, path in zip(hashes, paths, strict=True):
            if image not in known:
                missing.setdefault(image, path)
        images, files = list(missing), list(missing.values())
        bar = tqdm(total=len(images), desc="features", unit="image", disable=None)
        done = 0  # a bar that is not shown does not count
        with bar, freed_memory_kept():
            for batch in load_pictures(files, preprocess, batch_size, workers):
                if batch.indices:
                    features = extract(network, batch.pictures, backbone, device).cpu().numpy()
                    cache.put([images[index] for index in batch.indices], features)
                failed.update({images[index]: why for index, why in batch.failures.items()})
                seen = len(batch.indices) + len(batch.failures)
                done += seen
                bar.update(seen)
                watch(done, len(images))
        return hashes, failed

    process, processes = torchrun_process()
    if processes > 1:
        store(paths[process::processes])
    hashes, failed = of_first(store, paths)
    failures = {row: failed[image] for row, image in enumerate(hashes) if image in failed}
    return cache.read(hashes), failures
