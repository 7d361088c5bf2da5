"""A folder of damaged images through whole programs: each is done or named, nothing crashes.

    pytest tests/faults/test_programs.py --files 1500

damages as many files; the outcome is printed with -s.
"""

import csv
import io
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
from common.challenge_csv import COLUMNS
from faults.formats import SAVING, encoded
from PIL import Image

SUBMISSION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
NAME = re.compile(r"\d{6}\.[a-z]+")
# Said of files that are read, too: by us, and by Pillow.
OF_READ_ONES = ("stays whole", "Corrupt EXIF data", "Tag data larger than file")
# MB that one process of a program takes at the most, however many files. Python with PyTorch takes
# 700 of them, a batch of 32 in the light backbone as many again.
PEAKS = {"ingestion": 1_900, "edges": 1_300, "cutout": 1_300, "prepare_images": 500}

# Measures the program alone: a process that forks hands its own size on to its child.
LAUNCHER = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


@dataclass(frozen=True)
class Damaged:
    folder: Path
    names: set[str]
    output: Path


@pytest.fixture
def damaged(tmp_path, mutate, request) -> Damaged:
    """Mutated files of all formats, the same for each program."""
    count = request.config.getoption("--files")
    draw = random.Random(count + 1)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number in range(count):
        kind = draw.choice(list(SAVING))
        name = f"{number:06d}.{kind.rpartition('.')[2]}"
        (folder / name).write_bytes(mutate(draw, encoded(kind)))
    return Damaged(folder, {path.name for path in folder.iterdir()}, tmp_path / "output")


@pytest.fixture
def start(repository, request):
    """Run a program; gives its exit status and the damaged files that it names as unusable."""

    def run_program(name: str, *command: object) -> tuple[int, set[str]]:
        done = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *map(str, command)],
            capture_output=True,
            text=True,
            cwd=repository,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        *lines, peak = done.stderr.splitlines()
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        refused = [line for line in lines if not any(word in line for word in OF_READ_ONES)]
        named = [set(NAME.findall(line)) for line in refused]
        assert all(len(names) <= 1 for names in named)
        found = Counter(name for names in named for name in names)
        assert not found or set(found.values()) == {1}, "named more than once"
        print(f"{name}: {len(found)} refused, status {done.returncode}, {peak} kB")
        if sys.platform == "linux":
            assert int(peak.split()[1]) < PEAKS[name] * 1024
        return done.returncode, set(found)

    return run_program


def done_and_named(damaged: Damaged, done: set[str], named: set[str]) -> None:
    """Each file is one of both, and there are some of both."""
    assert done and named
    assert not done & named
    assert done | named == damaged.names


def whole(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_scores(damaged, start, classifiers):
    command = [f"{SUBMISSION}/ingestion.py", damaged.folder, damaged.output, "--details"]
    options = ["--classifiers", classifiers, "--device", "cpu", "--workers", "1"]
    status, named = start("ingestion", *command, *options)
    assert status == 1
    lines = (damaged.output / "predictions.txt").read_text(encoding="utf-8").split("\n")
    scored = [re.fullmatch(r"(\d{6}\.[a-z]+),([01]\.\d{4})", line) for line in lines]
    done_and_named(damaged, {match[1] for match in scored}, named)
    assert len(lines) + len(named) == len(damaged.names)
    with (damaged.output / "details.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == [match[1] for match in scored]
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("sgd", "linear", "score"))
    assert sorted(path.name for path in damaged.output.iterdir()) == [
        "details.csv",
        "predictions.txt",
    ]


def test_edge_maps(damaged, start):
    command = ["AnomalyFactory/extract_edges.py", "--detector", "scharr", "--gpu_ids", "-1"]
    status, named = start("edges", *command, "--input", damaged.folder, "--output", damaged.output)
    assert status == 2
    maps = {path.stem: whole(path) for path in damaged.output.iterdir()}
    done = {name for name in damaged.names if Path(name).stem in maps}
    assert len(done) == len(maps)
    done_and_named(damaged, done, named)
    for name in done:
        with Image.open(damaged.folder / name) as photograph:
            assert (maps[Path(name).stem].mode, maps[Path(name).stem].size) == (
                "L",
                photograph.size,
            )


class Figures(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1


def test_cutouts(damaged, start):
    command = ["HybridDetection/cut_folder.py", "--workers", "2"]
    status, named = start("cutout", *command, "--input", damaged.folder, "--output", damaged.output)
    assert status == 3
    with (damaged.output / "cutouts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    done_and_named(damaged, {row["file"] for row in rows}, named)
    for row in rows:
        mask = whole((damaged.output / "masks" / row["file"]).with_suffix(".png"))
        assert mask.size == whole(damaged.output / "images" / row["file"]).size or row["box"]
        assert 0 <= float(row["confidence"]) <= 1
    page = Figures((damaged.output / "doubtful.html").read_text(encoding="utf-8"))
    assert page.names["figure"] == sum(float(row["confidence"]) < 0.8 for row in rows)


def test_data_sets(damaged, start, tmp_path):
    table = io.StringIO()
    rows = csv.DictWriter(table, COLUMNS, restval="")
    rows.writeheader()
    for number, name in enumerate(sorted(damaged.names)):
        kind = {"hybrid_stat": "non-hybrid", "subspecies": f"{number % 3}.0"}
        rows.writerow(kind | {"split": "train", "filename": name})
    (tmp_path / "train.csv").write_text(table.getvalue())
    command = ["scripts/prepare_images.py", "--csv", tmp_path / "train.csv", "--workers", "2"]
    options = ["--photos", damaged.folder, "--datasets", damaged.output]
    status, named = start("prepare_images", *command, *options)
    assert status == 1
    images = [path for path in damaged.output.rglob("*") if path.is_file()]
    sizes = {
        "Images4TrainAFhybrid": {(500, 333)},
        "Images4TrainAFnonhybrid": {(256, 256)},
        "Images4TrainClassifier": None,
    }
    for path in images:
        expected = sizes[path.relative_to(damaged.output).parts[0]]
        assert expected is None or whole(path).size in expected
    assert set(Counter(path.name for path in images).values()) == {3}
    done_and_named(damaged, {path.name for path in images}, named)
