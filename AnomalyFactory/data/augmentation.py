"""From one photo and its edge map to a training sample: the task that needs no labels.

The generator must rebuild the photo (target) from its edge map and from the same photo warped
otherwise (reference): structure can come only from the edges, colour only from the reference.
"""

import cv2
import numpy as np

from data.warp import SHIFT, random_warp, warp

SHRINK = (0.7, 1.0)  # the reflect-border resize leaves this part of the side
BLOCK_ALONG = (0.1, 0.5)  # the black block's length along the border, as a part of the side
BLOCK_DEPTH = (0.05, 0.25)  # and how far it reaches into the image
WHITE = (255, 255, 255)  # an edge map without edges
ERASED = (1, 3)  # rectangles that are erased from an edge map, where any are
ERASED_SIDE = (0.15, 0.5)  # the sides of each, as parts of the side
HUES = 180  # OpenCV counts hues from 0 to 179
HUE_BEND = (30, 15)  # the most by which hues shift differently, over one and two turns


def training_sample(
    edges: np.ndarray,  # the target's edge map, uint8 (S, S, 3), dark lines on white
    reference: np.ndarray,  # the photo that gives the colours, uint8 (S, S, 3)
    target: np.ndarray,  # the photo to arrive at, uint8 (S, S, 3)
    random: np.random.Generator,
    recolour: float = 0.0,  # the chance of other colours, the same for reference and target
    shift: float = SHIFT,  # of the warps
    erase: float = 0.0,  # the chance that parts of the edge map are erased
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Augmented (edges, reference, target).

    Shared by all three: flips, the reflect-border resize (half the time), and a black block
    against a border. The edge map and the target share one warp; the reference has another.

    `recolour` is not in the published code. On few photos a generator learns which colours go
    with which structure and stops looking at the reference; where colours are drawn by chance,
    only the reference can tell them. Nor is `erase`, Random Erasing (Zhong et al. 2020) of edges:
    where they are gone, the pattern is to be found in the reference too, and a generator that
    learned so paints patterns that the structure does not have.
    """
    size = target.shape[0]
    same = reference is target
    if recolour and random.random() < recolour:
        hues, saturation = random_hues(random), random.uniform(0.5, 1.5)
        target = with_hues(target, hues, saturation)
        reference = target if same else with_hues(reference, hues, saturation)
    flip = random.integers(4)
    resize = random_resize(random, size) if random.random() < 0.5 else None
    structure_map = random_warp(random, size, size, shift)
    reference_map = random_warp(random, size, size, shift)
    block = random_block(random, size)

    def place(image: np.ndarray, border: int) -> np.ndarray:
        image = image[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]
        if resize is None:
            return np.ascontiguousarray(image)
        inner, top, left = resize
        bottom, right = size - inner - top, size - inner - left
        image = cv2.resize(image, (inner, inner), interpolation=cv2.INTER_LINEAR)
        return cv2.copyMakeBorder(image, top, bottom, left, right, border, value=WHITE)

    placed_target = place(target, cv2.BORDER_REFLECT_101)
    placed_reference = placed_target if same else place(reference, cv2.BORDER_REFLECT_101)
    sample = (
        warp(place(edges, cv2.BORDER_CONSTANT), structure_map),
        warp(placed_reference, reference_map),
        warp(placed_target, structure_map),
    )
    if erase and random.random() < erase:
        for _ in range(random.integers(*ERASED, endpoint=True)):
            sample[0][random_rectangle(random, size)] = WHITE
    for image in sample:
        image[block] = 0
    return sample


def random_hues(random: np.random.Generator) -> np.ndarray:
    """What each hue becomes, uint8 (180,): a smooth map, so that like colours stay alike."""
    hue = np.arange(HUES)
    shift = np.full(HUES, random.uniform(0, HUES))
    for turns, most in enumerate(HUE_BEND, start=1):
        phase, bend = random.uniform(0, 2 * np.pi), random.uniform(0, most)
        shift += bend * np.sin(2 * np.pi * turns * hue / HUES + phase)
    return ((hue + shift).round() % HUES).astype(np.uint8)


def with_hues(image: np.ndarray, hues: np.ndarray, saturation: float) -> np.ndarray:
    """`image` (h, w, 3) with other hues and its saturation multiplied; its brightness stays."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = hues[hsv[..., 0]]
    hsv[..., 1] = cv2.multiply(hsv[..., 1], saturation)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def random_resize(random: np.random.Generator, size: int) -> tuple[int, int, int]:
    """Side, top and left of a smaller square somewhere in the image."""
    inner = round(size * random.uniform(*SHRINK))
    top, left = random.integers(0, size - inner, 2, endpoint=True)
    return inner, int(top), int(left)


def random_rectangle(random: np.random.Generator, size: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle somewhere in the image."""
    sides = np.round(size * random.uniform(*ERASED_SIDE, 2)).astype(int)
    top, left = random.integers(0, size - sides, endpoint=True)
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def random_block(random: np.random.Generator, size: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle that lies against one of the four borders."""
    length = round(size * random.uniform(*BLOCK_ALONG))
    depth = round(size * random.uniform(*BLOCK_DEPTH))
    start = int(random.integers(0, size - length, endpoint=True))
    side = random.integers(4)
    along = slice(start, start + length)
    across = slice(0, depth) if side & 1 else slice(size - depth, size)
    return (along, across) if side & 2 else (across, along)
