"""The wings of a specimen laid alike, so that the same place of a picture is the same of a wing.

    lay_wings(image, mask) -> its left side and its right one, mirrored, 224 x 224 pixels each

Each shows a forewing over a hindwing, as large as fits, on a flat ground: the forewing turned until
it lies level, its base on the right; the hindwing as it lies. Of a specimen in one piece, as it is
pinned, a side is its half. Where one side alone is there, it stands for both. Patterns of wings are
compared so in `patternize` (Van Belleghem et al. 2018), after landmarks; here outlines do.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from cutout import NOTCHED, WORKING_SIDE, overlap, pieces, solidity, spread_of
from cutout import VERSION as VERSION_OF_CUTOUTS
from PIL import Image

VERSION = 2 * VERSION_OF_CUTOUTS  # raised when the pictures become others
SIDE = 224  # pixels of a picture of one side
GROUND = 128  # grey level around the wings: the middle of what networks take
FILLED = 0.96  # of its half of the picture, by a wing
FINE = 448  # pixels; a smaller photograph is enlarged twice before its wings are turned
RIM = 5  # pixels, the width of a disc; its radius is taken off the outline, which shows the paper

SMALL = 0.15  # of the largest piece's area; what is smaller is no wing
MOST = 4  # wings
LONGER = 0.85  # the upper wings are forewings unless they are less elongated by this factor
HINDWING = 1.35  # what is less elongated is no forewing
ALIKE = 1.15  # two wings beside each other, and so like in elongation and area, are of two sides
SYMMETRIC, WIDE = 0.7, 1.2  # a piece that is so like its mirror image, and so wide, has two sides
TIP = (-1.0, -0.35)  # the way from base to tip of a left forewing as wings are laid out, x and y

WHOLE, UPPER, LOWER = np.s_[:], np.s_[: SIDE // 2], np.s_[SIDE // 2 :]  # rows of a side's picture


@dataclass(frozen=True)
class Wing:
    """A wing, or half a specimen."""

    mask: np.ndarray  # (height, width) uint8, 0 or 1
    points: np.ndarray  # (n, 2) x and y of its outline
    centre: np.ndarray  # (2,) x and y
    axis: np.ndarray  # (2,) of unit length, the way in which it is longest
    elongation: float  # how many times as long as wide, by its second moments


@dataclass(frozen=True)
class Side:
    """What is shown of one side of a specimen: wings, and the rows of the picture for each."""

    right: bool
    wings: list[tuple[Wing, slice]]


def lay_wings(image: Image.Image, mask: np.ndarray) -> list[np.ndarray]:
    """The pictures (SIDE, SIDE, 3) uint8, two, of the sides of the specimen in an RGB photograph.

    `mask` (height, width) bool says where it is. All ground where it is nowhere.
    """
    longest = max(image.size)
    scale = 2 if longest < FINE else min(1, WORKING_SIDE / longest)
    size = tuple(max(1, round(scale * length)) for length in image.size)
    colours, outline = (cv2.INTER_CUBIC, cv2.INTER_LINEAR) if scale > 1 else [cv2.INTER_AREA] * 2
    rgb = cv2.resize(np.asarray(image), size, interpolation=colours)
    resized = cv2.resize(255 * mask.astype(np.uint8), size, interpolation=outline) > 127
    sides, turned = sort_wings(*find_wings(resized.astype(np.uint8)))
    pictures = [paint(rgb, side, turned) for side in sides or [Side(False, [])]]
    return [pictures[0], pictures[-1]]


def measure(mask: np.ndarray) -> Wing:
    """The wing of a `mask` (height, width) of 0 and 1 that is not empty."""
    centre, spread = spread_of(mask)
    pixel = 1 / 12  # the spread of a square pixel, which keeps a line from having none
    (short, long), axes = np.linalg.eigh(spread + pixel * np.eye(2))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(outlines)[:, 0].astype(float)
    return Wing(mask, points, centre, axes[:, 1], float(np.sqrt(long / short)))


def find_wings(mask: np.ndarray) -> tuple[list[Wing], bool]:
    """The wings in a specimen's mask (height, width) of 0 and 1, four at the most; and whether
    they are the halves of a specimen in one piece.

    A piece whose left half is like its right one, with notches between them, such as two wings that
    touch, is cut in two. A level forewing's halves are alike, too, in a wide photograph.
    """
    found: list[Wing] = []
    cut, largest = False, 0
    for (rows, columns), piece in pieces(mask):
        area, width = np.count_nonzero(piece), piece.shape[1]
        if found and area < SMALL * largest:
            break
        parts = [np.s_[:]]
        alike = overlap(piece, piece[:, ::-1])
        if alike > SYMMETRIC and width > WIDE * piece.shape[0] and solidity(piece) < NOTCHED:
            parts = [np.s_[: width // 2], np.s_[width // 2 :]]
        if len(found) + len(parts) > MOST:
            break
        if not found:
            cut, largest = len(parts) == 2, area
        for part in parts:
            alone = np.zeros_like(mask)
            alone[rows, columns][:, part] = piece[:, part]
            found.append(measure(alone))
    return found, cut and len(found) == 2


def sort_wings(wings: list[Wing], halves: bool) -> tuple[list[Side], bool]:
    """The sides of a specimen, and whether it is upside down."""
    if not wings:
        return [], False
    x, y = np.array([wing.centre for wing in wings]).T
    lengths = np.array([wing.elongation for wing in wings])
    areas = np.array([np.count_nonzero(wing.mask) for wing in wings])
    alike = all(values.max() < ALIKE * values.min() for values in (lengths, areas))
    if halves or (len(wings) == 2 and alike and np.ptp(x) > np.ptp(y)):
        rows = WHOLE if halves or lengths.min() < HINDWING else UPPER
        left, right = sorted(wings, key=lambda wing: wing.centre[0])
        return [Side(False, [(left, rows)]), Side(True, [(right, rows)])], False
    if len(wings) < 3:  # of one side
        longest, *others = sorted(wings, key=lambda wing: -wing.elongation)
        if not others and longest.elongation < HINDWING:
            return [Side(False, [(longest, LOWER)])], False
        right = bool(base_of(longest)[0] < 0)
        return [Side(right, [(longest, UPPER), *((other, LOWER) for other in others)])], False
    low, east = (values > (values.min() + values.max()) / 2 for values in (y, x))
    turned = bool(low.any() and lengths[~low].mean() < LONGER * lengths[low].mean())
    rows = [LOWER if below != turned else UPPER for below in low]
    sides = [
        Side(right, [(wings[i], rows[i]) for i in np.flatnonzero((east != turned) == right)])
        for right in (False, True)
    ]
    return [side for side in sides if side.wings], turned


def base_of(wing: Wing) -> np.ndarray:
    """The way (2,) along a forewing's axis to its base, which is its narrower end."""
    rows, columns = np.nonzero(wing.mask)
    places = np.stack([columns, rows], axis=1) - wing.centre
    along, across = places @ wing.axis, places @ (wing.axis[1], -wing.axis[0])
    first, last = np.quantile(along, [0.2, 0.8])
    narrow = across[along < first].std() < across[along > last].std()
    return -wing.axis if narrow else wing.axis


def paint(rgb: np.ndarray, side: Side, turned: bool) -> np.ndarray:
    """The picture (SIDE, SIDE, 3) uint8 of a side in a photograph (height, width, 3) uint8."""
    picture = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    for wing, rows in reversed(side.wings):  # the largest of those that share a place is on top
        angle = 180.0 * turned
        if rows == UPPER:
            mirror = np.array([-1 if side.right else 1, 1])
            tip = np.array(TIP) * mirror * (-1 if turned else 1)
            axis = (wing.axis if wing.axis @ tip > 0 else -wing.axis) * mirror
            # To where its tip lies on the left, in the picture that is mirrored last.
            angle = mirror[0] * (np.degrees(np.arctan2(axis[1], axis[0])) - 180)
        place(rgb, wing, angle, side.right, picture[rows])
    return picture


def place(rgb: np.ndarray, wing: Wing, angle: float, mirror: bool, target: np.ndarray) -> None:
    """Paint a wing, turned by `angle` degrees against the clock and maybe mirrored, as large as
    fits into `target` (height, width, 3) uint8.
    """
    size = np.array(target.shape[1::-1]) * 2  # painted twice as large, then reduced
    turn = cv2.getRotationMatrix2D((0, 0), angle, 1)[:, :2]
    outline = wing.points @ turn.T
    low, high = outline.min(axis=0), outline.max(axis=0)
    scale = FILLED * float((size / (high - low + 1)).min())
    shift = size / 2 - scale * (low + high) / 2
    way = np.column_stack([scale * turn, shift])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RIM, RIM))
    inside = cv2.GaussianBlur(cv2.erode(wing.mask, disc).astype(np.float32), (0, 0), 0.8)
    photograph = cv2.warpAffine(rgb, way, size, borderMode=cv2.BORDER_REPLICATE)
    opacity = cv2.warpAffine(inside, way, size)[..., None]
    painted = opacity * photograph + (1 - opacity) * np.float32(GROUND)
    painted = cv2.resize(painted, target.shape[1::-1], interpolation=cv2.INTER_AREA)
    target[:] = np.rint(painted[:, ::-1] if mirror else painted)
