"""The arithmetic of the detection report, on arrays that can be followed by hand."""

import io
from pathlib import Path

import features
import numpy as np
import pytest
import torch
from cutout import find_specimen
from features import cells_reached, fit_square, outside_share, places_pca, unit
from PIL import Image
from published_members import Origin
from reference import cross_row, curves
from report_data import Photograph, columns, feature_map, similar_photographs, specimen_mask
from subspecies_member import Parents
from thumbnails import make_thumbnails
from training_index import PAINTED_KEPT, TrainingIndex, make_index, rows_to_keep


def photograph(feature, parents: Parents | None = None) -> Photograph:
    stored = np.array(feature, np.float16)
    return Photograph("a.jpg", Path("images/a.jpg"), 0.5, b"", {"sgd": 0.5}, parents, stored)


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


def test_vectors_of_length_one_do_not_overflow_in_half_precision():
    """The square of 300 is more than float16 holds."""
    vectors = unit(np.array([[300, 400], [0, 0]], np.float16))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_parents_are_shown_by_the_photograph_at_the_smallest_angle():
    """Of their own, in their order; not by a painted image, a hybrid, or the longest vector."""
    index = training(
        [[1, 0], [1, 0], [1, 0], [0, 0.1], [9, 8]],
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
    row = photograph([0], Parents("8", "9", 0.6449, 0.98765))
    assert columns([row], Path("report"), [])["parents"] == [["8", "9", 0.64, 0.988]]


def test_principal_axes_by_hand(monkeypatch):
    """Squares 2 x 6^2 along the first axis, 2 x 2^2 along the second: nine tenths and a tenth.

    The largest number of an axis is positive: they are (-0.6, 0.8) and (0.8, 0.6). The draw of
    other programs is left alone, and of many images some are enough, from the first to the last.
    """
    directions = np.array([[0.6, -0.8], [0.8, 0.6]])
    rows = np.array([[6, 0], [-6, 0], [0, 2], [0, -2]]) @ directions + [10, 20]
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    places, shares = places_pca(np.array([[10, 20], [9.4, 20.8], [10.8, 20.6]]), rows)
    assert torch.rand(1) == expected
    np.testing.assert_allclose(places, [[0, 0], [1, 0], [0, 1]], atol=1e-5)
    np.testing.assert_allclose(shares, [0.9, 0.1], atol=1e-5)
    three = np.repeat(np.diag([4.0, 2.0, 2.0]), 2, axis=0) * np.tile([[1], [-1]], (3, 1))
    assert places_pca(three, three)[1] == pytest.approx([16 / 24, 4 / 24])  # of the whole variance
    monkeypatch.setattr(features, "FIT_ROWS", 2)
    far = np.array([[0.0, 0], [7, 7], [2, 4]])
    np.testing.assert_allclose(places_pca(np.array([[1.0, 2]]), far)[0], [[0, 0]], atol=1e-5)


def test_a_square_keeps_the_proportions_and_the_longer_side_fills_it():
    places = np.array([[10.0, 1], [14, 3], [12, 2]])
    expected = np.array([[0, 0.25], [1, 0.75], [0.5, 0.5]])
    np.testing.assert_array_equal(fit_square(places), expected)
    np.testing.assert_array_equal(fit_square(places[:, ::-1]), expected[:, ::-1])
    assert fit_square(places[:1]).tolist() == [[0.5, 0.5]]


def test_the_axes_are_those_of_the_trainings_photographs():
    """They differ along x alone; painted and scored images along y, and those further.

    Without three of them the axes are those of all.
    """
    rows = [[-1, 0], [0, 0], [1, 0], [0, 9], [0, -9]]
    index = training(rows, painted=[False, False, False, True, True])
    drawn = feature_map([photograph([0.5, 9]), photograph([-0.5, 9])], index)
    assert drawn["shares"][0] == 1
    places = np.array(drawn["training"] + drawn["photographs"])
    assert places[:, 0].argsort(kind="stable").tolist() == [0, 6, 1, 3, 4, 5, 2]  # by x
    index = training([[-1, 0], [1, 0], [0, 9], [0, -9]], painted=[False, False, True, True])
    drawn = feature_map([photograph([0, 3]), photograph([0, -3])], index)
    assert drawn["shares"] == [round(180 / 182, 3), round(2 / 182, 3)]
    rows = [photograph(place) for place in ([0, 0], [4, 0], [2, 1], [2, -1])]
    square = [[0, 0.5], [1, 0.5], [0.5, 0.75], [0.5, 0.25]]
    assert feature_map(rows, None) == {"shares": [0.8, 0.2], "training": [], "photographs": square}


def test_curves_by_hand():
    """Hybrids at 0.9, 0.6 and 0.1, others at 0.6 and 0.3; the two at 0.6 are called together."""
    drawn = curves(np.array([0.3, 0.9, 0.6, 0.1, 0.6]), np.array([0, 1, 1, 1, 0]))
    assert drawn["roc"] == [[0, 0], [0, 0.3333], [0.5, 0.6667], [1, 0.6667], [1, 1]]
    assert drawn["precision_recall"] == [[0.3333, 1], [0.6667, 0.6667], [0.6667, 0.5], [1, 0.6]]
    assert drawn["roc_auc"] == pytest.approx((2 + 1.5) / 6)
    assert drawn["pr_auc"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    scores = np.random.default_rng(0).permutation(1000) / 1000
    drawn = curves(scores, np.arange(1000) % 2)
    assert (len(drawn["precision_recall"]), len(drawn["roc"])) == (400, 401)
    assert (drawn["roc"][-1], drawn["precision_recall"][-1]) == ([1, 1], [1, 0.5])


def test_a_cross_is_told_by_how_many_were_found():
    cross = {"ssp_indicator": "minor", "hybrids": 7, "recall": 2 / 7}
    interval = [pytest.approx(0.0822, abs=1e-4), pytest.approx(0.6411, abs=1e-4)]
    assert cross_row("8 x 9", cross) == ["8 x 9", "non-signal", 2, 7, *interval]


@pytest.mark.parametrize("painted", [0, 3, PAINTED_KEPT, 2 * PAINTED_KEPT])
def test_a_training_keeps_all_photographs_and_a_sample_of_the_painted(painted):
    kept = rows_to_keep(np.array([False] * 4 + [True] * painted))
    assert kept[:4].tolist() == [0, 1, 2, 3]
    assert len(np.unique(kept)) == len(kept) == 4 + min(painted, 500)
    assert painted == 0 or kept[-1] == 3 + painted  # spread from the first to the last


def test_an_image_that_is_gone_moves_no_other_in_an_index(tmp_path, draw):
    paths = [draw(tmp_path / f"{i}.png", size=(640, 320)) for i in range(3)]
    paths[1].unlink()
    origin, none = Origin("efficientnet_lite0", "a", "photograph"), np.zeros(3, bool)
    index = make_index(list("abc"), list("123"), none, none, paths, np.eye(3), origin, 2)
    assert (index.names.tolist(), index.groups.tolist()) == (["a", "c"], ["1", "3"])
    assert np.array_equal(index.features, np.eye(3)[[0, 2]]) and len(index.thumbnails) == 2
    one = list("a"), list("1"), none[:1], none[:1], paths[1:2], np.eye(1)
    assert make_index(*one, origin, 2) is None


def test_thumbnails_and_masks_are_of_what_the_networks_see(tmp_path, specimen):
    path = specimen(tmp_path / "a.png")
    for preprocess, size in (("photograph", (80, 60)), ("cutout", (80, 80))):
        (picture,) = make_thumbnails([path], preprocess, 80, 1)
        assert Image.open(io.BytesIO(picture)).size == size
    with Image.open(path) as image:
        image.resize((640, 480)).save(path)
    large = Image.fromarray(find_specimen(np.asarray(Image.open(path))).mask)
    whole = np.asarray(large.resize((96, 72)))
    (picture,) = make_thumbnails([path], "photograph", 640, 1)
    mask = specimen_mask(picture)
    assert mask.shape == (72, 96) and (mask & whole).sum() > 0.95 * (mask | whole).sum()
    (picture,) = make_thumbnails([path], "cutout", 640, 1)
    mask = specimen_mask(picture)
    assert not cells_reached(mask, 7, 7)[0, 0] and mask[:, 4:-4].any(axis=0).all()
    Image.new("RGB", (160, 120), (225, 222, 205)).save(path)
    (picture,) = make_thumbnails([path], "photograph", 160, 1)
    assert specimen_mask(picture) is None
