"""quickstart_page.py: what the page and the terminal say of made-up scores."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import SCREENS, flaws
from common.challenge_csv import COLUMNS
from PIL import Image

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


FIGURES = {
    "sets": {
        "non-hybrids": {"told_apart": {"value": 0.87}},
        "hybrids": {
            "structure": {"f1": {"value": 0.94}, "f1_of_another": 0.46},
            "appearance": {"way": {"value": 0.31}},
            "memorised": {"close": {"value": 0.02}},
        },
    }
}
CALLS = [  # what each photograph of the test set shows, and whether it is called a hybrid
    ("1.png", "hydara x petiverana", "minor", 1, 0),
    ("2.png", "lativitta x notabilis", "major", 1, 1),
    ("3.png", "hydara", "major", 0, 1),
]


def write_rows(path: Path, head: str, rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([head, *lines, ""]))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), "orange").save(path)


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A run with scores 0.1 to 0.4 and 3 to 6 of 30 found, in the order of the table."""
    names = ["hydara", "petiverana", "lativitta", "notabilis"]
    record = {"scale": 1.0, "seed": 7, "subspecies": names, "signal_pair": [2, 3]}
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/demo.json").write_text(json.dumps(record | {"look_alikes": []}))
    write_rows(
        tmp_path / "demo/train.csv",
        ",".join(COLUMNS),
        [
            *(("", "", "non-hybrid", "train", "", "", i, "", "", f"{i}.png") for i in range(4)),
            ("", "", "hybrid", "train", "", "", "", 2, 3, "4.png"),
        ],
    )
    for i in range(5):
        picture(tmp_path / f"demo/train/images/{i}.png")
    for name, *_ in CALLS:
        picture(tmp_path / "demo/test/images" / name)
    picture(tmp_path / "demo/overview.png")
    picture(tmp_path / "results/hybrid/AF_0_1_gen00000.png")
    write_rows(tmp_path / "demo/ref_test.csv", "filename,subspecies_ref", [c[:2] for c in CALLS])
    values = iter([(0.1, 3), (0.2, 4), (0.3, 5), (0.4, 6)])
    for kind in ("photographs", "generated"):
        said = [(name, 0.5, 0.5) for name, *_ in CALLS]
        write_rows(tmp_path / "lite" / kind / "details.csv", "filename,sgd,linear", said)
        for members in SETS:
            folder = tmp_path / "lite" / kind / members
            folder.mkdir()
            (folder / "scores.json").write_text(json.dumps(made_up_scores(*next(values))))
            rows = [(*call[:4], 0.9 if call[4] else 0.1, 0.5, call[4]) for call in CALLS]
            head = "filename,subspecies_ref,ssp_indicator,hybrid_stat,score,threshold,called"
            write_rows(folder / "calls.csv", head, rows)
    return tmp_path


@pytest.fixture
def reports(run_folder) -> list[str]:
    """The other pages of the run, which are there now."""
    pages = [
        "evaluation/index.html",
        "lite/generated/report/index.html",
        "lite/generated/training.html",
        "generators/AF4hybrid/training.html",
    ]
    for page in pages:
        (run_folder / page).parent.mkdir(parents=True, exist_ok=True)
        (run_folder / page).write_text("<!DOCTYPE html>")
    (run_folder / "evaluation/figures.json").write_text(json.dumps(FIGURES))
    return pages


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
    learnt = "no photograph of this cross to learn from, but 1 painted image"
    assert ["hydara x petiverana (non-signal)", "30", "3", "4", "5", "6", learnt] in rows
    assert "it finds 1 of 1 signal hybrids, which are of that cross, 0 of 1 non-signal" in page
    assert "Of 1 non-hybrids it takes 1 for hybrids" in page
    line = next(row for row in done.stdout.splitlines() if row.startswith("A_score_minor_recall"))
    assert line.split()[1:] == ["0.120", "0.220", "0.320", "0.420", "0.033"]


def test_without_painted_images_the_page_has_no_generators(run_folder):
    assert make_page(run_folder, "photographs").returncode == 0
    page = (run_folder / "index.html").read_text()
    assert [row[1] for row in table_rows(page)[1:3]] == ["published", "all three"]
    assert "PAINTED=0 leaves the generators out" in page
    assert "AF_0_1" not in page
    assert "evaluation/" not in page


def test_the_page_leads_to_the_reports_that_are_there(run_folder, reports):
    for there in (True, False):
        assert make_page(run_folder, "photographs", "generated").returncode == 0
        page = (run_folder / "index.html").read_text()
        assert [f'href="{report}"' in page for report in reports] == [there] * len(reports)
        for report in reports:
            (run_folder / report).unlink(missing_ok=True)


def test_the_page_says_how_good_the_paintings_are(run_folder, reports):
    assert make_page(run_folder, "photographs", "generated").returncode == 0
    page = (run_folder / "index.html").read_text()
    assert "asked for by 0.94 (F1), those of another painting by 0.46" in page
    assert "31 % of the way" in page
    assert "the painted one in 87 % of the cases" in page
    assert "2 % of the painted hybrids lie as close" in page


def test_figures_that_are_unknown_are_left_out(run_folder, reports):
    few = {"sets": {"hybrids": {"structure": None, "appearance": {"way": None}}}}
    (run_folder / "evaluation/figures.json").write_text(json.dumps(few))
    assert make_page(run_folder, "photographs", "generated").returncode == 0
    page = (run_folder / "index.html").read_text()
    assert "of the way to the" not in page
    assert "None" not in page


@pytest.mark.parametrize("content", ["[", "3", "{}", '{"sets": 3}'])
def test_figures_of_another_form_are_named(run_folder, reports, content):
    (run_folder / "evaluation/figures.json").write_text(content)
    done = make_page(run_folder, "photographs", "generated")
    assert done.returncode == 1
    assert "evaluation/figures.json: not as the quick start wrote it (" in done.stderr
    assert "; remove .done/evaluation in the run's folder" in done.stderr


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_a_reader_finds_no_flaw(run_folder, reports, open_page, scheme, width):
    assert make_page(run_folder, "photographs", "generated").returncode == 0
    page = open_page(run_folder / "index.html", scheme=scheme, width=width)
    assert flaws(page, root=run_folder) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "(KeyError: 'challenge_score')"),
        ("[", "(JSONDecodeError: "),
        ("3", "(TypeError: int where dict is expected)"),
    ],
)
def test_scores_of_another_form_are_named(run_folder, content, message):
    (run_folder / "lite/photographs/sgd+linear/scores.json").write_text(content)
    done = make_page(run_folder, "photographs")
    assert done.returncode == 1
    assert f"scores.json: not as the quick start wrote it {message}" in done.stderr
    again = "remove .done/score-photographs-lite-sgd+linear in the run's folder"
    assert f"{again} and run quickstart.sh again" in done.stderr
    assert not (run_folder / "index.html").exists()
