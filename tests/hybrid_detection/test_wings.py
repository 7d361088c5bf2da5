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


def test_two_wings_that_touch_are_cut_apart():
    mask = np.zeros((200, 300), np.uint8)
    for x in (95, 205):
        cv2.ellipse(mask, (x, 60), (60, 30), 0, 0, 360, 1, cv2.FILLED)
    cv2.circle(mask, (100, 150), 35, 1, cv2.FILLED)
    cv2.circle(mask, (200, 150), 35, 1, cv2.FILLED)
    found, whole = find_wings(mask)
    assert (len(found), whole) == (4, False)
    sides, turned = sort_wings(found, whole)
    assert [side.right for side in sides] == [False, True] and not turned
    for side in sides:
        assert [(round(wing.centre[1]), rows) for wing, rows in side.wings] == [
            (60, UPPER),
            (150, LOWER),
        ]
    forewing = cv2.fillPoly(
        np.zeros((90, 200), np.uint8), [np.array([(5, 5), (195, 5), (5, 80)])], 1
    )
    assert len(find_wings(forewing)[0]) == 1  # wide, too, but its halves are unlike
    level = cv2.ellipse(
        np.zeros((90, 200), np.uint8), (100, 45), (95, 40), 0, 0, 360, 1, cv2.FILLED
    )
    assert len(find_wings(level)[0]) == 1  # they are alike, but no notch is between them
    (alone,), turned = sort_wings(found[2:3], False)  # a single one that is round
    assert alone.wings == [(found[2], LOWER)] and not turned


@pytest.mark.parametrize(("axes", "rows"), [((40, 25), UPPER), ((40, 36), WHOLE)])
def test_two_that_are_alike_beside_each_other_are_two_sides(axes, rows):
    """Two forewings, or the halves of a specimen without a body."""
    mask = np.zeros((120, 300), np.uint8)
    for x, turned in ((80, 40), (210, -40)):
        cv2.ellipse(mask, (x, 60), axes, turned, 0, 360, 1, cv2.FILLED)
    sides, _ = sort_wings(*find_wings(mask))
    assert [(side.right, [at for _, at in side.wings]) for side in sides] == [
        (False, [rows]),
        (True, [rows]),
    ]


def test_a_crumb_beside_a_whole_specimen_changes_nothing():
    photograph = whole_specimen()
    mask = (np.abs(np.asarray(photograph).astype(int) - PAPER).max(axis=2) > 20).astype(np.uint8)
    cv2.circle(mask, (30, 400), 8, 1, cv2.FILLED)
    found, halves = find_wings(mask)
    assert (len(found), halves) == (2, True)


def test_odd_pieces_are_wings_still():
    """Three at one height; and four at the most, of pieces that would be cut in two."""
    mask = np.zeros((200, 400), np.uint8)
    for x in (50, 150, 250):
        cv2.circle(mask, (x, 60), 30, 1, cv2.FILLED)
    sides, turned = sort_wings(*find_wings(mask))
    assert len(sides) == 2 and not turned
    for y in (40, 110, 180):
        cv2.ellipse(mask, (330, y), (60, 18), 0, 0, 360, 1, cv2.FILLED)
    assert len(find_wings(mask)[0]) <= 4


def test_nothing_found_is_ground():
    assert sort_wings(*find_wings(np.zeros((9, 9), np.uint8))) == ([], False)
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


def test_what_a_view_says_is_done(pictures):
    """A bar in the upper half, as wide as 100 pixels and as high as 10."""
    bars = torch.full_like(pictures, GROUND)
    bars[:, 51:61, 62:162] = torch.tensor([64, 100, 200], dtype=torch.uint8)

    def measured(view: View) -> tuple[float, ...]:
        changed = change(bars, view)[0, : SIDE // 2].numpy()
        mask = (np.abs(changed.astype(int) - GROUND).max(axis=2) > 36).astype(np.uint8)
        (outline,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        _, (width, height), angle = cv2.minAreaRect(outline)
        if width < height:
            width, height, angle = height, width, angle - 90
        return (width + 1) / 100, (height + 1) / 10, (angle + 90) % 180 - 90

    assert measured(View(False, 0, 1.0, 1.0, 1.0, (1, 1, 1))) == pytest.approx((1, 1, 0), abs=0.02)
    for degrees in (4, -3):
        width, height, angle = measured(View(False, degrees, 1.0, 1.0, 1.0, (1, 1, 1)))
        assert angle == pytest.approx(-degrees, abs=0.3)  # against the clock
        assert (width, height) == pytest.approx((1, 1), abs=0.12)
    for scale, stretch, shown in ((1.25, 1.0, (0.8, 0.8)), (1.0, 1.25, (0.8, 1.25))):
        *lengths, _ = measured(View(False, 0, scale, stretch, 1.0, (1, 1, 1)))  # seen from afar
        assert lengths == pytest.approx(shown, abs=0.12)
    bright = change(bars, View(False, 0, 1.0, 1.0, 0.5, (0.5, 1, 2)))[0, 56, 112]
    expected = [64**0.5 * 255**0.5 / 2, (100 * 255) ** 0.5, 255]
    assert bright.tolist() == pytest.approx(expected, abs=1)
