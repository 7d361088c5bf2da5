"""Features of image files: extracted once by a frozen backbone, then kept on disk."""

import hashlib
import inspect
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cutout
import cv2
import numpy as np
import PIL
import timm
import torch
import torchvision
from backbones import (
    BACKBONES,
    IMAGE_SIZE,
    PREPROCESS,
    backbone_spec,
    build_backbone,
    extract,
    make_picture,
    normalise,
)
from feature_cache import FeatureCache, FeatureMatrix, hash_files
from files import to_rgb
from memory import freed_memory_kept
from pictures import load_pictures
from torch import nn
from tqdm import tqdm

FILES = "files.sqlite"  # in the cache's folder: which image a file holds
LEFT_TOGETHER = 8  # batches of what other processes have left undone, before it is looked at again

log = logging.getLogger("features")


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
    steps, packages = [make_picture, normalise, to_rgb], [PIL, timm, torch, torchvision]
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


def open_cache(backbone: str, network: nn.Module, folder: Path, preprocess: str) -> FeatureCache:
    """The cache of this backbone in `folder`; a line says where none fits that are there."""
    path = folder / cache_name(backbone, network, preprocess)
    others = sorted(other.name for other in folder.glob(f"{backbone}-*.sqlite"))
    if others and path.name not in others:
        log.info(
            "%s: no features of these weights, package versions and preprocessing (%s) yet; they "
            "are extracted, and those in %s stay as they are",
            *(path, preprocess, ", ".join(others)),
        )
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


def torchrun_process() -> tuple[int, int]:
    """The number of this process among those that torchrun started, and how many they are."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def torchrun_device(wanted: str | None) -> str | None:
    """The device `wanted`, None for the best; of several GPUs, that of this process of torchrun."""
    own = os.environ.get("LOCAL_RANK")
    if own and (wanted == "cuda" or (wanted is None and torch.cuda.is_available())):
        return f"cuda:{own}"
    return wanted


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
) -> tuple[FeatureMatrix, dict[int, str]]:
    """Features (n, feature_size) float32 of n image files, and why some could not be read.

    With the `preprocess` "cutout" they are those of the specimens alone. A file that cannot be
    read has a row of NaN and its position in the second result. What is in the cache is not
    extracted again; what is extracted is stored batch by batch, so that an interrupted run goes on
    where it stopped. Files that the cache remembers are not even read, unless `rehash` says so.
    After each batch `watch` is told how many of those to extract are done.

    Of several processes that torchrun started, each extracts its share, then what others have left
    undone, from the end; the cache brings all of them the same result.
    """
    network = frozen_backbone(backbone, device)
    cache = open_cache(backbone, network, cache_dir, preprocess)
    failed: dict[str | None, str] = {None: "the file cannot be read"}

    def store(missing: dict[str, Path]) -> None:
        """Store the features of image files by their hash."""
        images = list(missing)
        bar = tqdm(total=len(images), desc="features", unit="image", disable=None)
        done = 0  # a bar that is not shown does not count
        with bar, freed_memory_kept():
            for batch in load_pictures(list(missing.values()), preprocess, batch_size, workers):
                hashes = [images[index] for index in batch.indices]
                new = cache.places(hashes) < 0  # another run may have been quicker
                if new.any():
                    features = extract(network, batch.pictures, backbone, device)
                    cache.put(hashes, features.cpu().numpy())
                for index, message in batch.failures.items():
                    failed[images[index]] = message
                done += len(batch.indices) + len(batch.failures)
                bar.update(len(batch.indices) + len(batch.failures))
                watch(done, len(images))

    def missing(hashes: list[str | None], paths: Sequence[Path]) -> dict[str, Path]:
        """The first file of each image that is neither in the cache nor known to be unreadable."""
        first: dict[str, Path] = {}
        for position in np.flatnonzero(cache.places(hashes) < 0).tolist():
            if hashes[position] not in failed:
                first.setdefault(hashes[position], paths[position])
        return first

    process, processes = torchrun_process()
    if processes > 1:
        share = paths[process::processes]
        store(missing(hash_files(share, cache_dir / FILES, rehash), share))
    hashes = hash_files(paths, cache_dir / FILES, rehash)
    while rest := list(missing(hashes, paths).items()):
        store(dict(rest if processes == 1 else rest[-LEFT_TOGETHER * batch_size :]))
    failures = {i: failed[image] for i, image in enumerate(hashes) if image in failed}
    return cache.matrix(hashes), failures
