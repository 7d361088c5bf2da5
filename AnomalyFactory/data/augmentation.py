"""From a photo and its edge map to a training sample: the published task, which needs no labels.

The generator must rebuild the photo (target) from its edge map and from the same photo warped
otherwise (reference): structure can come only from the edges, colour only from the reference.
What is drawn by chance and what is done with it are two steps, so that each can be checked.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from data.warp import SHIFT, Warp, random_warp, warped

WHITE = (255, 255, 255)  # an edge map without edges
MARGIN = (10, 30)  # pixels that are added on each side of an image of PUBLISHED_SIZE
PUBLISHED_SIZE = 256
WINDOW = (0.80, 0.95)  # width and height of what is left visible, as parts of the side


@dataclass(frozen=True)
class Augmentation:
    """What befalls one sample; lengths in pixels."""

    margins: tuple[int, int, int, int] | None  # top, bottom, left, right
    flip: str | None  # "lr" or "tb": left-right or top-bottom
    window: tuple[int, int, int, int] | None  # left, top, width, height; all else turns black
    structure_warp: Warp | None  # of edge map and target
    reference_warp: Warp | None


def random_augmentation(
    random: np.random.Generator,
    size: int,  # side of the images
    flips: bool = True,
    windows: bool = True,
    warps: float = 1.0,  # the chance of each of the two
    shift: float = SHIFT,  # of their points
) -> Augmentation:
    """The published draw: margins, a flip and a window, each with chance 1/2, and two warps."""
    margins = flip = window = None
    if random.random() < 0.5:
        low, high = (round(margin * size / PUBLISHED_SIZE) for margin in MARGIN)
        margins = tuple(random.integers(low, high, 4, endpoint=True).tolist())
    if flips and random.random() < 0.5:
        flip = "lr" if random.random() < 0.5 else "tb"
    if windows and random.random() < 0.5:
        sides = np.round(size * random.uniform(*WINDOW, 2)).astype(int)
        place = random.integers(0, size - sides, endpoint=True)
        window = (*place.tolist(), *sides.tolist())
    structure_warp, reference_warp = (
        random_warp(random, size, shift) if random.random() < warps else None for _ in range(2)
    )
    return Augmentation(margins, flip, window, structure_warp, reference_warp)


def training_sample(
    edges: np.ndarray,  # uint8 (S, S, 3), dark lines on white
    photo: np.ndarray,  # uint8 (S, S, 3), what `edges` was made from
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Augmented (edges, reference, target), each uint8 (S, S, 3)."""

    def placed(image: np.ndarray, border: int) -> np.ndarray:
        if augmentation.margins:
            image = with_margins(image, augmentation.margins, border)
        if augmentation.flip:
            image = cv2.flip(image, 1 if augmentation.flip == "lr" else 0)
        return blackened(image, augmentation.window) if augmentation.window else image

    def moved(image: np.ndarray, warp: Warp | None) -> np.ndarray:
        return warped(image, warp) if warp else image

    edges, photo = placed(edges, cv2.BORDER_CONSTANT), placed(photo, cv2.BORDER_REFLECT)
    return (
        moved(edges, augmentation.structure_warp),
        moved(photo, augmentation.reference_warp),
        moved(photo, augmentation.structure_warp),
    )


def with_margins(image: np.ndarray, margins: tuple[int, int, int, int], border: int) -> np.ndarray:
    """`image` with `margins` (top, bottom, left, right) added, resized back to its size; `border`
    is OpenCV's BORDER_REFLECT, or BORDER_CONSTANT for white."""
    size = image.shape[1::-1]
    wider = cv2.copyMakeBorder(image, *margins, border, value=WHITE)
    return cv2.resize(wider, size, interpolation=cv2.INTER_CUBIC)


def blackened(image: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """`image`, black outside `window` (left, top, width, height)."""
    left, top, width, height = window
    inside = np.s_[top : top + height, left : left + width]
    result = np.zeros_like(image)
    result[inside] = image[inside]
    return result
