"""time_detector.py: both ways of each claim do the same, and the ratios are those of the rounds."""

import re
import sys

import pytest
import time_detector

NOTES = [  # how far the ways lie apart
    r"Scores, of 4 decimals, differ by 0\.000[01] at the most, by 0\.\d{4} with --fast\.",
    r"The features differ by (0\.0e\+00|[1-9.]+e-0[5-9]) at the most\.",
    r"The losses are the same to the bit\.",
    r"The pickled classifiers are the same to the byte\.",
]


def test_the_ways_agree(dataset, train, tmp_path, monkeypatch, capsys):
    assert train(dataset).status == 0
    monkeypatch.setattr(time_detector, "FEATURES", 30)
    known = dict(time_detector.classifier.CLASSIFIERS)
    monkeypatch.setattr(time_detector.classifier, "CLASSIFIERS", known)
    command = ["time_detector.py", "--photographs", dataset / "Images/hybrid", "--rows", 60]
    command += ["--classifiers", tmp_path / "classifiers", "--rounds", 1, "--how_many", 5]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    assert time_detector.main() == 0
    first, *sections = capsys.readouterr().out.split("\n## ")
    assert first.startswith("# Published and ours\n")
    for section, note in zip(sections, NOTES, strict=True):
        assert re.fullmatch(note, section.strip().splitlines()[-1]), section
        assert section.count("| published") == 1
    assert sections[0].startswith("Scores of 5 photographs")


def test_medians_and_ratios():
    seconds = {"published": [4.0, 2.0, 9.0], "ours": [1.0, 1.0, 1.5]}
    assert time_detector.table("A claim", seconds, "It is so.").splitlines() == [
        "## A claim",
        "",
        "| Way | Seconds | Times as fast |",
        "| --- | --- | --- |",
        "| published | 4 | 1.00 |",
        "| ours | 1 | 4.00 |",  # of 4, 2 and 6
        "",
        "It is so.",
    ]


def test_published_sizes():
    assert (time_detector.ROWS, time_detector.FEATURES) == (12_947, 1536)


def test_a_folder_without_photographs_is_named(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: no .jpg or .png in it")):
        time_detector.copy_photographs(tmp_path, tmp_path / "copies", 5)
