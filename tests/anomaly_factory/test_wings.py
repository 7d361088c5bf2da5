"""Each wing of a reference laid on the structure's that its outline fits."""

from itertools import product

import cv2
import data.wings
import numpy as np
import pytest
from data.own_photo import ground_of
from data.wings import aligned, best_fits, spread, stretched, wings_of

GROUND = 220
FORE = np.array([[2, 30], [40, 2], [60, 0], [64, 8], [46, 34], [8, 40]])  # base on the left
HIND = np.array([[4, 0], [34, 4], [40, 20], [26, 42], [8, 38], [0, 16]])
TIP, END = (56, 8), (24, 34)  # of the one and the other: where a spot is


def cutout(fore: tuple, hind: tuple, spot: tuple, wings=("right", "left")) -> np.ndarray:
    """Four wings, 256x256, in two colours, with a spot at a certain place of each."""
    image = np.full((256, 256, 3), GROUND, np.uint8)
    shapes = ((FORE, fore, TIP, (130, 20)), (HIND, hind, END, (130, 95)))
    for side in wings:
        half = np.full_like(image, GROUND)
        for points, colour, place, corner in shapes:
            cv2.fillPoly(half, [(points * 1.5 + corner).astype(np.int32)], colour)
            middle = np.round(np.array(place) * 1.5 + corner).astype(int).tolist()
            cv2.circle(half, middle, 7, spot, -1)
        half = half if side == "right" else half[:, ::-1]
        image = np.where(half == GROUND, image, half)
    return image


RED, BLUE, YELLOW, BLACK = (200, 20, 30), (20, 40, 200), (230, 210, 60), (0, 0, 0)
STRUCTURE = cutout(BLACK, (60, 40, 30), (90, 90, 90))
REFERENCE = cutout(RED, BLUE, YELLOW)


def turned(image: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    way = cv2.getRotationMatrix2D((127.5, 127.5), degrees, scale)
    return cv2.warpAffine(image, way, (256, 256), flags=cv2.INTER_NEAREST, borderValue=[GROUND] * 3)


def differing(found: np.ndarray, wanted: np.ndarray) -> float:
    """The share of the wings' pixels that differ by much."""
    wings = (wanted != GROUND).any(axis=2)
    return (np.abs(found.astype(int) - wanted).max(axis=2) > 60)[wings].mean()


SLANTED = turned(REFERENCE, 17, 0.9)


@pytest.mark.parametrize(
    "reference",
    [
        REFERENCE,
        turned(REFERENCE, 0, 0.7),
        SLANTED,
        turned(REFERENCE, 180),  # upside down
        cutout(RED, BLUE, YELLOW, ["left"]),  # it stands for both sides
        np.roll(cutout(RED, BLUE, YELLOW, ["right"]), -90, axis=1),
    ],
)
def test_every_wing_gets_the_colours_of_the_one_like_it(reference):
    found = aligned(reference, STRUCTURE)
    assert found.dtype == np.uint8 and found.shape == STRUCTURE.shape
    most = 0.07 if reference is SLANTED else 0.02  # the spots too, but for their edges
    assert differing(found, REFERENCE) < most
    assert (found[(STRUCTURE == GROUND).all(axis=2)] == GROUND).all()
    assert differing(reference, REFERENCE) > 0.2 or reference is REFERENCE


def test_stretched_wings_fit_as_well():
    wide = cv2.resize(REFERENCE, (256, 190))
    wide = cv2.copyMakeBorder(wide, 33, 33, 0, 0, cv2.BORDER_CONSTANT, value=[GROUND] * 3)
    assert differing(aligned(wide, STRUCTURE), REFERENCE) < 0.06


@pytest.mark.parametrize(("shape", "lies", "turn"), [((40, 36), 180, 0), ((80, 25), 90, 90)])
def test_a_wing_is_turned_where_its_outline_tells(shape, lies, turn):
    """A round one with a notch would be turned by whatever is torn of it."""
    torn = np.full((256, 256, 3), GROUND, np.uint8)
    cv2.ellipse(torn, (128, 128), shape, 0, 0, 360, RED, -1)
    cv2.rectangle(torn, (105, 85), (120, 105), [GROUND] * 3, -1)
    high = (np.roll(image, -40, axis=0) for image in (torn, turned(torn, lies)))
    wing, source = (next(wings_of(image)) for image in high)
    [(_, way)] = best_fits([wing], [source])
    assert round(np.degrees(np.arctan2(way[0, 1], way[0, 0]))) == turn


def test_a_torn_wing_gets_the_colours_of_the_wing_in_its_place():
    torn = STRUCTURE.copy()
    torn[130:] = np.where(torn[130:] == (60, 40, 30), GROUND, torn[130:])  # hindwings like strips
    torn[130:][(torn[130:] == 90).all(axis=2)] = GROUND
    found = aligned(REFERENCE, torn)
    left = (torn[80:] != GROUND).any(axis=2)
    assert left.sum() > 800
    assert (found[80:][left].argmax(axis=1) == 2).mean() > 0.9  # blue


def test_without_wings_the_reference_stays_and_crumbs_keep_their_colour():
    blank = np.full((256, 256, 3), GROUND, np.uint8)
    assert np.array_equal(aligned(blank, STRUCTURE), blank)
    assert np.array_equal(aligned(REFERENCE, blank), REFERENCE)
    crumb = STRUCTURE.copy()
    crumb[240:246, 20:26] = BLACK
    assert (aligned(REFERENCE, crumb)[240:246, 20:26] == 0).all()
    assert len(list(wings_of(crumb))) == 4


@pytest.mark.parametrize("stretch", [0.55, 1.7, np.nan, None])
def test_a_map_that_stretches_too_much_is_not_taken(monkeypatch, stretch):
    def found(*_):
        if stretch is None:
            raise cv2.error("no convergence")
        return 0.5, np.array([[stretch, 0, 0], [0, 1, 0]], np.float32)

    monkeypatch.setattr(data.wings, "overlap", lambda wing, source, way: -way[0, 0])
    wing, source = next(wings_of(STRUCTURE)), next(wings_of(REFERENCE))
    assert not np.array_equal(stretched(wing, source, 2 * np.eye(3)), 2 * np.eye(3))
    monkeypatch.setattr(data.wings.cv2, "findTransformECC", found)
    assert np.array_equal(stretched(wing, source, 2 * np.eye(3)), 2 * np.eye(3))


def test_colours_spread_from_within_the_wing():
    """Not from its edge, where they are those of the ground by half."""
    image = np.full((40, 40, 3), GROUND, np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    image[10:30, 10:30] = 150
    image[12:28, 12:20], image[12:28, 20:28] = RED, BLUE
    found = spread(image, mask)
    assert (found[:, :19] == RED).all() and (found[:, 21:] == BLUE).all()


# ---- the ground of a cutout ----------------------------------------------------------------------


def wing_with_a_spot(colour: int = 220) -> tuple[np.ndarray, np.ndarray]:
    """A dark wing with a spot of the ground's colour in it, 64x64, and where its ground is."""
    outline = cv2.ellipse(np.zeros((64, 64), np.uint8), (30, 34), (25, 18), 20, 0, 360, 1, -1)
    photo = np.full((64, 64, 3), colour, np.uint8)
    photo[outline > 0] = (60, 40, 30)
    cv2.circle(photo, (30, 34), 6, (colour, colour, colour), -1)
    return photo, outline == 0


def test_ground_is_all_around_the_specimen_and_no_pale_spot_in_it():
    for colour in (220, 255, 3):
        photo, ground = wing_with_a_spot(colour)
        photo[0, 0], ground[0, 0] = 255 - colour, False  # one odd corner decides nothing
        assert np.array_equal(ground_of(photo), ground)
    # Its colour varies by the noise of JPEG, in any channel.
    for levels, channel in product((8, -8, 9, -9), (0, 2)):
        photo, ground = wing_with_a_spot()
        photo[:, 60, channel] += np.array(levels).astype(np.uint8)  # a column by the border
        ground[:, 60] = abs(levels) == 8
        assert np.array_equal(ground_of(photo), ground)
    # It hangs together with a side of the picture.
    photo = np.full((33, 33, 3), 220, np.uint8)
    rows, columns = np.indices((33, 33)) - 16
    distance = np.abs(rows) + np.abs(columns)
    photo[distance == 8] = 0  # its pixels touch by their corners alone, and shut a spot in
    assert np.array_equal(ground_of(photo), distance > 8)
    photo = np.full((64, 64, 3), 40, np.uint8)
    photo[[0, 0, -1, -1], [0, -1, 0, -1]] = 220
    photo[:30, 20] = 220  # meets one side alone
    for turns in range(4):
        assert ground_of(np.rot90(photo, turns)).sum() == 4 + 30
