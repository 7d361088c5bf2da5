"""The formulas of a generation report, on cases that are computed by hand."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quality import figures, formulas, plots
from quality.inputs import crosses
from quality.measure import Comparison, Photos
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

NAN = float("nan")


def keys(count: int) -> list[tuple[str, str]]:
    return [("1", str(number)) for number in range(count)]


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


# ---- distances ----------------------------------------------------------------------------------


def by_torchmetrics(metric: type, one: np.ndarray, other: np.ndarray, **options: int) -> object:
    network = torch.nn.Identity()
    network.num_features = one.shape[1]
    metric = metric(feature=network, **options)
    for features, real in ((other, True), (one, False)):
        metric.update(torch.from_numpy(features).double(), real=real)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return metric.compute()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from([(5, 7, 12), (40, 30, 6)]))
def test_the_frechet_distance_is_torchmetrics_and_weights_repeat_images(seed, sizes):
    random, (count, other, size) = np.random.default_rng(seed), sizes
    one = random.normal(size=(count, size)).astype(np.float32)
    two = random.normal(1, 2, size=(other, size)).astype(np.float32)
    expected = float(by_torchmetrics(FrechetInceptionDistance, one, two))
    assert formulas.frechet(one, two) == pytest.approx(expected, rel=1e-5)
    # Means 1 and 5, variances 2 and 8: 4^2 + (sqrt 8 - sqrt 2)^2.
    assert formulas.frechet(column(0, 2), column(3, 7)) == pytest.approx(16 + 2)
    weights = random.integers(0, 3, count)
    weights[:2] = 1
    repeated = formulas.frechet(np.repeat(one, weights, axis=0), two)
    assert formulas.frechet(one, two, weights) == pytest.approx(repeated, rel=1e-9)
    assert np.isnan(formulas.frechet(one, two, np.eye(count)[0]))  # a single image


@pytest.mark.filterwarnings("ignore:Metric:UserWarning")  # KID keeps the features
def test_kid_is_torchmetrics_over_its_subsets(monkeypatch):
    # (xy + 1)^3 is 1 within {0, 1}, 27 within {1, 2}, and 1, 1, 8, 27 between: 1 + 27 - 2 * 9.25.
    sides = formulas.kernels(column(0, 1), column(1, 2))
    assert formulas.kid(*sides, np.ones(2), np.ones(2)) == pytest.approx(9.5)
    random = np.random.default_rng(0)
    one, other = random.normal(size=(6, 2)), random.normal(size=(11, 2))
    options = {"subsets": 50, "subset_size": 6}
    expected = float(by_torchmetrics(KernelInceptionDistance, one, other, **options)[0])
    found = formulas.kid_of_subsets(*formulas.kernels(one, other))
    assert found == pytest.approx(expected, rel=1e-9)
    taken = []
    monkeypatch.setattr(formulas, "kid", lambda *sides: taken.append(len(sides[3])) or 0)
    sizes = (1001, 1001), (1100, 1100), (1001, 1100)
    formulas.kid_of_subsets(*(np.broadcast_to(False, size) for size in sizes))
    assert taken == [1000] * 50


def test_distances_between_two_images():
    values = np.array([[9.0, 2, 4], [2, 9, 6], [4, 6, 9]])
    assert formulas.mean_of_pairs(values, np.ones(3)) == pytest.approx(4)  # of two different ones
    # Twice the first: 2 * 2 + 2 * 4 + 6 over five pairs of two images, its own pair left out.
    weights = np.array([2, 1, 1])
    assert formulas.mean_of_pairs(values, weights) == pytest.approx((2 * 2 + 2 * 4 + 6) / 5)
    assert np.isnan(formulas.mean_of_pairs(values, np.array([3, 0, 0])))
    one, other = np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [3, 0]])
    assert formulas.euclidean(one, other) == pytest.approx(np.array([[0, 3], [5, 4]]))
    # Close is what 5 of 100 photographs are to another one.
    assert Photos([], one, {}, np.arange(101.0)).close == 5
    # The folder of a cross names its parents.
    assert crosses("8") == set()
    assert crosses("a_b_c") == {frozenset({"a", "b_c"}), frozenset({"a_b", "c"})}


def test_halves_are_held_against_the_other_half(monkeypatch):
    features = np.random.default_rng(0).normal(size=(40, 3))
    drawn, plain = [], formulas.frechet
    monkeypatch.setattr(figures, "frechet", lambda *sides: drawn.append(0) or plain(*sides))

    def halves(count: int) -> dict[str, float] | None:
        """Of painted images that are their own photographs."""
        there, of = keys(count), features[:count]
        pairs = list(zip(there, there, strict=True))
        one = Comparison("", "", pd.DataFrame(), of, pairs, there, of, None)
        return figures.find_halves(one, np.random.default_rng(1))

    found = halves(40)
    assert (found["images"], len(drawn)) == (20, 2 * 10)  # ten times, painted and photographs
    # In the same half they would be equal to what they are held against.
    assert found["frechet_painted"] == pytest.approx(found["frechet_photographs"])
    assert found["kid_painted"] == pytest.approx(found["kid_photographs"])
    assert found["frechet_painted"] > 0.1
    assert halves(20)["images"] == 10
    assert halves(18) is None


# ---- the bootstrap ------------------------------------------------------------------------------


def test_images_of_one_source_are_drawn_together():
    groups = [["a", "b", "a"], ["b", "c"]]
    drawn = list(formulas.weights_by_source(groups, np.random.default_rng(0)))
    assert len(drawn) == 200
    for (a, b, again), (beside, c) in drawn:
        assert (a, b) == (again, beside) and a + b + c == 3  # as many sources as there are
    assert {int(first[0]) for first, _ in drawn} >= {0, 1, 2}


@pytest.mark.parametrize(
    ("draws", "value", "low", "high"),
    [
        ([*range(101), *[NAN] * 99], None, 2.5, 97.5),  # 95 of 100
        ([*range(101), *[NAN] * 99], 150, 102.5, 197.5),  # around a value of its own
        ([3] * 200, None, NAN, NAN),
        ([NAN] * 200, None, NAN, NAN),
    ],
)
def test_the_interval_holds_95_of_100_draws(draws, value, low, high):
    draws = iter([*draws, 7])  # the last without weights
    random = np.random.default_rng(0)
    found = formulas.with_interval(lambda weights: next(draws), [["a", "b"]], random, value)
    assert found["value"] == (7 if value is None else value)
    assert (found["low"], found["high"]) == pytest.approx((low, high), nan_ok=True)


def test_a_mean_leaves_out_what_is_not_known():
    values = np.array([1.0, np.nan, 3])
    found = formulas.mean_with_interval(values, ["a", "b", "c"], np.random.default_rng(0))
    assert found == {"value": 2, "low": 1, "high": 3}
    assert np.isnan(formulas.mean_with_interval([NAN], ["a"], np.random.default_rng(0))["value"])


# ---- edges and colours --------------------------------------------------------------------------


def line(row: int, length: int = 20) -> np.ndarray:
    edges = np.zeros((32, 32), bool)
    edges[row, :length] = True
    return edges


def test_edges_that_agree():
    for asked, found, precision, recall in (
        (line(10), line(12), 1, 1),  # an edge may lie two pixels elsewhere
        (line(10), line(13), 0, 0),
        # 10 of 20 pixels are found, and two more of those asked for lie within two of them.
        (line(10), line(10, length=10), 1, 12 / 20),
        (line(10, length=10), line(10), 12 / 20, 1),
        (line(10, length=0), line(10, length=0), 1, 1),
        (line(10), line(10, length=0), 0, 0),
    ):
        f1 = 2 * precision * recall / (precision + recall) if precision else 0
        assert formulas.edge_agreement(asked, found) == pytest.approx((f1, precision, recall))
    assert formulas.is_edge(np.array([0, 159, 160, 255])).tolist() == [True, True, False, False]


def even(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


def test_colours_of_images_differ_by_their_distance_in_lab():
    half, striped, first_row = even(0, 0, 0), even(0, 0, 0), np.arange(64).reshape(8, 8) < 8
    half[:4], striped[0] = 255, 255
    black, white, red, grey = (
        formulas.colours_of(image, np.ones((8, 8), bool))
        for image in (even(0, 0, 0), even(255, 255, 255), even(255, 0, 0), half)
    )
    assert black.shape == (64, 3)
    # CIE Lab of sRGB's red: 53.2, 80.1, 67.2.
    for colours, expected in ((white, 100), (red, 117.3), (grey, 50)):
        assert formulas.colour_distance(black, colours) == pytest.approx(expected, abs=0.2)
    inside = formulas.colours_of(striped, first_row)  # of the mask alone
    assert formulas.colour_distance(inside, white) == 0


def blot(*discs: tuple[int, int], level: int = 60, leg: int = 0) -> np.ndarray:
    """Grey discs, each of a place along the row and a radius, on a ground of L* 50; and a leg."""
    image = np.full((128, 128, 3), 119, np.uint8)
    for place, radius in discs:
        cv2.circle(image, (place, 64), radius, (level,) * 3, -1)
    image[64 - leg // 2 : 64 - leg // 2 + leg, 60:120] = 60
    return image


def test_what_is_a_wing_and_a_plate():
    for image, place, is_wing in (
        (blot((20, 15), (90, 25), level=87), 0, True),  # L* 13.1 darker: no wing, so all is
        (blot((20, 15), (90, 25), level=81), 0, False),  # 15.6
        (blot((40, 35), (110, 4)), 110, False),  # a crumb of 0.013 of the wing
        (blot((40, 35), (110, 8)), 110, True),  # 0.052
        (blot((40, 30), leg=4), 100, False),
        (blot((40, 30), leg=7), 100, True),
    ):
        assert formulas.wings_of(image)[64, place] == is_wing
    # A square of side 100 without two corners of `cut` fills 1, 0.96 and 0.84 of its rectangle.
    for cut, plate in ((0, True), (20, True), (40, False)):
        corners = [(cut, 0), (100, 0), (100, 100 - cut), (100 - cut, 100), (0, 100), (0, cut)]
        outline = np.array(corners, np.int32)[:, None]
        assert formulas.is_plate(cv2.contourArea(outline), outline) == plate


# ---- painted or photographed --------------------------------------------------------------------


def test_folds_share_no_photograph():
    random = np.random.default_rng(0)
    photos = keys(60)
    sources = [(photos[a], photos[b]) for a, b in random.integers(0, 60, (400, 2))]
    folds = list(formulas.folds_by_photograph(sources, photos, random))
    assert len(folds) == 3
    assert sorted(np.concatenate([fold[3] for fold in folds])) == list(range(60))
    for fit_painted, fit_photos, test_painted, test_photos in folds:
        fitted, tested = (
            {photos[place] for place in of} | {key for place in new for key in sources[place]}
            for of, new in ((fit_photos, fit_painted), (test_photos, test_painted))
        )
        assert len(test_painted) >= 5 and not fitted & tested


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 0.4, 0.6), (6, 0.999, 1), (-6, 0.999, 1)])
def test_only_a_trace_of_painting_is_told(shift, low, high, monkeypatch):
    # Each painted image is nearly its own photograph, which a careless split would remember.
    random = np.random.default_rng(0)
    photos = random.normal(size=(90, 20))
    painted = photos + random.normal(0, 0.1, size=(90, 20)) + np.eye(20)[0] * shift
    fitted, plain, there = [], formulas.fit, keys(90)
    monkeypatch.setattr(formulas, "fit", lambda *a: fitted.append(a) or plain(*a))
    own = list(zip(there, there, strict=True))
    found, looks = formulas.told_apart(painted, photos, own, there, random)
    assert low <= found["value"] <= high
    assert len(fitted) == 3 * 5  # folds, and repeats
    assert found["tested"] == np.isfinite(looks).sum() == 90
    assert looks.min() > 0.5 if shift else found["low"] <= 0.5 <= found["high"]
    # Of two photographs each: in most repeats they lie in two folds, and the image is in no test.
    two = [(there[a], there[b]) for a, b in random.permuted([range(90)] * 2, axis=1).T]
    _, looks = formulas.told_apart(np.ones((90, 1)), np.zeros((90, 1)), two, there, random)
    assert np.isnan(looks).any() and np.nanmin(looks) > 0.9


@pytest.mark.parametrize(("count", "tested"), [(15, 15), (14, 10), (12, None)])
def test_a_fold_has_five_of_each(count, tested):
    """What looks alike is even odds, however many there are."""
    features, sources = np.zeros((count, 2)), [(key, key) for key in keys(count)]
    found, looks = formulas.told_apart(
        features, features, sources, keys(count), np.random.default_rng(0)
    )
    assert (found and found["value"]) == (tested and 0.5)
    model = formulas.fit(np.tile(column(0, 1), (10, 1)), np.repeat([1, 0], [18, 2]))
    assert model.predict_proba(column(0, 1))[:, 1] == pytest.approx(0.5)
    assert np.isnan(looks).all() == (tested is None)


# ---- numbers and plots --------------------------------------------------------------------------


def test_numbers_as_text_and_as_a_histogram_with_a_named_mark():
    series = [plots.Series("some", "painted", np.array([0.0, 0, 0, 24]))]
    [(drawn, caption)] = plots.histograms(series, "length", ".", {"here": 12.0, "no": NAN})
    outline = re.findall(r'd="(M[^"]+)" style="fill: none; stroke: var\(--painted\)', drawn)[0]
    points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", outline)
    assert len({x for x, _ in points}) == 24 + 1
    heights = sorted({float(y) for _, y in points})
    # Of 250 pixels, 75 % reach from 44 above the bottom to 12, and 16 for the mark, below the top.
    assert heights == pytest.approx([28, 206 - 178 / 3, 206], abs=1e-3)
    assert re.findall("<text[^>]*>(.*?)</text>", drawn) == [
        *["0", "5", "10", "15", "20", "length", "0 %", "20 %", "40 %", "60 %", "here"]
    ]
    assert 'aria-label="Histogram: length"' in drawn
    assert (plots.tenths(-0.01), plots.percent(0.123)) == ("0.0", "12 %")
    assert plots.per_thousand(-0.0126) == "\N{MINUS SIGN}12.60"
    assert plots.hundredths(NAN) == "\N{EN DASH}"
    assert caption == '<span class="painted-ink">some</span>.'
    [(drawn, _)] = plots.histograms([plots.Series("one", "photo", np.array([2.0]))], "length", "")
    assert re.findall("<text[^>]*>(.*?)</text>", drawn)[:3] == ["1.6", "1.8", "2"]  # of 1.5 to 2.5
