"""make_classifier_csv.py: the full set, photographs alone, links and copies, bad results."""

import csv
import os
from pathlib import Path

import make_classifier_csv
import pytest
from common.challenge_csv import COLUMNS, read_photos
from common.program import InputError
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


def paint(path: Path, structure: str | None, reference: str | None) -> None:
    """A PNG that says what it was painted from, as AnomalyFactory's do."""
    info = PngInfo()
    if structure is not None:
        info.add_text("structure", structure)
        info.add_text("reference", reference)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)


def read_rows(dataset: Path, name: str = "butterfly_anomaly_AF.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((dataset / "List" / name).read_text().splitlines()))


@pytest.fixture
def collect(tmp_path, caplog):
    """Collect beside the photographs of a CSV, once they are in place; the log's last line."""

    def run_here(table: Path, *options: object, placed: bool = True) -> str:
        if placed:
            images = tmp_path / "Images4TrainClassifier/Images"
            touch(*(images / photo.status / photo.filename for photo in read_photos(table)))
        arguments = map(str, ["--csv", table, "--datasets", tmp_path, *options])
        with caplog.at_level("INFO"):
            assert make_classifier_csv.run(make_classifier_csv.parse_arguments(arguments)) == 0
        return caplog.messages[-1]

    return run_here


@pytest.fixture
def dataset(tmp_path) -> Path:
    return tmp_path / "Images4TrainClassifier"


def test_rows_links_and_images_that_are_none_of_ours(small_csv, tmp_path, collect, dataset, caplog):
    results = tmp_path / "results"
    touch(results / "nh/00000_edges.png", results / "nh/AF_2_2_gen00000_mask.png")
    paint(results / "nh/AF_2_2_gen00000.png", "S2N000", "S2N000")
    # Published images do not say what they were painted from; others name what the CSV lacks.
    sources = [("S9N002", "S8N001"), (None, None), ("S9N000", ""), ("S9N009", "S8N000")]
    for number, pair in enumerate(sources, 7):
        paint(results / f"sh/AF_9_8_gen{number:05d}.png", *pair)
    touch(results / "sh/AF_9_8_gen00011.png")  # no image at all
    assert "16 rows, 7 hybrid and 9 non-hybrid" in collect(small_csv, "--results", results)
    assert "4 images do not say from which photographs of the CSV" in caplog.text
    assert "(first: AF_9_8_gen00008.png); their columns" in caplog.text
    rows = read_rows(dataset)
    assert list(rows[0]) == [*COLUMNS, "structure", "reference"]
    assert rows[0]["subspecies"] == "8.0"  # photographs as the challenge has them
    same, hybrid, *unknown = rows[-6:]
    assert [(row["structure"], row["reference"]) for row in unknown] == [("", "")] * 4
    cells = "AF_9_8_gen00007,,hybrid,train,,,9_8,9,8,AF_9_8_gen00007.png,S9N002.jpg,S8N001.jpg"
    assert list(hybrid.values()) == cells.split(",")
    assert (same["structure"], same["reference"]) == ("S2N000.jpg", "S2N000.jpg")
    assert (same["filename"], same["hybrid_stat"]) == ("AF_2_2_gen00000.png", "non-hybrid")
    for row in rows:
        assert (dataset / "Images" / row["hybrid_stat"] / row["filename"]).is_file()
    collect(small_csv, "--name", "photographs.csv")  # beside the full one
    assert (len(read_rows(dataset)), len(read_rows(dataset, "photographs.csv"))) == (16, 10)

    for number in (1, 3):
        (dataset / f"Images/non-hybrid/S8N00{number}.jpg").unlink()
    said = collect(small_csv, "--name", "photographs.csv", "--allow_missing", placed=False)
    assert "8 rows, 2 hybrid and 6 non-hybrid" in said
    assert "2 of 10 photographs are missing and left out: S8N001.jpg, S8N003.jpg" in caplog.text


@pytest.mark.parametrize("linked", [True, False])
def test_results_that_are_made_anew_and_disks_without_links(
    small_csv, tmp_path, collect, dataset, monkeypatch, linked
):
    def no_link(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    if not linked:
        monkeypatch.setattr(make_classifier_csv.os, "link", no_link)
    touch(tmp_path / "elsewhere.png")
    result = tmp_path / "results/AF_9_8_gen00000.png"
    result.parent.mkdir()
    result.symlink_to("../elsewhere.png")  # a hard link to a symbolic one could dangle
    collect(small_csv, "--results", tmp_path / "results")
    placed = dataset / "Images/hybrid/AF_9_8_gen00000.png"
    assert not placed.is_symlink()
    assert placed.samefile(result) is linked
    assert placed.read_text() == result.read_text()
    first = placed.stat()
    collect(small_csv, "--results", tmp_path / "results")
    assert placed.stat().st_ino == first.st_ino  # nothing was done again

    again = result.read_text()[::-1]  # of the same size
    result.unlink()
    result.write_text(again)
    os.utime(result, ns=(first.st_atime_ns, first.st_mtime_ns + 1))
    collect(small_csv, "--results", tmp_path / "results")
    assert placed.read_text() == again


@pytest.mark.parametrize(
    "names, message",
    [
        ("readme.png", r"no AF_\*_\*_gen\*\.png in it"),
        ("AF_9_8_gen00000.png", r"subspecies '9' is not in the CSV \(8\)"),
        ("a/AF_8_8_gen00001.png b/AF_8_8_gen00001.png", r"a/AF_.* and .*b/AF_.* have the same"),
        ("AF_8_8_gen00000.png", "gen00000.png and a photograph have the same name"),
        ("AF_8_8_gen00001.png", r"1 of 1 photo.*00000\.png; make them: scripts/prepare_images"),
    ],
)
def test_results_that_cannot_be_collected(write_csv, tmp_path, collect, dataset, names, message):
    table = write_csv(["C1,u,non-hybrid,train,z,m,8.0,,,AF_8_8_gen00000.png"])
    touch(*(tmp_path / "results" / name for name in names.split()))
    with pytest.raises(InputError, match=message):
        collect(table, "--results", tmp_path / "results", placed=False)
    assert not (dataset / "List").exists()
    with pytest.raises(SystemExit):
        make_classifier_csv.parse_arguments(["--csv", "x", "--name", "../x.csv"])
