"""prepare_images.py: where each photograph goes and at which size, resuming, bad originals."""

import os
from pathlib import Path

import numpy as np
import prepare_images
import pytest
from PIL import Image

PROGRAM = prepare_images.__file__


@pytest.fixture
def world(write_csv, draw, tmp_path):
    """A CSV of three photographs, one of them large and one a signal hybrid; a function runs it."""
    csv = write_csv(
        [
            "C1,u,non-hybrid,train,z,m,8.0,,,C1.jpg",
            "C2,u,non-hybrid,train,z,m,9.0,,,C2.png",
            "C3,u,hybrid,train,z,m,,8.0,9.0,C3.jpg",
        ]
    )
    draw(tmp_path / "originals/C1.jpg", size=(1500, 1000))
    draw(tmp_path / "originals/C2.png", size=(300, 200))
    draw(tmp_path / "originals/C3.jpg", size=(300, 450))
    return ["--csv", csv, "--photos", tmp_path / "originals", "--datasets", tmp_path / "sets"]


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): Image.open(path).size for path in files}


def test_each_photograph_at_its_places_and_sizes(world, tmp_path, run):
    done = run(PROGRAM, *world)
    assert done.returncode == 0, done.stderr
    assert sizes(tmp_path / "sets") == {
        "Images4TrainAFhybrid/Images/non-hybrid/train/good/C1.jpg": (500, 333),
        "Images4TrainAFhybrid/Images/non-hybrid/train/good/C2.png": (500, 333),
        "Images4TrainAFhybrid/Images/hybrid/train/good/C3.jpg": (500, 333),
        "Images4TrainAFnonhybrid/Images/8/train/good/C1.jpg": (256, 256),
        "Images4TrainAFnonhybrid/Images/9/train/good/C2.png": (256, 256),
        "Images4TrainAFnonhybrid/Images/8_9/train/good/C3.jpg": (256, 256),
        "Images4TrainClassifier/Images/non-hybrid/C1.jpg": (1024, 683),
        "Images4TrainClassifier/Images/non-hybrid/C2.png": (300, 200),
        "Images4TrainClassifier/Images/hybrid/C3.jpg": (300, 450),
    }
    kept = tmp_path / "sets/Images4TrainClassifier/Images/hybrid/C3.jpg"
    assert kept.read_bytes() == (tmp_path / "originals/C3.jpg").read_bytes()


def test_the_whole_photograph_is_resized_not_cropped(write_csv, tmp_path):
    csv = write_csv(["C1,u,non-hybrid,train,z,m,8.0,,,C1.png"])
    pixels = np.zeros((400, 900, 3), np.uint8)
    pixels[:, 450:] = (255, 0, 0)
    pixels[200:, :, 2] = 255
    (tmp_path / "originals").mkdir()
    Image.fromarray(pixels).save(tmp_path / "originals/C1.png")
    arguments = [f"--csv={csv}", f"--photos={tmp_path}/originals", f"--datasets={tmp_path}"]
    assert prepare_images.run(prepare_images.parse_arguments(arguments)) == 0
    small = Image.open(tmp_path / "Images4TrainAFnonhybrid/Images/8/train/good/C1.png")
    assert small.getpixel((0, 0)) == (0, 0, 0)
    assert small.getpixel((255, 0)) == (255, 0, 0)
    assert small.getpixel((0, 255)) == (0, 0, 255)
    assert small.getpixel((255, 255)) == (255, 0, 255)


def test_a_second_run_writes_only_what_does_not_stand(world, tmp_path, caplog):
    args = prepare_images.parse_arguments([str(argument) for argument in world])
    with caplog.at_level("INFO"):
        prepare_images.run(args)
        prepare_images.run(args)
        assert caplog.messages == [
            "3 photographs, 3 prepared now",
            "3 photographs, 0 prepared now",
        ]
        (tmp_path / "sets/Images4TrainAFnonhybrid/Images/8/train/good/C1.jpg").unlink()
        os.utime(tmp_path / "originals/C2.png", (4e9, 4e9))  # a newer original
        prepare_images.run(args)
        assert caplog.messages[-1] == "3 photographs, 2 prepared now"
        args.classifier_side = 400
        os.utime(tmp_path / "originals/C2.png", (1, 1))
        prepare_images.run(args)  # C1 and C3 are larger than that
        assert caplog.messages[-1] == "3 photographs, 2 prepared now"
    kept = tmp_path / "sets/Images4TrainClassifier/Images"
    assert Image.open(kept / "non-hybrid/C1.jpg").size == (400, 267)
    assert Image.open(kept / "hybrid/C3.jpg").size == (267, 400)
    assert not list(tmp_path.rglob("*.part*"))


def test_a_pipe_in_a_photographs_place_does_not_stand(world, tmp_path, run):
    place = tmp_path / "sets/Images4TrainAFnonhybrid/Images/8/train/good/C1.jpg"
    place.parent.mkdir(parents=True)
    os.mkfifo(place)  # opening it would wait for a writer for ever
    done = run(PROGRAM, *world, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Image.open(place).size == (256, 256)


def test_originals_that_are_missing_are_an_error_before_any_work(world, tmp_path, run):
    (tmp_path / "originals/C2.png").unlink()
    done = run(PROGRAM, *world)
    assert done.returncode == 1
    assert "1 of 3 photographs are not in" in done.stderr
    assert "the first is C2.png" in done.stderr
    assert "scripts/download_challenge.sh" in done.stderr
    assert not (tmp_path / "sets").exists()


def test_originals_that_cannot_be_read_are_named_and_the_others_prepared(world, tmp_path, run):
    (tmp_path / "originals/C2.png").write_text("no image")
    whole = (tmp_path / "originals/C3.jpg").read_bytes()
    (tmp_path / "originals/C3.jpg").write_bytes(whole[: len(whole) // 2])
    done = run(PROGRAM, *world)
    assert done.returncode == 1
    assert "C2.png: not a readable image" in done.stderr
    assert "C3.jpg: not a readable image" in done.stderr
    assert "2 photographs cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert {Path(name).name for name in sizes(tmp_path / "sets")} == {"C1.jpg"}


@pytest.mark.parametrize("options", ["--classifier_side 100", "--workers 0"])
def test_bad_options(capsys, options):
    with pytest.raises(SystemExit):
        prepare_images.parse_arguments(["--csv=x", "--photos=y", *options.split()])
    assert options in capsys.readouterr().err
