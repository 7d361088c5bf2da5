"""What the report keeps of each photograph, taken in the pass that scores it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import evidence
import numpy as np
from dataset import Batch, load_batches
from model import Examined, Model, Parents, make_transform

THUMBNAIL = 320  # pixels of the longer side


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
    """Pictures by the position of a photograph in its list."""

    def __init__(self) -> None:
        self.pictures: dict[int, Picture] = {}

    def examine(self, model: Model, batch: Batch) -> Examined:
        """`model.examine` of a batch with thumbnails, whose pictures are kept."""
        examined, maps = evidence.examine(model, batch.images)
        rows = zip(batch.thumbnails, examined.features.astype(np.float16), maps, strict=True)
        self.pictures |= zip(batch.indices, (Picture(*row) for row in rows), strict=True)
        return examined

    def examine_files(
        self, model: Model | None, paths: Sequence[Path], batch_size: int, workers: int
    ) -> Iterator[tuple[Batch, Examined | None]]:
        """Take the pictures of image files; without a model, only their thumbnails."""
        transform = make_transform("dinov2_base") if model is None else model.transform
        for batch in load_batches(paths, transform, batch_size, workers, THUMBNAIL):
            if model is None:
                self.pictures |= zip(batch.indices, map(Picture, batch.thumbnails), strict=True)
                yield batch, None
            else:
                yield batch, self.examine(model, batch) if batch.indices else None
