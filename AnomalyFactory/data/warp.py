"""Local thin-plate-spline warps: a 3x3 patch of control points somewhere in the image is
jostled, the image's corners are held, and everything between follows smoothly."""

import cv2
import numpy as np

GRID = 3  # control points along each side of the patch
STEP = (0.15, 0.30)  # between control points: from this part of the height to that of the width
SHIFT = 0.10  # published: the most a control point moves along each axis, as a part of the width
CELL = 8  # pixels between the points where the spline is evaluated; linear in between


def random_warp(
    random: np.random.Generator, height: int, width: int, shift: float = SHIFT
) -> np.ndarray:
    """Sampling map of a random warp: float32 (height, width, 2), the (x, y) to read from."""
    low, high = sorted((STEP[0] * height, STEP[1] * width))
    step = random.uniform(low, high)
    span = (GRID - 1) * step
    corner = random.uniform(0, [max(width - 1 - span, 0), max(height - 1 - span, 0)])
    columns, rows = np.meshgrid(np.arange(GRID), np.arange(GRID))
    points = corner + step * np.stack([columns, rows], axis=-1).reshape(-1, 2)
    moved = points + random.uniform(-shift * width, shift * width, points.shape)
    return spline_map(moved, points, height, width)


def spline_map(output: np.ndarray, source: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sampling map of the spline that brings `source` points to `output` points, corners held.

    `output` and `source` are (x, y) in pixels, (n, 2). The displacement is evaluated every CELL
    pixels and interpolated between, some twenty times faster than at every pixel. That rounds
    off the sharpest bends, which is no loss: edge map and photo go through the same map.
    """
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    knots = np.vstack([output, corners])
    coefficients = solve(knots, np.vstack([source - output, np.zeros((4, 2))]))

    # One cell of margin on each side keeps cv2.resize's own border rule out of the image.
    x = (np.arange(-(-width // CELL) + 2) - 0.5) * CELL - 0.5
    y = (np.arange(-(-height // CELL) + 2) - 0.5) * CELL - 0.5
    coarse = (terms(x[None, :], y[:, None], knots) @ coefficients).astype(np.float32)
    fine = cv2.resize(coarse, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_LINEAR)
    fine = fine[CELL : CELL + height, CELL : CELL + width]
    fine[..., 0] += np.arange(width, dtype=np.float32)
    fine[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return fine


def solve(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients (n + 3, d) of the thin-plate spline through `values` (n, d) at `knots`."""
    n = len(knots)
    system = np.zeros((n + 3, n + 3))
    system[:n] = terms(knots[:, 0], knots[:, 1], knots)
    system[n:, :n] = system[:n, n:].T
    return np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))


def terms(x: np.ndarray, y: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """The spline's terms at (x, y), last axis n + 3: r^2 log r^2 to every knot, then 1, x, y."""
    squared = (x[..., None] - knots[:, 0]) ** 2 + (y[..., None] - knots[:, 1]) ** 2
    n = len(knots)
    result = np.empty((*squared.shape[:-1], n + 3))
    np.multiply(squared, np.log(np.maximum(squared, 1e-12)), out=result[..., :n])
    result[..., n], result[..., n + 1], result[..., n + 2] = 1, x, y
    return result


def warp(image: np.ndarray, sampling_map: np.ndarray) -> np.ndarray:
    """`image` read bilinearly through `sampling_map`, reflected beyond its border."""
    return cv2.remap(image, sampling_map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
