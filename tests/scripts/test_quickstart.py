"""quickstart.sh: the whole chain as a user runs it, on the smallest set that can be trained on."""

import csv
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import flaws

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "VENV": str(Path(sys.prefix)),
    "SCALE": "0.42",  # ten hybrids to train on
    "DETECTOR": "scharr",
    "GENERATOR": "--loadSize 32 --ngf 4 --n_blocks_global 1 --n_downsample_global 2",
    "EPOCHS": "1",
    "NEPOCH": "2",
}
KINDS = ("photographs", "generated")
MEMBERS = ("sgd+linear", "sgd+linear+subspecies")


def start(work: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | SETTINGS | {"WORK": str(work)} | changes
    return subprocess.run(
        [ROOT / "scripts/quickstart.sh", *arguments],
        **{"capture_output": True, "text": True, "stdin": subprocess.DEVNULL},
        **{"env": environment, "cwd": work},
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """The folder of a finished quick start."""
    folder = tmp_path_factory.mktemp("quickstart")
    done = start(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def run_folder(work) -> Path:
    return work / "scale0.42-seed0-scharr-cutout"


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_second_one_in_the_same_folder_is_refused(tmp_path):
    run = tmp_path / "scale0.42-seed0-scharr-cutout"
    first = subprocess.Popen(
        ROOT / "scripts/quickstart.sh",
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True},
        env=os.environ | SETTINGS | {"WORK": str(tmp_path)},
    )
    try:
        while not (run / "demo.log").exists():
            assert first.poll() is None
            time.sleep(0.05)
        second = start(tmp_path)
        assert second.returncode == 1
        assert f"quickstart: another one is at work in {run}, or what a" in second.stderr
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    # What was killed holds it no more.
    subprocess.run(["flock", "--wait", "5", run / ".lock", "true"], check=True)


def test_all_detectors_and_members_are_scored_on_the_whole_test_set(run_folder):
    reference = read_rows(run_folder / "demo/ref_test.csv")
    for kind, members in itertools.product(KINDS, MEMBERS):
        folder = run_folder / "efficientnet_lite0" / kind
        lines = (folder / "predictions.txt").read_text().split("\n")
        names = sorted(row["filename"] for row in reference)
        assert sorted(line.split(",")[0] for line in lines) == names
        scores = json.loads((folder / members / "scores.json").read_text())
        assert 0 <= scores["challenge_score"] <= 1
        hybrids = sum(cross["hybrids"] for cross in scores["crosses"].values())
        assert hybrids == sum(row["hybrid_stat"] == "1" for row in reference)


def test_every_line_of_the_lists_is_painted_and_listed(run_folder):
    lists = run_folder / "Datasets/Images4TrainAFnonhybrid/List"
    painted = {path.name for path in (run_folder / "results").rglob("AF_*.png")}
    rows = run_folder / "Datasets/Images4TrainClassifier/List"
    generated = read_rows(rows / "generated.csv")
    sources = {}  # what the lists say, by the name of an image
    for path in lists.glob("test_*/test_edges.txt"):
        references = path.with_name("test_color_ref.txt").read_text().splitlines()
        pairs = zip(map(Path, path.read_text().splitlines()), map(Path, references), strict=True)
        for index, pair in enumerate(pairs):
            i, j = (path.parts[1] for path in pair)
            sources[f"AF_{i}_{j}_gen{index:05d}.png"] = tuple(path.stem for path in pair)
    assert painted == sources.keys() != set()
    assert len(generated) == len(read_rows(rows / "photographs.csv")) + len(painted)
    assert sources == {
        row["filename"]: (Path(row["structure"]).stem, Path(row["reference"]).stem)
        for row in generated
        if row["filename"] in painted
    }


def test_the_page_shows_all_rows_and_only_files_that_exist(run_folder, open_page):
    page = (run_folder / "index.html").read_text()
    assert "without painted images" in page
    assert re.search(r"\bwith painted images", page)
    targets = {unquote(link) for link in re.findall(r'(?:href|src)="([^#"][^"]*)"', page)}
    assert len([target for target in targets if "AF_" in target]) >= 8
    assert [target for target in targets if not (run_folder / target).is_file()] == []
    assert targets >= {
        *(f"efficientnet_lite0/{kind}/training.html" for kind in KINDS),
        "evaluation/index.html",
        "efficientnet_lite0/generated/report/index.html",
        "generators/AF4hybrid/training.html",
        "generators/AF4nonhybrid/training.html",
        "Datasets/cutouts/images/" + read_rows(run_folder / "demo/train.csv")[0]["filename"],
    }
    opened = open_page(run_folder / "index.html", scheme="dark", width=390)
    assert flaws(opened, root=run_folder) == []


def test_a_second_run_does_nothing_again(work, run_folder):
    files = [path for path in run_folder.rglob("*") if path.is_file() and path.name != "index.html"]
    before = {path: path.stat().st_mtime_ns for path in files}
    done = start(work)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done before") == len(list((run_folder / ".done").iterdir()))
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_after_a_stage_that_fails_nothing_runs(work, run_folder):
    """An older details.csv must not be scored when the new one could not be made."""
    place = "generated-efficientnet_lite0"
    names = (f"examine-{place}", f"score-{place}-sgd+linear")
    stages = [run_folder / ".done" / name for name in names]
    for stage in stages:
        stage.unlink()
    classifier = run_folder / "efficientnet_lite0/generated/clf1024.pth"
    whole = classifier.read_bytes()
    classifier.write_bytes(b"damaged")
    done = start(work)
    classifier.write_bytes(whole)
    assert done.returncode == 1
    assert "clf1024.pth: " in done.stderr
    log = run_folder / f"examine-{place}.log"
    assert f"examining the test set failed; the whole log is {log}" in done.stderr
    assert not any(stage.exists() for stage in stages)


def test_whole_photographs_without_painting(work, run_folder):
    """They have a folder of their own; the generators and cutouts are left out."""
    own = work / "scale0.42-seed0-scharr-photograph"
    shutil.copytree(run_folder / "demo", own / "demo")  # the same drawing, which takes a while
    (own / ".done").mkdir()
    (own / ".done/demo").touch()
    done = start(work, PREPROCESS="photograph", PAINTED="0", MEMBERS="sgd+linear")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quickstart: drawing the demo set: done before" in done.stdout
    assert re.findall(r"quickstart: (.*): \d+ s", done.stdout) == [
        "resizing the photographs",
        "listing the photographs",
        "training the classifiers on photographs.csv",
        "examining the test set",
        "scoring it by sgd+linear",
        "showing what was found",
    ]
    page = (own / "index.html").read_text()
    assert "without painted images" in page
    assert not re.search(r"\bwith painted images", page)
    assert "cutouts/images" not in page


def test_settings_are_no_arguments(tmp_path):
    done = start(tmp_path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("The whole loop on butterflies that the project draws itself")
    assert "  NEPOCH    of the linear classifier (default: 200)\n" in done.stdout
    refused = start(tmp_path, "SCALE=2")
    assert (refused.returncode, refused.stderr) == (2, done.stdout)
    other = start(tmp_path, PREPROCESS="photographs")
    assert other.returncode == 2
    assert "PREPROCESS is photographs; it must be cutout or photograph" in other.stderr
