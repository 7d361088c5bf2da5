"""Lays the wings of one cutout on those of another, each by its outline: --align of painting.

The generator learns on references that lie as their structure does. Those of a list lie as they
were photographed: a wing more or less, one side alone, upside down. Where colours of a wing do not
lie on a wing, it paints blotches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from data.own_photo import ground_of

SMALL = 0.15  # of the largest piece's area; what is smaller is no wing
SIDE = 64  # pixels of the square in which outlines are compared
MIDDLE = (SIDE - 1) / 2
MIRROR = np.array([[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]])
FILLED = 0.3  # of that square, by a wing
BLUR = 1.5  # of those pixels
TURNS = range(-150, 181, 30)  # degrees by which a wing is turned to be compared
# What must be gained of the overlap, which is 1 where outlines are the same, by
TURNED = 0.2  # a wing that is turned by 180 degrees: a hindwing is round
LOWER = 0.8  # one that lies lower or higher by the picture's height: a torn wing has any outline
RIM = 5  # pixels of a disc; its radius is taken off a wing, whose edge has the ground's colour
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)  # of the search
STRETCH = (0.6, 1.6)  # along any axis: a map that stretches a wing more has lost its way


@dataclass(frozen=True)
class Wing:
    """A wing of a cutout, or wings and body in one piece."""

    mask: np.ndarray  # uint8 (S, S), 0 or 1
    height: float  # of its middle, as a part of the picture's

    @cached_property
    def to_square(self) -> np.ndarray:
        """The map (3, 3) of its photo's pixels that puts it, in a certain size, into the square."""
        moments = cv2.moments(self.mask, binaryImage=True)
        scale = SIDE * np.sqrt(FILLED / moments["m00"])
        centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
        shift = MIDDLE - scale * centre
        return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])

    @cached_property
    def outline(self) -> np.ndarray:
        """Blurred, float32 (SIDE, SIDE)."""
        square = cv2.warpAffine(self.mask.astype(np.float32), self.to_square[:2], (SIDE, SIDE))
        return cv2.GaussianBlur(square, (0, 0), BLUR)


def aligned(reference: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """`structure`, a cutout, with the colours of `reference`, another, both uint8 (S, S, 3).

    Every wing gets those of the reference's wing whose outline, turned or mirrored, covers it best.
    The reference itself where either has no wing.
    """
    wings, sources = list(wings_of(structure)), list(wings_of(reference))
    if not wings or not sources:
        return reference
    result = structure.copy()
    for wing, (source, way) in zip(wings, best_fits(wings, sources), strict=True):
        way = np.linalg.inv(source.to_square) @ stretched(wing, source, way) @ wing.to_square
        size, flags = structure.shape[1::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        colours = spread(reference, source.mask)
        edge = cv2.BORDER_REPLICATE
        moved = cv2.warpAffine(colours, way[:2], size, flags=flags, borderMode=edge)
        result[wing.mask > 0] = moved[wing.mask > 0]
    return result


def wings_of(cutout: np.ndarray) -> Iterator[Wing]:
    """The pieces that are not ground, the largest first."""
    specimen = (~ground_of(cutout)).astype(np.uint8)
    _, labels, stats, middles = cv2.connectedComponentsWithStats(specimen)
    areas = stats[:, cv2.CC_STAT_AREA]
    for piece in 1 + np.argsort(-areas[1:], kind="stable"):
        if areas[piece] >= SMALL * areas[1:].max():
            yield Wing((labels == piece).astype(np.uint8), middles[piece][1] / len(cutout))


def best_fits(wings: list[Wing], sources: list[Wing]) -> list[tuple[Wing, np.ndarray]]:
    """For each of the `wings` the source that covers it best, and the map (3, 3) from the square of
    the wing to that of the source: a turn, maybe of the mirror image. The sources are taken to lie
    as they are or all upside down, whichever fits better.
    """
    ways = [turn(degrees) @ mirror for mirror in (np.eye(3), MIRROR) for degrees in TURNS]
    covered = np.array([[[overlap(w, s, way) for way in ways] for s in sources] for w in wings])
    turns = np.abs(np.tile(TURNS, 2))
    heights, others = (np.array([wing.height for wing in which]) for which in (wings, sources))
    found = []
    for away, middles in ((turns, others), (180 - turns, 1 - others)):
        lower = np.abs(heights[:, None] - middles)[..., None]
        scores = (covered - TURNED * away / 180 - LOWER * lower).reshape(len(wings), -1)
        found.append((scores.max(axis=1).sum(), scores.argmax(axis=1)))
    (upright, places), (turned, others) = found
    places = others if turned > upright else places
    return [(sources[place // len(ways)], ways[place % len(ways)]) for place in places]


def turn(degrees: float) -> np.ndarray:
    """The map (3, 3) that turns the square about its middle."""
    return np.vstack([cv2.getRotationMatrix2D((MIDDLE, MIDDLE), degrees, 1), [0, 0, 1]])


def stretched(wing: Wing, source: Wing, way: np.ndarray) -> np.ndarray:
    """The map `way` of `best_fits`; or an affine one by which the outlines cover each other better,
    where the search of Evangelidis and Psarakis (2008) finds it."""
    try:
        start, images = way[:2].astype(np.float32), (wing.outline, source.outline)
        _, found = cv2.findTransformECC(*images, start, cv2.MOTION_AFFINE, STOP, None, 1)
        stretches = np.linalg.svd(found[:, :2], compute_uv=False)
    except (cv2.error, np.linalg.LinAlgError):  # it does not converge, or to no numbers
        return way
    if not STRETCH[0] <= stretches.min() <= stretches.max() <= STRETCH[1]:
        return way
    found = np.vstack([found, [0, 0, 1]])
    return found if overlap(wing, source, found) > overlap(wing, source, way) else way


def overlap(wing: Wing, source: Wing, way: np.ndarray) -> float:
    """The intersection of two outlines over their union; `way` is as of `best_fits`."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(source.outline, way[:2], (SIDE, SIDE), flags=flags)
    return float(np.minimum(wing.outline, moved).sum() / np.maximum(wing.outline, moved).sum())


def spread(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`image` (S, S, 3) with the colours within `mask` spread over all of it, each to where it is
    the nearest."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RIM, RIM))
    inner = cv2.erode(mask, disc)
    inner = inner if inner.any() else mask
    kinds = {"labelType": cv2.DIST_LABEL_PIXEL}
    _, nearest = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, **kinds)
    colour_of = np.zeros((nearest.max() + 1, 3), np.uint8)
    colour_of[nearest[inner > 0]] = image[inner > 0]
    return colour_of[nearest]
