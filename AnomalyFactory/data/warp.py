"""Local thin-plate-spline warps (Bookstein 1989): a 3x3 grid of points somewhere in the image is
jostled, the image's corners are held, and everything between follows smoothly."""

from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

GRID = 3  # points along each side of the patch
OFFSET = (0.15, 0.30)  # of the image's side, as a whole number of pixels
PATCH = 3  # offsets along each side of the patch
SHIFT = 0.10  # the most a point moves along each axis, as a part of the side
GENTLE_SHIFT = 0.04  # the same with --gentle
CELL = 4  # pixels between the places where the spline is evaluated; linear in between


@dataclass(frozen=True)
class Warp:
    """What lies at `read_from` goes to `write_to`: points (x, y) in pixels, both (n, 2)."""

    read_from: np.ndarray
    write_to: np.ndarray


def random_warp(random: np.random.Generator, size: int, shift: float = SHIFT) -> Warp:
    """A published warp for images of size x size pixels; `shift` is as SHIFT."""
    offset = random.integers(ceil(OFFSET[0] * size), floor(OFFSET[1] * size), endpoint=True)
    corner = random.integers(0, size - PATCH * offset, 2, endpoint=True)
    steps = np.linspace(0, PATCH * offset, GRID)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = corner + grid
    return Warp(points, points + random.uniform(-shift * size, shift * size, points.shape))


def warped(image: np.ndarray, warp: Warp) -> np.ndarray:
    """`image` (S, S, 3) after `warp`: bilinear, reflected beyond its border."""
    sampling = sampling_map(warp, image.shape[0])
    return cv2.remap(image, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def sampling_map(warp: Warp, size: int) -> np.ndarray:
    """The (x, y) to read from at every pixel, float32 (size, size, 2).

    The displacement is evaluated every CELL pixels and interpolated between, some ten times
    faster than at every pixel. That rounds off the sharpest bends by a few hundredths of a pixel.
    """
    corners = size * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    knots = np.vstack([warp.write_to, corners])
    shifts = np.vstack([warp.read_from, corners]) - knots
    spline = RBFInterpolator(knots, shifts, kernel="thin_plate_spline")

    # One cell of margin on each side keeps cv2.resize's own border rule out of the image.
    places = (np.arange(ceil(size / CELL) + 2) - 0.5) * CELL - 0.5
    grid = np.stack(np.meshgrid(places, places), axis=-1)
    coarse = spline(grid.reshape(-1, 2)).reshape(grid.shape).astype(np.float32)
    fine = cv2.resize(coarse, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_LINEAR)
    fine = fine[CELL : CELL + size, CELL : CELL + size]
    pixels = np.arange(size, dtype=np.float32)
    return fine + np.stack(np.meshgrid(pixels, pixels), axis=-1)
