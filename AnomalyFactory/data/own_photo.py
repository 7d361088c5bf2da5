"""What painting takes from the structure's own photograph, beyond the published: --inherit, which
paints between the two parents, and --keep_ground, which leaves the ground of a cutout alone."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from util.images import as_pixels, to_network

# Measured on drawn cutouts, resized and saved as JPEG of quality 95: of the ground
# three pixels and more from the specimen, 99.9 % is within 8 levels of its flat colour.
GROUND_NOISE = 8  # levels of 255 by which ground differs from its colour, in any channel


@torch.inference_mode()
def inherited(
    paint: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    edges: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
    reference: torch.Tensor,  # uint8 (N, S, S, 3)
    photo: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
    full_photo: torch.Tensor,  # the same photo, uint8 (N, T, T, 3)
    share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Results (N, 3, T, T) in [-1, 1], and masks (N, 3, S, S); `paint` is a Painter's.

    A result is the structure's photo and `share` of what the reference changes: the painting with
    the reference less that with the structure's own photo, an image analogy (Hertzmann et al. 2001)
    in its plainest form. The generator's blur and traces cancel out.
    """
    with_reference, mask = paint(edges, reference)
    with_photo, _ = paint(edges, photo)
    whole = to_network(full_photo, mask.device)
    change = as_large_as(whole, with_reference - with_photo)
    return (whole + share * change).clamp(-1, 1), mask


def as_large_as(whole: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`image` (N, 3, S, S) in float32, resized to the size of `whole` where that is another."""
    if image.shape == whole.shape:
        return image.float()
    return F.interpolate(image.float(), whole.shape[2:], mode="bicubic", antialias=True)


def ground_of(photo: np.ndarray) -> np.ndarray:
    """Where the flat ground around the specimen of a cutout is, bool (T, T); `photo` is uint8.

    That is all of the colour of the corners that hangs together with the border, as a pale spot
    within a wing does not.
    """
    colour = np.median(photo[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float), axis=0)
    alike = (np.abs(photo - colour) <= GROUND_NOISE).all(axis=2)
    # Not over corners of pixels: a vein drawn aslant shuts a spot in.
    _, pieces = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return alike & np.isin(pieces, border)


def with_ground_kept(
    result: torch.Tensor,  # (N, 3, S, S) in [-1, 1]
    full_photo: torch.Tensor,  # of the structure, uint8 (N, T, T, 3)
    ground: torch.Tensor,  # of that photo, bool (N, T, T)
) -> torch.Tensor:
    """The result, uint8 (N, T, T, 3), with the structure's photo wherever `ground` is."""
    pixels = as_pixels(as_large_as(full_photo.movedim(-1, 1), result)).cpu()
    return torch.where(ground[..., None], full_photo, pixels)
