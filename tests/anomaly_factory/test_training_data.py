"""The warp, the training sample, and the order in which training visits the list."""

from dataclasses import replace

import numpy as np
from data.augmentation import Augmentation, blackened, random_augmentation, training_sample
from data.datasets import TrainingPairs, training_order
from data.lists import find_list, read_pairs
from data.warp import Warp, random_warp, sampling_map
from PIL import Image
from scipy.interpolate import RBFInterpolator
from util.images import read_square

NOTHING = Augmentation(None, None, None, None, None)


def exact_map(warp: Warp, size: int) -> np.ndarray:
    """The thin-plate spline at every pixel: where each output pixel (x, y) reads from."""
    corners = [[0, 0], [size, 0], [0, size], [size, size]]
    ends, starts = np.vstack([warp.write_to, corners]), np.vstack([warp.read_from, corners])
    pixels = np.array([(x, y) for y in range(size) for x in range(size)], float)
    spline = RBFInterpolator(ends, starts, kernel="thin_plate_spline")
    return spline(pixels).reshape(size, size, 2)


def noise(size: int, seed: int = 0) -> np.ndarray:
    """A smooth random image, uint8 (size, size, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    return np.array(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def golden_case(golden, case: str) -> Augmentation:
    margins, window = (
        tuple(golden[key].tolist()) if (key := f"{case}:{name}") in golden else None
        for name in ("margins", "window")
    )
    warps = (
        Warp(*(golden[f"{case}:{side}_{end}"] for end in ("read_from", "write_to")))
        for side in ("structure", "reference")
    )
    flip = str(golden[f"{case}:flip"])
    return Augmentation(margins, None if flip == "none" else flip, window, *warps)


def test_samples_are_those_of_the_published_code(shared, tmp_path):
    golden = np.load(shared / "golden/augmentation.npz")
    for name in ("photo", "edges"):
        Image.fromarray(golden[name]).save(tmp_path / f"{name}.png")
        assert np.array_equal(read_square(tmp_path / f"{name}.png", 256), golden[f"{name}_256"])
    for case in ("case0", "case1", "case2", "case3"):
        drawn = golden_case(golden, case)
        found = training_sample(golden["edges_256"], golden["photo_256"], drawn)
        for name, image in zip(("edges", "reference", "target"), found, strict=True):
            error = np.abs(image.astype(int) - golden[f"{case}:out_{name}"])
            assert error.mean() < 0.25, (case, name)


def test_shares_of_the_published_draw():
    white = np.full((256, 256, 3), 255, np.uint8)
    drawn = [random_augmentation(np.random.default_rng([7, n]), 256) for n in range(1000)]
    black = np.array(
        [(blackened(white, d.window)[..., 0] == 0).mean() if d.window else 0 for d in drawn]
    )
    assert abs(np.mean(black == 0) - 0.5) < 0.05
    assert abs(black.mean() - 0.117) < 0.02
    flips = [d.flip for d in drawn]
    for flip, share in ((None, 0.5), ("lr", 0.25), ("tb", 0.25)):
        assert abs(flips.count(flip) / 1000 - share) < 0.05
    assert abs(np.mean([d.margins is not None for d in drawn]) - 0.5) < 0.05
    margins = np.array([d.margins for d in drawn if d.margins])
    assert margins.min() == 10 and margins.max() == 30
    assert (np.ptp(margins, axis=1) > 0).mean() > 0.9  # each side its own
    windows = np.array([d.window for d in drawn if d.window])
    assert 0.80 * 256 <= windows[:, 2:].min() < 0.81 * 256
    assert 0.94 * 256 < windows[:, 2:].max() <= 0.95 * 256
    assert (windows[:, 2] != windows[:, 3]).mean() > 0.9
    assert windows[:, :2].min() == 0
    assert (windows[:, :2] + windows[:, 2:]).max() == 256


def test_margins_scale_and_what_is_switched_off_is_not_drawn():
    drawn = [random_augmentation(np.random.default_rng(n), 64, warps=0.7) for n in range(1000)]
    margins = np.array([found.margins for found in drawn if found.margins])
    assert (margins.min(), margins.max()) == (2, 8)  # 10/4 and 30/4, rounded
    both = np.array([(d.structure_warp is not None, d.reference_warp is not None) for d in drawn])
    assert abs(both.all(axis=1).mean() - 0.49) < 0.05  # each has its own chance
    for n in range(50):
        drawn = random_augmentation(np.random.default_rng(n), 64, False, False, 0.0)
        assert replace(drawn, margins=None) == NOTHING


# ---- the warp ----------------------------------------------------------------------------------


def moves_of(warp: Warp) -> np.ndarray:
    return warp.write_to - warp.read_from


def test_random_warps_jostle_a_grid_three_offsets_wide():
    drawn = [random_warp(np.random.default_rng(seed), 256) for seed in range(500)]
    sides = []
    for warp in drawn:
        (x, y), side = warp.read_from[0], warp.read_from[2, 0] - warp.read_from[0, 0]
        grid = [(x + side / 2 * i, y + side / 2 * j) for j in range(3) for i in range(3)]
        assert np.array_equal(warp.read_from, grid) and warp.write_to.shape == (9, 2)
        assert side % 3 == 0 and x % 1 == y % 1 == 0
        sides.append(side)
    assert (min(sides), max(sides)) == (3 * 39, 3 * 76)  # offsets from 38.4 to 76.8 pixels
    points = np.array([warp.read_from for warp in drawn])
    assert (points.min(), points.max()) == (0, 256)
    moves = np.abs([moves_of(warp) for warp in drawn])
    assert 0.0999 * 256 < moves.max() <= 0.1 * 256
    assert abs(moves.mean() - 0.05 * 256) < 0.3
    gentle = random_augmentation(np.random.default_rng(0), 256, shift=0.04)
    for warp in (gentle.structure_warp, gentle.reference_warp):
        assert 0.03 * 256 < np.abs(moves_of(warp)).max() <= 0.04 * 256


def test_a_warp_brings_what_it_reads_to_where_it_writes():
    warp = random_warp(np.random.default_rng(3), 256)
    found = sampling_map(warp, 256)
    assert found.shape == (256, 256, 2) and found.dtype == np.float32
    difference = np.abs(found - exact_map(warp, 256))
    assert difference.mean() < 0.05 and difference.max() < 1
    for place, source in zip(warp.write_to, warp.read_from, strict=True):
        x, y = np.round(place).astype(int)
        if 0 <= x < 256 and 0 <= y < 256:
            assert np.abs(found[y, x] - source).max() < 1.5
    assert np.abs(found[0, 0]).max() < 0.5


# ---- the dataset -------------------------------------------------------------------------------


def test_a_training_sample_depends_on_its_key_alone(dataset):
    pairs = read_pairs(find_list(dataset, "train_AFhybrid"), training=True)
    data = TrainingPairs(pairs, 32, random_augmentation)
    first, _, again = (data[key] for key in [(1, (0, 5, 2)), (0, (0, 5, 3)), (1, (0, 5, 2))])
    assert list(first) == ["edges", "reference", "target"]
    assert all(image.shape == (32, 32, 3) for image in first.values())
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["target"] != data[(1, (0, 6, 2))]["target"]).any()


def order(batch_size: int = 2, seed: int = 0, start: int = 0, end: int = 6, **place) -> list:
    return list(training_order(5, batch_size, seed, start, end, **place))


def test_an_epoch_visits_every_pair_and_fills_its_last_batch():
    batches = order()
    assert [len(batch) for batch in batches] == [2] * 6
    for epoch in (0, 1):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert {index for index, _ in keys} == set(range(5))
        assert keys[5][0] == keys[0][0]  # the filling: the same pair, another augmentation
        assert [seed for _, seed in keys] == [(0, epoch, place) for place in range(6)]
    assert batches[:3] != batches[3:] and batches != order(seed=1)
    assert order(start=4) == batches[4:]  # gone on with in the middle of an epoch
    assert [key[0] for [key] in order(1, end=5, shuffled=False)] == list(range(5))
    shares = [order(4, rank=rank, world=2) for rank in (0, 1)]  # of processes
    for whole, *parts in zip(order(4), *shares, strict=True):
        assert [len(part) for part in parts] == [2, 2]
        assert sorted(key for part in parts for key in part) == sorted(whole)
