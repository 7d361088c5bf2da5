"""painted.py: from which photographs an image was painted, and which photographs are held out."""

from pathlib import Path

import numpy as np
import painted
import pandas as pd
import pytest


def table(names, **columns):
    labels = [int("hybrid" in name or not name.startswith(("P", "AF_8_8"))) for name in names]
    return pd.DataFrame({"filename": names, "label": labels} | columns)


def write_list(dataset, name, *pairs, folder="List"):
    """Of each pair the structure and the reference, such as 9/A 8/B.jpg."""
    path = dataset / folder / name
    path.mkdir(parents=True)
    edges, references = zip(*(pair.split() for pair in pairs), strict=True)
    lines = [f"Images/{edge.replace('/', '/train/pidinet_edges/')}.png" for edge in edges]
    (path / "test_edges.txt").write_text("\n".join(lines) + "\n\n")
    lines = [f"Images/{reference.replace('/', '/train/good/')}" for reference in references]
    (path / "test_color_ref.txt").write_text("\n".join(lines) + "\n\n")


@pytest.fixture
def lists(tmp_path):
    """Line 1 of two lists is 9 x 8 and 9 x 2, line 0 of the third 8 x 8."""
    write_list(tmp_path, "test_signalhybrid", "9/A 8/B.jpg", "9/C 8/D.v1.jpg")
    write_list(tmp_path, "test_nonsignalhybrid", "2/E 9/A.jpg", "9/F 2/E.jpg")
    write_list(tmp_path, "test_nonhybrid", "8/B 8/G.jpg")
    return tmp_path


NAMES = ["AF_9_8_gen00001.png", "AF_9_2_gen00001.png", "race/photo.jpg", "sub/AF_8_8_gen00000.png"]
EXPECTED = [["C", "D.v1"], ["F", "E"], ["race/photo", "race/photo"], ["B", "G"]]


def test_sources_come_from_the_names_and_the_lists(lists):
    rows = table(NAMES)
    assert painted.is_painted(rows).tolist() == [True, True, False, True]
    assert painted.read_sources(rows, lists).tolist() == EXPECTED
    (lists / "List").rename(lists / "Lists")
    for path in list(lists.rglob("test_*.txt")):  # lists may be named after themselves
        path.rename(path.with_name(path.name.replace("test", path.parent.name, 1)))
    assert painted.read_sources(rows, lists).tolist() == EXPECTED
    # Columns come before the lists; the second names one of both.
    columns = {"structure": ["X.jpg", "X.jpg", "", "", "X.jpg"], "reference": ["Y.jpg", *[""] * 3]}
    columns["reference"].append("Y.jpg")
    rows = table([*NAMES, "odd.png"], **columns)
    assert painted.is_painted(rows).tolist() == [True, True, False, True, True]
    expected = [["X", "Y"], *EXPECTED[1:], ["X", "Y"]]
    assert painted.read_sources(rows, lists).tolist() == expected


@pytest.mark.parametrize(
    ("name", "found"),
    [("AF_9_8_gen00002.png", 0), ("AF_8_9_gen00001.png", 0), ("AF_9_8_gen00000.png", 2)],
)
def test_an_image_that_not_just_one_line_fits_is_named(lists, name, found):
    """The last stands in two lists that contradict each other."""
    write_list(lists, "test_signalhybrid", "9/A 8/H.jpg", folder="Lists")
    message = f"which two photographs {name} was painted, and {found} lines of .* in {lists} fit"
    with pytest.raises(ValueError, match=message):
        painted.read_sources(table(["photo.jpg", name]), lists)


def test_lists_that_do_not_align(lists):
    path = lists / "List/test_signalhybrid/test_color_ref.txt"
    path.write_text("Images/8/train/good/B.jpg\n")
    with pytest.raises(ValueError, match=r"test_edges.txt has 2 lines and test_color_ref.txt 1,"):
        painted.read_sources(table(NAMES), lists)


def test_photographs_and_what_is_painted_from_two_of_them_are_held_out():
    photographs = [f"P{number}.jpg" for number in range(10)]
    photographs += [f"hybrid{number}.jpg" for number in range(10)]
    held = {"P5.jpg", "P6.jpg", "hybrid4.jpg", "hybrid8.jpg"}  # 20 % of each class, always these
    rest = [name for name in photographs if name not in held]
    pairs = [("P5.jpg", "P6.jpg"), ("P5.jpg", "P0.jpg"), ("P0.jpg", "P6.jpg"), ("P0.jpg", "P1.jpg")]
    pairs += [("P0.jpg", "missing.jpg"), ("P5.jpg", "missing.jpg")]
    names = [f"AF_9_8_gen{index:05d}.png" for index in range(len(pairs))]
    rows = table(photographs + names)
    rows[["structure", "reference"]] = [("", "")] * len(photographs) + pairs
    rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    split = painted.hold_out_photographs(rows, painted.read_sources(rows, Path("none")))
    assert set(rows["filename"][split.held_out]) == held | {names[0]}
    assert set(rows["filename"][split.train]) == {*rest, names[3]}

    alone = rows[~painted.is_painted(rows)].reset_index(drop=True)
    split = painted.hold_out_photographs(alone, painted.read_sources(alone, Path("none")))
    assert set(alone["filename"][split.held_out]) == held


TEN = [f"P{number}.jpg" for number in range(10)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["P0.jpg", "P1.jpg", "hybrid0.jpg"], "3 photographs are too few to hold 20 % out"),
        ([*TEN, "hybrid0.jpg"], "those held out: 1 hybrid and 8 non-hybrid; at least 5 of each"),
        ([*TEN, *(f"hybrid/{name}" for name in TEN)], r"P\d is the name of a hybrid and of a non-"),
        ([*TEN, "AF_8_8_gen00000.png"], r"the CSV lists; AF_8_8_gen00000.png is of X and P1"),
    ],
)
def test_what_no_photographs_can_be_held_out_of(names, message):
    """A name drawn for each class could be trained on and held out."""
    rows = table(names)
    sources = np.array([["X", "P1"] if "AF" in name else [Path(name).stem] * 2 for name in names])
    with pytest.raises(ValueError, match=message):
        painted.hold_out_photographs(rows, sources.astype(object))
