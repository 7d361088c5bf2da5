"""The formulas of a generation report, on cases that are computed by hand."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from quality import figures, formulas, pixels, plots
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

NAN = float("nan")


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


@pytest.mark.parametrize(("count", "other", "size"), [(5, 7, 12), (40, 30, 6)])
def test_the_frechet_distance_is_torchmetrics_and_weights_repeat_images(count, other, size):
    random = np.random.default_rng(0)
    one = random.normal(size=(count, size)).astype(np.float32)
    two = random.normal(1, 2, size=(other, size)).astype(np.float32)
    expected = float(by_torchmetrics(FrechetInceptionDistance, one, two))
    assert formulas.frechet(one, two) == pytest.approx(expected, rel=1e-5)
    # Means 1 and 5, variances 2 and 8: 4^2 + (sqrt 8 - sqrt 2)^2.
    assert formulas.frechet(column(0, 2), column(3, 7)) == pytest.approx(16 + 2)
    weights = random.integers(0, 3, count)
    weights[:2] = 1
    repeated = formulas.frechet(np.repeat(one, weights, axis=0), two)
    ones = np.ones(other)
    assert formulas.frechet(one, two, weights, ones) == pytest.approx(repeated, rel=1e-9)
    assert np.isnan(formulas.frechet(one, two, np.eye(count)[0], ones))  # a single image


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
    monkeypatch.setattr(formulas, "KID_SUBSET", 6)
    photos = random.normal(size=(9, 2))
    expected = float(by_torchmetrics(KernelInceptionDistance, other, photos, **options)[0])
    found = formulas.kid_of_subsets(*formulas.kernels(other, photos))
    assert found == pytest.approx(expected, rel=1e-9)


def test_weights_repeat_images_that_are_not_compared_with_themselves():
    random = np.random.default_rng(0)
    kernels, two, three = formulas.kernels(*random.normal(size=(2, 3, 4))), [2, 1, 0], [1, 1, 1]
    own = 2 * 2 * kernels[0][0, 1] / (9 - 5)  # twice the first: its own pair is left out
    other = (kernels[1].sum() - np.trace(kernels[1])) / 6
    cross = (2 * kernels[2][0] + kernels[2][1]).sum() / 9
    found = formulas.kid(*kernels, np.array(two), np.array(three))
    assert found == pytest.approx(own + other - 2 * cross)
    assert np.isnan(formulas.kid(*kernels, np.array([3, 0, 0]), np.array(three)))


def test_halves_are_held_against_the_other_half():
    """Painted images that are their own photographs: in the same half they would be equal to what
    they are held against."""
    features = np.random.default_rng(0).normal(size=(40, 3))

    def halves(count: int) -> dict[str, float] | None:
        there, of = list(map(str, range(count))), features[:count]
        sources = np.array([there, there]).T
        return formulas.halves(of, of, sources, there, np.random.default_rng(1))

    found = halves(40)
    assert found["images"] == 20
    assert found["frechet_painted"] == pytest.approx(found["frechet_photographs"])
    assert found["kid_painted"] == pytest.approx(found["kid_photographs"])
    assert found["frechet_painted"] > 0.1
    assert (halves(20)["images"], halves(18)) == (10, None)


# ---- the bootstrap ------------------------------------------------------------------------------


def test_images_of_one_source_are_drawn_together():
    drawn, groups = [], [["a", "b", "a"], ["b", "c"]]
    random = np.random.default_rng(0)
    formulas.with_interval(lambda *weights: drawn.append(weights) or 0.0, groups, random)
    assert len(drawn) == 200 + 1  # the last without weights
    for (a, b, again), (beside, c) in drawn[:-1]:
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
    draws, random = iter([*draws, 7]), np.random.default_rng(0)
    found = formulas.with_interval(lambda weights: next(draws), [["a", "b"]], random, value)
    assert found["value"] == (7 if value is None else value)
    assert (found["low"], found["high"]) == pytest.approx((low, high), nan_ok=True)


def test_a_mean_leaves_out_what_is_not_known():
    values, photos = pd.Series([1.0, NAN, 3]), pd.Series(["a", "b", "c"])
    found = formulas.mean_with_interval(values, photos, np.random.default_rng(0))
    assert found == {"value": 2, "low": 1, "high": 3}
    assert np.isnan(formulas.mean_with_interval(values[1:2], photos, None)["value"])


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
        assert pixels.edge_agreement(asked, found) == pytest.approx((f1, precision, recall))
    assert pixels.is_edge(np.array([0, 159, 160, 255])).tolist() == [True, True, False, False]


def even(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


def test_colours_of_images_differ_by_their_distance_in_lab():
    half, striped, first_row = even(0, 0, 0), even(0, 0, 0), np.arange(64).reshape(8, 8) < 8
    half[:4], striped[0] = 255, 255
    black, white, red, grey = (
        pixels.colours_of(image, np.ones((8, 8), bool))
        for image in (even(0, 0, 0), even(255, 255, 255), even(255, 0, 0), half)
    )
    assert black.shape == (64, 3)
    # CIE Lab of sRGB's red: 53.2, 80.1, 67.2.
    for colours, expected in ((white, 100), (red, 117.3), (grey, 50)):
        assert pixels.colour_distance(black, colours) == pytest.approx(expected, abs=0.2)
    inside = pixels.colours_of(striped, first_row)  # of the mask alone
    assert pixels.colour_distance(inside, white) == 0


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
        assert pixels.wings_of(image)[64, place] == is_wing
    # A square of side 100 without two corners of `cut` fills 1, 0.96 and 0.84 of its rectangle.
    for cut, plate in ((0, True), (20, True), (40, False)):
        corners = [(cut, 0), (100, 0), (100, 100 - cut), (100 - cut, 100), (0, 100), (0, cut)]
        outline = np.array(corners, np.int32)[:, None]
        assert pixels.is_plate(cv2.contourArea(outline), outline) == plate


# ---- painted or photographed --------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 0.4, 0.6), (6, 0.999, 1)])
def test_only_a_trace_of_painting_is_told(shift, low, high):
    # Each painted image is nearly its own photograph, which a careless split would remember.
    random, there = np.random.default_rng(0), list(range(90))
    photos = random.normal(size=(90, 20))
    painted = photos + random.normal(0, 0.1, size=(90, 20)) + np.eye(20)[0] * shift
    own = np.array([there, there]).T
    found, looks = formulas.told_apart(painted, photos, own, there, random)
    assert low <= found["value"] <= high
    assert found["tested"] == np.isfinite(looks).sum() == 90
    assert looks.min() > 0.5 if shift else found["low"] <= 0.5 <= found["high"]


def test_what_is_tested_shares_no_photograph_with_what_is_fitted(monkeypatch):
    """Features are the photographs themselves: those of an image's structure and reference."""
    seen = []

    class Model:
        def fit(self, features, labels):
            assert set(labels) == {0, 1}
            self.fitted = set(features.ravel())

        def predict_proba(self, features):
            seen.append((self.fitted, set(features.ravel())))
            return np.full((len(features), 2), 0.5)

    monkeypatch.setattr(formulas, "make_pipeline", lambda *_: Model())
    random, photos = np.random.default_rng(0), np.arange(60)
    sources = random.integers(0, 60, (400, 2))
    features = np.stack([photos, photos], axis=1)
    found, _ = formulas.told_apart(sources, features, sources, photos, random)
    assert found["value"] == 0.5 and len(seen) == 2 * 3 * 5  # sides, folds and repeats
    assert all(tested and not fitted & tested for fitted, tested in seen)
    assert set().union(*(tested for _, tested in seen[1:6:2])) == set(range(60))


def test_numbers_as_text_and_the_yardstick_of_kid():
    assert plots.written(0.123, "{:.0%}") == "12%" and plots.written(NAN, "{:.2f}") == plots.DASH
    kid = {"value": 0.001, "low": np.nan, "high": np.nan}
    found = {"kid": kid, "halves": {"kid_photographs": 0.002, "kid_painted": 0.003}}
    assert figures.KID.cell(found) == ("0.0010", "photographs 0.0020")


def test_a_histogram_says_in_words_what_it_shows(tmp_path):
    series = {"photographs": np.array([0.1, 0.9, 0.2]), "close": 0.5, "unknown": np.nan}
    words = plots.histogram(tmp_path / "a.png", "F1", series)
    assert words == "Histogram: F1; medians: photographs 0.20, close 0.50"
    assert (tmp_path / "a.png").is_file()
