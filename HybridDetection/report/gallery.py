"""What the report keeps of each photograph, taken in the pass that scores it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import evidence
import numpy as np
import torch
from model import Examined, Model
from scoring import score_images
from subspecies_member import Parents

THUMBNAIL = 320  # pixels, about, of the longer side
BATCH_SIZE = 32  # of photographs that are looked at again


@dataclass(frozen=True)
class Picture:
    """A photograph as the network sees it; without a model, the thumbnail alone."""

    thumbnail: bytes  # JPEG
    feature: np.ndarray | None = None  # (feature_size,) float16
    evidence: np.ndarray | None = None  # (h, w) float16: what each patch adds to the log-odds


@dataclass(frozen=True)
class Photograph:
    """A row of the report."""

    name: str  # as in predictions.txt
    path: Path
    score: float
    members: dict[str, float]  # the probability of each that took part
    parents: Parents | None
    picture: Picture


class Gallery:
    """Pictures by the position of a photograph in its list; examines as `model` does.

    Without a model it keeps thumbnails alone.
    """

    thumbnail = THUMBNAIL

    def __init__(self, model: Model | None) -> None:
        self.model = model
        self.pictures: dict[int, Picture] = {}
        self.examined: list[tuple[np.ndarray, np.ndarray]] = []  # of a batch that is not kept yet

    def examine(self, images: torch.Tensor) -> Examined:
        """`model.examine` of n preprocessed images, the next of a batch."""
        examined, maps = evidence.examine(self.model, images)
        self.examined += zip(examined.features.astype(np.float16), maps, strict=True)
        return examined

    def keep(self, positions: Sequence[int], thumbnails: Sequence[bytes]) -> None:
        """The thumbnails of a batch, whose images have been examined if there is a model."""
        rest = self.examined if self.model else [(None, None)] * len(positions)
        for position, thumbnail, row in zip(positions, thumbnails, rest, strict=True):
            self.pictures[position] = Picture(thumbnail, *row)
        self.examined = []

    def complete(self, images: Sequence[Path], positions: Sequence[int], workers: int) -> None:
        """Take the pictures that are missing: a run that goes on has examined the rest alone."""
        missing = [position for position in positions if position not in self.pictures]
        batches = [missing[i : i + BATCH_SIZE] for i in range(0, len(missing), BATCH_SIZE)]
        for _ in score_images(self.model, images, BATCH_SIZE, workers, batches, self):
            pass  # keeps what it examines
