"""Images between file, network and eye."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from util.device import layout
from util.errors import refuse_special
from util.files import ImageError, open_image


def png_texts(path: Path) -> dict[str, str]:
    """What the PNG in `path` says of itself. Raises InputError for a folder, a pipe or a device,
    and ImageError for what is no PNG."""
    refuse_special(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info
    except Exception as error:  # Pillow's plugins raise many types on hostile bytes
        raise ImageError(f"{path}: not a readable PNG ({error}); move it away") from error


def read_square(path: Path, size: int) -> np.ndarray:
    """The image in `path` resized to size x size as published, by Pillow's bicubic; uint8 RGB.
    Its proportions are not kept."""
    image = open_image(path).resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image)  # a copy: Pillow's own memory is read-only


def to_network(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [-1, 1]."""
    images = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=layout(device)).float() / 127.5 - 1


def as_pixels(tensor: torch.Tensor) -> torch.Tensor:
    """(..., C, H, W) in [-1, 1] -> uint8 (..., H, W, C), rounded down as published: half a grey
    level more would tell our paintings from those of the published programs."""
    image = tensor.detach().float().add(1).mul(127.5).clamp(0, 255)
    return image.to(torch.uint8).movedim(-3, -1)
