"""Images between file, network and eye."""

from pathlib import Path

import cv2
import numpy as np
import torch

from util.files import open_image


def read_square(path: Path, size: int) -> np.ndarray:
    """The image in `path` resized to size x size, uint8 RGB; its proportions are not kept."""
    image = np.array(open_image(path))  # a copy: Pillow's own memory is read-only
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=interpolation)


def to_network(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [-1, 1]."""
    images = images.to(device, non_blocking=True)
    return images.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_pixels(tensor: torch.Tensor) -> np.ndarray:
    """(..., C, H, W) in [-1, 1] -> uint8 (..., H, W, C)."""
    image = tensor.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return image.to(torch.uint8).movedim(-3, -1).cpu().numpy()
