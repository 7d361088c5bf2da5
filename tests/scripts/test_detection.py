"""benchmarks/detection.py: seeds that go on where they stopped, and the arithmetic of its table."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import detection
from common.program import InputError

ALL = "sgd+linear sgd+linear+subspecies"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run the program on a stand-in for quickstart.sh; its exit status and each run's settings.

    The stand-in fails for the seed in FAIL, and else finds seed + 1 of ten hybrids by the published
    members, one more by all three, two more when painted, three more in cutouts.
    """
    calls = []

    def quickstart(command, env, **_) -> subprocess.CompletedProcess:
        assert command == [detection.QUICKSTART]
        names = ("SEED", "PAINTED", "PREPROCESS", "BACKBONE", "MEMBERS", "SCALE", "EPOCHS")
        seed, painted, way, backbone, members, *_ = settings = [env[name] for name in names]
        calls.append(",".join(settings))
        if env.get("FAIL") == seed:
            return subprocess.CompletedProcess(command, 3)
        run = Path(env["WORK"], f"scale1-seed{seed}-scharr-{way}", backbone)
        for kind, who in product(detection.KINDS, members.split()):
            found = int(seed) + 1 + ("subspecies" in who) + 2 * (kind == "generated")
            scores = dict.fromkeys(detection.SCORES, (found + 3 * (way == "cutout")) / 10)
            if kind == "photographs" or int(painted):
                (run / kind / who).mkdir(parents=True, exist_ok=True)
                text = json.dumps(scores | {"crosses": {}})
                (run / kind / who / "scores.json").write_text(text)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(detection.subprocess, "run", quickstart)
    monkeypatch.setitem(os.environ, "SCALE", "3")  # of the caller; must not slip in
    monkeypatch.setitem(os.environ, "EPOCHS", "1")

    def run(*arguments: str) -> tuple[int | str, list[str]]:
        options = ["--work", tmp_path / "work", "--output", tmp_path / "DETECTION.md", *arguments]
        monkeypatch.setattr(sys, "argv", ["detection.py", *map(str, options)])
        calls.clear()
        try:
            return detection.benchmark(detection.parse_arguments()), list(calls)
        except InputError as error:
            return str(error), list(calls)

    return run


def test_it_goes_on_where_it_stopped(start, tmp_path, monkeypatch):
    report = tmp_path / "DETECTION.md"
    monkeypatch.setitem(os.environ, "FAIL", "1")
    ways = [(seed, way) for seed in range(3) for way in ("photograph", "cutout")]
    calls = [f"{seed},0,{way},efficientnet_lite0,{ALL},1," for seed, way in ways]
    error, done = start("--seeds", "0-2")
    assert (error[:8], done, report.exists()) == ("seed 1: ", calls[:3], False)
    monkeypatch.delitem(os.environ, "FAIL")
    assert start("--seeds", "0-2") == (0, calls[2:])
    first = report.read_bytes()
    report.unlink()
    assert start("--seeds", "0-2") == (0, [])
    assert report.read_bytes() == first
    # What a finished seed lacks is run: painted images, another backbone.
    for arguments, call in [
        (["--painted"], f"2,1,photograph,efficientnet_lite0,{ALL},1,"),
        (["--backbone", "dinov2_base"], f"2,0,photograph,dinov2_base,{ALL},1,"),
    ]:
        both = [call, call.replace("photograph", "cutout")]
        assert start("--seeds", "2", *arguments) == (0, both)


def test_the_table_by_hand(start, tmp_path):
    """Published on photographs finds 1, 2 and 3 of 10: mean 0.2, deviation 0.1. A
    difference holds all else fixed, or is to the published system."""
    assert start("--seeds", "0-2", "--painted")[0] == 0
    whole, cut = "whole photographs", "cutouts"
    only, both = "without painted images", "with painted images"
    text = (tmp_path / "DETECTION.md").read_text()
    assert f"| {whole}, {only}: published |{' 0.200 ± 0.100 |' * 5}\n" in text
    assert f"| {whole}, {both}: all three | 0.500 ± 0.100 |" in text
    for this, that, mean in [
        (f"{whole}, {only}: all three", f"{whole}, {only}: published", "+0.100"),
        (f"{whole}, {both}: published", f"{whole}, {only}: published", "+0.200"),
        (f"{cut}, {both}: all three", f"{whole}, {only}: published", "+0.600"),
        (f"{cut}, {both}: all three", f"{cut}, {only}: all three", "+0.200"),
        (f"{cut}, {both}: all three", f"{whole}, {both}: all three", "+0.300"),
    ]:
        differences = f" {mean} ({mean} to {mean}; 3 up, 0 down) |" * 2
        assert f"| {this} | {that} |{differences}\n" in text
    # With published, and two each that fix the rest, less what these have in common.
    assert text.count(" up, 0 down) |\n") == 7 + 3 + 3


def test_a_difference_within_each_seed():
    """Above once, below once, and once equal but for rounding."""
    values, others = pd.Series([0.5, 0.1 + 0.2, 0.2]), pd.Series([0.2, 0.3, 0.5])
    assert detection.compare(values, others) == "+0.000 (-0.300 to +0.300; 1 up, 1 down)"
    assert detection.spread(values[:1]) == "0.500"
    assert (detection.read_seeds("20-22"), detection.read_seeds("5")) == ([20, 21, 22], [5])


def test_the_bootstrap_interval():
    for values, expected in [
        # The mean of a draw is k / n, k binomial. P(k <= 2 of 3) is 0.963: 95 % reach up to 3.
        ([1.0, 0, 0], (0, 1)),
        ([-1.0, 0, 0], (-1, 0)),
        # P(k <= 3 of 10) is 0.987, P(k <= 2) 0.930: 95 % reach up to 3, 99 % would to 4.
        ([1.0] + [0] * 9, (0, 0.3)),
        ([0.25], (0.25, 0.25)),
    ]:
        assert detection.bootstrap_interval(np.array(values)) == pytest.approx(expected)
