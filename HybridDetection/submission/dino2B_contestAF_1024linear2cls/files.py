"""Files on disk: images from outside, names from a list, outputs that are whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 100_000_000  # a photo of 100 megapixels takes 300 MB once decoded


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says why."""


def open_image(path: Path) -> Image.Image:
    """Image in `path`, of any mode, fully decoded. Raises ImageError for anything else."""
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{image.width}x{image.height} is over {MAX_PIXELS:,} pixels")
            image.load()
            return image
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: not a readable image ({reason})") from error


def inside(folder: Path, name: str) -> Path:
    """`folder / name`; ValueError for a name that would leave the folder."""
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ValueError(f"{name!r} leaves the folder {folder}")
    return folder / name


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved onto it when the block succeeds, else removed."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
