"""The detection report: its files, its numbers, and what a reader does with the page."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import unquote

import detection_report
import evaluation
import numpy as np
import pytest
from cutout import cut_out, find_specimen
from detection_report import write_report
from features import cells_reached
from model import Examined
from PIL import Image
from published_members import Origin
from reference import reference_data
from report_data import Setting, heat_map, javascript, specimen_mask
from subspecies_member import Parents
from worlds import (
    LABELS,
    MEMBERS,
    SCORES,
    report_index,
    report_photographs,
    report_reference,
)

SETTING = Setting("efficientnet_lite0", MEMBERS, "photograph", 0.5)


@pytest.fixture
def photographs(tmp_path, specimen) -> list:
    return report_photographs(tmp_path / "images", specimen(tmp_path / "specimen.png"))


@pytest.fixture
def report(tmp_path, photographs) -> Path:
    """The page of the photographs, with a training and a reference."""
    reference = reference_data(*report_reference(tmp_path))
    write_report(tmp_path / "report", photographs, SETTING, report_index(photographs), reference)
    return tmp_path / "report/index.html"


def read_data(folder: Path) -> dict:
    text = (folder / "data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("const REPORT = ").removesuffix(";\n"))


def jpeg(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, "JPEG")
    return buffer.getvalue()


# ---- files and numbers --------------------------------------------------------------------------


def test_the_folder_holds_what_the_page_shows_and_is_replaced_whole(
    report, tmp_path, photographs, monkeypatch
):
    folder = report.parent
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    pictures = {f"photographs/{i}.jpg" for i in range(12)} | {f"training/{i}.jpg" for i in range(6)}
    static = {f"static/{path.name}" for path in detection_report.STATIC.iterdir()}
    assert found == pictures | static | {"index.html", "data.js"}
    write_report(folder, photographs[:3], SETTING)
    assert len(read_data(folder)["photographs"]["name"]) == 3
    monkeypatch.setattr(detection_report, "render", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder, photographs, SETTING)
    assert len(read_data(folder)["photographs"]["name"]) == 3
    assert not list(tmp_path.glob(".*.part"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(ValueError, match="no report lies there"):
        write_report(tmp_path / "mine", photographs, SETTING)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_links_lead_from_the_page_to_the_files(report, photographs, tmp_path):
    """Through folders that are links, too: `..` leads out of the folder that a link names."""
    (tmp_path / "deep/down/real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/down/real")
    write_report(tmp_path / "link/report", photographs, SETTING)
    for folder in (report.parent, tmp_path / "link/report"):
        links = read_data(folder)["photographs"]["link"]
        assert all(re.fullmatch(r"[\w./%-]+", link, re.ASCII) for link in links)
        for link, photograph in zip(links, photographs, strict=True):
            assert (folder / unquote(link)).resolve() == photograph.path.resolve()


def test_no_text_ends_the_script_that_it_stands_in():
    data = {"name": "</script><script>alert(1)</script>", "quotes": "\"'\u2028ä"}
    text = javascript(data)
    assert "</" not in text and text.isascii()
    assert json.loads(text.removeprefix("const REPORT = ").removesuffix(";\n")) == data


def test_a_heat_map_has_the_evidence_in_whole_numbers(photographs):
    """For a hybrid above 0, against it below; the strongest patch, of either sign, is 127."""
    values = np.zeros((2, 3), np.float16)
    values[0, 1], values[1, 2] = 0.75, -1.5
    drawn = heat_map(replace(photographs[0], evidence=values))
    numbers = np.frombuffer(base64.b64decode(drawn["values"]), np.int8)
    assert (drawn["rows"], drawn["columns"], drawn["peak"]) == (2, 3, 1.5)
    assert numbers.tolist() == [0, 64, 0, 0, 0, -127]
    assert heat_map(replace(photographs[0], evidence=None)) is None


def test_evidence_outside_the_specimen_is_measured(report):
    outside = [some["outside"] for some in read_data(report.parent)["maps"]]
    assert outside == [1.0] + [0.0] * 11


def test_the_specimen_is_found_in_a_small_picture(tmp_path, specimen):
    path = specimen(tmp_path / "specimen.png")
    with Image.open(path) as image:
        image.resize((640, 480)).save(path)
    mask = specimen_mask(jpeg(path))
    assert mask.shape == (72, 96)
    large = Image.fromarray(find_specimen(np.asarray(Image.open(path))).mask)
    whole = np.asarray(large.resize((96, 72)))
    assert (mask & whole).sum() > 0.95 * (mask | whole).sum()
    Image.new("RGB", (160, 120), (225, 222, 205)).save(tmp_path / "empty.png")
    assert specimen_mask(jpeg(tmp_path / "empty.png")) is None
    cut_out(Image.open(path))[0].save(tmp_path / "cutout.png")
    mask = specimen_mask(jpeg(tmp_path / "cutout.png"))
    assert mask.shape == (96, 96)
    assert not cells_reached(mask, 7, 7)[0, 0] and mask[:, 4:-4].any(axis=0).all()


def test_parents_are_shown_by_the_most_similar_photograph_of_a_non_hybrid(report):
    similar = read_data(report.parent)["similar"]
    assert similar[0] == [0, 1]  # itself; the only one of 10
    assert similar[2][1] == 2  # itself
    assert similar[5][1] == 5
    assert similar[4][1] in (2, 5)  # not the painted one, which is itself


def test_the_reference_section_has_the_numbers_of_the_evaluation(report, tmp_path):
    files = tmp_path / "predictions.txt", tmp_path / "ref.csv"
    shown = read_data(report.parent)["reference"]
    expected = evaluation.score_rows(evaluation.read_scored(*files), files[1])
    moves = expected.pop("one_hybrid")
    assert {value for _, value, _ in shown["official"]} == {
        value for name, value in expected.items() if name != "crosses"
    }
    assert next(row[2] for row in shown["official"]) == moves["challenge_score"]
    scores, labels = np.array(SCORES).round(4), np.array(LABELS)
    assert shown["roc_auc"] == evaluation.roc_auc(scores, labels)
    assert shown["pr_auc"] == evaluation.pr_auc(scores, labels)
    (name, _, found, count, low, high), *rest = shown["crosses"]
    cross = expected["crosses"]["8 x 9"]
    assert (rest, name, count) == ([], "8 x 9", cross["hybrids"])
    assert (low, high) == evaluation.wilson(found, count)
    assert found == round(count * cross["recall"])


# ---- the program --------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run report.py's main on three photographs of one colour each, whose red is the score.

    Its model finds what it looks at as a network would; gives the exit status.
    """

    class Red:
        """Stands for the detector: no weights, and members that say the score."""

        backbone, preprocess, threshold = "efficientnet_lite0", "photograph", 0.25
        smallest_side = None
        members: ClassVar[dict] = {"linear": SimpleNamespace(origin=Origin()), "sgd": None}
        files: ClassVar[dict] = {"linear": tmp_path / "linear.pth"}

        def __init__(self, **options):
            self.options = options

        def load(self):
            pass

        def examine(self, pictures):
            scores = pictures[..., 0].double().mean(dim=(1, 2)).numpy() / 255
            parents = [Parents("8", "9", 0.6, 0.9)] * len(scores)
            features = np.stack([scores, 1 - scores], axis=1).astype(np.float32)
            return Examined(scores, {"sgd": scores, "linear": scores}, parents, features)

    def examine(model, pictures):
        examined = model.examine(pictures)
        return examined, np.repeat(examined.scores, 4).reshape(-1, 2, 2)

    monkeypatch.setattr(detection_report, "Model", Red)
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


def test_the_program_shows_the_predicted_scores(start, tmp_path):
    """Of 4 decimals, as the reference has them, and not those that the model gives again."""
    assert start(RED | {"b.png": 0.8004}, "--batch_size", 2) == 0
    data = read_data(tmp_path / "report")
    assert data["photographs"]["name"] == ["b.png", "c.png", "a.png"]
    assert data["photographs"]["score"] == [0.8004, 0.4, 0.2]
    assert data["photographs"]["members"]["sgd"] == pytest.approx([0.8, 0.4, 0.2], abs=1e-4)
    assert [shown["peak"] for shown in data["maps"]] == pytest.approx([0.8, 0.4, 0.2], abs=1e-3)
    assert (data["memberNames"], data["threshold"]) == (["sgd", "linear"], 0.25)
    assert "training_index.npz: no such file" in data["noTraining"]
    for place, red in enumerate((204, 102, 51)):
        with Image.open(tmp_path / f"report/photographs/{place}.jpg") as image:
            assert image.size == (320, 240)
            assert image.getpixel((32, 32))[0] == pytest.approx(red, abs=3)


def test_details_give_finer_scores_and_the_threshold_if_they_are_of_these_scores(start, tmp_path):
    lines = ["filename,score,threshold", "a.png,0.200012,0.3", "b.png,0.800049,0.3"]
    (tmp_path / "details.csv").write_text("\n".join([*lines, "c.png,0.4,0.3"]) + "\n")
    assert start(RED) == 0
    data = read_data(tmp_path / "report")
    assert data["photographs"]["score"] == [0.800049, 0.4, 0.200012]
    assert data["threshold"] == 0.3
    assert start(RED, "--threshold", 0) == 0
    assert read_data(tmp_path / "report")["threshold"] == 0
    assert start(RED | {"b.png": 0.8002}) == 0  # those of another run
    data = read_data(tmp_path / "report")
    assert (data["photographs"]["score"], data["threshold"]) == ([0.8002, 0.4, 0.2], 0.25)


@pytest.mark.parametrize(("off", "status"), [(0.0009, 0), (0.0011, 1), (-0.0011, 1)])
def test_scores_of_other_classifiers_are_refused(start, tmp_path, capsys, off, status):
    assert start(RED | {"b.png": 0.8 + off}) == status
    assert (tmp_path / "report").exists() is (status == 0)
    assert ("b.png has the score" in capsys.readouterr().err) is (status == 1)


@pytest.mark.parametrize(("arguments", "count"), [((), 2), (("--all_heat_maps",), 3)])
def test_heat_maps_are_of_the_first_photographs_or_of_all(
    start, tmp_path, monkeypatch, arguments, count
):
    assert detection_report.MAPS == 200
    monkeypatch.setattr(detection_report, "MAPS", 2)
    assert start(RED, *arguments) == 0
    maps = read_data(tmp_path / "report")["maps"]
    assert [shown is not None for shown in maps] == [True] * count + [False] * (3 - count)


@pytest.mark.parametrize("arguments", [[], ["--scores_only"]])
def test_a_photograph_that_cannot_be_read_moves_no_other(start, tmp_path, capsys, arguments):
    """It is named, left out, and the exit status is 1."""
    (tmp_path / "scored/b.png").write_bytes(b"no picture")
    assert start(RED, *arguments) == 1
    assert "b.png" in capsys.readouterr().err
    data = read_data(tmp_path / "report")
    assert data["photographs"]["name"] == ["c.png", "a.png"]
    assert data["photographs"]["score"] == [0.4, 0.2]
    with Image.open(tmp_path / "report/photographs/0.jpg") as image:
        assert image.getpixel((32, 32))[0] == pytest.approx(102, abs=3)


def test_scores_alone_need_no_model_and_are_believed(start, tmp_path, monkeypatch):
    monkeypatch.delattr(detection_report, "Model")
    assert start({"a.png": 0.9, "b.png": 0.1}, "--scores_only", "--threshold", 0) == 0
    data = read_data(tmp_path / "report")
    assert data["photographs"]["score"] == [0.9, 0.1]
    assert (data["threshold"], data["memberNames"], data["maps"]) == (0, [], [None, None])


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (RED | {f"{i}.png": 0.5 for i in range(4)}, "4 of the 7 photographs"),
        (RED | {f"{i}.png": 0.5 for i in range(4)}, "(first: 0.png, 1.png, 2.png)"),
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
