"""data_utils.py: what is read of a classifier's CSV, what is refused, and the published split."""

from pathlib import Path

import data_utils
import dataset
import numpy as np
import pandas as pd
import pytest
from worlds import HEADER


def row(filename: str, status: str = "hybrid") -> str:
    return f",,{status},train,,,8.0,,,{filename}"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join([header, *lines, ""]), "utf-8")
    return path


def test_cells_are_read_as_they_stand_and_a_row_has_its_last_line(tmp_path):
    """A column that nobody asks for may stand twice."""
    path = tmp_path / "cells.csv"
    path.write_bytes('\ufeffa,b,c,c\r\n"x\ny",8.0,,\n\n007, z ,,\n'.encode())
    cells = data_utils.read_cells(path, ["a", "b"])[["a", "b"]]
    assert cells.to_dict("index") == {3: {"a": "x\ny", "b": "8.0"}, 5: {"a": "007", "b": " z "}}


def test_hybrids_are_labelled_1_and_rows_counted_from_0(tmp_path):
    names = ["a.jpg", "b/a.jpg", "x" * 255, "ü" * 127, f"{'y' * 200}/{'y' * 200}"]
    table = data_utils.read_table(
        write(tmp_path, row(names[0]), "", *(row(name, "non-hybrid") for name in names[1:]))
    )
    assert table["filename"].tolist() == names
    assert table["label"].to_dict() == {0: 1, 1: 0, 2: 0, 3: 0, 4: 0}
    assert table.columns.tolist() == [*HEADER.split(","), "label"]
    other = HEADER.replace("hybrid_stat", "status")
    with pytest.raises(ValueError, match=f"line 1: no column hybrid_stat; expected {HEADER}"):
        data_utils.read_table(write(tmp_path, header=other))
    path = write(tmp_path, row("a.jpg"), "", row("b.jpg", "maybe"))
    with pytest.raises(ValueError, match=f"^{path}, line 4: hybrid_stat is 'maybe', expected"):
        data_utils.read_table(path)


def test_an_image_is_found_beside_its_table_or_in_its_class_folder(tmp_path):
    table = data_utils.read_table(write(tmp_path, row("a.jpg"), row("b.jpg", "non-hybrid")))
    images, beside = tmp_path / "Images", tmp_path / "beside"
    places = [images / "hybrid/a.jpg", images / "a.jpg", beside / "a.jpg"]
    for path in (*places, images / "hybrid/b.jpg", images / "non-hybrid/a.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (images / "b.jpg").mkdir()
    for found in places:  # what the option names comes before what lies by the CSV
        assert data_utils.find_images(table, images, beside) == [found, None]
        found.unlink()


@pytest.mark.parametrize(
    ("named", "there", "how"),
    [
        ("IMG_2.jpg", "IMG_2.JPG", "in case"),
        ("Gr\u00fcn.jpg", "Gru\u0308n.jpg", "accents are stored"),
        ("race\\3.jpg", "race/3.jpg", "slashes"),
        ("Race\\gr\u00dcN 3.jpg ", "race/Gru\u0308n 3.JPEG", "suffix"),
        (" 4", "4.tif", "suffix"),
        ("other/5.jpg", None, ""),
    ],
)
def test_a_file_that_is_almost_the_named_one_is_named(tmp_path, caplog, named, there, how):
    table = write(tmp_path, row("good.jpg"), row(named), row("gone.jpg"))
    for path in (tmp_path / "Images" / name for name in ("good.jpg", there) if name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, _ = dataset.read_dataset(table, tmp_path / "Images")
    assert found["filename"].tolist() == ["good.jpg"]
    start = f"2 images are missing and are left out: {named}, gone.jpg"
    said = caplog.messages[0].removeprefix(start)
    assert (f", but {there!r} is there" in said and how in said) if there else said == ""


def test_groups_are_named_by_their_parents_in_order():
    columns = ["subspecies", "parent_subspecies_1", "parent_subspecies_2"]
    cells = ["8.0,,", "10,,", ",10.0,9.0", "9_10,9,10", "8_8,8,8", ",8.0,", "erato,,"]
    names = data_utils.group_names(pd.DataFrame([row.split(",") for row in cells], columns=columns))
    assert names.tolist() == ["8", "10", "9 x 10", "9 x 10", "8", "not said", "erato"]


def test_the_split_is_the_published_one():
    """train_test_split(rows, test_size=0.2, random_state=42), not stratified, twice."""
    split = data_utils.split_rows(np.array([0] * 12 + [1] * 13))
    assert split.held_out.tolist() == [8, 16, 0, 23, 11]
    assert split.check.tolist() == [9, 14, 7, 13]
    assert split.fit.tolist() == [3, 2, 17, 22, 19, 10, 18, 1, 4, 6, 5, 21, 15, 20, 24, 12]
    assert split.train.tolist() == sorted([*split.fit, *split.check])


def test_five_of_each_class_are_to_be_left_to_fit():
    data_utils.check_classes(np.array([0, 1] * 5), "here")
    with pytest.raises(ValueError, match="here: 8 hybrid and 4 non-hybrid; at least 5 of each"):
        data_utils.check_classes(np.array([0, 1, 1] * 4), "here")
    labels = np.zeros(25, int)
    labels[[8, 3, 2, 17, 22]] = 1  # the split holds the first of them out
    message = "16 of 25 images are to fit on: 4 hybrid and 12 non-hybrid; at least 5 of each"
    with pytest.raises(ValueError, match=message):
        data_utils.split_rows(labels)
