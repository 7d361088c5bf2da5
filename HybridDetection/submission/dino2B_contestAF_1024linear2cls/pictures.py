"""Image files as preprocessed tensors, decoded in worker processes; bad files are reported."""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from decoders import Decoders, Item
from files import ImageError, open_image
from PIL import Image
from torchvision.transforms import Compose

THUMBNAIL_QUALITY = 82  # of JPEG

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    indices: list[int]  # positions of the images in the list of paths
    images: torch.Tensor  # (len(indices), 3, height, width)
    thumbnails: list[bytes]  # a JPEG of each; each empty unless asked for
    failures: dict[int, str]  # position -> why that file is no image


class ButterflyDataset:
    """Preprocessed photographs by position; a file that cannot be read gives its error.

    What libraries warn of, and that no specimen was cut out, is logged with the file's name.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        transform: Compose,
        thumbnail: int = 0,
        smallest_side: int | None = None,  # as open_image has it
    ) -> None:
        self.paths = paths
        self.transform = transform
        self.thumbnail = thumbnail
        self.smallest_side = smallest_side

    def __getitem__(self, index: int) -> Item:
        path = self.paths[index]
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", UserWarning)
                item = self.prepare(open_image(path, self.smallest_side))
        except ImageError as error:
            return str(error)
        except MemoryError:
            return f"{path}: too large to resize in the memory that is left"
        for message in dict.fromkeys(str(warning.message) for warning in warned):
            log.warning("%s: %s", path, message)
        return item

    def prepare(self, image: Image.Image) -> tuple[torch.Tensor, bytes]:
        if not self.thumbnail:
            return self.transform(image), b""
        # All before Resize makes the picture that the network looks at.
        picture, to_tensor, normalise = self.transform.transforms
        *before, resize = picture.transforms
        seen = Compose(before)(image)
        numbers = Compose([resize, to_tensor, normalise])(seen)
        return numbers, jpeg_thumbnail(seen, self.thumbnail)


def jpeg_thumbnail(image: Image.Image, side: int) -> bytes:
    """A JPEG of `image`, whose longer side is `side` pixels or up to half as many more or fewer.

    Means of whole blocks of pixels: a third of the time of a resize, and as good to look at.
    """
    factor = max(1, round(max(image.size) / side))
    buffer = io.BytesIO()
    image.reduce(factor).save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def collate(positions: list[int], items: list[Item]) -> Batch:
    pairs = list(zip(positions, items, strict=True))
    good = [(position, *item) for position, item in pairs if not isinstance(item, str)]
    return Batch(
        indices=[position for position, _, _ in good],
        images=torch.stack([image for _, image, _ in good]) if good else torch.empty(0),
        thumbnails=[thumbnail for _, _, thumbnail in good],
        failures={position: item for position, item in pairs if isinstance(item, str)},
    )


def consecutive(count: int, batch_size: int) -> Iterator[list[int]]:
    """The positions 0 to `count`, `batch_size` at a time."""
    for start in range(0, count, batch_size):
        yield list(range(start, min(start + batch_size, count)))


def load_batches(
    paths: Sequence[Path],
    transform: Compose,
    batch_size: int,
    workers: int,
    batches: Iterable[list[int]] | None = None,
    thumbnail: int = 0,
    smallest_side: int | None = None,
) -> Iterator[Batch]:
    """Images in order, `batch_size` at a time, decoded by `workers` processes (0: here).

    All of `paths`, or those in `batches` of positions, each of `batch_size` at the most. A file
    that kills the process which decodes it is among the failures. With a `thumbnail`, about the
    longer side in pixels, also pictures of what the network looks at. `smallest_side` is
    open_image's.
    """
    if batches is None:
        batches = consecutive(len(paths), batch_size)
    images = ButterflyDataset(paths, transform, thumbnail, smallest_side)
    if workers == 0:
        prepared = ((batch, [images[position] for position in batch]) for batch in batches)
    else:
        prepared = Decoders(images, min(workers, len(paths)), batch_size)(batches)
    for positions, items in prepared:
        yield collate(positions, items)
