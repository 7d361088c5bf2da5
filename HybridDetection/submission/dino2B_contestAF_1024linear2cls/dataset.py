"""Image files as preprocessed tensors, decoded in worker processes; bad files are reported."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from decoders import Decoders, Item
from files import ImageError, open_image
from PIL import Image


@dataclass(frozen=True)
class Batch:
    indices: list[int]  # positions of the images in the list of paths
    images: torch.Tensor  # (len(indices), 3, height, width)
    failures: dict[int, str]  # position -> why that file is no image


class ButterflyDataset:
    """Preprocessed photographs by position; a file that cannot be read gives its error."""

    def __init__(
        self,
        paths: Sequence[Path],
        transform: Callable[[Image.Image], torch.Tensor],
        smallest_side: int | None = None,  # as open_image has it
    ) -> None:
        self.paths = paths
        self.transform = transform
        self.smallest_side = smallest_side

    def __getitem__(self, index: int) -> Item:
        path = self.paths[index]
        try:
            return self.transform(open_image(path, self.smallest_side))
        except ImageError as error:
            return str(error)
        except MemoryError:
            return f"{path}: too large to resize in the memory that is left"


def collate(positions: list[int], items: list[Item]) -> Batch:
    pairs = list(zip(positions, items, strict=True))
    good = [(position, item) for position, item in pairs if torch.is_tensor(item)]
    return Batch(
        indices=[position for position, _ in good],
        images=torch.stack([item for _, item in good]) if good else torch.empty(0),
        failures={position: item for position, item in pairs if isinstance(item, str)},
    )


def consecutive(count: int, batch_size: int) -> Iterator[list[int]]:
    """The positions 0 to `count`, `batch_size` at a time."""
    for start in range(0, count, batch_size):
        yield list(range(start, min(start + batch_size, count)))


def load_batches(
    paths: Sequence[Path],
    transform: Callable[[Image.Image], torch.Tensor],
    batch_size: int,
    workers: int,
    batches: Iterable[list[int]] | None = None,
    smallest_side: int | None = None,
) -> Iterator[Batch]:
    """Images in order, `batch_size` at a time, decoded by `workers` processes (0: here).

    All of `paths`, or those in `batches` of positions, each of `batch_size` at the most. A file
    that kills the process which decodes it is among the failures. `smallest_side` is open_image's.
    """
    if batches is None:
        batches = consecutive(len(paths), batch_size)
    images = ButterflyDataset(paths, transform, smallest_side)
    if workers == 0:
        prepared = ((batch, [images[position] for position in batch]) for batch in batches)
    else:
        prepared = Decoders(images, min(workers, len(paths)), batch_size)(batches)
    for positions, items in prepared:
        yield collate(positions, items)
