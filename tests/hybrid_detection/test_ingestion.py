"""ingestion.py on folders of good and bad files."""

import csv
import io
import os
import pickle
import shutil
import struct
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from types import SimpleNamespace

import backbones
import cutout
import dataset
import ingestion
import model
import numpy as np
import pytest
import scoring
import subspecies_member
import torch
import training
from PIL import Image
from published_members import LinearClassifier
from sklearn.linear_model import SGDClassifier


@pytest.fixture
def folder(submission, tmp_path) -> Path:
    """A copy of the submission folder with classifiers of random weights for the light backbone.

    They are spread so that unlike images have clearly unlike scores, some by the one classifier
    and some by the other.
    """
    folder = tmp_path / "submission"
    shutil.copytree(submission, folder, ignore=shutil.ignore_patterns("*.p*[lth]", "__pycache__"))
    torch.manual_seed(0)
    linear = LinearClassifier(1280)
    linear.classifier[9].weight.data *= 60
    linear.classifier[9].bias.data = 60 * linear.classifier[9].bias - torch.tensor([0, 2.1])
    state = linear.state_dict()
    state._metadata[""] |= {"backbone": "efficientnet_lite0", "training": "1f3c"}
    torch.save(state, folder / "clf1024.pth")
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 1280))
    sgd = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    sgd.coef_ = rng.standard_normal((1, 1280)) / 8
    sgd.intercept_ = np.array([1.5])
    sgd.backbone_, sgd.training_ = "efficientnet_lite0", "1f3c"
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(sgd))
    return folder


@dataclass
class Finished:
    """What ingestion.py left: its exit status and its output."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ingest(folder, monkeypatch, capsys):
    """Run the main of ingestion.py as if it lay in `folder`, in this process for speed."""
    monkeypatch.setattr(ingestion, "HERE", folder)
    monkeypatch.setattr(model, "HERE", folder)
    monkeypatch.setattr(model, "MODELS", [])

    def run_ingestion(*arguments: object) -> Finished:
        command = ["ingestion.py", "--device", "cpu", "--workers", "0", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        status = ingestion.main()
        return Finished(status, *capsys.readouterr())

    return run_ingestion


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def test_good_and_bad_files_as_a_user_runs_it(run, folder, draw, tmp_path):
    images = tmp_path / "images"
    for name in ("b.png", "a.jpg", "C.PNG"):
        draw(images / name)
    jpeg = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(jpeg, "JPEG")
    draw(images / "a,b.png")
    bad = {
        "truncated.jpg": jpeg.getvalue()[:5000],
        "empty.png": b"",
        "text.jpg": b"this is no picture",
        "bomb.png": bomb(),
    }
    for name, content in bad.items():
        (images / name).write_bytes(content)
    (images / "notes.txt").write_text("not an image, and not named as one")

    options = ("--batch_size", 2, "--workers", 2)
    done = run(folder / "ingestion.py", images, tmp_path / "out", *options)

    assert done.returncode == 1
    lines = (tmp_path / "out/predictions.txt").read_text().split("\n")
    assert [line.split(",")[0] for line in lines] == ["C.PNG", "a.jpg", "b.png"]
    for line in lines:
        value = line.split(",")[1]
        assert len(value) == len("0.0000")
        assert 0 <= float(value) <= 1
    for name in bad:
        assert done.stderr.count(f"{name}: not a readable image") == 1
    assert "'a,b.png': a comma" in done.stderr
    assert "5 files were left out" in done.stderr
    assert "scored 3 images with efficientnet_lite0 (sgd, linear): " in done.stdout
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.txt"]


def test_every_score_is_that_of_its_file(ingest, folder, draw, tmp_path):
    """In batches of any size, decoded here or elsewhere, with a broken file in the middle."""
    images = tmp_path / "images"
    colours = [(250, 30, 20), (20, 240, 60), (30, 40, 250), (250, 240, 40), (90, 90, 90), (9, 9, 9)]
    paths = [draw(images / f"{index}.png", colour) for index, colour in enumerate(colours)]
    (images / "2a.png").write_bytes(b"no picture")
    detector = model.Model(device="cpu")
    detector.load()
    expected = {path.name: detector.predict(Image.open(path)) for path in paths}
    assert np.diff(sorted(expected.values())).min() > 0.01

    for batch_size, workers in [(1, 0), (2, 0), (3, 0), (7, 0), (2, 2), (3, 2)]:
        done = ingest(images, tmp_path, "--batch_size", batch_size, "--workers", workers)
        assert done.returncode == 1
        assert done.stderr.count("2a.png: not a readable image") == 1
        lines = (tmp_path / "predictions.txt").read_text().split("\n")
        scores = {line.split(",")[0]: float(line.split(",")[1]) for line in lines}
        assert list(scores) == [path.name for path in paths]
        assert scores == pytest.approx(expected, abs=1e-4)


def test_defaults_score_the_samples_beside_the_script(ingest, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ingest()
    assert done.returncode == 0, done.stderr
    samples = sorted(path.name for path in (folder / "ImageSamples").iterdir())
    lines = (folder / "predictions.txt").read_text().split("\n")
    assert len(lines) == 2
    assert [line.split(",")[0] for line in lines] == samples


def test_typed_paths_are_relative_to_the_current_folder(
    ingest, folder, draw, tmp_path, monkeypatch
):
    here = tmp_path / "elsewhere"
    draw(here / "images/a.png")
    (here / "mine").mkdir()
    for name in ("clf1024.pth", "sgd_clf.pkl"):
        (folder / name).rename(here / "mine" / name)
    monkeypatch.chdir(here)
    done = ingest("images", "out", "--classifiers", "mine")
    assert done.returncode == 0, done.stderr
    assert (here / "out/predictions.txt").read_text().startswith("a.png,0.")
    assert not (folder / "predictions.txt").exists()


def test_every_image_mode_is_scored(ingest, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for mode, suffix in [("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg")]:
        Image.new(mode, (30, 30), 1).save(images / f"{mode}.{suffix}")
    Image.fromarray(np.full((30, 30), 40_000, np.uint16)).save(images / "I16.png")
    done = ingest(images, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "predictions.txt").read_text().split("\n")) == 5


def test_pipes_folders_and_floats_are_named_and_left_out(ingest, draw, tmp_path):
    images = tmp_path / "images"
    draw(images / "z.png")
    os.mkfifo(images / "a.png")  # opening it would wait for a writer for ever
    (images / "b.jpg").mkdir()
    (images / "c.jpg").symlink_to("/dev/zero")
    Image.new("F", (30, 30), 0.5).save(images / "d.tif")
    (images / "e.png").symlink_to(images / "gone.png")
    done = ingest(images, tmp_path)
    assert done.returncode == 1
    for name in ("a.png", "b.jpg", "c.jpg"):
        assert f"{images / name}: not a readable image (a folder, a pipe or a dev" in done.stderr
    assert f"{images / 'd.tif'}: not a readable image (F (30, 30): over 1" in done.stderr
    assert f"{images / 'e.png'}: not a readable image ([Errno 2] No such file" in done.stderr
    assert "5 files were left out" in done.stderr
    assert (tmp_path / "predictions.txt").read_text().startswith("z.png,0.")


def test_an_image_too_large_for_the_memory_is_named(draw, tmp_path):
    path = draw(tmp_path / "a.png")

    def exhausted(_):
        raise MemoryError

    expected = f"{path}: too large to resize in the memory that is left"
    assert dataset.ButterflyDataset([path], exhausted)[0] == expected


def test_a_failed_run_leaves_the_old_predictions(ingest, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    (tmp_path / "predictions.txt").write_text("from before")
    done = ingest(tmp_path / "images", tmp_path)
    assert done.returncode == 1
    assert "none of 1 image can be scored" in done.stderr
    assert (tmp_path / "predictions.txt").read_text() == "from before"


def test_a_score_that_is_no_number_is_never_written(ingest, folder, draw, tmp_path):
    state = torch.load(folder / "clf1024.pth", weights_only=True)
    state["classifier.1.running_var"].fill_(-1)  # finite, but its square root is not
    torch.save(state, folder / "clf1024.pth")
    path = draw(tmp_path / "images/a.png")
    done = ingest(path.parent, tmp_path / "out")
    assert done.returncode == 1
    assert f"{path}: its score is nan; check the weights" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_no_number_moves_no_other(draw, tmp_path):
    paths = [draw(tmp_path / f"{index}.png") for index in range(3)]
    detector = SimpleNamespace(
        transform=backbones.make_transform("dinov2_base"),
        smallest_side=None,
        examine=lambda batch: model.Examined(
            np.array([0.25, np.inf, 0.75]),
            {"sgd": np.array([0.125, 0.5, 0.75])},
            [subspecies_member.Parents("8", "9", 0.6, chance) for chance in (0.7, 0.8, 0.9)],
            np.zeros((3, 1536), np.float32),
        ),
    )
    (outcomes,) = scoring.score_images(detector, paths, batch_size=3, workers=0)
    assert outcomes == {
        0: scoring.Scored(0.25, {"sgd": 0.125}, subspecies_member.Parents("8", "9", 0.6, 0.7)),
        1: f"{paths[1]}: its score is inf; check the weights",
        2: scoring.Scored(0.75, {"sgd": 0.75}, subspecies_member.Parents("8", "9", 0.6, 0.9)),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "no such folder"),
        ("notes.txt", "holds no images"),
    ],
)
def test_a_folder_that_cannot_be_scored(tmp_path, name, message):
    folder = tmp_path / "images"
    if name:
        folder.mkdir()
        (folder / name).touch()
    with pytest.raises(ValueError, match=message):
        ingestion.find_images(folder)


def test_one_is_told_as_one(ingest, draw, tmp_path):
    draw(tmp_path / "images/a.png")
    (tmp_path / "images/b.png").touch()
    done = ingest(tmp_path / "images", tmp_path)
    assert "ingestion: scored 1 image with efficientnet_lite0" in done.stdout
    assert done.stderr.endswith("ingestion: 1 file was left out, named above\n")


def test_bad_names_are_found_in_one_pass(tmp_path, monkeypatch):
    """Comparing each name with all bad ones took minutes for 100,000 files."""
    for index in range(300):
        (tmp_path / f"{index:03d},.png").touch()
        (tmp_path / f"{index:03d}.png").touch()
    comparisons = []
    equal = PurePath.__eq__
    monkeypatch.setattr(
        PurePath, "__eq__", lambda one, other: comparisons.append(one) or equal(one, other)
    )
    images, refused = ingestion.find_images(tmp_path)
    assert [path.name for path in images] == [f"{index:03d}.png" for index in range(300)]
    assert len(refused) == 300
    assert refused[7].startswith("'007,.png': a comma")
    assert len(comparisons) <= 1200


def test_another_backbones_classifiers_are_refused(ingest, folder):
    done = ingest("--backbone", "dinov2_base")
    assert done.returncode == 1
    assert "clf1024.pth was trained on features of efficientnet_lite0, but" in done.stderr
    assert ingest("--backbone", "efficientnet_lite0").returncode == 0


def test_specimens_are_cut_out_where_the_classifiers_remember_it(
    ingest, folder, specimen, photographs, tmp_path
):
    """And what was cut out before, or cannot be, is scored as it is."""
    specimen(photographs / "e.png")
    assert ingest(photographs, tmp_path / "whole").returncode == 0

    state = torch.load(folder / "clf1024.pth", weights_only=True)
    state._metadata[""]["preprocess"] = "cutout"
    torch.save(state, folder / "clf1024.pth")
    done = ingest(photographs, tmp_path / "mixed")
    assert done.returncode == 1
    assert "sgd_clf.pkl do not belong together: the first was trained on features" in done.stderr
    sgd = pickle.loads((folder / "sgd_clf.pkl").read_bytes())
    sgd.preprocess_ = "cutout"
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(sgd))

    cutout.cut_out(Image.open(photographs / "e.png"))[0].save(photographs / "f.png")
    done = ingest(photographs, tmp_path / "cut", "--preprocess", "cutout", "--workers", 2)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "cut/predictions.txt"
    assert done.stdout == (
        "ingestion: scored 6 images, specimens cut out where they were found, with "
        f"efficientnet_lite0 (sgd, linear): {output}\n"
    )
    whole, cut = (
        dict(line.split(",") for line in path.read_text().splitlines())
        for path in (tmp_path / "whole/predictions.txt", output)
    )
    assert cut["e.png"] == cut["f.png"]
    assert abs(float(cut["e.png"]) - float(whole["e.png"])) > 0.005
    for name in ("a.png", "d.png"):  # of one colour
        assert cut[name] == whole[name]


def test_classifiers_of_another_preprocess_are_refused(ingest, photographs, tmp_path):
    done = ingest(photographs, tmp_path / "out", "--preprocess", "cutout")
    assert done.returncode == 1
    assert "clf1024.pth was trained on photographs, but the preprocess is cutout" in done.stderr
    assert not (tmp_path / "out").exists()
    assert ingest(photographs, tmp_path / "out", "--preprocess", "photograph").returncode == 0


def test_half_a_pair_is_refused(ingest, folder):
    (folder / "sgd_clf.pkl").unlink()
    done = ingest()
    assert done.returncode == 1
    assert f"{folder / 'clf1024.pth'} lies there without sgd_clf.pkl" in done.stderr


# ---- members and details ------------------------------------------------------------------------


@pytest.fixture
def photographs(draw, tmp_path) -> Path:
    """Four pictures; the name of one needs quotes in a CSV."""
    images = tmp_path / "images"
    colours = [(250, 30, 20), (20, 240, 60), (30, 40, 250), (250, 240, 40)]
    for name, colour in zip(["a.png", 'b "2".png', "c.png", "d.png"], colours, strict=True):
        draw(images / name, colour)
    return images


def read_details(folder: Path) -> list[dict[str, str]]:
    with (folder / "details.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_details_say_how_a_score_came_about(ingest, folder, photographs, stored, tmp_path):
    training.save_subspecies(stored, folder / "subspecies.npz")
    done = ingest(photographs, tmp_path / "out", "--details")
    assert done.returncode == 0, done.stderr
    assert "with efficientnet_lite0 (sgd, linear, subspecies): " in done.stdout
    rows = read_details(tmp_path / "out")
    assert ",".join(rows[0]) == (
        "filename,score,sgd,linear,subspecies,threshold,decision,"
        "parent_1,share_1,parent_2,share_2,parents,certainty"
    )
    images = sorted(photographs.iterdir())
    assert [row["filename"] for row in rows] == [path.name for path in images]
    lines = (tmp_path / "out/predictions.txt").read_text().splitlines()
    assert [line.split(",")[1] for line in lines] == [f"{float(row['score']):.4f}" for row in rows]

    detector = model.Model(device="cpu")
    detector.load()
    examined = detector.examine(torch.stack([detector.transform(Image.open(i)) for i in images]))
    features = detector.features(
        torch.stack([detector.transform(Image.open(path)) for path in images])
    ).numpy()
    expected = stored.hybrid_probability(features)
    assert examined.members["subspecies"] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 0.01
    for number, (row, parents) in enumerate(zip(rows, stored.parents(features), strict=True)):
        sgd, linear, member = (float(row[name]) for name in ("sgd", "linear", "subspecies"))
        assert sgd == pytest.approx(examined.members["sgd"][number], abs=1e-5)
        assert linear == pytest.approx(examined.members["linear"][number], abs=1e-5)
        assert member == pytest.approx(expected[number], abs=1e-5)
        noisy_or = 1 - (1 - max(sgd, linear)) * (1 - member)
        assert float(row["score"]) == pytest.approx(noisy_or, abs=3e-6)
        assert row["threshold"] == "0.625000"
        assert row["decision"] == ("hybrid" if noisy_or > 0.625 else "non-hybrid")
        assert (row["parent_1"], row["parent_2"]) == (parents.first, parents.second)
        assert float(row["share_1"]) == pytest.approx(parents.share, abs=0.006)
        assert float(row["share_1"]) + float(row["share_2"]) == pytest.approx(1)
        assert row["parents"] == str(parents)
        assert float(row["certainty"]) == pytest.approx(parents.certainty, abs=1e-3)


def test_published_members_score_as_before_and_have_no_threshold(
    ingest, folder, photographs, stored, tmp_path
):
    assert ingest(photographs, tmp_path / "published", "--details").returncode == 0
    training.save_subspecies(stored, folder / "subspecies.npz")
    chosen = ("--details", "--members", "linear", "sgd")
    done = ingest(photographs, tmp_path / "chosen", *chosen)
    assert "with efficientnet_lite0 (sgd, linear): " in done.stdout
    for name in ("predictions.txt", "details.csv"):
        published = (tmp_path / "published" / name).read_text()
        assert (tmp_path / "chosen" / name).read_text() == published
    for row in read_details(tmp_path / "published"):
        larger = max(row["sgd"], row["linear"])
        assert row["score"] == larger
        assert [name for name, cell in row.items() if cell] == [
            *("filename", "score", "sgd", "linear")
        ]
    ingest(photographs, tmp_path / "all")
    predictions = [tmp_path / run / "predictions.txt" for run in ("all", "published")]
    assert predictions[0].read_text() != predictions[1].read_text()
    assert not (tmp_path / "all/details.csv").exists()

    done = ingest(photographs, tmp_path / "called", "--details", "--threshold", 0.5, *chosen[1:])
    assert done.returncode == 0, done.stderr
    for row in read_details(tmp_path / "called"):
        assert row["threshold"] == "0.500000"
        assert row["decision"] == ("hybrid" if float(row["score"]) > 0.5 else "non-hybrid")


def test_one_member_alone(ingest, folder, photographs, stored, tmp_path):
    training.save_subspecies(stored, folder / "subspecies.npz")
    done = ingest(photographs, tmp_path, "--details", "--members", "subspecies")
    assert done.returncode == 0, done.stderr
    for row in read_details(tmp_path):
        assert row["score"] == row["subspecies"]
        assert row["sgd"] == row["linear"] == row["threshold"] == row["decision"] == ""
        assert row["parents"]


def test_a_stored_threshold_that_is_not_known_is_left_out(
    ingest, folder, photographs, stored, tmp_path
):
    unknown = replace(stored, threshold=np.array(np.nan))
    training.save_subspecies(unknown, folder / "subspecies.npz")
    assert ingest(photographs, tmp_path, "--details").returncode == 0
    assert {row["threshold"] for row in read_details(tmp_path)} == {""}


def test_a_member_that_is_missing_is_named(ingest, folder, photographs, tmp_path):
    done = ingest(photographs, tmp_path, "--members", "sgd", "linear", "subspecies")
    assert done.returncode == 1
    assert f"{folder / 'clf1024.pth'} lies there without subspecies.npz" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--members", "knn"), "invalid choice: 'knn'"),
        (("--threshold", "1.1"), "--threshold must be 0 to 1, not 1.1"),
        (("--threshold", "nan"), "--threshold must be 0 to 1, not nan"),
    ],
)
def test_options_out_of_range_are_refused(ingest, capsys, options, message):
    with pytest.raises(SystemExit):
        ingest(*options)
    assert message in capsys.readouterr().err
