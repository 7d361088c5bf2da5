"""time_detector.py: both ways of each claim do the same, and the ratios are those of the rounds."""

import sys

import numpy as np
import time_detector
from worlds import write_pair


def test_the_ways_agree(draw, tmp_path, monkeypatch, capsys):
    write_pair(tmp_path)
    for number in range(6):
        draw(tmp_path / f"photographs/{number}.png", (40 * number, 90, 30))
    command = ["time_detector.py", "--photographs", tmp_path / "photographs", "--how_many", 5]
    command += ["--classifiers", tmp_path, "--rounds", 1]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    time_detector.main()
    first, *sections = capsys.readouterr().out.split("\n## ")
    assert first.startswith("# Published and ours\n")
    assert sections[0].startswith("Scores of 5 photographs")
    rows = [row for section in sections for row in section.splitlines()[4:] if row]
    differences = [float(row.split(" | ")[-1].strip(" |")) for row in rows]
    names = [row.split(" | ")[0] for section in sections for row in section.splitlines()[4:] if row]
    most = [1 if "--fast" in name else 1e-4 for name in names]  # --fast may lie further off
    assert len(names) >= 6 and np.less_equal(differences, most).all()


def test_medians_and_ratios(monkeypatch):
    clock = iter([0, 4, 4, 5, 5, 7, 7, 8, 8, 17, 17, 18.5])  # 4, 1; 2, 1; 9, 1.5 seconds
    monkeypatch.setattr(time_detector.time, "perf_counter", lambda: next(clock))
    ways = {"published": lambda: np.array([1.0, 2.0]), "ours": lambda: np.array([1.0, 1.75])}
    title, *_, first, second = time_detector.measure("A claim", ways, 3).splitlines()
    assert (title, first) == ("## A claim", "| published | 4 | 1.00 | 0.0e+00 |")
    assert second == "| ours | 1 | 4.00 | 2.5e-01 |"  # of 4, 2 and 6
