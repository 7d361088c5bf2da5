"""Drawing of one photograph as the challenge has them, detached wings on paper; or of a pinned one.

What is constant here, in paper.py and in traits.py was set so that the published members, trained
on whole photographs of the set at scale 0.25, find about as many hybrids as on the challenge's
validation reference.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from demo.paper import (
    CROSS,
    HEIGHT,
    WIDTH,
    Collection,
    develop,
    disc,
    draw_props,
    middle,
    place,
    turned,
)
from demo.traits import Traits
from demo.wings import Template, blend, paint_wing, pixels, planar, smooth_noise, template, worn

UNIT = 216  # pixels of a painted forewing; photographed, it has this many or fewer
BROWN = planar((92, 66, 46))  # of old wings
LOST = 0.24  # of a much worn margin, in forewing lengths
CHITIN = (34, 27, 21)


class Condition(NamedTuple):
    """What the wings of a specimen share beside its traits."""

    scale: float  # pixels of the photograph for one of a painted wing
    fade: float  # 0..1, as the others
    sheen: float  # where the light comes from, radians
    wear: float
    brown: float


def draw_condition(collection: Collection, rng: np.random.Generator) -> Condition:
    scale = collection.forewing * HEIGHT * rng.normal(1, 0.07) / UNIT
    fade, sheen, wear = rng.beta(1.5, 3), rng.uniform(0, 2 * np.pi), rng.beta(1.2, 2.4)
    return Condition(scale, fade, sheen, wear, collection.faded * rng.beta(1.2, 2))


def displacement(wing: Template, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth shifts of a wing's pixels, (2, height, width): no two wings have one outline."""
    return amount * np.stack([smooth_noise(wing.shape.shape, 4, rng) for _ in range(2)])


def tattered(tile: np.ndarray, wing: Template, wear: float, rng: np.random.Generator) -> np.ndarray:
    """A wing, RGBA, whose outer margin has broken off here and there; the largest piece of it."""
    size = wing.shape.shape
    depth = np.maximum(smooth_noise(size, 3, rng) - 0.3, 0) + 0.12 * smooth_noise(size, 35, rng)
    left = (tile[..., 3] > 127) & ((wing.margin > LOST * wear**2 * depth) | (wing.u < 0.15))
    left = cv2.morphologyEx(left.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(left, connectivity=4)
    largest = pieces == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
    return np.dstack([tile[..., :3], cv2.blur(255 * largest.astype(np.uint8), (3, 3))])


def wings_of(
    wing: Template,
    traits: Traits,
    species: str,
    condition: Condition,
    sides: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[tuple[int, np.ndarray]]:
    """The wings of one kind on these `sides`, -1 left and 1 right, as RGBA tiles."""
    colour = paint_wing(wing, traits, species, condition.fade, condition.sheen, rng)
    colour = blend(colour, BROWN, 0.6 * condition.brown)
    outline = displacement(wing, 1.4, rng)
    y, x = np.mgrid[: wing.shape.shape[0], : wing.shape.shape[1]].astype(np.float32)
    for side in sides:
        tile = worn(colour, wing, condition.wear, rng)
        tile = tattered(tile, wing, condition.wear, rng)
        shift = outline + displacement(wing, 0.6, rng)
        yield side, cv2.remap(tile, x + shift[0], y + shift[1], cv2.INTER_LINEAR)[:, ::side]


# ---- detached wings -----------------------------------------------------------------------------


def draw_wings(
    canvas: np.ndarray,
    traits: Traits,
    species: str,
    collection: Collection,
    rng: np.random.Generator,
) -> np.ndarray:
    """The wings, each in its own quarter of the paper, in place.

    Gives how opaque they cover each pixel of the canvas, (height, width) uint8.
    """
    cover = np.zeros(canvas.shape[:2], np.uint8)
    condition = draw_condition(collection, rng)
    lies = {"fore": rng.normal(0.32, 0.12), "hind": rng.normal(-0.05, 0.12)}
    one_sided, overturned = rng.random(2) < (collection.one_sided, 0.03)
    apart = rng.uniform(0.015, 0.035, 2) * WIDTH * (1 + 2 * collection.mirrored)
    only = rng.choice((-1, 1))
    sides = (only,) if one_sided else (-1, 1)
    for name, wing_row in (("fore", -1), ("hind", 1)):
        wing = template(species, name, UNIT)
        for side, tile in wings_of(wing, traits, species, condition, sides, rng):
            turn = -side * (lies[name] + rng.normal(0, 0.07)) + np.pi * overturned
            if rng.random() < 0.05:
                turn += rng.uniform(-0.9, 0.9)
            quarter = np.array((side, wing_row)) * (-1 if overturned else 1)
            if one_sided:  # side by side, or diagonally
                quarter = np.array((-wing_row, -1) if collection.mirrored else (wing_row, wing_row))
            matrix = turned(turn, condition.scale, middle(tile), (0, 0))
            place(canvas, tile, beside(wing, side, quarter, apart, matrix), 0.2, cover)
    return cover


def beside(
    wing: Template, side: int, quarter: np.ndarray, apart: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """The matrix of a wing that `matrix` turns, laid into a quarter of the paper, `apart` from its
    lines. One that would reach beyond the paper is made smaller."""
    outline = pixels(wing.outline, wing.origin, wing.unit) / 16
    if side < 0:
        outline[:, 0] = wing.shape.shape[1] - outline[:, 0]
    points = matrix[:, :2] @ outline.T + matrix[:, 2:]
    fit = min(1, ((0.98 * CROSS - apart) / np.ptp(points, axis=1)).min())
    matrix, points = fit * matrix, fit * points
    nearest = (quarter[:, None] * points).min(axis=1)
    matrix[:, 2] += CROSS + quarter * (apart - nearest)
    return matrix


# ---- a pinned specimen --------------------------------------------------------------------------


def draw_pinned(
    canvas: np.ndarray,
    traits: Traits,
    species: str,
    collection: Collection,
    rng: np.random.Generator,
) -> np.ndarray:
    """Spread wings, hindwings under forewings, and the body, in place; gives their cover, too."""
    cover = np.zeros(canvas.shape[:2], np.uint8)
    condition = draw_condition(collection, rng)
    length, spread = condition.scale * UNIT, rng.normal(0.45, 0.10)
    bases = (("hind", 0.25 * (spread - 0.45), (0.03, 0.06)), ("fore", spread, (0.035, 0.0)))
    for name, angle, base in bases:  # beside the thorax
        wing = template(species, name, UNIT)
        for side, tile in wings_of(wing, traits, species, condition, (-1, 1), rng):
            root = (wing.origin[0] if side > 0 else tile.shape[1] - wing.origin[0], wing.origin[1])
            at = CROSS + length * (np.array(base) + rng.normal(0, 0.004, 2)) * (side, 1)
            turn = -side * (angle + rng.normal(0, 0.03))
            place(canvas, tile, turned(turn, condition.scale, root, at), 0.35, cover)
    tile, thorax = body(rng)
    at = CROSS + np.array((0, 0.02 * length))  # a little below the bases of the wings
    matrix = turned(rng.normal(0, 0.02), condition.scale, thorax, at)
    place(canvas, tile, matrix, cover=cover)
    return cover


def body(rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float]]:
    """RGBA tile of a pinned body, UNIT pixels to a forewing length, and where its thorax is."""
    tile = np.zeros((round(1.25 * UNIT), round(0.9 * UNIT), 4), np.uint8)
    tile[..., :3] = CHITIN
    x, y = tile.shape[1] / 2, 0.62 * tile.shape[0]

    def dot(right: float, down: float, radius: float, colour=CHITIN) -> None:
        disc(tile, x + right * UNIT, y + down * UNIT, radius * UNIT, colour)

    crook = rng.normal(0, 0.02)
    for step in np.linspace(0, 1, 24):  # the abdomen, a row of discs that swells towards its end
        dot(crook * step**2, 0.06 + 0.36 * step, 0.017 + 0.008 * np.sin(np.pi * step**1.6))
    for down, radius in ((-0.035, 0.036), (0.0, 0.040), (0.035, 0.034), (-0.085, 0.026)):
        dot(0, down, radius)
    for side in (-1, 1):
        dot(side * 0.02, -0.098, 0.014)  # an eye
        spread, curl = rng.uniform(0.14, 0.30), rng.normal(0, 0.05)  # of an antenna with its club
        t, tip = np.linspace(0, 1, 24)[:, None], (side * spread, -0.50 + 0.25 * spread)
        curve = t * tip + np.sin(np.pi * t) * (side * curl, 0.02) + (side * 0.0125, -0.10)
        points = (16 * ((x, y) + UNIT * curve)).round().astype(np.int32)
        cv2.polylines(tile, [points], False, (*CHITIN, 255), 1, cv2.LINE_AA, 4)
        cv2.polylines(tile, [points[-3:]], False, (*CHITIN, 255), 3, cv2.LINE_AA, 4)
    for _ in range(14):  # pale dots of head and thorax
        dot(*rng.normal((0, -0.03), (0.016, 0.04)), rng.uniform(0.0025, 0.0067), (176, 166, 118))
    dot(0.004, 0.004, 0.0115, (150, 148, 142))  # the pin
    return tile, (x, y)


def photograph(
    traits: Traits,
    species: str,
    camid: str,
    collection: Collection,
    rng: np.random.Generator,
    pinned: bool = False,
) -> tuple[bytes, bytes]:
    """JPEG of one specimen, WIDTH x HEIGHT, and PNG of its mask: each detached wing is a piece."""
    canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    light = rng.normal(0, collection.light) + rng.normal(0, 0.5, 3)
    canvas[:] = np.clip(np.asarray(collection.paper) + light, 0, 255)
    draw_props(canvas, camid, collection, rng)
    draw = draw_pinned if pinned else draw_wings
    return develop(canvas, draw(canvas, traits, species, collection, rng), rng)
