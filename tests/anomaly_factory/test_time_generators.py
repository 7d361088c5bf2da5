"""time_generators.py: both ways of a claim do the same."""

import json

import numpy as np
import time_generators
from data import warp


def test_edge_maps_of_both_ways_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(time_generators, "PHOTO", (24, 40))
    title, ways, (note,) = time_generators.edge_maps(2, tmp_path)
    published, ours = (way() for way in ways.values())
    assert published.shape == ours.shape == (2, 24, 40)
    assert title == "PiDiNet's edge maps of 2 photographs of 40 x 24"
    apart = np.abs(published.astype(int) - ours).max()
    assert apart <= 1
    assert note == f"The maps, 0 to 255, differ by {apart} at the most (random kernels)."


def test_samples_of_both_ways_hardly_differ(monkeypatch, tmp_path):
    monkeypatch.setattr(warp, "CELL", warp.CELL)
    monkeypatch.setattr(time_generators, "SIDE", 64)
    _, ways, _ = time_generators.training_samples(2, tmp_path)
    plain, ours = (np.array(way()) for way in ways.values())
    assert plain.shape == ours.shape == (2, 3, 64, 64, 3)
    assert 0 < np.abs(plain.astype(int) - ours).mean() < 10


def test_one_line_of_json_comes_out(monkeypatch, capsys):
    monkeypatch.setattr(warp, "CELL", warp.CELL)
    command = ["time_generators.py", "training_samples", "--images", "1", "--rounds", "2"]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr(time_generators.cv2, "setNumThreads", lambda _: None)
    time_generators.main()
    ways = json.loads(capsys.readouterr().out)["ways"]
    assert all(len(times["seconds"]) == len(times["processor"]) == 2 for times in ways.values())
