"""time_detector.py: both ways of a claim do the same."""

import argparse
import json
import re

import numpy as np
import pytest
import time_detector

CLAIMS = {  # rows, what the notes say
    "extraction": (3, r"The features differ by (0\.0e\+00|[1-9.]+e-0[5-9]) at the most\."),
    "linear": (
        12,
        r"Losses of ours are those of the plain loop to the bit; streamed, they differ by "
        r"(0\.0e\+00|[1-9.]+e-0[6-9])\.",
    ),
    "sgd": (60, r"The pickled classifiers are the same to the byte\."),
    "scoring": (500, r"The challenge scores differ by 0\.0e\+00\."),
}


@pytest.fixture
def options():
    return argparse.Namespace(rows=None, iterations=5, backbone="efficientnet_lite0")


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_ways_agree(tmp_path, options, monkeypatch, claim):
    monkeypatch.setattr(time_detector, "FEATURE_SIZE", 30)
    known = dict(time_detector.classifier.CLASSIFIERS)
    monkeypatch.setattr(time_detector.classifier, "CLASSIFIERS", known)
    options.rows, said = CLAIMS[claim]
    title, ways, (note,) = time_detector.CLAIMS[claim](options, tmp_path)
    assert title
    assert next(iter(ways)).startswith("published")
    assert re.fullmatch(said, note), note
    times = time_detector.time_ways(ways, 2)
    assert list(times) == list(ways)
    assert all(len(seconds) == 2 for way in times.values() for seconds in way.values())


def test_one_line_of_json_comes_out(monkeypatch, capsys):
    command = ["time_detector.py", "scoring", "--rows", "400", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr(time_detector.logging, "disable", lambda: None)
    time_detector.main()
    measured = json.loads(capsys.readouterr().out)
    assert measured["title"] == "Challenge scores of 400 rows"
    assert len(measured["ways"]) == 3


def test_published_sizes():
    features, labels = time_detector.made_up(4)
    assert (features.shape, features.dtype) == ((4, 1536), np.float32)
    assert len(labels) == 4
    assert (time_detector.PUBLISHED_ROWS, time_detector.SCORED_ROWS) == (12_947, 100_000)
