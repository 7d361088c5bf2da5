"""What a model says of images: of one batch, or of many files, batch by batch."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from model import Examined, Model
from pictures import load_batches
from subspecies_member import Parents

# How torch says on a CPU, and on Apple's GPUs, that memory is short; CUDA has an error of its own.
OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")

MEMBERS = ("sgd", "linear", "subspecies")  # in the order in which they are told

NO_MEMORY = "it cannot be scored in the memory that is left"

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What the model says of one image."""

    score: float
    members: dict[str, float]  # the probability of each that takes part
    parents: Parents | None


def score_images(
    model: Model,
    images: Sequence[Path],
    batch_size: int,
    workers: int,
    batches: Iterable[list[int]] | None = None,
    gallery: Any = None,
) -> Iterator[dict[int, Scored | str]]:
    """Batch by batch, what is said of each image by position, or why it has no score.

    All of `images`, or those in `batches` of positions, each of `batch_size` at the most. They are
    decoded by `workers` processes (0: here). A `gallery` of the report, which examines as the model
    does, takes pictures on the way.
    """
    thumbnail = gallery.thumbnail if gallery else 0
    loaded = load_batches(
        images, model.transform, batch_size, workers, batches, thumbnail, model.smallest_side
    )
    for batch in loaded:
        outcomes: dict[int, Scored | str] = dict(batch.failures)
        if batch.indices:
            said = score_batch(gallery or model, batch.images)
            if gallery:
                seen = [row for row, outcome in enumerate(said) if outcome != NO_MEMORY]
                gallery.keep(
                    [batch.indices[row] for row in seen], [batch.thumbnails[row] for row in seen]
                )
            for index, outcome in zip(batch.indices, said, strict=True):
                failed = isinstance(outcome, str)
                outcomes[index] = f"{images[index]}: {outcome}" if failed else outcome
        yield outcomes


def score_batch(model: Model, images: torch.Tensor) -> list[Scored | str]:
    """What is said of each of n preprocessed images, (n, 3, 224, 224), or why it has no score."""
    return by_halves(lambda part: outcomes_of(model.examine(part)), images)


def by_halves(
    score: Callable[[torch.Tensor], list[T | str]], images: torch.Tensor
) -> list[T | str]:
    """What `score` gives for n images, one for each.

    Where memory is short for all at once, halves of them are scored, down to a single image.
    """
    try:
        return score(images)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Only here, after the error, is what the attempt had allocated free again.
    if len(images) == 1:
        return [NO_MEMORY]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(images) // 2
    log.warning("memory is short for %d images at once; scoring them by halves", len(images))
    return by_halves(score, images[:half]) + by_halves(score, images[half:])


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in OUT_OF_MEMORY
    )


def outcomes_of(examined: Examined) -> list[Scored | str]:
    outcomes: list[Scored | str] = []
    for row, score in enumerate(examined.scores.tolist()):
        if np.isfinite(score):
            members = {name: float(some[row]) for name, some in examined.members.items()}
            outcomes.append(Scored(score, members, examined.parents and examined.parents[row]))
        else:
            outcomes.append(f"its score is {score}; check the weights")
    return outcomes
