"""Lay a reference where its structure lies: an affine map between two photos."""

import cv2
import numpy as np

SIDE = 128  # pixels of the side at which two photos are compared
BLUR = 2.0  # of those pixels: outlines count more than patterns
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)  # of the search
STRETCH = (0.6, 1.6)  # along any axis: a map that stretches a specimen more has lost its way


def aligned(reference: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """`reference` moved so that its specimen covers that of `structure`, both uint8 (S, S, 3).

    The affine map that correlates their brightnesses best, searched from no movement (Evangelidis
    and Psarakis 2008); reflected beyond the border. Where the search finds none that helps, the
    reference as it lies.
    """
    fixed, moving = comparable(structure), comparable(reference)
    found = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(fixed, moving, found, cv2.MOTION_AFFINE, STOP, None, 1)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return reference
    if not np.isfinite(found).all():
        return reference
    stretches = np.linalg.svd(found[:, :2], compute_uv=False)
    if stretches.min() < STRETCH[0] or stretches.max() > STRETCH[1]:
        return reference
    if correlation(fixed, move(moving, found)) <= correlation(fixed, moving):
        return reference
    # Pixel centres stay pixel centres when the map is taken to another size.
    scale = reference.shape[0] / SIDE
    found[:, 2] = scale * found[:, 2] + (scale - 1) / 2 * (1 - found[:, :2].sum(axis=1))
    return move(reference, found)


def comparable(image: np.ndarray) -> np.ndarray:
    """Blurred brightness, float32 (SIDE, SIDE)."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), BLUR)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def move(image: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """`image` read bilinearly where the affine map `sampling` (2, 3) says."""
    return cv2.warpAffine(
        image,
        sampling,
        image.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
