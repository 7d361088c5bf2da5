"""Image files as preprocessed tensors, decoded in worker processes; bad files are reported."""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from files import ImageError, open_image
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose

THUMBNAIL_QUALITY = 82  # of JPEG


@dataclass(frozen=True)
class Batch:
    indices: list[int]  # positions of the images in the list of paths
    images: torch.Tensor  # (len(indices), 3, height, width)
    thumbnails: list[bytes]  # a JPEG of each; empty unless asked for
    failures: dict[int, str]  # position -> why that file is no image


# What a file gives: the preprocessed image and its thumbnail, empty unless asked for; or an error.
Item = tuple[torch.Tensor, bytes] | str


class ButterflyDataset(Dataset):
    """Preprocessed photographs by position; a file that cannot be read gives its error."""

    def __init__(self, paths: Sequence[Path], transform: Compose, thumbnail: int = 0) -> None:
        self.paths = paths
        self.transform = transform
        self.thumbnail = thumbnail

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Item]:
        path = self.paths[index]
        try:
            return index, self.prepare(open_image(path))
        except ImageError as error:
            return index, str(error)
        except MemoryError:
            return index, f"{path}: too large to resize in the memory that is left"

    def prepare(self, image: Image.Image) -> tuple[torch.Tensor, bytes]:
        if not self.thumbnail:
            return self.transform(image), b""
        # All before Resize, ToTensor and Normalize makes the picture that the network looks at.
        *before, resize, to_tensor, normalise = self.transform.transforms
        seen = Compose(before)(image)
        numbers = Compose([resize, to_tensor, normalise])(seen)
        return numbers, jpeg_thumbnail(seen, self.thumbnail)


def jpeg_thumbnail(image: Image.Image, side: int) -> bytes:
    """A JPEG of `image`, whose longer side is `side` pixels at the most."""
    scale = min(1, side / max(image.size))
    size = tuple(max(1, round(length * scale)) for length in image.size)
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def collate(items: list[tuple[int, Item]]) -> Batch:
    good = [(index, *item) for index, item in items if not isinstance(item, str)]
    thumbnails = [thumbnail for _, _, thumbnail in good if thumbnail]
    return Batch(
        indices=[index for index, _, _ in good],
        images=torch.stack([image for _, image, _ in good]) if good else torch.empty(0),
        thumbnails=thumbnails,
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
    transform: Compose,
    batch_size: int,
    workers: int,
    thumbnail: int = 0,
) -> Iterator[Batch]:
    """All of `paths` in order, `batch_size` at a time, decoded by `workers` processes (0: here).

    With a `thumbnail`, its longer side in pixels, also pictures of what the network looks at.
    """
    loader = DataLoader(
        ButterflyDataset(paths, transform, thumbnail),
        batch_size=batch_size,
        num_workers=min(workers, len(paths)),
        collate_fn=collate,
        worker_init_fn=work_alone,
    )
    yield from loader
