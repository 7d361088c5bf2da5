"""Cuts a specimen out of its photograph and centres it on a flat ground; nothing is learned.

    cutout, mask, confidence = cut_out(image)

A classifier of whole photographs can learn who took them: the paper, the ruler, the label. A
cutout shows wings and body alone, always on the same ground and equally large.

The paper under a specimen has one colour under smooth light. That colour is fitted as a quadratic
surface over the picture, in CIE Lab, where equal distances look equally different. Specimen is
what differs from it in hue or is darker than a shadow can be, once printed lines are taken out.
Among the pieces of that, rectangles, long shapes, what is as light as paper and what the edge of
the picture cuts off are charts, labels, rulers and discs. A wing's pale parts, its white fringe and
a margin of the paper's own colour, are found from the wing outwards. It fails on a ground that is
not even, on a dark one under dark wings, and where much of a wing lies over a chart; the confidence
is there to tell.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

VERSION = 3  # raised when cutouts become others: those of before are then made anew
FILLED = 0.92  # of the cutout's side, by the longer side of the specimen
GROUND = (220, 220, 220)  # RGB of the flat ground
NOISE = 10  # levels by which JPEG moves the ground of a cutout
SLACK = 0.02  # of its side, and a pixel: resizing and JPEG move the box of what lies on it
CONFIDENT = 0.5  # a photograph that is cut out with less confidence stays whole
WORKING_SIDE = 800  # pixels; a larger photograph is reduced to this to find the specimen
FITTED = 20_000  # pixels, about, to which the paper's surface is fitted

# Lengths of colour are in Lab units: 100 from black to white, 2 are just seen.
PAPER = 10.0  # a pixel this near to the surface is paper, and takes part in its fit
SHADOW = 0.6  # shaded paper keeps more than this share of its lightness
DIFFERENCE = 3.0  # a pixel that differs more than this, shadow aside, is not paper
COLOURED = 0.024  # more of that, a unit of the paper's chroma: a wing's rim takes on its hue
LIGHT_WEIGHT = 0.3  # of being lighter than the paper, which is less even in light than in hue
WHITE = 3.0  # a wing's white fringe is here and there so much lighter than 97 % of the paper
LIGHTER = 1.5  # and everywhere so much lighter than 90 % of the paper near it
FAINT = 28.0  # a piece that differs less in the mean is card, as a label is
PATTERN = 2.0  # a hole or notch that differs more than this is a pale part of the wing, not a gap

# Lengths are shares of the picture's longer side.
LINE = 0.0045  # half of a printed line, an antenna or a leg; blurring adds a pixel
BRIDGE = 0.02  # half of a contact between wing and chart
RIM = 0.025  # so far a white fringe reaches
TEETH = 0.03  # the veins between the teeth of a fringe are narrower
NEAR = 0.03  # a torn-off scrap lies so near to its wing

PLATE = 0.88  # a chart or label fills more than this share of its rectangle; a hindwing, 0.85
LONG = 4.0  # a ruler or a loose antenna is this many times as long as wide; a forewing, 2.6
BRIGHT = 0.75  # of the paper's lightness: half of a label or disc is lighter, of a wing 0.6
CUT_OFF = 0.25  # of the square root of its area: the picture's edge cuts off more of a prop
SCRAP = 0.22  # of the area of the largest piece; what is smaller must lie near to a wing
SMALL = 0.1  # of it, at the least, has a small specimen beside a large one
CRUMB = 0.02  # of the area of the largest piece; what is smaller is print or dirt
SPECK = 30  # pixels; smaller holes are filled whatever their colour

WINGS = 4  # of one specimen
NOTCHED = 0.93  # of its hull's area: a specimen in one piece has less, 0.7 to 0.8, a wing more
UNLIKE = 0.25  # its sides overlap so much more when folded on each other than its ends do
UPRIGHT = 32  # pixels from its middle to its outermost point when they are folded
SEVERAL = 0.6  # confidence, at the most, where there is more than one specimen


@dataclass(frozen=True)
class Found:
    """The specimen in a photograph."""

    mask: np.ndarray  # (height, width) bool
    confidence: float  # 0 to 1
    reason: str  # what speaks most against it


def cut_out(image: Image.Image) -> tuple[Image.Image, np.ndarray, float]:
    """The cutout of an RGB photograph; the specimen's mask, (height, width) bool; a confidence.

    The confidence is from 0 to 1. Below CONFIDENT, the photograph comes back whole. So does what
    is a cutout already, with confidence.
    """
    rgb = np.asarray(image.convert("RGB"))
    if is_cutout(rgb):
        return image, mask_of_cutout(rgb), 1.0
    found = find_specimen(rgb)
    if found.confidence >= CONFIDENT:
        image = Image.fromarray(on_flat_ground(rgb, found.mask))
    return image, found.mask, found.confidence


def specimen_alone(image: Image.Image) -> tuple[Image.Image, np.ndarray]:
    """The cutout and the mask of `cut_out`, which warns if there is none."""
    image, mask, confidence = cut_out(image)
    if confidence < CONFIDENT:
        doubt = "no specimen was found with confidence: it is not cut out, its wings are a guess"
        warnings.warn(doubt, stacklevel=2)
    return image, mask


def is_cutout(rgb: np.ndarray) -> bool:
    """Whether a picture, (height, width, 3) uint8, is one of `on_flat_ground`, resized or not."""
    height, side = rgb.shape[:2]
    if height != side or not (specimen := off_ground(rgb)).any():
        return False
    left, top, right, bottom = box_of(specimen)
    moved = max(abs(left + right - side), abs(top + bottom - side)) / 2
    filled = max(right - left, bottom - top)
    return bool(max(moved, abs(filled - FILLED * side)) <= SLACK * side + 1)


def mask_of_cutout(rgb: np.ndarray) -> np.ndarray:
    """The specimen, (height, width) bool, in what `is_cutout` knows as one."""
    unlike = to_lab(rgb) - to_lab(np.full((1, 1, 3), GROUND, np.uint8))
    unlike[..., 0] = -np.abs(unlike[..., 0])  # a fringe is off the ground already
    return with_pale_parts(off_ground(rgb), unlike)


def off_ground(rgb: np.ndarray) -> np.ndarray:
    """Where pixels, (..., 3) uint8, differ from GROUND in some channel by more than noise."""
    return (np.abs(rgb.astype(np.int16) - np.int16(GROUND)) > NOISE).any(axis=-1)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab, float32, of (height, width, 3) uint8."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def length(colours: np.ndarray) -> np.ndarray:
    """Of each colour or difference of colours, (..., 3) -> (...)."""
    first, second, third = np.moveaxis(np.square(colours), -1, 0)  # faster than a norm by far
    return np.sqrt(first + second + third)


def find_specimen(rgb: np.ndarray, fitted: int = FITTED) -> Found:
    """The specimen in a photograph, (height, width, 3) uint8; an empty mask where there is none.

    The paper's surface is fitted to about `fitted` of its pixels. Each loose wing is a piece of
    the mask by itself.
    """
    height, width = rgb.shape[:2]
    scale = min(1, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab = to_lab(small)
    paper = fit_paper(lab, fitted)
    lab = cv2.GaussianBlur(lab, (0, 0), 0.7)  # the camera's noise is not a difference
    distance = length(lab - paper)
    light = lab[..., 0] / np.maximum(paper[..., 0], 1)  # below 1, in a shadow or on a wing
    unshaded = lab - paper * np.minimum(light, 1)[..., None]  # a shadow pales with the light
    unshaded[..., 1:] /= 1 + COLOURED * np.hypot(paper[..., 1], paper[..., 2])[..., None]
    mask = (light < SHADOW) | (length(unshaded * (LIGHT_WEIGHT, 1, 1)) > DIFFERENCE)
    mask = with_pale_parts(without_props(without_lines(mask), distance, light), unshaded)
    confidence, reason = judge(mask, distance)
    if scale < 1:
        mask = cv2.resize(255 * mask.astype(np.uint8), (width, height)) > 127
    return Found(mask, confidence, reason)


def fit_paper(lab: np.ndarray, fitted: int = FITTED) -> np.ndarray:
    """The paper's colour at every pixel, (height, width, 3) Lab: a quadratic surface.

    Least squares over the pixels that are near to the surface so far, again and again (least
    trimmed squares, Rousseeuw 1984). It begins with the commonest colour that is bright.
    """
    height, width = lab.shape[:2]
    terms = surface_terms(height, width)
    step = max(1, round((height * width / fitted) ** 0.5))  # so many pixels are enough
    places, colours = (every[::step, ::step].reshape(-1, every.shape[2]) for every in (terms, lab))
    surface = np.zeros((6, 3), np.float32)
    surface[0] = paper_colour(lab)
    for used in (3, 3, 6, 6, 6):  # terms: a plane, then all
        near = length(colours - places @ surface) < PAPER
        if near.sum() < 10 * used:  # too few for a surface
            break
        used_places = places[near, :used]
        surface[:used] = np.linalg.lstsq(
            used_places.T @ used_places, used_places.T @ colours[near], rcond=None
        )[0]
    return terms @ surface


@lru_cache(maxsize=1)  # photographs often have one size
def surface_terms(height: int, width: int) -> np.ndarray:
    """The terms of a quadratic surface at every pixel, (height, width, 6) float32."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2).astype(np.float32)


def paper_colour(lab: np.ndarray) -> np.ndarray:
    """The commonest colour, (3,) Lab, among those that are bright beside the others."""
    colours = lab.reshape(-1, 3)
    colours = colours[:: 1 + len(colours) // (FITTED // 4)]
    colours = colours[colours[:, 0] >= SHADOW * np.percentile(colours[:, 0], 90)]
    boxes = np.floor(colours / 4).astype(int)  # colours in the same box are alike
    boxes -= boxes.min(axis=0)
    numbers = np.ravel_multi_index(tuple(boxes.T), tuple(boxes.max(axis=0) + 1))
    _, box, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return colours[box == counts.argmax()].mean(axis=0)


def pieces(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """The connected pieces of a mask, largest first: the place of its box, its mask in that."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    for piece in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable"):
        x, y, width, height, _ = stats[piece]
        box = np.s_[y : y + height, x : x + width]
        yield box, labels[box] == piece


def without_lines(mask: np.ndarray) -> np.ndarray:
    """`mask` without printed lines, antennae, legs and hairs: opened, with what is close by."""
    radius = LINE * max(mask.shape) + 1
    return mask & opened(mask, radius, 2 * radius)


def without_props(mask: np.ndarray, distance: np.ndarray, light: np.ndarray) -> np.ndarray:
    """What may be specimen of `mask`: no charts, rulers, labels, discs and crumbs.

    `distance` (height, width) is that of each pixel's colour from the paper's, `light` its
    lightness as a share of the paper's.
    """
    mask = mask & ~touched_charts(mask)
    edge = np.zeros_like(mask)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    kept = np.zeros_like(mask)
    largest, near = 0, None
    for box, piece in pieces(mask):
        area = np.count_nonzero(piece)
        if area < max(SPECK, CRUMB * largest):
            break
        if area < SCRAP * largest and near is None:
            near = around(kept, round(NEAR * max(mask.shape)))
        beside = near is None or near[box][piece].any()
        if (
            distance[box][piece].mean() > FAINT
            and np.median(light[box][piece]) < BRIGHT
            and np.count_nonzero(edge[box] & piece) < CUT_OFF * area**0.5
            and not is_prop(piece)
            and (beside or (area > SMALL * largest and is_whole(piece)))
        ):
            kept[box] |= piece
            largest = max(largest, area)
    return kept


def touched_charts(mask: np.ndarray) -> np.ndarray:
    """The rectangles of props that hang on to something else by a narrow contact, as a mask."""
    solid, charts = np.zeros((2, *mask.shape), np.uint8)
    cv2.drawContours(solid, outlines_of(mask), -1, 1, cv2.FILLED)
    for box, piece in pieces(opened(solid > 0, BRIDGE * max(mask.shape))):
        if is_prop(piece):
            corners = cv2.boxPoints(cv2.minAreaRect(outline_of(piece)))
            corners += [box[1].start, box[0].start]
            cv2.fillPoly(charts, [np.rint(corners).astype(np.int32)], 1)
    return charts > 0


def is_prop(piece: np.ndarray) -> bool:
    """Whether a piece has the outline of a chart, a label or a ruler."""
    outline = outline_of(piece)
    short, long = sorted(cv2.minAreaRect(outline)[1])
    # Pale squares at a chart's edge are like paper.
    area = (cv2.contourArea(outline) + cv2.contourArea(cv2.convexHull(outline))) / 2
    return area > PLATE * short * long or long > LONG * short


def is_whole(piece: np.ndarray) -> bool:
    """Whether a piece has the outline of a whole specimen: with notches, its sides alike, its ends
    not. A loose wing is without notches, its sides and ends alike."""
    if solidity(piece) > NOTCHED:
        return False
    centre, spread = spread_of(piece)
    reach = np.linalg.norm(outline_of(piece)[:, 0] - centre, axis=1).max() + 1
    turn = UPRIGHT / reach * np.linalg.eigh(spread)[1].T
    place = np.column_stack([turn, UPRIGHT - turn @ centre])
    upright = cv2.warpAffine(piece.astype(np.uint8), place, (2 * UPRIGHT + 1,) * 2)
    return abs(overlap(upright, upright[::-1]) - overlap(upright, upright[:, ::-1])) > UNLIKE


def spread_of(piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre (2,) of a mask that is not empty, x and y, and the covariance (2, 2) around it."""
    moments = cv2.moments(piece.astype(np.uint8), binaryImage=True)
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"], spread / moments["m00"]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The intersection of two masks as a share of their union."""
    return np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other))


def solidity(piece: np.ndarray) -> float:
    """A piece's area as a share of its convex hull's."""
    return np.count_nonzero(piece) / max(1, cv2.contourArea(cv2.convexHull(outline_of(piece))))


def outline_of(piece: np.ndarray) -> np.ndarray:
    """The outer outline of a connected piece, as OpenCV's points."""
    return max(outlines_of(piece), key=cv2.contourArea)


def outlines_of(mask: np.ndarray) -> Sequence[np.ndarray]:
    """The outer outlines of a mask's pieces, as OpenCV's points."""
    method = cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    return cv2.findContours(mask.astype(np.uint8), *method)[0]


def opened(mask: np.ndarray, radius: float, reach: float | None = None) -> np.ndarray:
    """The parts of a mask in which a disc of this radius, in pixels, has room (opening).

    With what lies within `reach` of such a disc's middle in place of `radius`. There is no room
    outside the picture: an antenna that leaves it stays thin.
    """
    core = distance_to(np.pad(~mask, 1, constant_values=True))[1:-1, 1:-1] > radius
    return distance_to(core) <= (radius if reach is None else reach)


def around(mask: np.ndarray, reach: int) -> np.ndarray:
    """A mask and what lies within `reach` pixels of it, along or across."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1))) > 0


def distance_to(mask: np.ndarray) -> np.ndarray:
    """The distance of every pixel to a mask, in pixels; huge where the mask is empty."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def with_pale_parts(mask: np.ndarray, unshaded: np.ndarray) -> np.ndarray:
    """`mask` with the white fringe, the pale holes and the pale notches of each piece.

    `unshaded` (height, width, 3) is how much each pixel differs from paper, shadow aside. What is
    added joins no two pieces.
    """
    radius, teeth = RIM * max(mask.shape), round(TEETH * max(mask.shape))
    margin = int(2 * radius) + 1
    ground = np.flatnonzero(~mask)
    ground = unshaded.reshape(-1, 3)[ground[:: 1 + len(ground) // FITTED]]
    ground = ground[length(ground) < PAPER, 0]
    white = WHITE + (np.percentile(ground, 97) if len(ground) else 0)
    filled = mask.copy()
    for box, piece in pieces(mask):
        wide = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        own = np.zeros_like(mask)
        own[box] = piece
        box, piece = wide, own[wide]
        away = distance_to(piece)
        free = ~around(filled[box] & ~piece, 1)
        # The surface is only nearly right: what counts is the paper nearest by.
        beyond = unshaded[box][free & (away > radius) & (away < 2 * radius)][::3]
        local, bright = np.percentile(beyond, (50, 90), axis=0) if len(beyond) else np.zeros((2, 3))
        lighter = np.where(away <= radius, unshaded[box][..., 0], 0)
        fringe = np.uint8(piece | (lighter > bright[0] + LIGHTER))
        fringe = cv2.morphologyEx(fringe, cv2.MORPH_CLOSE, np.ones((teeth, teeth))) > 0
        fringe &= around(lighter > white, teeth) & free
        place, fringed = next(pieces(piece | fringe))
        piece[place] |= fringed
        outline = outline_of(piece)
        solid, hull = np.zeros((2, *piece.shape), np.uint8)
        cv2.drawContours(solid, [outline], -1, 1, cv2.FILLED)
        cv2.fillConvexPoly(hull, cv2.convexHull(outline), 1)
        gaps = (hull > 0) & ~piece & free
        piece |= (solid > 0) & free
        for place, gap in pieces(gaps):
            if np.count_nonzero(gap) < SPECK:
                break
            differs = length((unshaded[box][place][gap] - local) * (LIGHT_WEIGHT, 1, 1))
            piece[place][gap] = np.median(differs) > PATTERN
        filled[box] |= piece
    return filled


def judge(mask: np.ndarray, distance: np.ndarray) -> tuple[float, str]:
    """How sure it is that `mask` is a specimen, from 0 to 1, and what speaks most against it.

    `distance` (height, width) is that of each pixel's colour from the paper's.
    """
    if not mask.any():
        return 0.0, "nothing found"
    left, top, right, bottom = box_of(mask)
    box = mask[top:bottom, left:right]
    ring = around(mask, round(NEAR * max(mask.shape))) & ~mask
    paper = np.mean(distance[ring] < 1.5 * PAPER) if ring.any() else 0.0
    areas, hulls = [], []
    for _, piece in pieces(mask):
        areas.append(np.count_nonzero(piece))
        hulls.append(cv2.contourArea(cv2.convexHull(outline_of(piece))))
    number = sum(area >= CRUMB * areas[0] for area in areas)
    doubts = {
        "uneven ground around it": ramp(paper, 0.5, 0.8),
        "very small": ramp(mask.mean(), 0.002, 0.02),
        "many pieces": ramp(number, 12, 6),  # four loose wings and a body are five
        "hardly fills its outline": ramp(sum(areas) / max(1, sum(hulls)), 0.3, 0.6),
        "fills its box": ramp(box.mean(), 0.95, 0.75),
        "very long": ramp(max(box.shape) / min(box.shape), 5, 3),
        "faint": ramp(distance[mask].mean(), 15, 40),
    }
    reason = min(doubts, key=doubts.get)
    if are_several(mask):
        return min(SEVERAL, doubts[reason]), "several specimens"
    return doubts[reason], reason if doubts[reason] < 1 else ""


def are_several(mask: np.ndarray) -> bool:
    """Whether a mask shows two whole specimens or more, or more loose wings than one has."""
    wings = wholes = largest = 0
    for _, piece in pieces(mask):
        area = np.count_nonzero(piece)
        largest = max(largest, area)
        if area < SMALL * largest:
            break
        wings += area >= SCRAP * largest
        wholes += is_whole(piece)
    return wings > WINGS or wholes > 1


def ramp(value: float, doubtful: float, sure: float) -> float:
    """0 where `value` is `doubtful`, 1 where it is `sure`, linear between."""
    return float(np.clip((value - doubtful) / (sure - doubtful), 0, 1))


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is True in a mask; right and bottom lie outside."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def on_flat_ground(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The specimen in the middle of a square of GROUND, (side, side, 3) uint8, not resized."""
    left, top, right, bottom = box_of(mask)
    width, height = right - left, bottom - top
    side = round(max(width, height) / FILLED)
    x, y = (side - width) // 2, (side - height) // 2
    inside = mask[top:bottom, left:right].astype(np.float32)
    # The outermost pixels show the paper, which must not tell: a third of a straight rim is left.
    opacity = 2 * cv2.blur(inside, (3, 3), borderType=cv2.BORDER_CONSTANT) - 1
    opacity = inside * np.maximum(opacity, 0)
    square = np.array(Image.new("RGB", (side, side), GROUND))
    specimen, part = rgb[top:bottom, left:right], square[y : y + height, x : x + width]
    cv2.copyTo(specimen, (opacity > 0).astype(np.uint8), part)  # in place; quicker than NumPy
    rim = (opacity > 0) & (opacity < 1)
    share = opacity[rim][:, None]
    part[rim] = np.rint(share * specimen[rim] + (1 - share) * np.float32(GROUND))
    return square
