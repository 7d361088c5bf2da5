"""corrections.py: what a person said of photographs, in a training's table."""

import csv
import hashlib
import re
from pathlib import Path

import corrections
import pytest
from data_utils import COLUMNS, read_table
from painted import SOURCES


@pytest.fixture
def photos(tmp_path) -> tuple:
    """The table and the paths of two hybrids, two non-hybrids, and an image painted of b and c."""
    rows = [
        {"filename": "a.jpg", "hybrid_stat": "hybrid", "parent_subspecies_1": "8.0"},
        {"filename": "race/b.jpg", "hybrid_stat": "hybrid", "subspecies": ""},
        {"filename": "c.jpg", "hybrid_stat": "non-hybrid", "subspecies": "8.0"},
        {"filename": "d.jpg", "hybrid_stat": "non-hybrid", "subspecies": "9.0"},
        {"filename": "AF_9_8_gen00000.png", "hybrid_stat": "hybrid", "structure": "race/b.jpg"},
    ]
    rows[0]["parent_subspecies_2"], rows[4]["reference"] = "9.0", "c.jpg"
    paths = [tmp_path / "photos" / row["filename"] for row in rows]
    for path, row in zip(paths, rows, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
        row["split"] = "train"
    rows[3]["md5"] = hashlib.md5(b"d.jpg").hexdigest().upper()
    table = tmp_path / "photos/photographs.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *SOURCES], restval="")
        writer.writeheader()
        writer.writerows(rows)
    return read_table(table), paths


def say(path: Path, *rows: str) -> Path:
    """A file of corrections, as filename;folder;person;subspecies."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["score", *corrections.READ])
        writer.writerows(["0.5", *row.split(";")] for row in rows)
    return path


def labels(table) -> dict[str, list[str]]:
    columns = ["hybrid_stat", "subspecies", "parent_subspecies_1", "parent_subspecies_2"]
    return dict(zip(table["filename"], table[columns].values.tolist(), strict=True))


def test_a_person_is_right_and_what_was_painted_from_errors_is_left_out(photos, tmp_path, caplog):
    """A word alone changes no subspecies of the same label, and names none for another."""
    caplog.set_level("INFO")
    new = tmp_path / "new"
    new.mkdir()
    for name in ("=1.jpg", "'=1.jpg", "e.jpg", "copy.jpg"):
        (new / name).write_text("d.jpg" if name == "copy.jpg" else name)
    (new / "Gone.JPEG").touch()
    file = say(
        tmp_path / "corrections.csv",
        f"a.jpg;{photos[1][0].parent};hybrid;",
        "race/b.jpg;;non-hybrid;9",
        "c.jpg;;;",
        f"'=1.jpg;{new};hybrid;lativitta \u00d7 notabilis",
        f"''=1.jpg;{new};non-hybrid;",
        f"e.jpg;{new};unsure;",
        f"copy.jpg;{new};hybrid;",  # is d.jpg
        f"gone.jpg;{new};hybrid;",
    )
    table, paths = corrections.correct(*photos, [file, file], tmp_path)
    assert labels(table) == {
        "a.jpg": ["hybrid", "", "8.0", "9.0"],
        "race/b.jpg": ["non-hybrid", "9", "", ""],
        "c.jpg": ["non-hybrid", "8.0", "", ""],
        "d.jpg": ["hybrid", "", "", ""],
        f"{new}/=1.jpg": ["hybrid", "", "lativitta", "notabilis"],
        f"{new}/'=1.jpg": ["non-hybrid", "", "", ""],
    }
    assert table["label"].tolist() == [1, 0, 0, 1, 1, 0]
    assert paths == [*photos[1][:4], new / "=1.jpg", new / "'=1.jpg"]
    said = f"are missing and are left out: {new}/gone.jpg, but 'Gone.JPEG' is there"
    assert said in caplog.text
    assert "2 photographs relabelled, 2 added, 0 left out as unsure, and 1 images" in caplog.text


def test_what_a_person_is_unsure_of_is_left_out(photos, tmp_path):
    file = say(tmp_path / "corrections.csv", "c.jpg;;unsure;", "a.jpg;;hybrid;9 x 8")
    table, paths = corrections.correct(*photos, [file], tmp_path)
    assert table["filename"].tolist() == ["a.jpg", "race/b.jpg", "d.jpg"]
    assert paths == [photos[1][place] for place in (0, 1, 3)]
    assert labels(table)["a.jpg"] == ["hybrid", "", "9", "8"]
    same = say(tmp_path / "same.csv", "a.jpg;;hybrid;8 x 9", "c.jpg;;non-hybrid;8")
    assert len(corrections.correct(*photos, [same], tmp_path)[0]) == 5  # all is as it was


def test_a_specimen_has_one_label_after_corrections_too(photos, tmp_path):
    table, paths = photos
    table.loc[[0, 1], "CAMID"] = "C7"  # of two hybrids
    one = say(tmp_path / "one.csv", "a.jpg;;non-hybrid;8")
    message = "race/b.jpg: CAMID c7 is hybrid, but non-hybrid in a.jpg; correct one"
    with pytest.raises(ValueError, match=message):
        corrections.correct(table, paths, [one], tmp_path)
    both = say(tmp_path / "both.csv", "a.jpg;;non-hybrid;8", "race/b.jpg;;non-hybrid;8")
    assert corrections.correct(table, paths, [both], tmp_path)[0]["label"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.jpg;;maybe;"], "line 2: person is 'maybe', expected non-hybrid, hybrid or unsure"),
        (["c.jpg;;;", "x.jpg;;hybrid;"], "line 3: x.jpg is not in the training's CSV"),
        (["C.JPG;;hybrid;"], "C.JPG is not in the training's CSV, but 'c.jpg' is there, which"),
        (["../x.jpg;/nowhere;hybrid;"], "line 2: '../x.jpg' leaves the folder /nowhere"),
        (["/etc/passwd;/nowhere;hybrid;"], "line 2: '/etc/passwd' leaves the folder"),
        (["a.jpg;;hybrid;8"], "the subspecies of a hybrid is '8', expected two"),
        ([f"a.jpg;;non-hybrid;{'y' * 101}"], "is no name of a subspecies, or too long"),
        (["a.jpg;;hybrid;8 x 8.0"], "the subspecies of a hybrid is '8 x 8.0', expected two"),
        (["a.jpg;;non-hybrid;8 x 9"], "of a non-hybrid is '8 x 9', expected one"),
        (["a.jpg;;hybrid;", "a.jpg;;hybrid;"], "line 3: /a.jpg stands on line 2 already"),
        (
            ["a.jpg;;hybrid;", "same.jpg;{folder};unsure;"],
            "same.jpg is another in {file}, line 2; keep",
        ),
    ],
)
def test_contradictions_are_refused_with_their_line(photos, tmp_path, rows, message):
    (tmp_path / "same.jpg").write_text("a.jpg")  # the content of another
    rows = [row.replace("{folder}", str(tmp_path)) for row in rows]
    file = say(tmp_path / "corrections.csv", *rows)
    with pytest.raises(ValueError, match=re.escape(message.format(file=file))):
        corrections.correct(*photos, [file], tmp_path)
