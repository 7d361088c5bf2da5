"""quickstart_page.py: what the page and the terminal say of made-up scores."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
IMAGES = ["--preprocess", "cutout"]
SETS = ["sgd+linear", "sgd+linear+subspecies"]
NUMBERS = [
    "challenge_score",
    "A_score_major_recall",
    "A_score_minor_recall",
    "mimic_recall",
    "A_PRC_AUC",
    "A_PRC_AUC_major",
    "A_PRC_AUC_minor",
    "mimic_PRC_AUC",
]


def made_up_scores(value: float, found: int) -> dict:
    crosses = {
        "lativitta x notabilis": ("major", 40, 1.0),
        "hydara x petiverana": ("minor", 30, found / 30),
        "malleti x plesseni": ("mimic", 32, 0.5),
    }
    keys = ("ssp_indicator", "hybrids", "recall")
    return {
        **{name: value + number / 100 for number, name in enumerate(NUMBERS)},
        "one_hybrid": {name: value / 10 for name in NUMBERS} | {"A_score_minor_recall": 1 / 30},
        "crosses": {name: dict(zip(keys, cross, strict=True)) for name, cross in crosses.items()},
    }


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A run with scores 0.1 to 0.4 and 3 to 6 of 30 found, in the order of the table."""
    (tmp_path / "demo").mkdir()
    record = {"scale": 1.0, "seed": 7, "subspecies": ["a", "b"]}
    (tmp_path / "demo/demo.json").write_text(json.dumps(record))
    values = iter([(0.1, 3), (0.2, 4), (0.3, 5), (0.4, 6)])
    for kind in ("photographs", "generated"):
        for members in SETS:
            folder = tmp_path / "lite" / kind / members
            folder.mkdir(parents=True)
            (folder / "scores.json").write_text(json.dumps(made_up_scores(*next(values))))
    return tmp_path


def make_page(run: Path, *kinds: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "demo.quickstart_page", "--run", run, "--backbone", "lite"]
    return subprocess.run(
        [*program, *IMAGES, "--kinds", *kinds, "--members", *SETS],
        capture_output=True,
        text=True,
        cwd=SCRIPTS,
    )


def table_rows(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]


def test_published_and_all_members_with_and_without_painted_images(run_folder):
    done = make_page(run_folder, "photographs", "generated")
    assert done.returncode == 0, done.stderr
    page = (run_folder / "index.html").read_text()
    rows = table_rows(page)
    both = "with painted images"
    assert [row[:4] for row in rows[1:5]] == [
        ["without painted images", "published", "0.100", "0.110"],
        ["without painted images", "all three", "0.200", "0.210"],
        [both, "published", "0.300", "0.310"],
        [both, "all three", "0.400", "0.410"],
    ]
    assert rows[5][1:4] == ["0.040", "0.040", "0.033"]  # the furthest that one hybrid moves each
    assert rows[1][9] == "0.170"
    assert ["hydara x petiverana (non-signal)", "30", "3", "4", "5", "6"] in rows
    assert "40 signal, 30 non-signal and 32 mimic hybrids" in page
    assert "One of the 30 non-signal hybrids moves their recall by 0.033" in page
    assert "Painted hybrids" in page
    assert "features of lite from cutouts." in page
    line = next(row for row in done.stdout.splitlines() if row.startswith("A_score_minor_recall"))
    assert line.split()[1:] == ["0.120", "0.220", "0.320", "0.420", "0.033"]


def test_without_painted_images_the_page_has_no_generators(run_folder):
    assert make_page(run_folder, "photographs").returncode == 0
    page = (run_folder / "index.html").read_text()
    assert [row[1] for row in table_rows(page)[1:3]] == ["published", "all three"]
    assert "Painted hybrids" not in page
    assert "AF4hybrid" not in page


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "scores.json: no A_PRC_AUC, "),
        ("[", "scores.json: not the scores of a test set"),
        ("3", "scores.json: not the scores of a test set"),
    ],
)
def test_scores_of_another_form_are_named(run_folder, content, message):
    (run_folder / "lite/photographs/sgd+linear/scores.json").write_text(content)
    done = make_page(run_folder, "photographs")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (run_folder / "index.html").exists()
