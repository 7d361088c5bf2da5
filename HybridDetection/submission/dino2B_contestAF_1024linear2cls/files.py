"""Files on disk: images from outside, names from a list, outputs that are whole or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model import to_rgb
from PIL import Image

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 100_000_000  # a photo of 100 megapixels takes 300 MB once decoded


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says why."""


def open_image(path: Path, smallest_side: int | None = None) -> Image.Image:
    """RGB image in `path`, fully decoded. Raises ImageError for anything else."""
    return read_image(path, path, smallest_side)


def read_image(source: Path | BinaryIO, name: object, side: int | None = None) -> Image.Image:
    """RGB image in the file `source`, fully decoded; `name` stands in the error's message."""
    try:
        # Opening a pipe would wait for ever.
        if isinstance(source, Path) and source.exists() and not source.is_file():
            raise ImageError("a folder, a pipe or a device")
        with Image.open(source, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or image.mode == "F":
                raise ImageError(f"{image.mode} {image.size}: over {MAX_PIXELS:,} pixels or floats")
            if side is not None:  # a JPEG may come at 1/2 to 1/8, with no side below this one
                image.draft(None, (side, side))
            return to_rgb(image)
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        raise ImageError(f"{name}: not a readable image ({str(error) or repr(error)})") from error


def sync(path: Path) -> None:
    """Have what the file `path` holds, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inside(folder: Path, name: str) -> Path:
    """`folder / name`; ValueError for a name that would leave the folder."""
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ValueError(f"{name!r} leaves the folder {folder}")
    return folder / name


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved onto it when the block succeeds, else removed."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
