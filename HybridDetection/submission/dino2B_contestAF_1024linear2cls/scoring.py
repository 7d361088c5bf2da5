"""What a model says of images: of one batch, or of many files, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from model import Examined, Model
from pictures import load_pictures
from subspecies_member import Parents

# How torch says on a CPU, and on GPUs, that memory is short.
OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")


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
        images, model.view, batch_size, workers, batches, model.smallest_side
    ):
        outcomes: dict[int, Scored | str] = dict(batch.failures)
        with enough_memory(batch_size):
            said = outcomes_of(model.examine(batch.pictures)) if batch.indices else []
        for index, outcome in zip(batch.indices, said, strict=True):
            failed = isinstance(outcome, str)
            outcomes[index] = f"{images[index]}: {outcome}" if failed else outcome
        yield outcomes


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Within the block, memory that is short for a batch is a ValueError that says what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
            raise ValueError(
                f"memory is short for {batch_size} images at once; say a smaller --batch_size"
            ) from error
        raise


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
