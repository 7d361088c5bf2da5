"""What is measured of a single image: its edges, its wings and their colours."""

from collections.abc import Sequence

import cv2
import numpy as np

EDGE = 96  # of 255: the strength from which on a pixel is an edge; a pattern may be fainter than
# an outline, and half of it is inherited where painting was asked for half
TOLERANCE = 2  # pixels by which an edge may lie elsewhere: 0.0055 of the diagonal (BSDS: 0.0075)

LEVELS = 64  # of a channel's distribution that are compared
PAPER = 14.0  # a pixel this near to the ground's colour is ground; units of CIE Lab
THIN = 5  # pixels; what is thinner is a leg, an antenna, print or a scale's line
CRUMB = 0.03  # of the area of the largest piece; smaller ones are print or dirt
PLATE = 0.88  # a chart or label fills more than this share of its rectangle; wings fill less

# ---- edges --------------------------------------------------------------------------------------


def is_edge(edges: np.ndarray) -> np.ndarray:
    """Where edge maps, dark lines on white, uint8, have an edge, bool."""
    return edges <= 255 - EDGE


def edge_agreement(asked: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """F1, precision and recall of the edges `found` against those `asked` for, bool (h, w).

    An edge counts as met within TOLERANCE pixels (Martin et al. 2004, without their one-to-one
    matching). Precision: found edges that were asked for; recall: asked edges that were found. All
    are 1 where neither has an edge, and 0 where only one has.
    """
    if not asked.any() or not found.any():
        value = float(asked.any() == found.any())
        return value, value, value
    precision = float((found & near(asked)).sum() / found.sum())
    recall = float((asked & near(found)).sum() / asked.sum())
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0, precision, recall


def near(edges: np.ndarray) -> np.ndarray:
    """Where an edge is not further than TOLERANCE pixels."""
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= TOLERANCE


# ---- colours ------------------------------------------------------------------------------------


def to_lab(image: np.ndarray) -> np.ndarray:
    """CIE Lab, float32, of uint8 RGB (h, w, 3): 100 from black to white, 2 are just seen."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def wings_of(photo: np.ndarray) -> np.ndarray:
    """Where the specimen is in a photograph or cutout, uint8 RGB (h, w, 3); bool (h, w).

    What differs from the median colour along the border, without thin parts, crumbs and what fills
    its rectangle as charts and labels do; holes are filled. A mask to compare colours in, not to
    cut out by: the page shows its outline. Everything where nothing is found.
    """
    lab = to_lab(photo)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    apart = np.linalg.norm(lab - np.median(border, axis=0), axis=2) > PAPER
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN))
    thick = cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, disc)
    shapes = [(cv2.contourArea(outline), outline) for outline in outlines_of(thick)]
    shapes = [(area, outline) for area, outline in shapes if not is_plate(area, outline)]
    largest = max((area for area, _ in shapes), default=0)
    kept = [outline for area, outline in shapes if area >= CRUMB * largest > 0]
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.drawContours(mask, kept, -1, 1, cv2.FILLED)
    return mask > 0 if mask.any() else np.ones(mask.shape, bool)


def outlines_of(mask: np.ndarray) -> Sequence[np.ndarray]:
    return cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def is_plate(area: float, outline: np.ndarray) -> bool:
    """Whether a shape fills its smallest rectangle as a chart or a label does."""
    _, (width, height), _ = cv2.minAreaRect(outline)
    return area > PLATE * width * height


def colours_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The distribution of the colours in `mask`: LEVELS quantiles of L*, a* and b*, (LEVELS, 3)."""
    places = (np.arange(LEVELS) + 0.5) / LEVELS
    return np.quantile(to_lab(image)[mask], places, axis=0)


def colour_distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two distributions of `colours_of` are apart, in units of CIE Lab.

    The earth mover's distance of each channel, joined as the sides of a box: of two even colours
    it is their CIE 1976 difference. Where on the wing a colour lies does not matter.
    """
    return float(np.linalg.norm(np.abs(one - other).mean(axis=0)))
