"""Files on disk: images from outside, names from a list, outputs that are whole or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from spelling import but_there

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
MAX_PIXELS = 100_000_000  # a photo of 100 megapixels takes 300 MB once decoded


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says why."""


def open_image(
    source: Path | BinaryIO, smallest_side: int | None = None, name: object = None
) -> Image.Image:
    """RGB image in a file, of a JPEG perhaps at a half to an eighth, not below `smallest_side`
    pixels. Raises ImageError, which names it, for anything else."""
    try:
        if isinstance(source, Path) and source.exists() and not source.is_file():  # a pipe waits
            raise ImageError("a folder, a pipe or a device")
        with Image.open(source, formats=("JPEG", "PNG", "TIFF", "BMP", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS or image.mode == "F":
                raise ImageError(f"{image.mode} {image.size}: over {MAX_PIXELS:,} pixels or floats")
            if smallest_side is not None:
                image.draft(None, (smallest_side, smallest_side))
            return to_rgb(image)
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        missing = isinstance(error, FileNotFoundError)
        reason = f"no such file{but_there(Path(source))}" if missing else str(error) or repr(error)
        raise ImageError(f"{name or source}: not a readable image ({reason})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB: 16-bit greys scaled to 8 bits, transparency laid on white;
    ValueError for floats, whose white nobody knows."""
    if image.mode == "F":
        raise ValueError("an image of floats; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow clips 16-bit values where it converts them itself
        grey = np.asarray(image, np.int32).clip(0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def inside(folder: Path, name: str) -> Path:
    """`folder / name`; ValueError for a name that would leave the folder."""
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ValueError(f"{name!r} leaves the folder {folder}")
    return folder / name


@contextmanager
def atomic(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`, moved onto it when the block succeeds, else removed;
    `durable`: once there, it outlives a power cut."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:  # that of a full disk names no file
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have what the file `path` holds, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
