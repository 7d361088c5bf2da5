"""The program of the report: its numbers for three photographs, and what it refuses."""

from types import SimpleNamespace

import detection_report
import numpy as np
import pytest
from model import Examined
from PIL import Image
from published_members import Origin
from subspecies_member import Parents
from worlds import read_report


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run report.py's main on three photographs of one colour each, whose red is the score.

    Its model finds what it looks at as a network would; gives the exit status.
    """

    def red(pictures) -> Examined:
        scores = pictures[..., 0].double().mean(dim=(1, 2)).numpy() / 255
        parents = [Parents("8", "9", 0.6, 0.9)] * len(scores)
        features = np.stack([scores, 1 - scores], axis=1).astype(np.float32)
        return Examined(scores, {"sgd": scores, "linear": scores}, parents, features)

    def examine(model, pictures):
        examined = model.examine(pictures)
        maps = np.repeat(examined.scores, 4).reshape(-1, 2, 2)
        return examined, maps, [None] * len(maps)

    known = {"backbone": "efficientnet_lite0", "view": "photograph", "threshold": 0.25}
    known |= {"preprocess": "photograph"}
    known |= {"members": {"sgd": SimpleNamespace(origin=Origin()), "linear": None}}
    known |= {"files": {"sgd": tmp_path / "sgd.pkl"}, "smallest_side": None}
    known |= {"wing_network": None}
    model = SimpleNamespace(**known, load=lambda: None, examine=red)
    monkeypatch.setattr(detection_report, "Model", lambda **_: model)
    monkeypatch.setattr(detection_report.evidence, "examine", examine)
    images = tmp_path / "scored"
    images.mkdir()
    for name, red in (("a.png", 51), ("b.png", 204), ("c.png", 102)):
        Image.new("RGB", (640, 480), (red, 0, 0)).save(images / name)

    def run_report(predictions: dict[str, float], *arguments: object) -> int:
        lines = [f"{name},{score}\n" for name, score in predictions.items()]
        (tmp_path / "predictions.txt").write_text("".join(lines))
        options = ["--predictions", tmp_path / "predictions.txt", "--images", images]
        command = ["report.py", *options, "--workers", 0, *arguments]
        monkeypatch.setattr("sys.argv", list(map(str, command)))
        return detection_report.main()

    return run_report


RED = {"a.png": 0.2, "b.png": 0.8, "c.png": 0.4}  # of 255


def test_the_program_shows_what_the_classifiers_give(start, tmp_path):
    """With all decimals; the predictions, of four, say only who was scored and by whom."""
    assert start(RED | {"a.png": 0.2004, "c.png": 0.3996}, "--batch_size", 2) == 0
    data = read_report(tmp_path / "report")
    assert data["photographs"]["name"] == ["b.png", "c.png", "a.png"]
    assert data["photographs"]["score"] == pytest.approx([0.8, 0.4, 0.2], abs=1e-9)
    assert data["photographs"]["members"]["sgd"] == pytest.approx([0.8, 0.4, 0.2], abs=1e-6)
    assert [shown["peak"] for shown in data["maps"]] == pytest.approx([0.8, 0.4, 0.2], abs=1e-3)
    assert (data["memberNames"], data["threshold"]) == (["sgd", "linear"], 0.25)
    assert "training_index.npz: no such file" in data["noTraining"]
    for place, red in enumerate((204, 102, 51)):
        with Image.open(tmp_path / f"report/photographs/{place}.jpg") as image:
            assert image.size == (320, 240)
            assert image.getpixel((32, 32))[0] == pytest.approx(red, abs=3)
    # What four decimals cannot tell apart is sorted by the classifiers.
    Image.new("RGB", (4, 4), (203, 0, 0)).save(tmp_path / "scored/a.png")
    assert start({"a.png": 0.797, "b.png": 0.7995}, "--threshold", 0) == 0
    data = read_report(tmp_path / "report")
    assert (data["photographs"]["name"], data["threshold"]) == (["b.png", "a.png"], 0)
    assert start({"a.png": 0.7965, "b.png": 0.7995}) == 0


@pytest.mark.parametrize(("off", "status"), [(0.0009, 0), (-0.0011, 1)])
def test_scores_of_other_classifiers_are_refused(start, tmp_path, capsys, off, status):
    assert start(RED | {"b.png": 0.8 + off}) == status
    assert (tmp_path / "report").exists() is (status == 0)
    assert ("b.png has the score" in capsys.readouterr().err) is (status == 1)


def test_a_photograph_that_cannot_be_read_moves_no_other(start, tmp_path, monkeypatch, capsys):
    """It is named, left out, and the exit status is 1; heat maps are of the first two or of all."""
    assert detection_report.MAPS == 200
    monkeypatch.setattr(detection_report, "MAPS", 2)
    (tmp_path / "scored/b.png").write_bytes(b"no picture")
    for arguments, last in (((), False), (("--all_heat_maps",), True)):
        assert start(RED, *arguments) == 1
        assert "b.png" in capsys.readouterr().err
        data = read_report(tmp_path / "report")
        assert [shown is not None for shown in data["maps"]] == [True, last]
        assert data["photographs"]["name"] == ["c.png", "a.png"]
        assert data["photographs"]["score"] == [0.4, 0.2]
    with Image.open(tmp_path / "report/photographs/0.jpg") as image:
        assert image.getpixel((32, 32))[0] == pytest.approx(102, abs=3)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (RED | {f"{i}.png": 0.5 for i in range(4)}, "4 of the 7 photographs in "),
        (RED | {f"{i}.png": 0.5 for i in range(4)}, " (first: 0.png, 1.png, 2.png)"),
        ({"D.PNG": 0.5}, " (first: D.PNG), but 'd.png' is there, which differs in case"),
        ({}, "holds no predictions"),
        ({"../predictions.txt": 0.5}, "leaves the folder"),
        ({"d.png": 0.5}, "none of 1 photographs can be read"),
    ],
)
def test_predictions_of_other_photographs_are_refused(
    start, tmp_path, capsys, predictions, message
):
    (tmp_path / "scored/d.png").write_bytes(b"no picture")
    assert start(predictions) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
