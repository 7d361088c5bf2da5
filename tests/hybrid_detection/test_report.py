"""The program of the report: its numbers for three photographs, and what it refuses."""

import detection_report
import evidence
import numpy as np
import pytest
import torch
from model import Model
from PIL import Image
from worlds import read_report, write_pair

COLOURS = {"a.png": (250, 30, 20), "b.png": (20, 240, 60), "c.png": (30, 40, 250)}


@pytest.fixture
def detector(tmp_path) -> Model:
    """Classifiers of random weights."""
    detector = Model(device="cpu", classifiers=write_pair(tmp_path / "classifiers"))
    detector.load()
    return detector


@pytest.fixture
def scores(tmp_path, draw, detector) -> dict[str, float]:
    """Of three photographs."""
    paths = [draw(tmp_path / "scored" / name, some, (640, 480)) for name, some in COLOURS.items()]
    return {path.name: detector.predict(Image.open(path)) for path in paths}


@pytest.fixture
def start(tmp_path, call):
    """Run report.py on predictions of these photographs."""

    def run_report(predictions: dict[str, float], *arguments: object):
        lines = [f"{name},{score:.4f}\n" for name, score in predictions.items()]
        (tmp_path / "predictions.txt").write_text("".join(lines))
        options = ["--predictions", tmp_path / "predictions.txt", "--images", tmp_path / "scored"]
        options += ["--classifiers", tmp_path / "classifiers", "--device", "cpu", "--workers", 0]
        return call(detection_report.main, *options, *arguments)

    return run_report


def test_the_program_shows_what_the_classifiers_give(start, scores, detector, tmp_path):
    """With all decimals; the predictions, of four, say only who was scored and by whom."""
    assert start(scores, "--batch_size", 2, "--threshold", 0).returncode == 0
    data, best_first = read_report(tmp_path / "report"), sorted(scores, key=scores.get)[::-1]
    shown = data["photographs"]
    assert shown["name"] == best_first
    assert shown["score"] == pytest.approx([scores[name] for name in best_first], abs=1e-6)
    members = zip(shown["members"]["sgd"], shown["members"]["linear"], strict=True)
    assert [max(both) for both in members] == pytest.approx(shown["score"], abs=1e-6)
    assert (data["memberNames"], data["threshold"]) == (["sgd", "linear"], 0)
    assert "training_index.npz: no such file" in data["noTraining"]
    for place, name in enumerate(best_first):
        picture = np.array(detector.make_picture(Image.open(tmp_path / "scored" / name)))
        _, (evidence_of_it,), _ = evidence.examine(detector, torch.from_numpy(picture[None]))
        peak = float(np.abs(evidence_of_it).max())
        assert data["maps"][place]["peak"] == pytest.approx(peak, rel=0.01)
        with Image.open(tmp_path / f"report/photographs/{place}.jpg") as image:
            assert image.size == (320, 240)
            assert image.resize((1, 1)).getpixel((0, 0)) == pytest.approx(COLOURS[name], abs=15)
    assert start(scores).returncode == 0  # in its place
    assert read_report(tmp_path / "report")["threshold"] is None


@pytest.mark.parametrize(("off", "status"), [(0.0008, 0), (-0.0012, 1)])
def test_scores_of_other_classifiers_are_refused(start, scores, tmp_path, off, status):
    done = start(scores | {"b.png": scores["b.png"] + off})
    assert done.returncode == status
    assert (tmp_path / "report").exists() is (status == 0)
    assert ("b.png has the score" in done.stderr) is (status == 1)


def test_a_photograph_that_cannot_be_read_moves_no_other(start, scores, tmp_path, monkeypatch):
    """It is named, left out, and the exit status is 1; heat maps are of the first two or of all."""
    assert detection_report.MAPS == 200
    monkeypatch.setattr(detection_report, "MAPS", 2)
    first, lost, last = sorted(scores, key=scores.get)[::-1]
    (tmp_path / "scored" / lost).write_bytes(b"no picture")
    for arguments, mapped in (((), False), (("--all_heat_maps",), True)):
        done = start(scores, *arguments)
        assert done.returncode == 1
        assert f"{lost}: not a readable image" in done.stderr
        data = read_report(tmp_path / "report")
        assert [shown is not None for shown in data["maps"]] == [True, mapped]
        assert data["photographs"]["name"] == [first, last]
        expected = pytest.approx([scores[first], scores[last]], abs=1e-6)
        assert data["photographs"]["score"] == expected


SEVEN = dict.fromkeys([*COLOURS, *(f"{i}.png" for i in range(4))], 0.5)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (SEVEN, "4 of the 7 photographs in "),
        (SEVEN, " (first: 0.png, 1.png, 2.png)"),
        ({"D.PNG": 0.5}, " (first: D.PNG), but 'd.png' is there, which differs in case"),
        ({}, "holds no predictions"),
        ({"../predictions.txt": 0.5}, "leaves the folder"),
        ({"d.png": 0.5}, "none of 1 photographs can be read"),
    ],
)
def test_predictions_of_other_photographs_are_refused(
    start, scores, tmp_path, predictions, message
):
    (tmp_path / "scored/d.png").write_bytes(b"no picture")
    done = start(predictions)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "report").exists()
