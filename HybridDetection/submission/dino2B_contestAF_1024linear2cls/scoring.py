"""What a model says of images: of one batch, or of many files, batch by batch."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from model import Examined, Model
from pictures import load_pictures
from subspecies_member import Parents

# How torch says on a CPU, and on Apple's GPUs, that memory is short; CUDA has an error of its own.
OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")

MEMBERS = ("sgd", "linear", "subspecies")  # in the order in which they are told

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
    batches: Iterable[list[int]],
) -> Iterator[dict[int, Scored | str]]:
    """Batch by batch, what is said of each image by position, or why it has no score.

    As load_pictures: of all, or those in `batches`, decoded by `workers` processes (0: here).
    """
    for batch in load_pictures(
        images, model.preprocess, batch_size, workers, batches, model.smallest_side
    ):
        outcomes: dict[int, Scored | str] = dict(batch.failures)
        said = by_halves(lambda part: outcomes_of(model.examine(part)), batch.pictures)
        for index, outcome in zip(batch.indices, said, strict=True):
            failed = isinstance(outcome, str)
            outcomes[index] = f"{images[index]}: {outcome}" if failed else outcome
        yield outcomes


def by_halves(
    score: Callable[[torch.Tensor], list[T | str]], pictures: torch.Tensor
) -> list[T | str]:
    """What `score` gives for n pictures, one for each.

    Where memory is short for all at once, halves of them are scored, down to a single image.
    """
    if len(pictures) == 0:
        return []
    try:
        return score(pictures)
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not short and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
    # Only here, after the error, is what the attempt had allocated free again.
    if len(pictures) == 1:
        return ["it cannot be scored in the memory that is left"]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(pictures) // 2
    log.warning("memory is short for %d images at once; scoring them by halves", len(pictures))
    return by_halves(score, pictures[:half]) + by_halves(score, pictures[half:])


def outcomes_of(examined: Examined) -> list[Scored | str]:
    """Of each image, or why it has no score."""
    outcomes: list[Scored | str] = []
    for row, score in enumerate(examined.scores.tolist()):
        if np.isfinite(score):
            members = {name: float(some[row]) for name, some in examined.members.items()}
            outcomes.append(Scored(score, members, examined.parents and examined.parents[row]))
        else:
            outcomes.append(f"its score is {score}; check the weights")
    return outcomes
