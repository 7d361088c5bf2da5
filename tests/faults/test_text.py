"""Hostile CSVs and lists: each loads or is refused by an error with file and line."""

import argparse
import re
import string
from pathlib import Path

import data_utils
import evaluation
import listing
import numpy as np
import painted
import pandas as pd
import prepare_images
import pytest
from common import challenge_csv, check_photos
from common.challenge_csv import TableError
from data import lists
from faults.hostile import hostile, refused
from files import ImageError, open_image
from hypothesis import given
from journal import stamp
from PIL import Image
from util.errors import InputError


def is_inside(name: str) -> bool:
    """Whether a path stays below its folder, on Windows, too."""
    parts = re.split(r"[/\\]", name)
    return parts[0] != "" and ".." not in parts and ":" not in parts[0] and "\0" not in name


# What is said of a whole file; any other error must name a line.
WHOLE_FILE = (
    "no column|twice in its first line|no rows|the list is empty|must align|expected as many|"
    "not a CSV file|has the columns|names no images"
)


def read(reader, error: type[Exception], path: Path, *others: Path):
    """What `reader` gives; None where it raises the project's own error, and nothing below it.

    The error names one of the files, and the line unless the whole file is wrong.
    """
    try:
        return reader(path)
    except error as raised:
        assert type(raised) is error, repr(raised)
        assert str(raised).startswith(tuple(map(str, (path, *others))))
        assert re.search(rf", line \d+|{WHOLE_FILE}", str(raised)), raised
        assert len(str(raised)) < 2**18  # a CSV cell has 131,072 characters at the most
        return None


# ---------------------------------------------------------------------------------- tables

PHOTOS = [
    list(challenge_csv.COLUMNS),
    "a,http://x/a,non-hybrid,train,z,m,8.0,,,a.jpg".split(","),
    "b,http://x/b,hybrid,train,z,m,,8.0,9.0,b.jpg".split(","),
]
REFERENCE = [
    ["filename", "hybrid_stat", "ssp_indicator"],
    *(["a.jpg", "1", "major"], ["b.jpg", "0", "minor"], ["c.jpg", "1", "mimic"]),
]
DETAILS = [
    ["filename", "score", "sgd", "linear"],
    *(["a.jpg", "0.5", "0.5", "0.25"], ["b.jpg", "1", "1", "0"]),
]
PREDICTIONS = [["a.jpg", "0.5"], ["b.jpg", "1e-3"]]


@given(data=hostile(PHOTOS, ","))
def test_the_challenges_csv(tmp_path, data):
    path = tmp_path / "challenge.csv"
    path.write_bytes(data)
    for photo in read(challenge_csv.read_photos, TableError, path) or ():
        assert is_inside(photo.filename) and "/" not in photo.filename
        assert photo.filename.isprintable()
        assert set(photo.subspecies) <= {*string.ascii_letters, *string.digits, *"-_"}


@given(data=hostile(PHOTOS, ","))
def test_the_classifiers_csv(tmp_path, data):
    path = tmp_path / "classifier.csv"
    path.write_bytes(data)
    table = read(data_utils.read_table, ValueError, path)
    if table is not None:
        assert set(table["label"]) <= {0, 1}
        assert table["filename"].map(is_inside).all()
        assert table["filename"].is_unique
        assert table.index.tolist() == list(range(len(table)))
        data_utils.find_images(table, tmp_path)


@given(data=hostile(REFERENCE, ","))
def test_a_reference(tmp_path, data):
    path = tmp_path / "reference.csv"
    path.write_bytes(data)
    table = read(evaluation.read_reference, ValueError, path)
    if table is not None:
        assert set(table["hybrid_stat"]) <= {0, 1}
        assert table.index.tolist() == list(range(len(table)))


@given(data=hostile(DETAILS, ","))
def test_details(tmp_path, data):
    path = tmp_path / "details.csv"
    path.write_bytes(data)
    scores = read(lambda path: evaluation.read_details(path, ("sgd", "linear")), ValueError, path)
    assert all(0 <= score <= 1 for score in (scores or {}).values())


@given(data=hostile(PREDICTIONS, ","))
def test_predictions(tmp_path, data):
    path = tmp_path / "predictions.txt"
    path.write_bytes(data)
    scores = read(evaluation.read_predictions, ValueError, path) or {}
    assert np.isfinite(list(scores.values())).all()


IMAGES = [["filename", "place"], ["a.jpg", "1"], ["b/c.jpg", "2"]]


@given(data=hostile(IMAGES, ","))
def test_a_list_of_images_to_score(tmp_path, data):
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    found = read(lambda path: listing.listed_images(path, tmp_path), ValueError, path)
    if found is not None:
        images, _ = found
        assert all(
            is_inside(name) and name.isprintable() and "," not in name for name in images.names
        )
        assert images.names == sorted(set(images.names))
        for image in images:
            with pytest.raises(ImageError, match=r"not a readable image"):
                open_image(image)
            stamp(image)


HEADER = ",".join(challenge_csv.COLUMNS)
ROW = "a,http://x/a,non-hybrid,train,z,m,8.0,,,a.jpg"
LONG = "x" * 1_000_000
TABLES = {"challenge": (challenge_csv.read_photos, TableError),
          "classifier": (data_utils.read_table, ValueError)}  # fmt: skip


@pytest.mark.parametrize("reader", TABLES)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        # A cell too many in every row would shift all cells by one.
        (f"{HEADER}\nz,{ROW}\n", r", line 2: (more or fewer|11) cells"),
        (f"{HEADER}\n{ROW[:30]}\n", r", line 2: (more or fewer|\d) cells"),
        (f"{HEADER},filename\n{ROW},b.jpg\n", r"filename stands twice"),
        # A line end within quotes moves all lines below it.
        (f'{HEADER}\n"x\ny"{ROW[1:]}\n{ROW[:-5]}../b.jpg\n', r", line 4: file ?name '../b.jpg'"),
        (f"{HEADER}\n{ROW[:-5]}a.jpg\0\n", r", line 2: file ?name 'a.jpg\\x00' leaves"),
        (f'{HEADER}\n{ROW}\n{ROW[:-5]}"b.jpg\n', r", line 3: not .*unexpected end of data"),
        (f'{HEADER}\n{ROW}\n{ROW[:-5]}"b"c.jpg\n', r", line 3: not .*expected after"),
        (f"{HEADER}\n{ROW}\nb{ROW[1:-5]}\udcff.jpg\n", r", line 3: not .*UTF-8"),
        (f"{HEADER}\n{ROW[:-5]}{LONG}.jpg\n", r", line 2: not .*field larger"),
        (f"{HEADER}\n{ROW[:-5]}{LONG[:252]}.jpg\n", r", line 2: a file ?name of 256 characters"),
        (f"{HEADER}\n{LONG[:9]}\n", r", line 2: (more or fewer|1) cells"),
    ],
)
def test_a_hostile_table_names_its_line(tmp_path, reader, text, message):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    reading, error = TABLES[reader]
    with pytest.raises(error, match=re.escape(str(path)) + ".*" + message):
        reading(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("reader", TABLES)
def test_marks_and_line_ends_of_other_systems_are_read(tmp_path, reader, end):
    path = tmp_path / "table.csv"
    path.write_bytes(f"\ufeff{HEADER}{end}{ROW}{end}{end}".encode())
    (row,) = pd.DataFrame(TABLES[reader][0](path)).to_dict("records")
    assert row["filename"] == "a.jpg"
    predictions = tmp_path / "predictions.txt"
    predictions.write_bytes(f"\ufeffa.jpg,0.5{end}b.jpg,0.25".encode())
    assert evaluation.read_predictions(predictions) == {"a.jpg": 0.5, "b.jpg": 0.25}


def test_a_longest_name_is_no_error(tmp_path):
    name = "x" * 251 + ".jpg"
    path = tmp_path / "table.csv"
    path.write_text(f"{HEADER}\n{ROW[:-5]}{name}\n")
    assert challenge_csv.read_photos(path)[0].filename == name
    table = data_utils.read_table(path)
    assert table["filename"].tolist() == [name]
    assert table.columns.tolist() == [*data_utils.COLUMNS, "label"]  # no other to write out again


def test_details_that_score_an_image_twice_are_refused(tmp_path):
    path = tmp_path / "details.csv"
    path.write_text("filename,sgd\na.jpg,0.5\nb.jpg,0.5\na.jpg,0.75\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 4: a.jpg is scored twice")):
        evaluation.read_details(path, ["sgd"])


@given(data=hostile(PHOTOS, ","))
def test_photographs_to_fetch(tmp_path, data):
    table = tmp_path / "photos.csv"
    table.write_bytes(data)
    given = argparse.Namespace(csv=table, folder=tmp_path / "photos", set_aside=True)
    assert refused(lambda: check_photos.run(given), TableError, table) in (
        None,
        check_photos.INCOMPLETE,
    )


@given(data=hostile([["cutouts in ../cutouts"]], ""))
def test_a_note_of_what_images_are_made_from(tmp_path, data):
    (tmp_path / prepare_images.NOTE).write_bytes(data)
    assert prepare_images.made_since(tmp_path, "photographs") > 0
    assert (tmp_path / prepare_images.NOTE).read_bytes() == b"photographs\n"


# ---------------------------------------------------------------------------------- lists

LINES = [[f"Images/{i}/train/{kind}/{n}.png"] for i, n in ((8, 0), (9, 1)) for kind in ("good",)]


@given(edges=hostile(LINES, "/"), references=hostile(LINES, "/"))
def test_the_painters_lists(tmp_path, edges, references):
    for (line,) in LINES:
        (tmp_path / line).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / line).touch()
    folder = tmp_path / "List/test_nonhybrid"
    folder.mkdir(parents=True, exist_ok=True)
    columns = {folder / "test_edges.txt": edges, folder / "test_color_ref.txt": references}
    for path, data in columns.items():
        path.write_bytes(data)
    files = lists.find_list(tmp_path, "test_nonhybrid")
    pairs = read(lambda _: lists.read_pairs(files, False), InputError, folder, *columns)
    for pair in pairs or ():
        for path in (pair.edges, pair.reference):
            assert path.is_file() and is_inside(path.relative_to(tmp_path).as_posix())
        assert re.fullmatch(r"AF_[^/]+_[^/]+_gen\d{5}\.png", pair.generated_name)
    read(lambda _: painted.read_pairs(tmp_path), ValueError, folder, *columns)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LONG[:300], ", line 2: .*File name too long"),
        (LONG, ", line 2: 1,000,000 characters; expected a path of 4,096 at the most"),
        ("x/" * 2048 + "x", ", line 2: 4,097 characters"),
        ("Images/8/\0.png", r", line 2: 'Images/8/\\x00.png' leaves the folder"),
        ("Images/\udcff.png", ", line 2: not in UTF-8"),
    ],
)
def test_a_hostile_list_names_its_line(tmp_path, line, message):
    assert len(said_of_second_line(tmp_path, line, message)) < 1000


def test_a_path_of_just_the_longest_length_is_looked_up(tmp_path):
    said_of_second_line(tmp_path, "x/" * 2048, ", line 2: .*File name too long")


def said_of_second_line(dataset: Path, line: str, message: str) -> str:
    """The error of a training list that holds `line` after a good one; it must match `message`."""
    folder = dataset / "List/train"
    folder.mkdir(parents=True)
    (dataset / "a.png").touch()
    text = f"a.png\n{line}\n".encode("utf-8", "surrogateescape")
    for kind in ("edges", "color_gt"):
        (folder / f"train_{kind}.txt").write_bytes(text)
    path = re.escape(str(folder / "train_edges.txt"))
    with pytest.raises(InputError, match=path + message) as raised:
        lists.read_pairs(lists.find_list(dataset, "train"), training=True)
    return str(raised.value)


def test_links_that_a_user_made_are_followed(tmp_path):
    """A data set's folder, and images in it, may lie elsewhere."""
    elsewhere, dataset = tmp_path / "elsewhere", tmp_path / "dataset"
    elsewhere.mkdir()
    Image.new("RGB", (2, 2), "red").save(elsewhere / "real.png")
    (elsewhere / "a.png").symlink_to("real.png")
    folder = dataset / "List/train"
    folder.mkdir(parents=True)
    (dataset / "Images").symlink_to(elsewhere)
    for kind in ("edges", "color_gt"):
        (folder / f"train_{kind}.txt").write_text("Images/a.png\n")
    (pair,) = lists.read_pairs(lists.find_list(dataset, "train"), training=True)
    (dataset / "list.csv").write_text("filename\nImages/a.png\n")
    images, refused = listing.listed_images(dataset / "list.csv", dataset)
    assert refused == []
    for path in (pair.edges, *images):
        assert open_image(path).getpixel((0, 0)) == (255, 0, 0)
