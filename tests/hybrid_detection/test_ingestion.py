"""ingestion.py on folders of good and bad files."""

import csv
import re
from functools import partial
from pathlib import Path

import ingestion
import model
import numpy as np
import pytest
import torch
from PIL import Image
from scoring import Scored
from worlds import write_pair, write_third

NAMES = ["a.png", 'b "2".png', "c.png", "d.png"]  # one needs quotes in a CSV
COLOURS = [(250, 30, 20), (20, 240, 60), (30, 40, 250), (250, 240, 40)]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Classifiers of random weights for the light backbone, whose scores are spread."""
    (tmp_path / "classifiers").mkdir()
    return write_pair(tmp_path / "classifiers")


@pytest.fixture
def photographs(draw, tmp_path) -> Path:
    for name, colour in zip(NAMES, COLOURS, strict=True):
        draw(tmp_path / "images" / name, colour)
    return tmp_path / "images"


@pytest.fixture
def ingest(folder, call):
    """Run ingestion.py with the classifiers in `folder`."""
    usual = ("--device", "cpu", "--workers", 0, "--classifiers", folder)
    return partial(call, ingestion.main, *usual)


def scores_in(folder: Path) -> dict[str, str]:
    lines = (folder / "predictions.txt").read_text().split("\n")
    return dict(line.split(",") for line in lines)


def test_a_listed_photograph_that_is_missing_is_said_to_be(ingest, photographs, tmp_path):
    other = NAMES[2].upper()
    (tmp_path / "list.csv").write_text(f"filename;x\n{NAMES[0]};\nnowhere.jpg;\n{other};\n")
    done = ingest(photographs, tmp_path, "--images", tmp_path / "list.csv")
    assert (done.returncode, list(scores_in(tmp_path))) == (1, NAMES[:1])
    assert f"{other}: not a readable image (no such file), but {NAMES[2]!r} is there" in done.stderr
    assert (
        f"ingestion: {photographs / 'nowhere.jpg'}: not a readable image (no such file)\n"
        in done.stderr
    )


def test_every_score_is_that_of_its_file(ingest, folder, photographs, tmp_path):
    """In batches of any size, decoded here or elsewhere, with a broken file in the middle."""
    (photographs / "b1.png").write_bytes(b"no picture")
    (photographs / "a,b.png").touch()
    detector = model.Model(device="cpu", classifiers=folder)
    detector.load()
    expected = {name: detector.predict(Image.open(photographs / name)) for name in NAMES}
    assert np.diff(sorted(expected.values())).min() > 0.01
    for batch_size, workers in [(1, 0), (7, 0), (3, 2)]:
        output = tmp_path / f"new/{workers}"
        done = ingest(photographs, output, "--batch_size", batch_size, "--workers", workers)
        assert done.returncode == 1
        assert done.stderr.count("b1.png: not a readable image") == 1
        assert "'a,b.png': a comma" in done.stderr
        assert "ingestion: 2 files were left out, named above\n" in done.stderr
        told = "ingestion: scored 4 images with efficientnet_lite0 (sgd, linear) of "
        assert done.stdout == f"{told}{folder}: {output / 'predictions.txt'}\n"
        assert [path.name for path in output.iterdir()] == ["predictions.txt"]
        assert all(re.fullmatch(r"[01]\.\d{4}", score) for score in scores_in(output).values())
        scores = {name: float(score) for name, score in scores_in(output).items()}
        assert list(scores) == NAMES
        assert scores == pytest.approx(expected, abs=1e-4)


def test_defaults_score_the_samples_beside_the_script(ingest, submission, tmp_path, monkeypatch):
    assert ingestion.OUTPUT_DIR == submission
    monkeypatch.setattr(ingestion, "OUTPUT_DIR", tmp_path / "out")
    assert ingest().returncode == 0
    samples = sorted(path.name for path in (submission / "ImageSamples").iterdir())
    assert list(scores_in(tmp_path / "out")) == samples
    assert len(samples) == 2


def test_without_a_score_the_old_predictions_stay(ingest, folder, draw, tmp_path):
    state = torch.load(folder / "clf1024.pth", weights_only=True)
    state["classifier.1.running_var"].fill_(-1)  # finite, but its square root is not
    torch.save(state, folder / "clf1024.pth")
    path = draw(tmp_path / "images/a.png")
    (tmp_path / "predictions.txt").write_text("from before")
    done = ingest(path.parent, tmp_path)
    assert f"{path}: its score is nan; check the weights" in done.stderr
    assert "none of 1 image can be scored" in done.stderr
    assert (tmp_path / "predictions.txt").read_text() == "from before"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["classifiers", "images", "predictions.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backbone", "dinov2_base"), "sgd_clf.pkl was trained on features of efficientnet_l"),
        (("--preprocess", "cutout"), "sgd_clf.pkl was trained on photographs, but the preprocess"),
        (("--members", "sgd", "subspecies"), "sgd_clf.pkl lies there without subspecies.npz"),
        (("--threshold", "1.1"), "--threshold 0 to 1"),
        (("--threshold", "nan"), "--threshold 0 to 1"),
        (("--batch_size", "0"), "--batch_size must be 1 or more"),
        (("--workers", "-1"), "--workers 0 or more"),
        (("--images", "a.csv", "--recursive"), "not allowed with"),
    ],
)
def test_what_cannot_be_done_is_refused(ingest, options, message):
    done = ingest(*options)
    assert done.returncode
    assert message in done.stderr


# ---- members and details ------------------------------------------------------------------------


def test_who_takes_part_and_what_is_called_a_hybrid(ingest, folder, photographs, stored, tmp_path):
    """The rows of all members together are among the contracts."""

    def details(*arguments: object) -> list[dict[str, str]]:
        assert ingest(photographs, tmp_path / "out", "--details", *arguments).returncode == 0
        with (tmp_path / "out/details.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    write_third(folder, stored)
    for row in details("--members", "linear", "sgd"):
        assert row["score"] == max(row["sgd"], row["linear"])
        assert [name for name in row if row[name]] == ["filename", "score", "sgd", "linear"]
    for row in details("--members", "subspecies", "--threshold", 0):
        assert row["score"] == row["subspecies"] and row["parents"]
        assert row["sgd"] == row["linear"] == ""
        assert (row["threshold"], row["decision"]) == ("0.000000", "hybrid")
    for score, decision in ((0.8, "non-hybrid"), (np.nextafter(0.8, 1), "hybrid")):
        assert ingestion.details_row("a", Scored(score, {}, None), 0.8)["decision"] == decision


def test_the_report_is_made_of_what_was_written(ingest, folder, photographs, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from pathlib import Path; print(sys.argv[1:])\n"
        "if '--all_heat_maps' in sys.argv:\n"
        "    page = Path(sys.argv[2]).with_name('report') / 'index.html'\n"
        "    page.parent.mkdir(exist_ok=True); page.write_text('a page')\n"
        "sys.exit('--fast' in sys.argv)"
    )
    monkeypatch.setattr(ingestion, "REPORT", program)
    output = tmp_path / "out"
    done = ingest(photographs, output, "--report", "--all_heat_maps", "--members", "linear", "sgd")
    assert done.returncode == 0, done.stderr
    given = ["--predictions", output / "predictions.txt", "--images", photographs]
    given += ["--classifiers", folder, "--device", "cpu", "--workers", 0, "--batch_size", 32]
    given += ["--members", "linear", "sgd", "--all_heat_maps"]
    assert done.stdout.splitlines()[-1] == str(list(map(str, given)))
    # A page that lacks a photograph is there; one of before is not that of these predictions.
    assert ingest(photographs, output, "--report", "--all_heat_maps", "--fast").returncode == 0
    done = ingest(photographs, output, "--report", "--fast")
    assert done.returncode == 1
    assert "predictions.txt is there, but not its report" in done.stderr
    assert (output / "predictions.journal").is_dir()  # the same command tries the report again
    (output / "report/index.html").unlink()
    monkeypatch.setattr(ingestion, "Model", None)  # before anything is scored
    done = ingest(photographs, output, "--report")
    assert f"{output / 'report'}: no report lies there, but something else" in done.stderr
