"""Specimens: no photograph of one is judged by what learnt from another."""

import re

import numpy as np
import painted
import pandas as pd
import pytest
from classifier import fit_sgd
from data_utils import COLUMNS, SOURCES, read_table
from metrics import roc_auc
from shortcuts import call_each
from sklearn.model_selection import StratifiedKFold
from specimens import deal, join, read_pattern, read_specimens, without_side


def write(path, rows):
    """A CSV, of as many of its columns as the `rows` name; the others are empty."""
    rows = [{"split": "train", "hybrid_stat": "non-hybrid"} | row for row in rows]
    pd.DataFrame(rows, columns=[*COLUMNS, *SOURCES]).to_csv(path, index=False)
    return path


def test_rows_are_joined_by_any_key_and_by_way_of_others():
    names = ["e", "d", "c", "b", "a", "f", "a"]
    one, other = ["1", "1", "", "2", "", "3", ""], ["", "x", "x", "y", "y", "", "z"]
    assert join(names, one, other).tolist() == ["c", "c", "c", "a", "a", "f", "a"]
    assert join(names, one).tolist() == ["d", "d", "c", "b", "a", "f", "a"]


def test_folds_deal_specimens_and_those_of_one_photograph_as_ever():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 90)
    alone = np.array([f"S{number}" for number in draw.permutation(90)], object)[:, None]
    for mine, theirs in zip(
        deal(StratifiedKFold(5), alone, labels),
        StratifiedKFold(5).split(labels, labels),
        strict=True,
    ):
        for rows, expected in zip(mine, theirs, strict=True):
            assert rows.tolist() == expected.tolist()
    groups = draw.choice(alone[:30, 0], (90, 2))  # structure and reference
    folds = list(deal(StratifiedKFold(5), groups, labels))
    tested = np.concatenate([test for _, test in folds])
    assert len(set(tested)) == len(tested) > 10
    for train, test in folds:
        assert not set(groups[train].ravel()) & set(groups[test].ravel())
        assert len(train) > 30 and len(test) > 0


def photograph(number, side, told):
    """A row of the CSV, and its content: each specimen has two, told to be one in this way."""
    name = f"{number}-{side}" if told == "name" else f"{2 * number + (side == 'ventral')}"
    row = {"filename": f"race/{name}.jpg", "hybrid_stat": ("non-hybrid", "hybrid")[number % 2]}
    if told == "CAMID":
        row["CAMID"] = f"cam{number} " if side == "ventral" else f"CAM{number}"
    if told == "md5":
        row["md5"] = f"{number:032x}"
    if told == "chain" and side == "dorsal":
        row |= {"CAMID": f"x{number}", "md5": f"{number:032X}"}
    if told == "chain" and side == "ventral":
        row |= {"CAMID": f"y{number}", "md5": f"{number:032x}"}
    return row, str(number if told == "content" else (number, side))


@pytest.mark.parametrize("told", ["CAMID", "md5", "chain", "name", "content", "nothing"])
def test_random_labels_of_twice_photographed_specimens_are_not_told(tmp_path, caplog, told):
    """Nothing tells them but having seen the specimen, as is possible where nothing says which."""
    caplog.set_level("INFO")
    draw = np.random.default_rng(1)
    numbers = [(number, side) for number in range(240) for side in ("dorsal", "ventral")]
    rows, contents = zip(*(photograph(*each, told) for each in numbers), strict=True)
    shuffled = draw.permutation(480)
    table = read_table(write(tmp_path / "a.csv", [rows[place] for place in shuffled]))
    specimen = np.array([numbers[place][0] for place in shuffled])
    looks = draw.normal(size=(240, 256))
    features = looks[specimen] + 0.1 * draw.normal(size=(480, 256))
    labels = table["label"].to_numpy()

    groups, split = painted.split_photographs(
        table, tmp_path, "of these", np.array(contents)[shuffled]
    )
    sgd = fit_sgd(features[split.train], labels[split.train], "x", groups[split.train])
    scores = sgd.predict_proba(features[split.held_out])[:, 1]
    area = roc_auc(scores, labels[split.held_out])
    decisions = call_each(features, labels, groups[:, 0])[1]
    shared = set(specimen[split.train]) & set(specimen[split.held_out])
    assert len(split.held_out) == 96 and len(split.train) == 384
    assert ("taken for one specimen each" in caplog.text) == (told == "name")
    if told == "nothing":
        assert min(area, roc_auc(decisions, labels)) > 0.75 and shared
        assert "480 photographs of 480 specimens" in caplog.text
    else:
        assert abs(area - 0.5) < 0.15 and abs(roc_auc(decisions, labels) - 0.5) < 0.1
        assert not shared and "480 photographs of 240 specimens" in caplog.text


def test_what_is_painted_from_any_photograph_of_a_specimen_goes_with_it(tmp_path):
    names = [f"{number:02d}_{side}" for number in range(20) for side in "dv"]
    rows = [
        {"filename": f"{name}.jpg", "hybrid_stat": "hybrid" if int(name[:2]) < 10 else "non-hybrid"}
        for name in names
    ]
    rows += [
        {"filename": f"AF_8_9_gen{place:05d}.png", "hybrid_stat": "hybrid"}
        | {"structure": f"{name}.jpg", "reference": f"{names[place * 7 % 40]}.jpg"}
        for place, name in enumerate(names)
    ]
    table = read_table(write(tmp_path / "a.csv", rows))
    sources = painted.read_sources(table, tmp_path)
    split = painted.hold_out_photographs(table, sources)
    shown = np.vectorize(lambda name: name[:2])(sources)
    held = set(shown[split.held_out].ravel())
    assert len(held) == 4 and not held & set(shown[split.train].ravel())
    assert (split.train >= 40).any() and (split.held_out >= 40).any()


HASH = "0123456789abcdef" * 2
PARENTS = {"hybrid_stat": "hybrid", "parent_subspecies_1": "8.0", "parent_subspecies_2": "9"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"md5": HASH}, {"md5": HASH.upper(), "hybrid_stat": "hybrid"}, "md5 .*is hybrid, but n"),
        ({"CAMID": "C1"}, {"CAMID": "c1", "hybrid_stat": "hybrid"}, "CAMID c1 is hybrid, but non-"),
        ({"md5": HASH, "subspecies": "8"}, {"md5": HASH, "subspecies": "9.0"}, "is 9, but 8"),
        (PARENTS | {"md5": HASH}, PARENTS | {"md5": HASH, "parent_subspecies_2": "5"}, "is 5 x 8"),
        ({"md5": HASH, "subspecies": "8"}, {"md5": HASH, "subspecies": "8.0"}, None),
        ({"md5": HASH, "subspecies": "8"}, {"md5": HASH}, None),  # says nothing else
        ({"md5": "none"}, {"md5": "none", "hybrid_stat": "hybrid"}, None),
        ({"CAMID": " NA"}, {"CAMID": " NA", "hybrid_stat": "hybrid"}, None),
        # What is painted is of other labels than its source.
        ({"CAMID": "C1"}, {"CAMID": "C1", "hybrid_stat": "hybrid", "structure": "a.jpg"}, None),
        ({}, {"filename": "A.JPG"}, "A.JPG stands on line 2 already, as a.jpg; keep"),
        ({}, {"filename": "./a.jpg"}, r"\./a.jpg stands on line 2 already"),
        ({}, PARENTS | {"parent_subspecies_2": "8"}, "a hybrid whose parents are both '8.0'; exp"),
        ({}, PARENTS | {"parent_subspecies_1": "X", "parent_subspecies_2": "x "}, "both 'X'"),
    ],
)
def test_a_table_is_checked_as_a_whole(tmp_path, first, second, message):
    rows = [{"filename": "a.jpg"} | first, {"filename": "b.jpg"}, {"filename": "c.jpg"} | second]
    path = write(tmp_path / "a.csv", rows)
    if message is None:
        assert len(read_table(path)) == 3
        return
    with pytest.raises(ValueError, match=message) as refused:
        read_table(path)
    assert str(refused.value).startswith(f"{path}, line 4: ")
    if "md5" in first or "CAMID" in first:
        assert f" in {path}, line 2; correct one" in str(refused.value)


def test_camids_that_keep_two_sides_apart_are_told(tmp_path, caplog):
    rows = [{"filename": f"1{side}.jpg", "CAMID": side} for side in ("_d", "_V", " dorsal", "b")]
    table = read_table(write(tmp_path / "a.csv", rows))
    groups, split = painted.split_photographs(table, tmp_path, "of these", list("wxyz"))
    assert split is None and groups[:, 0].tolist() == ["1_d", "1_V", "1 dorsal", "1b"]
    (said,) = [message for message in caplog.messages if "side" in message]
    assert (
        said.startswith("3 photographs") and "1_d.jpg and 1_V.jpg: taken for specimens of" in said
    )


def test_a_number_in_a_name_is_no_suffix(tmp_path):
    rows = [{"filename": name} for name in ("a/B.1", "a/B.2_d", "a/B.2_v", "a/B.3.jpg")]
    specimens = painted.name_specimens(read_table(write(tmp_path / "a.csv", rows)), list("wxyz"))
    assert specimens.tolist() == ["a/B.1", "a/B.2_d", "a/B.2_d", "a/B.3"]


def test_a_pattern_finds_the_specimen_in_a_name():
    names = ["CAM9/12_CAM001_d.jpg", "b/CAM001v.png"]
    assert read_specimens(names, re.compile("CAM[0-9]+")) == ["CAM001"] * 2
    assert read_specimens(names, re.compile("CAM([0-9])")) == ["0", "0"]
    names_by_side = ("a/v.jpg", "a/D.png", "d/1-ventral.x.jpg", "dorsal 2.jpg", "adv_dd.jpg")
    assert list(map(without_side, names_by_side)) == ["a", "a", "d/1.x", " 2", "adv_dd"]
    with pytest.raises(
        ValueError, match=r"b/CAM001v\.png: --specimen '12' finds nothing in its name"
    ):
        read_specimens(names, re.compile("12"))
    with pytest.raises(Exception, match=r"'\(' is no regular expression: missing \)"):
        read_pattern("(")


def test_folds_of_both_classes_or_the_published_ones():
    draw = np.random.default_rng(0)
    groups = np.array([(f"S{number}", f"S{number}") for number in range(8)] * 2, object)
    features, labels = draw.normal(size=(16, 4)), np.repeat([0, 1], 8)
    sgd = fit_sgd(features, labels, "x", groups)
    assert sorted(len(test) for _, test in sgd.cv) == [2, 2, 4, 4, 4]
    groups[8:, 1] = "S7"  # who tests that specimen has no hybrid to learn from
    assert fit_sgd(features, labels, "x", groups).cv is None


def test_too_few_specimens_of_a_class_are_not_held_out(tmp_path):
    """However many photographs there are of each."""
    names = [f"{number}_{side}.jpg" for number in range(16) for side in "dv"]
    rows = [{"filename": name, "hybrid_stat": "hybrid"} for name in names[:10]]
    rows += [{"filename": name} for name in names[10:]]
    table = read_table(write(tmp_path / "a.csv", rows))
    with pytest.raises(ValueError, match="held out: 4 hybrid and 9 non-hybrid; at least 5 of each"):
        painted.hold_out_photographs(table, painted.read_sources(table, tmp_path))
