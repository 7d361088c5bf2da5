"""The arithmetic of the detection report, on arrays that can be followed by hand."""

from pathlib import Path

import features
import gallery
import numpy as np
import pytest
import torch
from features import (
    cells_reached,
    fit_square,
    most_similar,
    outside_share,
    places_pca,
    places_tsne,
    principal_axes,
    spread_evenly,
)
from gallery import Gallery, Photograph, Picture
from model import Examined
from published_members import Origin
from reference import cross_row, curves
from report_data import columns, feature_map, heat_map, similar_photographs
from subspecies_member import Parents
from training_index import TrainingIndex


def photograph(feature=None, parents: Parents | None = None) -> Photograph:
    stored = None if feature is None else np.array(feature, np.float16)
    return Photograph(
        "a.jpg", Path("images/a.jpg"), 0.5, {"sgd": 0.5}, parents, Picture(b"", stored)
    )


def training(rows, painted, hybrid=None, groups=None) -> TrainingIndex:
    n = len(rows)
    return TrainingIndex(
        names=np.array([f"{i}.jpg" for i in range(n)]),
        groups=np.array(groups or ["8"] * n),
        hybrid=np.array(hybrid or [False] * n),
        painted=np.array(painted),
        features=np.array(rows, np.float16),
        thumbnails=[b""] * n,
        origin=Origin(),
    )


# ---- evidence and the specimen ------------------------------------------------------------------


def test_cells_lie_as_the_mask_does():
    """The pixel in the second row and the seventh column of 4 x 9: the last cell above."""
    mask = np.zeros((4, 9), bool)
    mask[1, 6] = True
    assert cells_reached(mask, 2, 3).tolist() == [[False, False, True], [False, False, False]]


def test_evidence_against_counts_as_much_as_evidence_for():
    mask = np.zeros((2, 2), bool)
    mask[0] = True
    assert outside_share(np.array([[3.0, -1.0], [-3.0, 1.0]]), mask) == 0.5
    assert outside_share(np.array([[3.0, -1.0], [-1.0, 0.0]]), mask) == 0.2
    assert outside_share(np.zeros((2, 2)), mask) is None


def test_without_evidence_there_is_no_heat_map():
    assert heat_map(photograph()) is None


# ---- what is alike ------------------------------------------------------------------------------


def test_the_most_similar_has_the_smallest_angle_and_not_the_longest_vector():
    among = np.array([[100.0, 90.0], [0.1, 0.0], [0.0, 1.0]])
    assert most_similar(np.array([[2.0, 0.1], [0.1, 2.0]]), among).tolist() == [1, 2]


def test_half_precision_does_not_overflow_among_the_most_similar():
    """The square of 300 is more than float16 holds."""
    among = np.array([[0, 300], [300, 300], [300, 0]], np.float16)
    assert most_similar(np.array([[300, 10]], np.float16), among).tolist() == [2]


def test_parents_are_shown_by_photographs_of_their_own_in_their_order():
    index = training(
        [[1, 0], [1, 0], [1, 0], [0, 1], [1, 1]],
        painted=[True, False, False, False, False],
        hybrid=[False, True, False, False, False],
        groups=["8", "8", "9", "8", "8"],
    )
    rows = [
        photograph([1, 0], Parents("9", "8", 0.6, 0.9)),
        photograph([1, 0]),
        photograph([0, 1], Parents("8", "7", 0.6, 0.9)),
    ]
    assert similar_photographs(rows, index) == [[2, 4], None, [3, None]]


def test_the_share_of_the_first_parent_is_told_to_the_second_decimal():
    parents = Parents("8", "9", 0.6449, 0.98765)
    shown = columns([photograph(parents=parents)], Path("report"), ["sgd"])
    assert shown["parents"] == [["8", "9", 0.64, 0.988]]
    assert shown["parentsText"] == ["8 x 9"]


# ---- axes and places ----------------------------------------------------------------------------


def test_principal_axes_by_hand():
    """Squares 2 x 6^2 along the first axis, 2 x 2^2 along the second: nine tenths and a tenth."""
    directions = np.array([[0.6, -0.8], [0.8, 0.6]])
    rows = np.array([[6, 0], [-6, 0], [0, 2], [0, -2]]) @ directions + [10, 20]
    mean, axes, shares = principal_axes(rows, 2)
    np.testing.assert_allclose(mean, [10, 20], atol=1e-5)
    np.testing.assert_allclose(axes.T, [[-0.6, 0.8], [0.8, 0.6]], atol=1e-5)  # the largest above 0
    np.testing.assert_allclose(shares, [0.9, 0.1], atol=1e-5)


def test_shares_are_of_the_whole_variance():
    rows = np.repeat(np.diag([4.0, 2.0, 2.0]), 2, axis=0) * np.tile([[1], [-1]], (3, 1))
    assert principal_axes(rows, 1)[2] == pytest.approx([16 / 24])


def test_the_draw_of_other_programs_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    principal_axes(np.eye(4), 2)
    assert torch.rand(1) == expected


def test_axes_are_fitted_to_some_of_many(monkeypatch):
    """With room for two of three the mean is that of the first and the last."""
    monkeypatch.setattr(features, "FIT_ROWS", 2)
    assert principal_axes(np.array([[0.0, 0], [7, 7], [2, 4]]), 1)[0].tolist() == [1, 2]


def test_some_of_many_are_spread_from_the_first_to_the_last():
    assert spread_evenly(9, 3).tolist() == [0, 4, 8]
    assert spread_evenly(3, 9).tolist() == [0, 1, 2]
    assert spread_evenly(1, 9).tolist() == [0]


def test_places_are_measured_from_the_mean_along_the_axes_of_others():
    fitted_to = np.array([[5.0, 3], [-5, 3], [0, 4], [0, 2]])
    places, shares = places_pca(np.array([[2.0, 3], [0, 7]] * 3000), fitted_to)
    assert places.shape == (6000, 2)
    np.testing.assert_allclose(places[[0, 1, -2, -1]], [[2, 0], [0, 4]] * 2, atol=1e-5)
    np.testing.assert_allclose(shares, [50 / 52, 2 / 52], atol=1e-5)


def test_features_of_one_number_lie_on_a_line():
    places, shares = places_pca(np.array([[1.0], [3], [5]]), np.array([[1.0], [3], [5]]))
    np.testing.assert_allclose(places, [[-2, 0], [0, 0], [2, 0]], atol=1e-5)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-5)


def test_a_square_keeps_the_proportions_and_the_longer_side_fills_it():
    places = np.array([[10.0, 1], [14, 3], [12, 2], [np.nan, np.nan]])
    expected = [[0, 0.25], [1, 0.75], [0.5, 0.5], [np.nan, np.nan]]
    np.testing.assert_array_equal(fit_square(places), expected)
    np.testing.assert_array_equal(fit_square(places[:, ::-1])[:3], np.array(expected)[:3, ::-1])


def test_one_place_lies_in_the_middle():
    assert fit_square(np.array([[3.0, 4.0]])).tolist() == [[0.5, 0.5]]


def test_a_map_by_tsne_has_the_places_of_those_that_it_maps(monkeypatch):
    """Two far groups, of which every second image is mapped: places stay with their images."""
    monkeypatch.setattr(features, "TSNE_ROWS", 12)
    draw = np.random.default_rng(0)
    groups = np.arange(23) < 11
    rows = draw.normal(size=(23, 8)) + np.where(groups[:, None], 50, -50)
    places = places_tsne(rows)
    mapped = np.isfinite(places).all(axis=1)
    assert np.flatnonzero(mapped).tolist() == list(range(0, 23, 2))
    one, other = (places[mapped & some] for some in (groups, ~groups))
    apart = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    for some in (one, other):
        assert np.linalg.norm(some - some.mean(axis=0), axis=1).max() < apart / 2


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_for_tsne_have_no_place(count):
    assert np.isnan(places_tsne(np.eye(count, 4))).all()


# ---- the map ------------------------------------------------------------------------------------


def test_the_axes_are_those_of_the_trainings_photographs():
    """They differ along x alone; painted and scored images along y, and those further."""
    rows = [[-1, 0], [0, 0], [1, 0], [0, 9], [0, -9]]
    index = training(rows, painted=[False, False, False, True, True])
    drawn = feature_map([photograph([0.5, 9]), photograph([-0.5, 9])], index, tsne=False)
    assert (drawn["how"], drawn["shares"][0]) == ("PCA", 1)
    places = np.array(drawn["training"] + drawn["photographs"])
    order = places[:, 0].argsort(kind="stable").tolist()
    assert order == [0, 6, 1, 3, 4, 5, 2]  # by x
    assert np.ptp(places[:3, 1]) == 0


def test_with_fewer_than_three_photographs_in_training_the_axes_are_those_of_all():
    index = training([[-1, 0], [1, 0], [0, 9], [0, -9]], painted=[False, False, True, True])
    drawn = feature_map([photograph([0, 3]), photograph([0, -3])], index, tsne=False)
    assert drawn["shares"] == [round(180 / 182, 3), round(2 / 182, 3)]


def test_without_training_the_axes_are_those_of_the_scored_photographs():
    rows = [photograph(place) for place in ([0, 0], [4, 0], [2, 1], [2, -1])]
    drawn = feature_map(rows, None, tsne=False)
    assert drawn["training"] == []
    assert drawn["photographs"] == [[0, 0.5], [1, 0.5], [0.5, 0.75], [0.5, 0.25]]
    assert drawn["shares"] == [0.8, 0.2]


def test_the_map_knows_the_scored_photographs_from_the_training():
    index = training([[0, 0], [1, 0], [2, 0]], painted=[False] * 3)
    drawn = feature_map([photograph([8, 0])], index, tsne=False)
    assert [x for x, _ in drawn["training"]] == [0, 0.125, 0.25]
    assert [x for x, _ in drawn["photographs"]] == [1]


def test_what_has_no_place_is_written_as_minus_one(monkeypatch):
    monkeypatch.setattr(
        "report_data.places_tsne", lambda _: np.array([[0, 0], [np.nan, np.nan], [4, 2]])
    )
    index = training([[0, 0], [0, 0]], painted=[False, False])
    drawn = feature_map([photograph([0, 0])], index, tsne=True)
    assert drawn == {
        "how": "t-SNE",
        "shares": [],
        "training": [[0, 0.25], [-1, -1]],
        "photographs": [[1, 0.75]],
    }


# ---- what the gallery keeps ---------------------------------------------------------------------


@pytest.fixture
def examined(monkeypatch) -> list[int]:
    """The evidence of an image is its number, a one-pixel picture; gives those that were seen."""
    seen: list[int] = []

    def examine(_model, images: torch.Tensor) -> tuple[Examined, np.ndarray]:
        numbers = images.numpy().astype(np.float32)
        seen.extend(numbers.astype(int).tolist())
        return Examined(numbers, {}, None, numbers[:, None] + 0.5), numbers[:, None, None]

    monkeypatch.setattr("gallery.evidence.examine", examine)
    return seen


def kept(album: Gallery) -> dict[int, tuple]:
    return {
        position: (picture.thumbnail, picture.feature.tolist(), picture.evidence.tolist())
        for position, picture in album.pictures.items()
    }


def test_a_picture_is_kept_by_the_position_of_its_photograph(examined):
    """A batch may be examined in parts, where memory is short; the next one begins anew."""
    album = Gallery("model")
    album.examine(torch.tensor([7.0]))
    album.examine(torch.tensor([9.0]))
    album.keep([5, 2], [b"seven", b"nine"])
    album.examine(torch.tensor([4.0]))
    album.keep([3], [b"four"])
    assert kept(album) == {
        5: (b"seven", [7.5], [[7]]),
        2: (b"nine", [9.5], [[9]]),
        3: (b"four", [4.5], [[4]]),
    }
    assert album.pictures[5].feature.dtype == np.float16


def test_without_a_model_thumbnails_alone_are_kept():
    album = Gallery(None)
    album.keep([1, 0], [b"one", b"zero"])
    assert album.pictures == {1: Picture(b"one"), 0: Picture(b"zero")}


def test_a_run_that_goes_on_takes_the_missing_pictures_alone(monkeypatch):
    asked = []

    def score_images(model, images, batch_size, workers, batches, album):
        asked.append((model, images, batch_size, workers, batches, album))
        yield {}

    monkeypatch.setattr(gallery, "score_images", score_images)
    monkeypatch.setattr(gallery, "BATCH_SIZE", 2)
    album = Gallery("model")
    album.pictures = {2: Picture(b""), 6: Picture(b"")}
    images = [Path(f"{i}.jpg") for i in range(9)]
    album.complete(images, [1, 2, 4, 6, 7, 8], 3)
    assert asked == [("model", images, 2, 3, [[1, 4], [7, 8]], album)]


# ---- a reference --------------------------------------------------------------------------------


def test_curves_by_hand():
    """Hybrids at 0.9, 0.6 and 0.1, others at 0.6 and 0.3; the two at 0.6 are called together."""
    drawn = curves(np.array([0.3, 0.9, 0.6, 0.1, 0.6]), np.array([0, 1, 1, 1, 0]))
    assert drawn["roc"] == [[0, 0], [0, 0.3333], [0.5, 0.6667], [1, 0.6667], [1, 1]]
    assert drawn["precision_recall"] == [[0.3333, 1], [0.6667, 0.6667], [0.6667, 0.5], [1, 0.6]]
    assert drawn["roc_auc"] == pytest.approx((2 + 1.5) / 6)
    assert drawn["pr_auc"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_a_long_curve_keeps_its_ends_and_400_points():
    draw = np.random.default_rng(0)
    drawn = curves(draw.permutation(1000) / 1000, np.arange(1000) % 2)
    assert len(drawn["precision_recall"]) == 400
    assert len(drawn["roc"]) == 401
    assert (drawn["roc"][-1], drawn["precision_recall"][-1]) == ([1, 1], [1, 0.5])


def test_a_cross_is_told_by_how_many_were_found():
    cross = {"ssp_indicator": "minor", "hybrids": 7, "recall": 2 / 7}
    name, kind, found, hybrids, low, high = cross_row("8 x 9", cross)
    assert (name, kind, found, hybrids) == ("8 x 9", "non-signal", 2, 7)
    assert (low, high) == pytest.approx((0.0822, 0.6411), abs=1e-4)
