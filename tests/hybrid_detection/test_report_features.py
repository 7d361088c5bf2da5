"""The arithmetic of the detection report, on arrays that can be followed by hand."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from classifier import save_arrays
from cutout import find_specimen
from dataset import Rows
from PIL import Image
from published_members import Origin
from report_data import (
    Photograph,
    cells_reached,
    columns,
    curves,
    outside_share,
    similar_photographs,
    specimen_mask,
)
from subspecies_member import Parents
from training_index import TrainingIndex, load_index, make_index, make_thumbnails


def photograph(feature, parents: Parents | None = None) -> Photograph:
    stored = np.array(feature, np.float16)
    rest = parents, stored, None, None, None
    return Photograph("a.jpg", Path(__file__), 0.5, b"", {"sgd": 0.5}, *rest)


def test_cells_lie_as_the_mask_does_and_evidence_against_counts_as_much():
    """The pixel in the second row and the seventh column of 4 x 9: the last cell above."""
    mask = np.zeros((4, 9), bool)
    mask[1, 6] = True
    assert cells_reached(mask, 2, 3).tolist() == [[False, False, True], [False, False, False]]
    mask = np.zeros((2, 2), bool)
    mask[0] = True
    assert outside_share(np.array([[3.0, -1.0], [-3.0, 1.0]]), mask) == 0.5
    assert outside_share(np.array([[3.0, -1.0], [-1.0, 0.0]]), mask) == 0.2
    assert outside_share(np.zeros((2, 2)), mask) is None


def test_parents_are_shown_by_the_photograph_at_the_smallest_angle():
    """Of their own, in their order; not by the longest vector."""
    rows, groups = [[1, 0], [0, 0.1], [9, 8]], np.array(["9", "8", "8"])
    index = TrainingIndex(groups, groups, np.array(rows, np.float16), groups, Origin())
    rows = [
        photograph([1, 0], Parents("9", "8", 0.6, 0.9)),
        photograph([1, 0]),
        photograph([0, 1], Parents("8", "7", 0.6, 0.9)),
    ]
    assert similar_photographs(rows, index) == [[0, 2], None, [1, None]]
    row = photograph([0], Parents("8", "9", 0.6449, 0.98765))
    assert columns([row], Path("report"), [])["parents"] == [["8", "9", 0.64, 0.988]]


def test_curves_by_hand():
    """Hybrids at 0.9, 0.6 and 0.1, others at 0.6 and 0.3; the two at 0.6 are called together."""
    drawn = curves(np.array([0.3, 0.9, 0.6, 0.1, 0.6]), np.array([0, 1, 1, 1, 0]))
    assert drawn["roc"] == [[0, 0], [0, 0.3333], [0.5, 0.6667], [1, 0.6667], [1, 1]]
    assert drawn["precision_recall"] == [[0.3333, 1], [0.6667, 0.6667], [0.6667, 0.5], [1, 0.6]]
    assert drawn["roc_auc"] == pytest.approx((2 + 1.5) / 6)
    assert drawn["pr_auc"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_an_image_that_is_gone_moves_no_other_in_an_index(tmp_path, draw):
    paths = [draw(tmp_path / f"{i}.png", size=(640, 320)) for i in range(3)]
    paths[1].unlink()
    paths += [draw(tmp_path / f"{i}.png") for i in (3, 4)]  # a painting, and a hybrid
    table = pd.DataFrame({"filename": list("abcde"), "subspecies": ["1.0", "2", "3", "4", ""]})
    table = table.assign(parent_subspecies_1="", parent_subspecies_2="")
    origin, features, labels = Origin("efficientnet_lite0", "a"), np.eye(5, 1280), np.arange(5) // 4
    rows = Rows(table, paths, features, labels, np.arange(5) == 3, labels, labels)
    made = make_index(rows, origin, 2)
    save_arrays(made, tmp_path / "index.npz")
    index = load_index(tmp_path / "index.npz", origin)
    assert (index.names.tolist(), index.groups.tolist()) == (["a", "c"], ["1", "3"])
    assert np.array_equal(index.features, features[[0, 2]]) and index.features.dtype == np.float16
    for place, row in enumerate((0, 2)):
        (picture,) = make_thumbnails([paths[row]], "photograph", 160, 1)
        assert index.thumbnails[place] == picture == made.thumbnails[place]
        assert Image.open(io.BytesIO(picture)).size == (160, 80)
    assert make_index(rows.take([1, 3, 4]), origin, 2) is None


def test_thumbnails_and_masks_are_of_what_the_networks_see(tmp_path, specimen):
    path = specimen(tmp_path / "a.png")
    with Image.open(path) as image:
        image.resize((640, 480)).save(path)
    large = Image.fromarray(find_specimen(np.asarray(Image.open(path))).mask)
    whole = np.asarray(large.resize((96, 72)))
    (picture,) = make_thumbnails([path], "photograph", 640, 1)
    mask = specimen_mask(picture)
    assert mask.shape == (72, 96) and (mask & whole).sum() > 0.95 * (mask | whole).sum()
    (picture,) = make_thumbnails([path], "cutout", 80, 1)
    assert Image.open(io.BytesIO(picture)).size == (80, 80)
    assert specimen_mask(picture)[:, 4:-4].any(axis=0).all()
    Image.new("RGB", (160, 120), (225, 222, 205)).save(path)
    (picture,) = make_thumbnails([path], "photograph", 160, 1)
    assert specimen_mask(picture) is None
