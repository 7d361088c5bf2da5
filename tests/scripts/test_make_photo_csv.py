"""make_photo_csv.py: what folders of photographs say, what is passed over, what is refused."""

import csv
import hashlib
import logging
from pathlib import Path

import make_photo_csv
import pytest
from common.challenge_csv import COLUMNS
from common.program import InputError


@pytest.fixture
def make(tmp_path, draw, caplog):
    """Draw these photographs into sorted/, and make their CSV; gives the exit status."""

    def make_csv(*names: str, options: tuple = ()) -> int:
        for name in names:
            draw(tmp_path / "sorted" / name, (len(name), sum(name.encode()) % 256, 0))
        caplog.clear()
        caplog.set_level(logging.INFO)
        arguments = [str(tmp_path / "sorted"), *map(str, options)]
        return make_photo_csv.run(make_photo_csv.parse_arguments(arguments))

    return make_csv


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_folders_say_what_photographs_show(make, tmp_path, caplog):
    names = [
        "H. e. lativitta/1_d.jpg",
        "H. e. lativitta/1_V.png",
        "H. e. lativitta/7-dorsal_calibrated.jpg",
        "H. e. lativitta \u00d7 mother,8/1.jpg",
        "H. e. lativitta  X  mother,8/\u00e4 b.JPG",
        "hybrid/9.jpg",
        "mother,8/1_d.jpg",
        "non-hybrid/8.jpg",
    ]
    assert make(*names) == 0
    table = tmp_path / "sorted/photographs.csv"
    rows = {row["filename"]: row for row in read(table)}
    assert table.read_text(encoding="utf-8").startswith(",".join(COLUMNS) + "\n")
    assert sorted(rows) == sorted(names)
    columns = ("hybrid_stat", "subspecies", "parent_subspecies_1", "parent_subspecies_2", "CAMID")
    own, cross = ["non-hybrid", names[0][:15], "", ""], ["hybrid", "", names[0][:15], "mother,8"]
    assert [[rows[name][column] for column in columns] for name in names] == [
        [*own, "H. e. lativitta/1"],
        [*own, "H. e. lativitta/1"],
        [*own, "H. e. lativitta/7_calibrated"],
        [*cross, "H. e. lativitta \u00d7 mother,8/1"],
        [*cross, "H. e. lativitta  X  mother,8/\u00e4 b"],
        ["hybrid", "", "", "", "hybrid/9"],
        ["non-hybrid", "mother,8", "", "", "mother,8/1"],
        ["non-hybrid", "", "", "", "non-hybrid/8"],
    ]
    content = (tmp_path / "sorted" / names[0]).read_bytes()
    assert rows[names[0]]["md5"] == hashlib.md5(content).hexdigest()
    assert {row["split"] for row in rows.values()} == {"train"}
    assert "H. e. lativitta: 3 photographs of 2 specimens" in caplog.text
    assert "photographs.csv: 8 photographs of 7 specimens, 3 of hybrids" in caplog.text
    assert f"training.py --DATA_FILE {table}" in caplog.text
    assert "whose names differ by their side alone, _d and _v or dorsal and ventr" in caplog.text


def test_a_pattern_finds_the_specimen(make, tmp_path, caplog):
    names = ["a/1_CAM7_d.jpg", "a/2 cam7.jpg", "b/2_CAM8_v.jpg"]
    pattern = ("--specimen", "(?i)cam([0-9]+)")
    assert make(*names, "a x b/CAM9.jpg", options=pattern) == 0
    camids = {row["filename"]: row["CAMID"] for row in read(tmp_path / "sorted/photographs.csv")}
    assert [camids[name] for name in names] == ["7", "7", "8"]
    assert "a: 2 photographs of 1 specimens" in caplog.text and "side" not in caplog.text
    with pytest.raises(InputError, match=r"a/1_CAM7_d.jpg and .*b/CAM7.jpg are one specimen, 7: k"):
        make("b/CAM7.jpg", options=pattern)
    with pytest.raises(InputError, match=r"a/1_CAM7_d.jpg: --specimen '_d' finds|cam7.jpg: --spec"):
        make(options=("--specimen", "_d"))
    with pytest.raises(SystemExit):
        make(options=("--specimen", "("))
    (tmp_path / "sorted/b/9.jpg").write_bytes((tmp_path / "sorted" / names[0]).read_bytes())
    with pytest.raises(InputError, match=r"a/1_CAM7_d\.jpg and .*b/9\.jpg are one photograph"):
        make()


def test_a_number_in_a_name_is_no_suffix(make, draw, tmp_path):
    for name in ("a/B.1", "a/B.2_d", "a/B.2_v"):
        draw(tmp_path / f"sorted/{name}.jpg").rename(tmp_path / "sorted" / name)
    assert make() == 0
    camids = {row["filename"]: row["CAMID"] for row in read(tmp_path / "sorted/photographs.csv")}
    assert camids == {"a/B.1": "a/B.1", "a/B.2_d": "a/B.2", "a/B.2_v": "a/B.2"}


def test_what_is_passed_over_is_named_and_counted(make, tmp_path, caplog):
    folder = tmp_path / "sorted"
    names = (".DS_Store", "a/.b.jpg", "a/1.CR2", "a/notes", ".hidden/9.jpg", "a/broken.jpg")
    names += ("@eaDir/1.jpg", "a/Thumbs.db", "3.HEIC")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("no picture")
    passed = ("top.jpg", "a/deep/7.jpg", "a/deep/8.jpg", "a/x\ny.jpg")
    assert make("a/1.jpg", "b/1.jpg", "b x c/2.jpg", *passed) == 1
    (folder / "a/again.jpg").write_bytes((folder / "a/1.jpg").read_bytes())
    assert make() == 1
    assert [row["filename"] for row in read(folder / "photographs.csv")] == [
        *("a/1.jpg", "b/1.jpg", "b x c/2.jpg")
    ]
    assert "a/broken.jpg: not a readable image" in caplog.text
    assert "c is a parent, and has no photographs in a folder of its own" in caplog.text
    (line,) = [one for one in caplog.messages if one.startswith("passed over")]
    assert line == (
        r"passed over: 1 .CR2 beside an image of its name (a/1.CR2); 1 .HEIC (3.HEIC); 1 copies of "
        r"others (a/again.jpg); 1 in no folder (top.jpg); 2 in sub-folders (a/deep/7.jpg, "
        r"a/deep/8.jpg); 1 unreadable (a/broken.jpg); 1 with a name of unprintable letters "
        r"(a/x\ny.jpg); 1 without a suffix (a/notes)"
    )
    (folder / "a/broken.jpg").unlink()
    assert make() == 1  # HEIC, which are photographs
    (folder / "3.HEIC").unlink()
    assert make() == 0


def test_a_csv_is_only_added_to(make, tmp_path, caplog):
    """What a user wrote into it is not lost; another one finds its images by training's options."""
    table = tmp_path / "sorted/photographs.csv"
    assert make("a/1.jpg", "a x b/2.jpg") == 0
    assert make("b/1.jpg") == 0
    assert [row["CAMID"] for row in read(table)] == ["a/1", "a x b/2", "b/1"]
    edited = table.read_text().replace("a/1,,non-hybrid", "CAM1,,non-hybrid")
    table.write_text(edited)
    with pytest.raises(InputError, match=r"1 of its rows would be lost, such as 'CAM1,,non-hybr"):
        make()
    assert table.read_text() == edited
    assert make(options=("--output", tmp_path / "lists/own.csv")) == 0
    assert len(read(tmp_path / "lists/own.csv")) == 3
    assert f"{tmp_path}/lists/own.csv --ROOT_DATA_DIR {tmp_path}/sorted --IMG_DIR ." in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["top.jpg", "a/b/c.jpg"], "passed over: 1 in no folder (top.jpg); 1 in sub-folders"),
        (["a x b x c/1.jpg"], "'a x b x c': expected `mother x father`, two subspecies"),
        ([f"{'y' * 101}/1.jpg"], "expected a name of 1 to 100 printable letters without"),
        (["a:b/1.jpg"], "letters without \\ and :"),
        (["a/1.jpg", "a/1.JPG"], "a/1.jpg differ by their capitals alone: rename one"),
    ],
)
def test_folders_that_say_nothing_are_refused(make, names, message):
    with pytest.raises(InputError) as refused:
        make(*names)
    assert message in str(refused.value)


def test_what_the_name_of_a_folder_says():
    cross = {"hybrid_stat": "hybrid", "parent_subspecies_1": "a", "parent_subspecies_2": "b"}
    for name in ("a x b", "a X b", "a\u00d7b", "a \u00d7 b", "a_x_b"):
        assert make_photo_csv.read_label(name) == cross
    for name in ("hybrid", "Hybrids", "non-hybrids"):
        assert make_photo_csv.read_label(name) == {"hybrid_stat": name.lower().rstrip("s")}
    assert make_photo_csv.read_label("xanthippe") == {
        "hybrid_stat": "non-hybrid",
        "subspecies": "xanthippe",
    }
