"""The formulas of a generation report, on cases that are computed by hand."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from quality import distances, fidelity, figures, resample, svg, told_apart
from quality.figures import Nearest, halves
from quality.inputs import Painting, crosses
from quality.measure import Photos
from torchmetrics.image.kid import KernelInceptionDistance


def keys(count: int) -> list[tuple[str, str]]:
    return [("1", str(number)) for number in range(count)]


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_frechet_distance_of_two_gaussians():
    # Means 1 and 5, variances 2 and 8: 4^2 + (sqrt 8 - sqrt 2)^2.
    one, other = column(0, 2), column(3, 7)
    assert distances.frechet(one, other) == pytest.approx(16 + 2)
    assert distances.frechet_and_kid(one, other)[0] == pytest.approx(18)


@pytest.mark.parametrize(("count", "other", "size"), [(5, 7, 12), (40, 30, 6)])
def test_the_fast_frechet_distance_is_torchmetrics(count, other, size):
    random = np.random.default_rng(0)
    one = random.normal(size=(count, size)).astype(np.float32)
    two = random.normal(1, 2, size=(other, size)).astype(np.float32)
    expected, _ = distances.frechet_and_kid(one, two)
    assert distances.frechet(one, two) == pytest.approx(expected, rel=1e-5)
    weights = random.integers(0, 3, count)
    repeated = np.repeat(one, weights, axis=0)
    weighted = distances.frechet(one, two, weights)
    assert weighted == pytest.approx(distances.frechet(repeated, two), rel=1e-9)


def test_a_single_image_has_no_frechet_distance():
    assert np.isnan(distances.frechet(column(1), column(2, 3)))
    assert np.isnan(distances.frechet(column(1, 5), column(2, 3), np.array([1, 0])))


def test_kid_of_two_images_each():
    # (xy + 1)^3 is 1 within {0, 1}, 27 within {1, 2}, and 1, 1, 8, 27 between: 1 + 27 - 2 * 9.25.
    one, other = column(0, 1), column(1, 2)
    kernels = [distances.kernel(*pair) for pair in [(one, one), (other, other), (one, other)]]
    assert distances.kid(*kernels, np.ones(2), np.ones(2)) == pytest.approx(9.5)
    assert distances.frechet_and_kid(one, other)[1] == pytest.approx(9.5)


def test_kid_divides_the_product_by_the_number_of_features():
    assert distances.kernel(np.full((1, 4), 2.0), np.ones((1, 4))) == pytest.approx(27)


@pytest.mark.filterwarnings("ignore:Metric:UserWarning")  # KID keeps the features
@pytest.mark.parametrize(("count", "size"), [(6, 6), (1001, 1000)])
def test_kid_is_the_mean_over_50_subsets_and_the_same_each_time(count, size):
    random = np.random.default_rng(0)
    one, other = random.normal(size=(count, 2)), random.normal(size=(1100, 2))
    metric = KernelInceptionDistance(distances.Features(2), subsets=50, subset_size=size)
    metric.update(torch.from_numpy(other), real=True)
    metric.update(torch.from_numpy(one), real=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = float(metric.compute()[0])
    assert distances.frechet_and_kid(one, other)[1] == pytest.approx(expected, rel=1e-9)


def test_an_image_is_not_compared_with_itself():
    values = np.array([[9.0, 2, 4], [2, 9, 6], [4, 6, 9]])
    assert distances.mean_of_pairs(values, np.ones(3)) == pytest.approx(4)
    # Twice the first: 2 * 2 + 2 * 4 + 6 over five pairs of two images, its own pair left out.
    weights = np.array([2, 1, 1])
    assert distances.mean_of_pairs(values, weights) == pytest.approx((2 * 2 + 2 * 4 + 6) / 5)
    assert np.isnan(distances.mean_of_pairs(values, np.array([3, 0, 0])))


def test_distances_to_the_nearest():
    one, other = np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [3, 0]])
    assert distances.euclidean(one, other) == pytest.approx(np.array([[0, 3], [5, 4]]))
    assert distances.nearest_others(column(0, 1, 5)) == pytest.approx([1, 1, 4])


def test_diversity_is_within_pairs_and_relative():
    # Pair 0 holds the first three at distances 1, 2, 3, photographs 4 apart; pair 1 the last two.
    table = np.full((5, 5), 100.0)
    for one, other, value in [(0, 1, 1), (0, 2, 2), (1, 2, 3), (3, 4, 10)]:
        table[one, other] = table[other, one] = value
    pairs, expected = np.array([0, 0, 0, 1, 1]), np.array([4.0, 4, 4, 8, 8])
    found = distances.diversity(table, pairs, expected, np.ones(5))
    assert found == pytest.approx((1 + 2 + 3 + 10) / (3 * 4 + 8))
    assert np.isnan(distances.diversity(table, np.arange(5), expected, np.ones(5)))


def test_places_on_the_main_directions():
    line = np.outer([-3.0, 0, 3], [0.6, 0.8])
    places, shares = distances.principal_places(line)
    assert np.abs(places[:, 0]) == pytest.approx([3, 0, 3])
    assert shares == pytest.approx([1, 0])


def test_close_is_what_five_of_a_hundred_photographs_are():
    nearest = Nearest(np.zeros(1), np.zeros(1), np.arange(101.0))
    assert nearest.close == 5


def test_the_folder_of_a_cross_names_its_parents():
    assert crosses("8") == set()
    assert crosses("8_9") == {frozenset("89")}
    assert crosses("a_b_c") == {frozenset({"a", "b_c"}), frozenset({"a_b", "c"})}


def test_halves_are_held_against_the_other_half(monkeypatch):
    # Painted images that are their own photographs: as far from the other half as the photographs.
    features = np.random.default_rng(0).normal(size=(40, 3))
    photos = keys(40)
    paintings = [Painting(Path(f"{key[1]}.png"), key, key) for key in photos]
    drawn = []

    def counted(*sides: np.ndarray) -> float:
        drawn.append(sides)
        return distances.frechet(*sides)

    monkeypatch.setattr(figures, "frechet", counted)
    found = halves(features, features, paintings, photos, np.random.default_rng(1))
    assert found["images"] == 20
    assert len(drawn) == 2 * 10  # painted images and photographs, ten times
    assert found["frechet_painted"] == pytest.approx(found["frechet_photographs"])
    assert found["kid_painted"] == pytest.approx(found["kid_photographs"])
    assert found["frechet_painted"] > 0.1  # in the same half they would be equal
    few = features[:18], features[:18], paintings[:18], photos[:18]
    assert halves(*few, np.random.default_rng(1)) is None


# ---- the bootstrap -------------------------------------------------------------------------------


def test_images_of_one_source_are_drawn_together():
    groups = [["a", "b", "a"], ["b", "c"]]
    drawn = list(resample.weights_by_source(groups, np.random.default_rng(0)))
    assert len(drawn) == 200
    for first, second in drawn:
        assert first[0] == first[2]
        assert first[1] == second[0]
        assert first[0] + first[1] + second[1] == 3  # as many sources as there are
    assert {int(first[0]) for first, _ in drawn} >= {0, 1, 2}


def test_the_interval_holds_95_of_100_draws():
    assert resample.interval([*range(101), float("nan")]) == pytest.approx((2.5, 97.5))
    assert np.isnan(resample.interval([0, 0, 0])).all()


def test_the_interval_of_a_value_of_its_own_lies_around_it():
    values, sources = np.array([0.0, 10]), [["a", "b"]]
    found, moved = (
        resample.with_interval(
            lambda weights: resample.weighted_mean(values, weights),
            sources,
            np.random.default_rng(0),
            value,
        )
        for value in (None, 100)
    )
    assert (found["value"], found["low"], found["high"]) == (5, 0, 10)
    assert moved["value"] == 100
    assert moved["high"] - moved["low"] == pytest.approx(10)
    assert moved["low"] == pytest.approx(95, abs=1)


def test_a_mean_leaves_out_what_is_not_known():
    values = np.array([1.0, np.nan, 3])
    found = resample.mean_with_interval(values, ["a", "b", "c"], np.random.default_rng(0))
    assert found["value"] == 2
    assert (found["low"], found["high"]) == (1, 3)


# ---- edges and colours ---------------------------------------------------------------------------


def line(row: int, length: int = 20) -> np.ndarray:
    edges = np.zeros((32, 32), bool)
    edges[row, :length] = True
    return edges


def test_an_edge_may_lie_two_pixels_elsewhere():
    assert fidelity.edge_agreement(line(10), line(12)) == (1, 1, 1)
    assert fidelity.edge_agreement(line(10), line(13)) == (0, 0, 0)


def test_half_of_the_edges():
    # 10 of 20 pixels are found, and two more of those asked for lie within two pixels of them.
    f1, precision, recall = fidelity.edge_agreement(line(10), line(10, length=10))
    assert (precision, recall) == (1, 12 / 20)
    assert f1 == pytest.approx(2 * 0.6 / 1.6)
    assert fidelity.edge_agreement(line(10, length=10), line(10))[1:] == (12 / 20, 1)


def test_no_edges():
    none = np.zeros((32, 32), bool)
    assert fidelity.edge_agreement(none, none) == (1, 1, 1)
    assert fidelity.edge_agreement(line(10), none) == (0, 0, 0)


def test_what_is_dark_enough_is_an_edge():
    assert fidelity.is_edge(np.array([0, 159, 160, 255])).tolist() == [True, True, False, False]


def even(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


def test_colours_of_even_images_differ_by_their_distance_in_lab():
    everywhere = np.ones((8, 8), bool)
    black, white, red = (
        fidelity.colours_of(even(*colour), everywhere)
        for colour in [(0, 0, 0), (255, 255, 255), (255, 0, 0)]
    )
    assert black.shape == (64, 3)
    assert fidelity.colour_distance(black, white) == pytest.approx(100, abs=0.1)
    # CIE Lab of sRGB's red: 53.2, 80.1, 67.2.
    assert fidelity.colour_distance(black, red) == pytest.approx(117.3, abs=0.2)
    half = even(0, 0, 0)
    half[:4] = 255
    assert fidelity.colour_distance(fidelity.colours_of(half, everywhere), black) == pytest.approx(
        50, abs=0.1
    )


def test_colours_are_looked_at_inside_the_mask():
    image, mask = even(0, 0, 0), np.zeros((8, 8), bool)
    image[0] = 255
    mask[0] = True
    white = fidelity.colours_of(even(255, 255, 255), np.ones((8, 8), bool))
    assert fidelity.colour_distance(fidelity.colours_of(image, mask), white) == 0


def test_the_wings_without_chart_label_and_ruler(specimen, tmp_path):
    from util.images import read_square

    image = read_square(specimen(tmp_path / "a.png"), fidelity.SIDE)
    image[10:13, 20:200] = 30  # a line of a ruler
    image[215:221, 215:221] = (90, 40, 20)  # a crumb
    mask = fidelity.wings_of(image)
    wings = np.abs(image.astype(int) - (90, 40, 20)).sum(axis=2) < 60
    wings[215:221, 215:221] = False
    assert (mask & wings).sum() / (mask | wings).sum() > 0.95
    assert not mask[215:221, 215:221].any()
    assert fidelity.wings_of(even(200, 200, 200)).all()


def blot(*discs: tuple[int, int], level: int = 60) -> np.ndarray:
    """Grey discs, each of a place along the row and a radius, on a ground of L* 50."""
    image = np.full((128, 128, 3), 119, np.uint8)
    for place, radius in discs:
        cv2.circle(image, (place, 64), radius, (level,) * 3, -1)
    return image


@pytest.mark.parametrize(("level", "found"), [(87, False), (81, True)])
def test_a_wing_differs_from_the_ground(level, found):
    # Greys of L* 36.9 and 34.4: 13.1 and 15.6 darker than the ground.
    assert (not fidelity.wings_of(blot((64, 30), level=level)).all()) == found


@pytest.mark.parametrize(("radius", "kept"), [(4, False), (8, True)])
def test_crumbs_are_no_wing(radius, kept):
    # Against a wing of radius 35, areas of 0.013 and 0.052.
    assert fidelity.wings_of(blot((40, 35), (110, radius)))[64, 110] == kept


@pytest.mark.parametrize(("width", "kept"), [(4, False), (7, True)])
def test_thin_parts_are_no_wing(width, kept):
    image = blot((40, 30))
    image[64 - width // 2 : 64 - width // 2 + width, 60:120] = 60
    assert fidelity.wings_of(image)[64, 100] == kept


@pytest.mark.parametrize(("cut", "plate"), [(0, True), (20, True), (40, False)])
def test_a_plate_fills_its_rectangle(cut, plate):
    # A square of side 100 without two corners of `cut`: it fills 1, 0.96 and 0.84 of it.
    corners = [(cut, 0), (100, 0), (100, 100 - cut), (100 - cut, 100), (0, 100), (0, cut)]
    outline = np.array(corners, np.int32)[:, None]
    assert fidelity.is_plate(cv2.contourArea(outline), outline) == plate


# ---- painted or photographed ---------------------------------------------------------------------


def test_the_area_counts_the_pairs_in_the_right_order():
    won = told_apart.wins(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    assert won.tolist() == [[1, 1], [0.5, 1]]
    assert told_apart.weighted_area(won, np.ones(2), np.ones(2)) == 3.5 / 4
    assert told_apart.weighted_area(won, np.array([0, 1]), np.array([3, 1])) == 2.5 / 4


def test_folds_share_no_photograph():
    random = np.random.default_rng(0)
    photos = keys(60)
    sources = [(photos[a], photos[b]) for a, b in random.integers(0, 60, (400, 2))]
    folds = told_apart.folds_by_photograph(sources, photos, random)
    assert len(folds) == 3
    assert sorted(np.concatenate([fold.test_photos for fold in folds])) == list(range(60))
    for fold in folds:
        fitted = {photos[place] for place in fold.fit_photos}
        fitted |= {key for place in fold.fit_painted for key in sources[place]}
        tested = {photos[place] for place in fold.test_photos}
        tested |= {key for place in fold.test_painted for key in sources[place]}
        assert fold.is_large_enough
        assert not fitted & tested


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 0.4, 0.6), (6, 0.999, 1)])
def test_only_a_trace_of_painting_is_told(shift, low, high, monkeypatch):
    # Each painted image is nearly its own photograph, which a careless split would remember.
    random = np.random.default_rng(0)
    photos = random.normal(size=(90, 20))
    painted = photos + random.normal(0, 0.1, size=(90, 20)) + np.eye(20)[0] * shift
    sources = [(key, key) for key in keys(90)]
    fitted, plain = [], told_apart.fit
    monkeypatch.setattr(told_apart, "fit", lambda *a: fitted.append(a) or plain(*a))
    found, looks = told_apart.told_apart(painted, photos, sources, keys(90), random)
    assert low <= found["value"] <= high
    assert len(fitted) == 3 * 5  # folds, and repeats
    assert found["tested"] == np.isfinite(looks).sum() == 90
    if shift:
        assert looks.min() > 0.5
    else:
        assert found["low"] <= 0.5 <= found["high"]


def test_how_painted_an_image_looks_is_the_mean_over_the_folds_that_tested_it():
    # Of two photographs each: in most repeats they lie in two folds, and the image is in no test.
    random = np.random.default_rng(0)
    painted, photos = np.ones((90, 1)), np.zeros((90, 1))
    sources = [(keys(90)[a], keys(90)[b]) for a, b in random.permuted([range(90)] * 2, axis=1).T]
    _, looks = told_apart.told_apart(painted, photos, sources, keys(90), random)
    assert np.isnan(looks).any()
    assert np.nanmin(looks) > 0.9


def test_what_looks_alike_is_even_odds_however_many_there_are():
    features = np.tile(column(0, 1), (10, 1))
    model = told_apart.fit(features, np.repeat([1, 0], [18, 2]))
    assert model.predict_proba(features)[:, 1] == pytest.approx(0.5)


def test_a_fold_has_five_of_each():
    four, five = np.arange(4), np.arange(5)
    assert told_apart.Fold(five, five, five, five).is_large_enough
    assert not told_apart.Fold(five, five, four, five).is_large_enough


def test_too_few_images_to_tell():
    features = np.zeros((6, 2))
    sources = [(key, key) for key in keys(6)]
    found, looks = told_apart.told_apart(
        features, features, sources, keys(6), np.random.default_rng(0)
    )
    assert found is None
    assert np.isnan(looks).all()


# ---- plots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 47, [10, 20, 30, 40]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round(low, high, expected):
    axis = svg.Axis(low, high, 0, 100)
    assert axis.ticks() == pytest.approx(expected)
    assert (axis(low), axis(high)) == (0, 100)


def test_a_histogram_has_a_bar_of_its_share_and_a_named_mark():
    series = [svg.Series("some", "painted", np.array([0.0, 0, 0, 24, np.nan]))]
    picture = svg.histograms(series, "length", "says", {"here": 12.0})
    drawn = picture.render()
    points = re.search(r'points="([^"]+)"', drawn)[1].split()
    assert len(points) == 2 + 2 * 24  # corners of 24 bars, and the two ends on the axis
    assert points[1] == f"{svg.LEFT}.0,{svg.TOP + 16}.0"  # the highest bar reaches the top
    assert ">here</text>" in drawn
    assert 'aria-label="says"' in drawn


def test_an_axis_of_values_that_are_all_equal():
    assert svg.span([2.0, np.nan]) == (1.5, 2.5)
    assert svg.span([np.nan]) == (0, 1)
    assert svg.span([3, 1, 2]) == (1, 3)


@pytest.mark.parametrize("copies", [4, 1, 0])
def test_copies_of_one_photograph_have_no_distance(copies):
    features = np.repeat(np.random.default_rng(0).standard_normal((1, 1280)), copies, axis=0)
    photos = Photos([("8", str(number)) for number in range(copies)], features, np.zeros(0), [])
    assert np.isnan(figures.distance_within("8", photos))
    if copies > 1:
        features[0, 0] += 2
        assert figures.distance_within("8", photos) == pytest.approx(2 * 2 / copies)
