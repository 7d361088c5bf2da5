"""Datasets over lists, and the order in which training visits them.

Everything random about a sample is a function of the seed, the epoch and the sample's place in
it. Nothing is kept between calls, so a resumed training sees what an uninterrupted one sees.
"""

import argparse
import functools
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from util.images import read_square
from util.results import RESULT_SIZE

from data.augmentation import Augmentation, random_augmentation, training_sample
from data.lists import Pair
from data.own_photo import ground_of
from data.warp import GENTLE_SHIFT, SHIFT
from data.wings import aligned

Sample = dict[str, torch.Tensor]
Key = tuple[int, tuple[int, int, int]]  # index in the list; seed, epoch, place in the epoch


class TrainingPairs(Dataset):
    """Augmented training samples: `edges`, `reference`, `target`, each uint8 (S, S, 3)."""

    def __init__(
        self,
        pairs: list[Pair],
        size: int,
        augment: Callable[[np.random.Generator, int], Augmentation],  # draws for images of a size
    ):
        self.pairs, self.size, self.augment = pairs, size, augment

    def __getitem__(self, key: Key) -> Sample:
        index, seed = key
        pair = self.pairs[index]
        edges, photo = read_square(pair.edges, self.size), read_square(pair.target, self.size)
        augmentation = self.augment(np.random.default_rng(seed), self.size)
        images = training_sample(edges, photo, augmentation)
        names = ("edges", "reference", "target")
        return {name: torch.from_numpy(image) for name, image in zip(names, images, strict=True)}


def training_pairs(pairs: list[Pair], opt: argparse.Namespace) -> TrainingPairs:
    """The samples that the options of train.py ask for."""
    augment = functools.partial(
        random_augmentation,
        flips=not opt.no_flip,
        windows=opt.block_aug,
        warps=opt.tps_percent if opt.tps_aug else 0.0,
        shift=GENTLE_SHIFT if opt.gentle else SHIFT,
    )
    return TrainingPairs(pairs, opt.loadSize, augment)


class PaintingPairs(Dataset):
    """Samples to paint: `edges`, `reference`, each uint8 (S, S, 3), and the pair's `place`.

    `align` lays the reference's wings on those of the structure's own photo. `inherit` adds that
    `photo` and `full_photo`, of the size of a result; `keep_ground` the latter and its `ground`,
    bool.
    """

    def __init__(self, pairs: list[Pair], size: int, align=False, inherit=False, keep_ground=False):
        self.pairs, self.size = pairs, size
        self.align, self.inherit, self.keep_ground = align, inherit, keep_ground

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> Sample:
        pair = self.pairs[place]
        files = {"edges": pair.edges, "reference": pair.reference}
        images = {name: read_square(path, self.size) for name, path in files.items()}
        if self.align or self.inherit:
            photo = read_square(pair.target, self.size)
        if self.align:
            images["reference"] = aligned(images["reference"], photo)
        if self.inherit:
            images["photo"] = photo
        if self.inherit or self.keep_ground:
            images["full_photo"] = read_square(pair.target, RESULT_SIZE)
        if self.keep_ground:
            images["ground"] = ground_of(images["full_photo"])
        sample = {name: torch.from_numpy(image) for name, image in images.items()}
        return sample | {"place": torch.tensor(place)}


def training_order(
    count: int,  # pairs in the list
    batch_size: int,  # over all processes
    seed: int,
    start: int,  # training steps that are already done
    end: int,  # training steps in all
    rank: int = 0,
    world: int = 1,
    shuffled: bool = True,
) -> Iterator[list[Key]]:
    """Batches of keys from step `start` to step `end`, one process's share of each.

    An epoch visits every pair once, `shuffled` in a random order; its last batch is filled up with
    pairs of the same epoch, augmented differently.
    """
    steps = steps_per_epoch(count, batch_size)
    for number in range(start, end):
        epoch, step = divmod(number, steps)
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(count) if shuffled else range(count)
        places = range(step * batch_size, (step + 1) * batch_size)
        yield [(int(order[place % count]), (seed, epoch, place)) for place in places[rank::world]]


def steps_per_epoch(count: int, batch_size: int) -> int:
    return -(-count // batch_size)


def batches_of(count: int, size: int, wanted: set[int]) -> list[list[int]]:
    """Those batches of the places 0 to count - 1, `size` in each, that hold a wanted one.

    They are the same whoever shares the work and whatever was done before: the sums of a batch of
    one differ in their last bits from those of a larger one.
    """
    batches = (range(start, min(start + size, count)) for start in range(0, count, size))
    return [list(batch) for batch in batches if not wanted.isdisjoint(batch)]


def loader(
    dataset: Dataset,
    batches: Iterable[list[Any]],  # keys of the samples in each batch
    workers: int,
    device: torch.device,
) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        worker_init_fn=start_worker,
        pin_memory=device.type == "cuda",  # copied to a GPU beside the computing
    )


def start_worker(_: int) -> None:
    """One thread a worker, deaf to the signals that tell the main process to save and stop."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
