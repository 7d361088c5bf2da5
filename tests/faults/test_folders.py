"""A folder of damaged images, and one of hostile names, through whole programs: each file is done,
or named once; nothing crashes.

    pytest tests/faults/test_folders.py --files 1500

damages as many files; the outcome is printed with -s.
"""

import csv
import random
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import worlds
from faults.formats import SAVING, encoded
from faults.hostile import NAMES
from faults.programs import SUBMISSION
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

# Said of files that are read, too: by us, and by Pillow.
OF_READ_ONES = ("stays whole", "Corrupt EXIF data", "Tag data larger than file")
NO_IMAGE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def damaged(tmp_path, mutate, request) -> Path:
    """Mutated files of all formats, the same for each program."""
    count = request.config.getoption("--files")
    draw = random.Random(count + 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(count):
        kind = draw.choice(list(SAVING))
        name = f"{number:06d}.{kind.rpartition('.')[2]}"
        (folder / name).write_bytes(mutate(draw, encoded(kind)))
    return folder


@pytest.fixture
def named(tmp_path) -> Path:
    """Photographs with hostile names, and one that is no image."""
    folder = tmp_path / "photos"
    worlds.draw_photos(tmp_path / "whole", 1)
    whole = (tmp_path / "whole/S000.png").read_bytes()
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name.removesuffix('.png')}.png").write_bytes(whole)
    (folder / NO_IMAGE).write_bytes(b"no image")
    return folder


def scores(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    classifiers = worlds.write_classifiers(folder.parent / "classifiers")
    command = [f"{SUBMISSION}/ingestion.py", folder, output, "--details", "--workers", 0]
    return [*command, "--classifiers", classifiers, "--device", "cpu"], ["predictions.txt"]


def edge_maps(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    command = ["AnomalyFactory/extract_edges.py", "--detector", "scharr", "--gpu_ids", -1]
    return [*command, "--input", folder, "--output", output], ["*"]


def cutouts(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    command = ["HybridDetection/cut_folder.py", "--workers", 1, "--input", folder]
    return [*command, "--output", output], ["cutouts.csv"]


def data_sets(folder: Path, output: Path) -> tuple[list[object], list[str]]:
    table = folder.parent / "train.csv"
    worlds.write_table(table, sorted(path.name for path in folder.iterdir()), 0)
    command = ["scripts/prepare_images.py", "--csv", table, "--workers", 1]
    return [*command, "--photos", folder, "--datasets", output], ["Images4TrainClassifier/**/*.*"]


PROGRAMS = {make.__name__: make for make in (scores, edge_maps, cutouts, data_sets)}


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
def test_damaged_images_are_done_or_named(programs, damaged, tmp_path, name):
    command, (pattern,) = PROGRAMS[name](damaged, tmp_path / "output")
    done = programs.run(command)
    assert done.status in (1, 2, 3)
    lines = [line for line in done.said.splitlines() if not any(t in line for t in OF_READ_ONES)]
    refused = Counter(found for line in lines for found in re.findall(r"\d{6}\.[a-z]+", line))
    assert set(refused.values()) == {1}, "named more than once"
    print(f"{name}: {len(refused)} refused, status {done.status}")
    finished = {Path(found).stem for found in names_done(tmp_path / "output", pattern)}
    named = {Path(found).stem for found in refused}
    assert finished and not finished & named
    assert finished | named == {path.stem for path in damaged.iterdir()}
    for path in (tmp_path / "output").rglob("*.png"):
        with Image.open(path) as image:
            image.load()


class Tags(HTMLParser):
    """The elements of a page, and all that it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", ["scores", "edge_maps", "cutouts"])
def test_hostile_names_are_done_or_named(programs, named, tmp_path, name):
    command, (pattern,) = PROGRAMS[name](named, tmp_path / "output")
    done = programs.run(command)
    assert done.status in (1, 2, 3)
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
        page = Tags((tmp_path / "output/doubtful.html").read_text(encoding="utf-8"))
        assert page.names["script"] == 0
        assert page.names["img"] == page.names["figure"]
