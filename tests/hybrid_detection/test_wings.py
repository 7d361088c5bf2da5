"""wings.py on drawn specimens: which wing is where, and how it is laid; and views of the same."""

import re

import cv2
import numpy as np
import pytest
import subspecies
import torch
from backbones import make_picture
from PIL import Image
from subspecies import View, change
from wings import GROUND, LOWER, SIDE, UPPER, WHOLE, find_wings, sort_wings

PAPER, FORE, HIND, SPOT = (225, 222, 205), (60, 40, 25), (120, 30, 25), (235, 200, 60)


def loose_wings(sides: str = "left right") -> Image.Image:
    """Four wings on paper: forewings slant upwards to their tips, where they have a spot."""
    rgb = np.full((420, 600, 3), PAPER, np.uint8)
    for side, x, out in (("left", 180, -1), ("right", 420, 1)):
        if side in sides.split():
            outline = [(x - out * 90, 160), (x + out * 90, 45), (x + out * 100, 110)]
            cv2.fillPoly(rgb, [np.array(outline)], FORE, cv2.LINE_AA)
            cv2.circle(rgb, (x + out * 70, 85), 12, SPOT, cv2.FILLED, cv2.LINE_AA)
            cv2.ellipse(rgb, (x, 290), (70, 60), 0, 0, 360, HIND, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(rgb, (x + out * 40, 310), 12, SPOT, cv2.FILLED, cv2.LINE_AA)
    return Image.fromarray(rgb)


def whole_specimen() -> Image.Image:
    rgb = np.full((420, 600, 3), PAPER, np.uint8)
    for out in (-1, 1):
        cv2.ellipse(rgb, (300 + out * 110, 170), (120, 60), out * -15, 0, 360, FORE, cv2.FILLED)
        cv2.ellipse(rgb, (300 + out * 70, 260), (75, 60), 0, 0, 360, HIND, cv2.FILLED)
    return Image.fromarray(rgb)


def laid(photograph: Image.Image) -> np.ndarray:
    return np.asarray(make_picture("wings")(photograph)).reshape(2, SIDE, SIDE, 3)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """But for the rims, whose pixels lie elsewhere."""
    return np.abs(np.subtract(one, other, dtype=float)).mean() < 2


def colour_at(picture: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(picture[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)).round().astype(int))


def spot_in(half: np.ndarray) -> np.ndarray:
    """x and y of the middle of what has its colour."""
    return np.argwhere(np.abs(half.astype(int) - SPOT).max(axis=2) < 40).mean(axis=0)[::-1]


def test_both_sides_are_laid_alike():
    """The forewing level above, its base on the right; the hindwing as it lies below."""
    left, right = laid(loose_wings())
    assert left.shape == (SIDE, SIDE, 3) and left.dtype == np.uint8
    assert alike(left, right)
    fore, hind = left[: SIDE // 2], left[SIDE // 2 :]
    wing = (np.abs(fore.astype(int) - GROUND).max(axis=2) > 20).nonzero()
    assert np.ptp(wing[1]) == pytest.approx(0.96 * SIDE, abs=8)  # as wide as fits
    assert np.ptp(wing[0]) < SIDE / 3
    assert spot_in(fore)[0] < SIDE / 4  # at the tip
    assert colour_at(hind, SIDE // 2, SIDE // 4) == pytest.approx(HIND, abs=3)
    x, y = spot_in(hind)
    assert x < SIDE / 2 and y > SIDE / 4  # outwards, and below the middle
    assert colour_at(left, 3, 3) == (GROUND,) * 3
    faded = np.array(loose_wings())
    cv2.circle(faded, (420, 290), 30, SPOT, cv2.FILLED)  # on the right hindwing alone
    assert [alike(side, left) for side in laid(Image.fromarray(faded))] == [True, False]


def test_a_photograph_that_is_upside_down_gives_the_same():
    pictures = laid(loose_wings())
    turned = laid(loose_wings().transpose(Image.Transpose.ROTATE_180))
    assert all(map(alike, pictures, turned))


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_side_stands_for_both(side):
    one, other = laid(loose_wings(side))
    assert np.array_equal(one, other)
    assert alike(one, laid(loose_wings())[0])


def test_a_whole_specimen_gives_its_halves():
    """The body on the right."""
    left, right = laid(whole_specimen())
    assert alike(left, right)
    assert colour_at(left, SIDE // 3, SIDE // 2 - 30) == pytest.approx(FORE, abs=3)
    columns = np.abs(left.astype(int) - GROUND).max(axis=(0, 2)) > 20
    assert columns[-8:].any() and columns[:8].any()


def mask_of(width: int, height: int, *ellipses: tuple) -> np.ndarray:
    """Pieces of 0 and 1: the middle of each, half its axes, and degrees."""
    mask = np.zeros((height, width), np.uint8)
    for middle, axes, turned in ellipses:
        cv2.ellipse(mask, middle, axes, turned, 0, 360, 1, cv2.FILLED)
    return mask


def shown(mask: np.ndarray) -> list[tuple]:
    """Of each side whether it is the right one, and the rows of its wings."""
    sides, turned = sort_wings(*find_wings(mask))
    assert not turned
    return [(side.right, [rows for _, rows in side.wings]) for side in sides]


def test_two_wings_that_touch_are_cut_apart():
    fore = [((x, 60), (60, 30), 0) for x in (95, 205)]
    mask = mask_of(300, 200, *fore, *[((x, 150), (35, 35), 0) for x in (100, 200)])
    assert shown(mask) == [(False, [UPPER, LOWER]), (True, [UPPER, LOWER])]
    triangle = np.array([(5, 5), (195, 5), (5, 80)])
    forewing = cv2.fillPoly(np.zeros((90, 200), np.uint8), [triangle], 1)
    assert len(find_wings(forewing)[0]) == 1  # wide, too, but its halves are unlike
    level = mask_of(200, 90, ((100, 45), (95, 40), 0))
    assert len(find_wings(level)[0]) == 1  # they are alike, but no notch is between them
    assert shown(mask_of(90, 90, ((45, 45), (35, 35), 0))) == [(False, [LOWER])]


@pytest.mark.parametrize(("axes", "rows"), [((40, 25), UPPER), ((40, 36), WHOLE)])
def test_two_that_are_alike_beside_each_other_are_two_sides(axes, rows):
    """Two forewings, or the halves of a specimen without a body."""
    mask = mask_of(300, 120, *[((x, 60), axes, turned) for x, turned in ((80, 40), (210, -40))])
    assert shown(mask) == [(False, [rows]), (True, [rows])]


def test_odd_pieces_are_wings_still():
    """Three at one height; four at the most, of pieces that would be cut in two; and no crumb."""
    three = [((x, 60), (30, 30), 0) for x in (50, 150, 250)]
    assert len(shown(mask_of(400, 200, *three))) == 2
    more = [((330, y), (60, 18), 0) for y in (40, 110, 180)]
    assert len(find_wings(mask_of(400, 200, *three, *more))[0]) <= 4
    wings = np.abs(np.asarray(whole_specimen()).astype(int) - PAPER).max(axis=2) > 20
    mask = wings | (mask_of(600, 420, ((30, 400), (8, 8), 0)) > 0)
    found, halves = find_wings(mask.astype(np.uint8))
    assert (len(found), halves) == (2, True)


def test_nothing_found_is_ground():
    with pytest.warns(UserWarning, match="no specimen was found"):
        found = laid(Image.new("RGB", (90, 60), (0, 0, 0)))
    assert found.shape == (2, SIDE, SIDE, 3)
    assert (found == GROUND).all()


def test_a_view_may_have_several_squares():
    photograph = loose_wings()
    picture = np.asarray(make_picture("photograph+wings")(photograph))
    assert picture.shape == (3 * SIDE, SIDE, 3)
    assert np.array_equal(picture[:SIDE], make_picture("photograph")(photograph))
    assert np.array_equal(picture[SIDE:].reshape(2, SIDE, SIDE, 3), laid(photograph))
    for view in ("photograph+mask", "wings+wings", "wings+cutout"):
        with pytest.raises(ValueError, match=re.escape(f"unknown view {view!r}; known: ")):
            make_picture(view)


# ---- the same in other light, and askew ---------------------------------------------------------


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.tensor(laid(loose_wings()).reshape(1, 2 * SIDE, SIDE, 3))


def test_a_view_shows_one_side(pictures):
    pictures[:, SIDE:] = pictures[:, SIDE:].flip(1)
    for right, side in ((False, pictures[:, :SIDE]), (True, pictures[:, SIDE:])):
        same = change(pictures, View(right, 0, 1.0, 1.0, 1.0, (1, 1, 1)))
        assert (same.int() - side.int()).abs().max() <= 1  # what is as good as ground becomes it
    for view in subspecies.VIEWS:
        side = pictures[:, SIDE:] if view.right else pictures[:, :SIDE]
        changed = change(pictures, view)
        assert changed.shape == side.shape and changed.dtype == torch.uint8
        assert (changed[:, 0, [0, -1]] == GROUND).all()
        assert 1 < (changed.float() - side.float()).abs().mean() < 20
