"""Image files as preprocessed tensors, decoded in worker processes; bad files are reported."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from files import ImageError, open_image
from PIL import Image
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class Batch:
    indices: list[int]  # positions of the images in the list of paths
    images: torch.Tensor  # (len(indices), 3, height, width)
    failures: dict[int, str]  # position -> why that file is no image


class ButterflyDataset(Dataset):
    """Preprocessed photographs by position; a file that cannot be read gives its error."""

    def __init__(
        self, paths: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor | str]:
        path = self.paths[index]
        try:
            return index, self.transform(open_image(path))
        except ImageError as error:
            return index, str(error)
        except MemoryError:
            return index, f"{path}: too large to resize in the memory that is left"


def collate(items: list[tuple[int, torch.Tensor | str]]) -> Batch:
    good = [(index, item) for index, item in items if torch.is_tensor(item)]
    return Batch(
        indices=[index for index, _ in good],
        images=torch.stack([item for _, item in good]) if good else torch.empty(0),
        failures={index: item for index, item in items if isinstance(item, str)},
    )


def work_alone(_worker: int) -> None:
    """Keep OpenCV, where cutouts brought it, to one core: the workers share them already.

    0 means no threads of its own. A 1 would wait for ever in a process that was forked while
    OpenCV had threads: it ends them first, and they were left behind.
    """
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)


def load_batches(
    paths: Sequence[Path],
    transform: Callable[[Image.Image], torch.Tensor],
    batch_size: int,
    workers: int,
) -> Iterator[Batch]:
    """All of `paths` in order, `batch_size` at a time, decoded by `workers` processes (0: here)."""
    loader = DataLoader(
        ButterflyDataset(paths, transform),
        batch_size=batch_size,
        num_workers=min(workers, len(paths)),
        collate_fn=collate,
        worker_init_fn=work_alone,
    )
    yield from loader
