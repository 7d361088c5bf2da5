"""benchmarks/detection.py: seeds that go on where they stopped, and the arithmetic of its table."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import detection

# Stands in for quickstart.sh: writes down its settings, fails for the seed in FAIL, and finds
# seed + 1 of ten hybrids by the published members, one more by all three, two more when painted,
# three more in cutouts.
QUICKSTART = """#!{python}
import json, os, sys
from pathlib import Path
seed, painted, work = int(os.environ["SEED"]), os.environ["PAINTED"], Path(os.environ["WORK"])
names = ("SEED", "PAINTED", "BACKBONE", "MEMBERS", "SCALE", "EPOCHS", "PREPROCESS")
way = os.environ["PREPROCESS"]
with (work / "calls.txt").open("a") as file:
    file.write(",".join(os.environ[name] for name in names) + "\\n")
if os.environ.get("FAIL") == str(seed):
    sys.exit(3)
names = {names}
for kind in ("photographs", "generated")[: 1 + int(painted)]:
    for members in os.environ["MEMBERS"].split():
        found = seed + 1 + ("subspecies" in members) + 2 * (kind == "generated")
        found += 3 * (way == "cutout")
        run = work / f"scale1-seed{{seed}}-scharr-{{way}}"
        folder = run / os.environ["BACKBONE"] / kind / members
        folder.mkdir(parents=True, exist_ok=True)
        crosses = {{
            "a x b": {{"ssp_indicator": "mimic", "hybrids": 4, "recall": 1.0}},
            "c x d": {{"ssp_indicator": "minor", "hybrids": 10, "recall": found / 10}},
        }}
        scores = dict.fromkeys(names, found / 10)
        scores |= {{"one_hybrid": dict.fromkeys(names, 0.1), "crosses": crosses}}
        (folder / "scores.json").write_text(json.dumps(scores))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run the program on the stand-in; gives its exit status and the settings of each run."""
    script = tmp_path / "quickstart.sh"
    script.write_text(QUICKSTART.format(python=sys.executable, names=list(detection.SCORES)))
    script.chmod(0o755)
    monkeypatch.setattr(detection, "QUICKSTART", script)
    monkeypatch.setitem(os.environ, "SCALE", "3")  # of the caller; must not slip in
    monkeypatch.setitem(os.environ, "EPOCHS", "1")
    work = tmp_path / "work"

    def run(*arguments: str, preprocess: str = "photograph") -> tuple[int, list[str]]:
        options = ["--work", work, "--output", tmp_path / "DETECTION.md", *arguments]
        options += ["--preprocess", *preprocess.split()]
        monkeypatch.setattr(sys, "argv", ["detection.py", *map(str, options)])
        (work / "calls.txt").unlink(missing_ok=True)
        status = detection.main()
        calls = work / "calls.txt"
        return status, calls.read_text().splitlines() if calls.is_file() else []

    return run


@pytest.fixture
def report(tmp_path) -> Path:
    return tmp_path / "DETECTION.md"


ALL = "sgd+linear sgd+linear+subspecies"


def test_it_goes_on_where_it_stopped(start, tmp_path, report, monkeypatch, capfd):
    monkeypatch.setitem(os.environ, "FAIL", "1")
    status, calls = start("--seeds", "0-2")
    assert status == 1
    assert calls == [f"{seed},0,efficientnet_lite0,{ALL},1,,photograph" for seed in (0, 1)]
    assert "detection: seed 1: " in capfd.readouterr().err
    assert not report.exists()
    monkeypatch.delitem(os.environ, "FAIL")
    assert start("--seeds", "0-2")[1] == [
        f"{n},0,efficientnet_lite0,{ALL},1,,photograph" for n in (1, 2)
    ]
    first = report.read_bytes()
    report.unlink()
    assert start("--seeds", "0-2") == (0, [])
    assert report.read_bytes() == first
    # What a finished seed lacks is run: painted images, other members, another backbone.
    assert start("--seeds", "2", "--painted")[1] == [f"2,1,efficientnet_lite0,{ALL},1,,photograph"]
    one = ["--members", "subspecies"]
    assert start("--seeds", "2", *one)[1] == [
        "2,0,efficientnet_lite0,sgd+linear subspecies,1,,photograph"
    ]
    assert start("--seeds", "2", "--backbone", "dinov2_base")[1] == [
        f"2,0,dinov2_base,{ALL},1,,photograph"
    ]
    assert start("--seeds", "0-2") == (0, [])
    assert report.read_bytes() == first
    rows = pd.read_csv(tmp_path / "work/detection.csv")
    assert len(rows) == 10 * (2 * 3 + 2 + 1 + 2)  # eight numbers and two crosses; published once


def cells(report: Path, start: str, width: int) -> list[str]:
    """The one row of the report with `width` cells that begins with `start`."""
    lines = [line.strip("| ").split(" | ") for line in report.read_text().splitlines()]
    found = [line for line in lines if " | ".join(line).startswith(start) and len(line) == width]
    assert len(found) == 1
    return found[0]


def test_the_table_by_hand(start, report):
    """Published on photographs finds 1, 2 and 4 of 10: mean 7/30, deviation sqrt(7/3) / 10."""
    assert start("--seeds", "0,1,3", "--painted")[0] == 0
    only = "whole photographs, without painted images"
    both = "whole photographs, with painted images"
    text = report.read_text()
    command = "--seeds 0,1,3 --painted --preprocess photograph\n"
    assert f"    python scripts/benchmarks/detection.py {command}" in text
    assert cells(report, f"{only}: published", 9)[1:] == ["0.233 ± 0.153"] * 8
    assert cells(report, f"{both}: all three", 9)[1] == "0.533 ± 0.153"
    pairs = [
        (f"{only}: all three", f"{only}: published", "+0.100"),
        (f"{both}: published", f"{only}: published", "+0.200"),
        (f"{both}: all three", f"{only}: published", "+0.300"),
        (f"{both}: all three", f"{only}: all three", "+0.200"),
    ]
    for this, that, mean in pairs:
        row = cells(report, f"{this} | {that} | challenge score", 7)
        assert row[3:] == [mean, f"{mean} to {mean}", "3", "0"]
    assert text.count(" | challenge score | ") == len(pairs) + 1  # and the head of the first table
    found = ["0.233", "0.333", "0.433", "0.533"]
    assert cells(report, "c x d", 7) == ["c x d", "non-signal", "30", *found]
    assert cells(report, "a x b", 7) == ["a x b", "mimic", "12", *["1.000"] * 4]
    assert text.index("| c x d |") < text.index("| a x b |")  # as in the first table
    assert cells(report, "3", 5) == ["3", "0.400", "0.500", "0.600", "0.700"]


def test_cutouts_beside_whole_photographs(start, report):
    """Both are the default. A difference holds all else fixed, or is to the published system."""
    status, calls = start("--seeds", "0,1", "--painted", preprocess="cutout photograph")
    assert status == 0
    assert [call.rpartition(",")[2] for call in calls] == ["photograph", "cutout"] * 2
    text = report.read_text()
    assert "    python scripts/benchmarks/detection.py --seeds 0-1 --painted\n" in text
    whole, cut = "whole photographs", "cutouts"
    only, both = "without painted images", "with painted images"
    for this, that, mean in [
        (f"{cut}, {both}: all three", f"{whole}, {only}: published", "+0.600"),
        (f"{cut}, {both}: all three", f"{cut}, {only}: all three", "+0.200"),
        (f"{cut}, {both}: all three", f"{whole}, {both}: all three", "+0.300"),
        (f"{cut}, {only}: published", f"{whole}, {only}: published", "+0.300"),
    ]:
        assert cells(report, f"{this} | {that} | challenge score", 7)[3] == mean
    # With published, and two each that fix the rest, less what these have in common.
    assert text.count(" | challenge score | ") == 7 + 3 + 3 + 1
    assert cells(report, "0", 9) == ["0", *(f"0.{n}00" for n in (1, 2, 3, 4, 4, 5, 6, 7))]
    assert start("--seeds", "0-1", "--painted", preprocess="cutout")[1] == []
    assert f"{whole}" not in report.read_text()
    mean = cells(
        report, f"{cut}, {only}: all three | {cut}, {only}: published | challenge score", 7
    )
    assert mean[3] == "+0.100"


def test_a_difference_within_each_seed():
    """Above once, below once, and once equal but for rounding."""
    seeds = [0, 1, 2]
    values = pd.Series([0.5, 0.1 + 0.2, 0.2], seeds)
    others = pd.Series([0.2, 0.3, 0.5], seeds)[::-1]  # by seed, not by place
    assert detection.compare(values, others) == ["+0.000", "-0.300 to +0.300", "1", "1"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # The mean of a draw is k / n, k binomial. P(k <= 2 of 3) is 0.963: 95 % reach up to 3.
        ([1.0, 0, 0], (0, 1)),
        ([-1.0, 0, 0], (-1, 0)),
        # P(k <= 3 of 10) is 0.987, P(k <= 2) 0.930: 95 % reach up to 3, 99 % would to 4.
        ([1.0] + [0] * 9, (0, 0.3)),
        ([0.25], (0.25, 0.25)),
    ],
)
def test_the_bootstrap_interval(values, expected):
    assert detection.bootstrap_interval(np.array(values)) == pytest.approx(expected)


def test_one_seed_has_no_deviation(start, report):
    assert start("--seeds", "4")[0] == 0
    assert cells(report, "whole photographs, without painted images: published", 9)[1] == "0.500"


@pytest.mark.parametrize(
    ("text", "seeds"), [("20-22", [20, 21, 22]), ("5", [5]), ("3,0-1,1", [0, 1, 3])]
)
def test_seeds(text, seeds):
    assert detection.read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-2-3"])
def test_bad_seeds_are_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected seeds such as 20-29"):
        detection.read_seeds(text)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--seeds", "7-8"], "--seeds 7-8"),
        (["--seeds", "7"], "--seeds 7"),
        (["--seeds", "0-1", "--backbone", "dinov2_base"], "--seeds 0-1 --backbone dinov2_base"),
        (["--seeds", "0", "--members", "sgd+linear"], "--seeds 0 --members sgd+linear"),
        (["--seeds", "0", "--members", "sgd"], "--seeds 0 --members sgd+linear sgd"),
    ],
)
def test_the_report_names_its_command(start, report, arguments, command):
    assert start(*arguments, preprocess="photograph cutout")[0] == 0
    assert f"    python scripts/benchmarks/detection.py {command}\n" in report.read_text()


def test_a_run_that_lacks_a_number_is_run_again(start, tmp_path, report):
    assert start("--seeds", "2")[0] == 0
    whole, kept = report.read_bytes(), tmp_path / "work/detection.csv"
    lines = [line for line in kept.read_text().splitlines(True) if ",mimic_recall," not in line]
    kept.write_text("".join(lines))
    status, calls = start("--seeds", "2")
    assert (status, len(calls)) == (0, 1)
    assert report.read_bytes() == whole


def kept(seed: str = "1.5", value: str = "0.5", hybrids: str = "4") -> str:
    """A good line, and a second one of these cells."""
    good = "lite,cutout,0,generated,sgd,mimic_recall,,,"
    line = f"lite,cutout,{seed},generated,sgd,a x b,{value},minor,{hybrids}"
    return "\n".join([",".join(detection.COLUMNS), good, line, ""])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a CSV table"),
        (
            "seed,value\n1,2\n",
            "its columns are not backbone,preprocess,seed,kind,members,name,value",
        ),
        (kept(), "line 3: seed '1.5'; expected a whole number; remove the file"),
        (kept().replace("\n", "\n\n", 1), "line 2: seed ''; expected a whole number"),
        (kept(seed="0", value="none"), "line 3: value 'none'; expected a number; remove"),
        (kept(seed="0", hybrids="-4"), "line 3: hybrids '-4'; expected a whole number"),
        (kept(seed="0", hybrids=""), "line 3: hybrids ''; expected a whole number"),
    ],
)
def test_a_damaged_file_of_finished_seeds_is_named(start, tmp_path, capsys, content, message):
    (tmp_path / "work").mkdir()
    kept = tmp_path / "work/detection.csv"
    kept.write_text(content)
    assert start("--seeds", "0")[0] == 1
    assert message in capsys.readouterr().err
    assert kept.read_text() == content
