"""Lay a reference where its structure lies: an affine map between two photos."""

import cv2
import numpy as np

SIDE = 128  # pixels of the side at which two photos are compared
BLUR = 2.0  # of those pixels: outlines count more than patterns
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)  # of the search
SCALE = (0.5, 2.0)  # of areas: a map that shrinks or grows a specimen more has lost its way


def aligned(reference: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """`reference` moved so that its specimen covers that of `structure`, both uint8 (S, S, 3).

    The affine map of highest correlation between their brightnesses (Evangelidis and Psarakis
    2008), reflected beyond the border. Where none is found, the reference as it lies.
    """
    images = [comparable(structure), comparable(reference)]
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(*images, start, cv2.MOTION_AFFINE, STOP, None, 1)
    except cv2.error:  # the search does not converge
        return reference
    if not SCALE[0] <= np.linalg.det(found[:, :2]) <= SCALE[1]:
        return reference
    size = reference.shape[0]
    found[:, 2] *= size / SIDE
    return cv2.warpAffine(
        reference,
        found,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def comparable(image: np.ndarray) -> np.ndarray:
    """Blurred brightness, float32 (SIDE, SIDE)."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), BLUR)
