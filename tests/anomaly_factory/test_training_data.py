"""The warp, the training sample, and the order in which training visits the list."""

import cv2
import data.registration
import data.warp
import numpy as np
import pytest
from data.augmentation import random_hues, random_rectangle, training_sample
from data.datasets import PaintingPairs, TrainingOrder, TrainingPairs
from data.lists import find_list, read_pairs
from data.registration import aligned
from data.warp import random_warp, solve, spline_map, terms, warp

IDENTITY = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1).astype(np.float32)


def random_points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    columns, rows = np.meshgrid(np.arange(3), np.arange(3))
    points = 60 + 50.0 * np.stack([columns, rows], axis=-1).reshape(-1, 2)
    return points + random.uniform(-15, 15, points.shape), points


def test_spline_without_movement_is_the_identity():
    points = np.array([[20.0, 20], [30, 25], [40, 44]])
    assert np.abs(spline_map(points, points, 64, 64) - IDENTITY).max() < 1e-4


def test_spline_passes_through_its_points_and_holds_the_corners():
    moved, points = random_points(0)
    coefficients = solve(moved, points - moved)
    found = moved + terms(moved[:, 0], moved[:, 1], moved) @ coefficients
    assert np.abs(found - points).max() < 1e-6
    sampling = spline_map(moved, points, 256, 256)
    assert np.abs(sampling[[0, 0, -1, -1], [0, -1, 0, -1]] - [
        [0, 0], [255, 0], [0, 255], [255, 255]
    ]).max() < 1.0  # fmt: skip


def test_interpolated_spline_is_near_the_exact_one():
    moved, points = random_points(1)
    corners = np.array([[0, 0], [255, 0], [0, 255], [255, 255]], float)
    knots = np.vstack([moved, corners])
    coefficients = solve(knots, np.vstack([points - moved, np.zeros((4, 2))]))
    y, x = np.mgrid[:256, :256].astype(float)
    exact = np.stack([x, y], axis=-1) + terms(x, y, knots) @ coefficients
    distance = np.abs(spline_map(moved, points, 256, 256) - exact).max(axis=-1)
    assert np.quantile(distance, 0.99) < 0.5


def test_warp_moves_what_the_map_says_and_reflects():
    image = np.zeros((64, 64), np.uint8)
    image[30, 20] = 255
    assert warp(image, IDENTITY + np.float32([-5, 3]))[27, 25] == 255
    ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    assert warp(ramp, IDENTITY - np.float32([10, 0]))[0, :10].tolist() == list(range(10, 0, -1))


def test_random_warps_are_local_and_seeded():
    first, again, other = (random_warp(np.random.default_rng(seed), 64, 64) for seed in (1, 1, 2))
    assert first.shape == (64, 64, 2) and first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 1 < np.abs(first - IDENTITY).max() < 40
    assert np.abs(first[0, 0]).max() < 2


def test_random_warps_move_nine_points_of_a_local_grid(monkeypatch):
    calls = []
    monkeypatch.setattr(data.warp, "spline_map", lambda *arguments: calls.append(arguments))
    for seed in range(200):
        random_warp(np.random.default_rng(seed), 256, 256)
    steps = []
    for moved, points, height, width in calls:
        assert (height, width) == (256, 256) and points.shape == moved.shape == (9, 2)
        grid = points.reshape(3, 3, 2)
        across, down = np.diff(grid[..., 0], axis=1), np.diff(grid[..., 1], axis=0)
        assert np.ptp([across.ravel(), down.ravel()]) < 1e-9
        steps.append(across[0, 0])
        assert points.min() >= 0 and points.max() <= 255
        assert np.abs(moved - points).max() <= 0.1 * 256
    assert 0.15 * 256 <= min(steps) < 0.17 * 256
    assert 0.28 * 256 < max(steps) <= 0.30 * 256
    assert max(np.abs(moved - points).max() for moved, points, *_ in calls) > 0.099 * 256


def test_warps_move_as_far_as_they_are_told(monkeypatch):
    calls = []
    monkeypatch.setattr(data.warp, "spline_map", lambda *arguments: calls.append(arguments))
    for seed in range(20):
        random_warp(np.random.default_rng(seed), 256, 256, shift=0.04)
    farthest = max(np.abs(moved - points).max() for moved, points, *_ in calls)
    assert 0.039 * 256 < farthest <= 0.04 * 256


def test_without_warps_the_reference_is_the_target():
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for seed in range(10):
        random = np.random.default_rng(seed)
        _, reference, target = training_sample(photo, photo, photo, random, shift=0.0)
        assert np.array_equal(reference, target)


def test_flips_are_shared_and_of_all_four_kinds():
    quadrants = np.zeros((64, 64, 3), np.uint8)
    colours = {(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)}
    for colour, (top, left) in zip(sorted(colours), np.ndindex(2, 2), strict=True):
        quadrants[32 * top : 32 * (top + 1), 32 * left : 32 * (left + 1)] = colour
    corners = set()
    for seed in range(40):
        edges, _, target = training_sample(
            quadrants, quadrants, quadrants, np.random.default_rng(seed)
        )
        corner = tuple(edges[0, 0].tolist())
        if corner in colours:  # neither padded nor under the black block
            assert tuple(target[0, 0].tolist()) == corner
            corners.add(corner)
    assert corners == colours


def test_edges_and_target_share_the_geometry_and_the_reference_does_not():
    # The edge map is the photo's own brightness: shared geometry keeps the two alike inside.
    random = np.random.default_rng(0)
    photo = cv2.GaussianBlur(random.integers(0, 255, (64, 64, 3), np.uint8), (0, 0), 3)
    agree, differ = [], []
    for seed in range(20):
        edges, reference, target = training_sample(
            photo, photo, photo, np.random.default_rng([0, 0, seed])
        )
        agree.append(np.mean(edges != target))
        differ.append(np.mean(reference != target))
    assert min(agree) == 0  # not shrunk: nothing is padded
    assert max(agree) < 0.8  # shrunk: white against reflected borders
    assert min(differ) > 0.3


def test_all_three_share_the_black_block():
    white = np.full((64, 64, 3), 255, np.uint8)
    edges, reference, target = training_sample(white, white, white, np.random.default_rng(3))
    black = (edges == 0).all(axis=-1)
    assert 0 < black.sum() <= 0.5 * 0.25 * 64 * 64 + 64
    assert black[0].any() or black[-1].any() or black[:, 0].any() or black[:, -1].any()
    assert np.array_equal(black, (reference == 0).all(axis=-1))
    assert np.array_equal(black, (target == 0).all(axis=-1))


def test_shrunk_edge_maps_are_padded_white_and_photos_reflected():
    grey = np.full((64, 64, 3), 100, np.uint8)
    padded = 0
    for seed in range(40):
        edges, _, target = training_sample(grey, grey, grey, np.random.default_rng(seed))
        assert set(np.unique(target)) <= {0, 100}
        padded += 255 in edges
    assert 10 <= padded <= 30  # half the time


def test_recolouring_gives_reference_and_target_the_same_new_colours():
    photo = np.full((64, 64, 3), (200, 40, 20), np.uint8)
    edges = np.full((64, 64, 3), 255, np.uint8)
    seen = set()
    for seed in range(10):
        published = training_sample(edges, photo, photo, np.random.default_rng(seed))
        same, reference, target = training_sample(
            edges, photo, photo, np.random.default_rng(seed), recolour=1.0
        )
        assert set(np.unique(same)) <= set(np.unique(published[0])) | {0, 255}
        colours = {tuple(pixel) for pixel in reference.reshape(-1, 3)} - {(0, 0, 0)}
        assert len(colours) == 1
        assert {tuple(pixel) for pixel in target.reshape(-1, 3)} - {(0, 0, 0)} == colours
        assert max(*colours) == 200  # the brightness of HSV stays
        seen |= colours
    assert len(seen) == 10


def test_recolouring_keeps_like_hues_alike():
    for seed in range(20):
        hues = random_hues(np.random.default_rng(seed)).astype(int)
        steps = (np.roll(hues, -1) - hues + 90) % 180 - 90
        assert np.abs(steps).max() <= 4


def test_erasing_whitens_rectangles_of_the_edge_map_alone():
    grey = np.full((64, 64, 3), 100, np.uint8)
    erased = 0
    for seed in range(40):
        published = training_sample(grey, grey, grey, np.random.default_rng(seed))
        sample = training_sample(grey, grey, grey, np.random.default_rng(seed), erase=0.5)
        assert np.array_equal(sample[1], published[1]) and np.array_equal(sample[2], published[2])
        changed = (sample[0] != published[0]).any(axis=-1)
        assert (sample[0][changed] == 255).all()
        assert np.array_equal((sample[0] == 0), (published[0] == 0))  # the black block stays
        erased += changed.any()
    assert 12 <= erased <= 28  # half of them


def test_erased_rectangles_have_the_sides_they_may_have():
    random = np.random.default_rng(0)
    corners, ends, sides = [], [], []
    for _ in range(300):
        rows, columns = random_rectangle(random, 100)
        corners += [rows.start, columns.start]
        ends += [rows.stop, columns.stop]
        sides += [rows.stop - rows.start, columns.stop - columns.start]
    assert (min(sides), max(sides)) == (15, 50)
    assert (min(corners), max(ends)) == (0, 100)


def test_a_training_sample_depends_on_its_key_alone(dataset):
    pairs = read_pairs(find_list(dataset, "train_AFhybrid"), training=True)
    data = TrainingPairs(pairs, 32)
    key = (1, (0, 5, 2))
    first = data[key]
    _ = data[(0, (0, 5, 3))]
    again = data[key]
    assert {name: tuple(image.shape) for name, image in first.items()} == {
        "edges": (32, 32, 3),
        "reference": (32, 32, 3),
        "target": (32, 32, 3),
    }
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["target"] != data[(1, (0, 6, 2))]["target"]).any()


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
    before = np.mean(np.abs(structure.astype(int) - reference) > 60)
    moved = aligned(reference, structure)
    assert moved.shape == reference.shape and moved.dtype == np.uint8
    after = np.mean(np.abs(structure.astype(int) - moved) > 60)
    assert before > 0.06
    assert after < 0.005


def test_a_reference_without_a_specimen_stays_as_it_lies():
    blank = np.full((128, 128, 3), 220, np.uint8)
    assert np.array_equal(aligned(blank, two_wings()), blank)


@pytest.mark.parametrize(
    "found",
    [
        [[3, 0, 0], [0, 3, 0]],  # too far
        [[1.7, 0, 0], [0, 0.7, 0]],  # too far along one axis alone
        [[1, 0, 50], [0, 1, 0]],  # away from the specimen
        [[np.nan, 0, 0], [0, 1, 0]],
    ],
)
def test_a_map_that_does_not_help_is_not_taken(monkeypatch, found):
    result = 0.5, np.array(found, np.float32)
    monkeypatch.setattr(data.registration.cv2, "findTransformECC", lambda *_: result)
    reference = two_wings(8, 0.9, (6, -5))
    assert np.array_equal(aligned(reference, two_wings()), reference)


def test_a_mistake_is_not_taken_for_a_search_without_result(monkeypatch):
    with pytest.raises(cv2.error):
        aligned(two_wings()[..., :2], two_wings())


def test_pairs_to_paint_are_not_augmented(dataset):
    pairs = read_pairs(find_list(dataset, "test_signalhybrid"), training=False)
    sample = PaintingPairs(pairs, 32)[1]
    assert sample["place"] == 1
    assert sample["reference"][16, 16].tolist() == [200, 40, 30]
    assert sample["reference"][0, 0].tolist() == [210, 210, 210]


def test_an_epoch_visits_every_pair_and_fills_its_last_batch():
    batches = list(TrainingOrder(count=5, batch_size=2, seed=0, start=0, end=6))
    assert [len(batch) for batch in batches] == [2] * 6
    for epoch in (0, 1):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert {index for index, _ in keys} == set(range(5))
        assert keys[5][0] == keys[0][0]  # the filling: the same pair, another augmentation
        assert [seed for _, seed in keys] == [(0, epoch, place) for place in range(6)]
    assert batches[:3] != batches[3:]


def test_order_resumes_in_the_middle_of_an_epoch():
    whole = list(TrainingOrder(count=5, batch_size=2, seed=7, start=0, end=9))
    assert list(TrainingOrder(count=5, batch_size=2, seed=7, start=4, end=9)) == whole[4:]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_out_each_batch(world):
    whole = TrainingOrder(count=9, batch_size=4, seed=0, start=1, end=5)
    shares = [
        list(TrainingOrder(count=9, batch_size=4, seed=0, start=1, end=5, rank=rank, world=world))
        for rank in range(world)
    ]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert {len(part) for part in parts} == {4 // world}
        assert sorted(key for part in parts for key in part) == sorted(batch)
