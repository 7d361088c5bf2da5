"""What goes beyond the published: samples that ask for more, aligned references, kept ground."""

from itertools import product

import cv2
import data.few_photos
import numpy as np
import pytest
from data.augmentation import random_augmentation, training_sample
from data.few_photos import FewPhotos, aligned, ground_of, random_hues, random_rectangle

GREY = np.full((64, 64, 3), 100, np.uint8)


def both(edges: np.ndarray, photo: np.ndarray, seed: int, few: FewPhotos):
    """The published sample, and the one of `few`, of the same augmentation."""
    random = np.random.default_rng(seed)
    drawn = random_augmentation(random, len(photo))
    return training_sample(edges, photo, drawn), few.sample(edges, photo, drawn, random)


def test_recolouring_gives_reference_and_target_the_same_new_colours(monkeypatch):
    photo, edges = (np.full((32, 32, 3), colour, np.uint8) for colour in ((200, 40, 20), 255))
    seen, drawn, plain = set(), [], data.few_photos.with_hues
    monkeypatch.setattr(data.few_photos, "with_hues", lambda *of: drawn.append(of[2]) or plain(*of))
    for seed in range(200):
        published, sample = both(edges, photo, seed, FewPhotos(recolour=1.0))
        assert np.array_equal(sample[0], published[0])
        colours = []
        for image, before in zip(sample[1:], published[1:], strict=True):
            whole = (before == photo[0, 0]).all(axis=-1)  # not blackened, nor mixed with black
            colours += np.unique(image[whole], axis=0).tolist()
        assert colours[0] == colours[1] and len(colours) == 2
        assert max(colours[0]) == 200  # the brightness of HSV stays
        seen.add(tuple(colours[0]))
    assert len(seen) > 170 and 0.5 <= min(drawn) < 0.51 and 1.49 < max(drawn) <= 1.5
    # Bends of 30 over one turn and 15 over two: at the most 1 + 1.05 + 1.05 hues a hue.
    hues = [random_hues(np.random.default_rng(seed)).astype(int) for seed in range(300)]
    steps = (np.roll(hues, -1, axis=1) - hues + 90) % 180 - 90
    assert (steps.min(), steps.max()) == (-1, 3)


def test_erasing_whitens_one_to_three_rectangles_of_the_edge_map_alone(monkeypatch):
    erased, counts, places, sides, plain = 0, set(), [], [], random_rectangle
    drawn: list[tuple[slice, slice]] = []
    monkeypatch.setattr(
        data.few_photos, "random_rectangle", lambda *of: drawn.append(plain(*of)) or drawn[-1]
    )
    for seed in range(200):
        drawn.clear()
        published, sample = both(GREY, GREY, seed, FewPhotos(erase=0.5))
        assert np.array_equal(sample[1], published[1]) and np.array_equal(sample[2], published[2])
        changed = (sample[0] != published[0]).any(axis=-1)
        assert (sample[0][changed] == 255).all()
        erased += changed.any()
        counts.add(len(drawn))
        places += [end for pair in drawn for part in pair for end in (part.start, part.stop)]
        sides += [part.stop - part.start for pair in drawn for part in pair]
    assert 80 <= erased <= 120 and counts == {0, 1, 2, 3}  # half of them
    assert (min(sides), max(sides), min(places), max(places)) == (10, 32, 0, 64)  # 0.15, 0.5 of 64


def test_warps_move_as_far_as_they_are_told():
    published, sample = both(GREY, GREY, 1, FewPhotos())
    assert all(map(np.array_equal, published, sample))  # without a wish they are the same
    for seed in range(20):
        warp = random_augmentation(np.random.default_rng(seed), 256).reference_warp
        gentler = FewPhotos(warp=0.04).gentler(warp)
        assert np.array_equal(gentler.read_from, warp.read_from)
        ratio = (gentler.write_to - warp.read_from) / (warp.write_to - warp.read_from)
        assert np.abs(ratio - 0.4).max() < 1e-9


# ---- aligned references --------------------------------------------------------------------------


def two_wings(turn: float = 0.0, scale: float = 1.0, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Two dark ellipses on a pale ground, 128x128, turned by degrees about the middle."""
    image = np.full((128, 128, 3), 220, np.uint8)
    cv2.ellipse(image, (44, 60), (22, 12), 40, 0, 360, (40, 30, 20), -1)
    cv2.ellipse(image, (84, 60), (22, 12), -30, 0, 360, (40, 30, 20), -1)
    matrix = cv2.getRotationMatrix2D((64, 64), turn, scale)
    matrix[:, 2] += shift
    return cv2.warpAffine(image, matrix, (128, 128), borderValue=(220, 220, 220))


@pytest.mark.parametrize("size", [128, 256])
def test_aligned_references_cover_their_structure(size):
    structure, reference = (
        cv2.resize(image, (size, size)) for image in (two_wings(), two_wings(8, 0.9, (6, -5)))
    )
    moved = aligned(reference, structure)
    assert moved.shape == reference.shape and moved.dtype == np.uint8
    before, after = (
        np.mean(np.abs(structure.astype(int) - image) > 60) for image in (reference, moved)
    )
    assert before > 0.06 and after < 0.005
    blank = np.full((128, 128, 3), 220, np.uint8)
    assert np.array_equal(aligned(blank, two_wings()), blank)


@pytest.fixture
def searched(monkeypatch):
    """Has the search find a certain map."""
    cv = data.few_photos.cv2
    return lambda found: monkeypatch.setattr(
        cv, "findTransformECC", lambda *_: (0.5, np.array(found, np.float32))
    )


@pytest.mark.parametrize("size", [128, 256, 320])
def test_a_map_is_the_same_on_pixels_of_another_size(searched, size):
    """A mirror image shows half a pixel of error, which the search itself would hide."""
    searched([[-1, 0, 127], [0, 1, 0]])  # column 0 is read from 127
    reference = cv2.resize(two_wings(shift=(12, 0)), (size, size))
    assert np.array_equal(aligned(reference, reference[:, ::-1]), reference[:, ::-1])


def test_a_map_that_does_not_help_or_stretches_too_much_is_not_taken(searched):
    reference = two_wings(8, 0.9, (6, -5))
    for moved in (50, np.nan):  # away from the specimen
        searched([[1, 0, moved], [0, 1, 0]])
        assert np.array_equal(aligned(reference, two_wings()), reference)
    for stretch, taken in ((0.58, False), (0.62, True), (1.58, True), (1.62, False)):
        about_the_middle = 64 * (1 - stretch)
        searched([[stretch, 0, about_the_middle], [0, stretch, about_the_middle]])
        moved = aligned(two_wings(), two_wings(scale=1 / stretch))
        assert np.array_equal(moved, two_wings()) != taken


# ---- kept ground ---------------------------------------------------------------------------------


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
