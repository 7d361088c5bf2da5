"""What the published system does not do: training on few photos in little time, and painting what
such a training can paint. Each part is an option of its own; the default of each is published."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data.augmentation import WHITE, Augmentation, training_sample
from data.warp import SHIFT, Warp

HUES = 180  # OpenCV counts hues from 0 to 179
HUE_BEND = (30, 15)  # the most by which hues shift differently, over one and two turns
SATURATION = (0.5, 1.5)
ERASED = (1, 3)  # rectangles that are erased from an edge map, where any are
ERASED_SIDE = (0.15, 0.5)  # the sides of each, as parts of the side


@dataclass(frozen=True)
class FewPhotos:
    """Training samples that ask for more than the published ones.

    On few photos a generator learns which colours go with which structure and stops looking at
    the reference; where colours are drawn by chance, only the reference can tell them. Random
    Erasing (Zhong et al. 2020) of edges does the same for patterns: where they are gone, they are
    to be found in the reference.
    """

    recolour: float = 0.0  # chance that the photo gets other colours
    erase: float = 0.0  # chance that parts of the edge map are erased
    warp: float = SHIFT  # the most a point of a warp moves along each axis, as a part of the side

    def sample(
        self,
        edges: np.ndarray,
        photo: np.ndarray,
        augmentation: Augmentation,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `training_sample`, with this object's changes around it."""
        if random.random() < self.recolour:
            photo = with_hues(photo, random_hues(random), random.uniform(*SATURATION))
        gentler = replace(
            augmentation,
            structure_warp=self.gentler(augmentation.structure_warp),
            reference_warp=self.gentler(augmentation.reference_warp),
        )
        edges, reference, target = training_sample(edges, photo, gentler)
        if random.random() < self.erase:
            edges = edges.copy()
            for _ in range(random.integers(*ERASED, endpoint=True)):
                edges[random_rectangle(random, len(edges))] = WHITE
        return edges, reference, target

    def gentler(self, warp: Warp | None) -> Warp | None:
        if warp is None:
            return None
        moves = warp.write_to - warp.read_from
        return Warp(warp.read_from, warp.read_from + self.warp / SHIFT * moves)


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


def random_rectangle(random: np.random.Generator, size: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle somewhere in the image."""
    sides = np.round(size * random.uniform(*ERASED_SIDE, 2)).astype(int)
    top, left = random.integers(0, size - sides, endpoint=True)
    return slice(top, top + sides[0]), slice(left, left + sides[1])
