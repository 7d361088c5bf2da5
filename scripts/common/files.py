"""Files on disk: images from outside, names from a list, outputs that are whole or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 100_000_000  # a photo of 100 megapixels takes 300 MB once decoded


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says why."""


def open_image(path: Path) -> Image.Image:
    """RGB image in `path`, decoded, transparency on white; raises ImageError for anything else."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ImageError("a folder, a pipe or a device")
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or image.mode == "F":
                raise ImageError(f"{image.mode} {image.size}: over {MAX_PIXELS:,} pixels or floats")
            if image.mode.startswith("I"):  # Pillow clips 16-bit values where it converts them
                grey = np.asarray(image, np.int32).clip(0, 65535)
                image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        raise ImageError(f"{path}: not a readable image ({str(error) or repr(error)})") from error


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
