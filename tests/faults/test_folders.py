"""A folder of hostile names, and with a file that is no image, through whole programs: each file is
done, or named; nothing crashes."""

import csv
import re
import sys
from pathlib import Path

import pytest
import worlds
from faults.hostile import NAMES
from faults.programs import SUBMISSION
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

NO_IMAGE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def named(tmp_path) -> Path:
    """Photographs with hostile names, and one that is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "whole.png")  # nothing to cut out
    whole = (tmp_path / "whole.png").read_bytes()
    for name in NAMES:
        (folder / f"{name.removesuffix('.png')}.png").write_bytes(whole)
    (folder / NO_IMAGE).write_bytes(b"no image")
    return folder


def scores(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    classifiers = worlds.write_pair(folder.parent / "classifiers")
    command = [f"{SUBMISSION}/ingestion.py", folder, output, "--details", "--workers", 0]
    return [*command, "--classifiers", classifiers, "--device", "cpu"], ["predictions.txt"]


def edge_maps(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    command = ["AnomalyFactory/extract_edges.py", "--detector", "scharr", "--gpu_ids", -1]
    return [*command, "--input", folder, "--output", output], ["*"]


def cutouts(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    command = ["HybridDetection/cut_folder.py", "--workers", 1, "--input", folder]
    return [*command, "--output", output], ["cutouts.csv"]


PROGRAMS = {make.__name__: make for make in (scores, edge_maps, cutouts)}


def names_done(output: Path, pattern: str) -> list[str]:
    """The files that are done: rows of a table, or the names of files."""
    if pattern == "predictions.txt":
        lines = (output / pattern).read_text(encoding="utf-8").split("\n")
        return [re.fullmatch(r"(.+),[01]\.\d{4}", line)[1] for line in lines]
    if pattern.endswith(".csv"):
        with (output / pattern).open(newline="", encoding="utf-8") as file:
            return [row["file"] for row in csv.DictReader(file)]
    return [path.name for path in output.glob(pattern) if path.is_file()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_photographs_that_are_passed_over_are_counted(programs, tmp_path, name):
    """After the others are done; and the exit status says so."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (40, 30), "grey").save(folder / "a.png")
    Image.new("RGB", (40, 30), "red").save(folder / "b", "JPEG")
    (folder / "notes.txt").touch()
    command, (pattern,) = PROGRAMS[name](folder, tmp_path / "output")
    for said, expected in (("1 .txt", 0), ("1 .CR2, 1 .txt; save photographs as", 1)):
        done = programs.run(command)
        assert done.status == expected, done.said
        assert f"passed over: {said}" in done.said.splitlines()[-1]
        names = {"a.png", "b.png" if name == "edge_maps" else "b"}
        assert set(names_done(tmp_path / "output", pattern)) == names
        (folder / "1.CR2").touch()


@pytest.mark.parametrize("name", PROGRAMS)
def test_hostile_names_are_done_or_named(programs, named, tmp_path, name):
    command, (pattern,) = PROGRAMS[name](named, tmp_path / "output")
    done = programs.run(command)
    assert done.status == 1
    assert f"{NO_IMAGE}: not a readable image" in done.said
    assert all(line.isprintable() for line in re.split("[\n\r]", done.said))
    expected = {path.name for path in named.iterdir()} - {NO_IMAGE}
    if name != "edge_maps":  # what stands in a table must be printable
        expected = {found for found in expected if found.isprintable()}
    if name == "scores":
        expected = {found for found in expected if "," not in found}
        assert "'a\\nb.png'" in done.said
    assert set(names_done(tmp_path / "output", pattern)) == expected
    if name == "cutouts":
        page = (tmp_path / "output/doubtful.html").read_text(encoding="utf-8")
        assert page.count("<script") == 0
        assert page.count("<img ") == page.count("<figure>") > 0
