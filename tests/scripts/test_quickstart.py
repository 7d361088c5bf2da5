"""quickstart.sh: the chain as a user runs it, on few and plain pictures that stand for drawn ones.

With --slow also the whole of it: the smallest set that can be trained on is drawn, and painted.
"""

import csv
import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import worlds
from browser import flaws
from demo import make_demo_dataset

PROGRAM = Path(__file__).resolve().parents[2] / "scripts/quickstart.sh"
SETTINGS = {
    "VENV": str(Path(sys.prefix)),
    "SCALE": "1",
    "PAINTED": "0",
    "REPORTS": "0",
    "DETECTOR": "scharr",
    "GENERATOR": "--loadSize 32 --ngf 4 --n_blocks_global 1 --n_downsample_global 2",
    "EPOCHS": "1",
    "NEPOCH": "2",
}
MEMBERS = ("sgd+linear", "sgd+linear+subspecies")
COUNTS = {
    "train": {"": {"lativitta": 10, "notabilis": 10, "lativitta x notabilis": 12}},
    "test": {
        "major": {"lativitta": 3, "notabilis x lativitta": 2},
        "minor": {"hydara": 2, "hydara x erato": 2},
        "mimic": {"malleti": 2, "plesseni x malleti": 2},
    },
}
STAGES = [
    "the Python environment",
    "resizing the photographs",
    "listing the photographs",
    "training the classifiers on photographs.csv",
    "examining the test set",
    *(f"scoring it by {members}" for members in MEMBERS),
    "writing the page",
]


def world(work: Path, **changes: str) -> dict[str, object]:
    """Of a process in the folder `work`."""
    environment = os.environ | SETTINGS | {"WORK": str(work)} | changes
    return {"env": environment, "cwd": work, "stdin": subprocess.DEVNULL, "text": True}


def start(work: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, **world(work, **changes))


def write_demo(folder: Path) -> None:
    """A demo set of COUNTS: a specimen of its own colour and a label on paper, not drawn well."""
    make_demo_dataset.prepare_folder(folder, 0, 1.0)
    draw = np.random.default_rng(0)
    drawn = make_demo_dataset.specimens(0, 1.0)
    for one in drawn:
        wings = tuple(draw.integers(20, 110, 3).tolist())
        worlds.draw_specimen(folder / one.path, wings)
    make_demo_dataset.write_tables(drawn, [one.camid for one in drawn], folder)
    make_demo_dataset.write_overview(drawn, folder)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """The folder of a finished quick start without painting, but for the drawing."""
    work = tmp_path_factory.mktemp("quickstart")
    for name in ("common.py", "demo.py"):  # of the user, who has nothing to do with ours
        (work / name).write_text("raise ImportError('another one')")
    folder = work / "scale1-seed0-cutout"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_demo_dataset, "COUNTS", COUNTS)
        write_demo(folder / "demo")
    (folder / ".done").mkdir()
    (folder / ".done/demo").touch()
    done = start(work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quickstart: drawing the demo set: done before" in done.stdout
    assert re.findall(r"quickstart: (.*): \d+ s", done.stdout) == STAGES
    lines = re.findall(r"^(\d/9) \[[#.]{10}\] (.*), about \d+:\d\d left$", done.stdout, re.M)
    places = [f"{place}/9" for place in (1, *range(3, 10))]  # all from the first, none that is done
    assert list(dict.fromkeys(lines)) == list(zip(places, STAGES, strict=True))
    return folder


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def check_scores(folder: Path, kinds: tuple[str, ...]) -> None:
    """All detectors and members are scored on the whole test set."""
    reference = read_rows(folder / "demo/ref_test.csv")
    for kind, members in itertools.product(kinds, MEMBERS):
        own = folder / "efficientnet_lite0" / kind
        lines = (own / "predictions.txt").read_text().split("\n")
        names = sorted(row["filename"] for row in reference)
        assert sorted(line.split(",")[0] for line in lines) == names
        scores = json.loads((own / members / "scores.json").read_text())
        assert 0 <= scores["challenge_score"] <= 1
        hybrids = sum(cross["hybrids"] for cross in scores["crosses"].values())
        assert hybrids == sum(row["hybrid_stat"] == "1" for row in reference)


def check_page(folder: Path, open_page, expected: set[str]) -> set[str]:
    """The page has no flaw, and leads to files that exist, the expected and others; gives all."""
    page = (folder / "index.html").read_text()
    targets = {unquote(link) for link in re.findall(r'(?:href|src)="([^#"][^"]*)"', page)}
    assert [target for target in targets if not (folder / target).is_file()] == []
    assert targets >= expected
    assert flaws(open_page(folder / "index.html", scheme="dark", width=390), root=folder) == []
    return targets


def test_photographs_alone_are_scored_and_shown(run_folder, open_page):
    check_scores(run_folder, ("photographs",))
    cutout = "Datasets/cutouts/images/" + read_rows(run_folder / "demo/train.csv")[0]["filename"]
    expected = {"efficientnet_lite0/photographs/training.html", cutout}
    targets = check_page(run_folder, open_page, expected)
    assert not [target for target in targets if "AF" in target]
    judged = (run_folder / "efficientnet_lite0/photographs").glob("*/classifier_scores.csv")
    (judged_on,) = (path.parent.name for path in judged)  # nobody looks at the rest
    assert judged_on == "held_out_photographs"


def test_a_second_run_does_nothing_again_and_after_a_stage_that_fails_nothing_runs(run_folder):
    """An older details.csv must not be scored when the new one could not be made."""
    files = [path for path in run_folder.rglob("*") if path.is_file()]
    files = [path for path in files if path.stem not in ("setup", "page", "index")]  # each time
    before = {path: path.stat().st_mtime_ns for path in files}
    done = start(run_folder.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done before") == len(list((run_folder / ".done").iterdir())) - 2 == 7
    assert {path: path.stat().st_mtime_ns for path in files} == before

    place = "photographs-efficientnet_lite0"
    names = (f"examine-{place}", f"score-{place}-sgd+linear")
    stages = [run_folder / ".done" / name for name in names]
    for stage in stages:
        stage.unlink()
    classifier = run_folder / "efficientnet_lite0/photographs/clf1024.pth"
    whole = classifier.read_bytes()
    classifier.write_bytes(b"damaged")
    done = start(run_folder.parent)
    classifier.write_bytes(whole)
    assert (done.returncode, "clf1024.pth: " in done.stderr) == (1, True)
    log = run_folder / f"examine-{place}.log"
    assert f"examining the test set failed; the whole log is {log}" in done.stderr
    assert not any(stage.exists() for stage in stages)


def test_a_second_one_in_the_same_folder_is_refused(tmp_path):
    run = tmp_path / "scale1-seed0-cutout"
    run.mkdir()
    with (run / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = start(tmp_path)
    assert refused.returncode == 1
    assert f"quickstart: another one is at work in {run}, or what a" in refused.stderr
    assert not (run / "demo.log").exists()


def test_settings_are_no_arguments(tmp_path):
    done = start(tmp_path, "--help")
    assert done.returncode == 0
    assert "  NEPOCH    of the linear classifier (default: 50)\n" in done.stdout
    refused = start(tmp_path, "SCALE=2")
    assert (refused.returncode, refused.stderr) == (2, done.stdout)
    for name, value in (("PREPROCESS", "photographs"), ("SCALE", "0.2"), ("SCALE", "small")):
        refused = start(tmp_path, **{name: value})
        assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
        assert f"{name} is {value}; it must be " in refused.stderr


def test_ctrl_c_ends_all_of_it_and_says_how_to_go_on(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen([PROGRAM], **pipes, **world(tmp_path)) as run:
        while "drawing the demo set" not in run.stdout.readline():
            pass
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=60)  # till the last of its processes closes the pipe
    assert run.returncode == 130
    assert "quickstart.sh: stopped; the same command goes on" in errors


@pytest.mark.slow
def test_the_painted_chain(tmp_path, open_page):
    """Drawn and painted, as by default."""
    changes = {"PAINTED": "1", "REPORTS": "1", "SCALE": "0.25"}  # the smallest
    done = start(tmp_path, **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    painted = tmp_path / "scale0.25-seed0-cutout"
    kinds = ("photographs", "generated")
    check_scores(painted, kinds)
    expected = {f"efficientnet_lite0/{kind}/training.html" for kind in kinds}
    expected |= {f"generators/AF4{kind}/training.html" for kind in ("hybrid", "nonhybrid")}
    expected |= {"efficientnet_lite0/generated/report/index.html"}  # that of the last ones
    expected |= {"evaluation/index.html"}
    targets = check_page(painted, open_page, expected)
    assert len([target for target in targets if "AF_" in target]) >= 8
    lists = painted.glob("Datasets/Images4TrainAFnonhybrid/List/test_*/test_edges.txt")
    count = sum(len(path.read_text().splitlines()) for path in lists)
    assert len([*painted.rglob("results/**/AF_*.png")]) == count > 0
    rows = read_rows(painted / "Datasets/Images4TrainClassifier/List/generated.csv")
    assert sum(bool(row["structure"] and row["reference"]) for row in rows) == count
