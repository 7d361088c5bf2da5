"""prepare_images.py: where each photograph goes and at which size, resuming, bad originals, and
cutouts for the generators."""

import functools
import io
import os
import re
import signal
from pathlib import Path

import numpy as np
import prepare_images
import pytest
from common.challenge_csv import read_photos
from demo.photograph import photograph
from demo.traits import SUBSPECIES, individual
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

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


def test_jpegs_keep_the_full_resolution_of_colours(write_csv, draw, tmp_path):
    csv = write_csv(["C1,u,non-hybrid,train,z,m,8.0,,,C1.jpg"])
    draw(tmp_path / "originals/C1.jpg", size=(300, 200))
    arguments = [f"--csv={csv}", f"--photos={tmp_path}/originals", f"--datasets={tmp_path}"]
    assert prepare_images.run(prepare_images.parse_arguments(arguments)) == 0
    with Image.open(tmp_path / "Images4TrainAFnonhybrid/Images/8/train/good/C1.jpg") as small:
        assert get_sampling(small) == 0  # 4:4:4


@pytest.mark.parametrize(
    ("mode", "compression"), [("1", "group4"), ("RGB", "jpeg"), ("RGB", "tiff_lzw"), ("RGB", None)]
)
def test_a_tiff_of_any_compression_is_prepared(write_csv, tmp_path, mode, compression):
    csv = write_csv(["C1,u,non-hybrid,train,z,m,8.0,,,C1.tif"])
    (tmp_path / "originals").mkdir()
    image = Image.new("RGB", (600, 400), "white").convert(mode)
    image.save(tmp_path / "originals/C1.tif", compression=compression)
    arguments = [f"--csv={csv}", f"--photos={tmp_path}/originals", f"--datasets={tmp_path}"]
    assert prepare_images.run(prepare_images.parse_arguments(arguments)) == 0
    small = Image.open(tmp_path / "Images4TrainAFnonhybrid/Images/8/train/good/C1.tif")
    assert (small.mode, small.size, small.getpixel((9, 9))) == ("RGB", (256, 256), (255,) * 3)


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


@pytest.mark.parametrize("options", ["--classifier_side 100", "--workers 0", "--masks mine"])
def test_bad_options(capsys, options):
    with pytest.raises(SystemExit):
        prepare_images.parse_arguments(["--csv=x", "--photos=y", *options.split()])
    assert options in capsys.readouterr().err


@functools.cache
def specimen(number: int) -> bytes:
    """JPEG of a drawn specimen, reduced to what is cut out in a moment."""
    rng = np.random.default_rng(number)
    name = ("erato", "notabilis", "venus")[number - 1]
    traits = individual((name,), rng)
    jpeg, _ = photograph(traits, SUBSPECIES[name].species, f"D{number}", rng)
    small = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).resize((480, 320)).save(small, "JPEG", quality=95)
    return small.getvalue()


@pytest.fixture
def drawn(write_csv, tmp_path):
    """Options for three drawn specimens and D4, blank paper, beside pictures of no concern."""
    csv = write_csv(
        [
            "D1,u,non-hybrid,train,z,m,8.0,,,D1.jpg",
            "D2,u,non-hybrid,train,z,m,9.0,,,D2.jpg",
            "D3,u,hybrid,train,z,m,,8.0,9.0,D3.jpg",
            "D4,u,non-hybrid,train,z,m,8.0,,,D4.png",
        ]
    )
    photos = tmp_path / "originals"
    (photos / "below").mkdir(parents=True)
    for number in (1, 2, 3):
        (photos / f"D{number}.jpg").write_bytes(specimen(number))
    Image.new("RGB", (400, 300), (120, 130, 140)).save(photos / "D4.png")
    (photos / "D1.png").write_text("not in the CSV, and no image")
    (photos / "below/D2.jpg").write_text("nor this")
    return ["--csv", csv, "--photos", photos, "--datasets", tmp_path / "sets", "--workers", 1]


GENERATORS = ["Images4TrainAFhybrid", "Images4TrainAFnonhybrid"]


def kinds(sets: Path) -> dict[str, set[bool]]:
    """Whether the images of each photograph that the generators get are on a cutout's ground."""
    found: dict[str, set[bool]] = {}
    for path in (path for name in GENERATORS for path in (sets / name).rglob("good/*")):
        pixels = np.asarray(Image.open(path), int)
        corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        found.setdefault(path.name, set()).add(bool(np.abs(corners - 220).max() <= 1))
    return found


ALL_CUTOUTS = {"D1.jpg": {True}, "D2.jpg": {True}, "D3.jpg": {True}, "D4.png": {False}}
ALL_PHOTOGRAPHS = {name: {False} for name in ALL_CUTOUTS}


def test_generators_get_cutouts_and_classifiers_photographs(drawn, tmp_path, run):
    done = run(PROGRAM, *drawn, "--cutouts")
    assert done.returncode == 0, done.stderr
    assert "D4.png stays whole" in done.stderr
    assert "4 photographs, 4 prepared now" in done.stderr
    sets = tmp_path / "sets"
    assert set(sizes(sets / "cutouts/images")) == set(ALL_CUTOUTS)  # and nothing beside them
    assert kinds(sets) == ALL_CUTOUTS
    for place, size in [
        ("AFhybrid/Images/hybrid/train/good/D3.jpg", (500, 333)),
        ("AFnonhybrid/Images/8_9/train/good/D3.jpg", (256, 256)),
        ("AFnonhybrid/Images/8/train/good/D4.png", (256, 256)),  # whole, as it is
    ]:
        path = sets / f"Images4Train{place}"
        cutout = Image.open(sets / "cutouts/images" / path.name).convert("RGB")
        expected = np.asarray(cutout.resize(size, Image.Resampling.LANCZOS), int)
        assert np.abs(np.asarray(Image.open(path), int) - expected).mean() < 2
    kept = sets / "Images4TrainClassifier/Images"
    for name in ("non-hybrid/D1.jpg", "hybrid/D3.jpg"):
        assert (kept / name).read_bytes() == (tmp_path / "originals" / Path(name).name).read_bytes()


def test_images_follow_from_photographs_to_cutouts_and_back(
    drawn, tmp_path, run, repository, caplog
):
    sets = tmp_path / "sets"
    caplog.set_level("INFO")

    def prepared(*options: object) -> int:
        arguments = [str(argument) for argument in (*drawn, *options)]
        caplog.clear()
        assert prepare_images.run(prepare_images.parse_arguments(arguments)) == 0
        return int(re.search(r"4 photographs, (\d) prepared now", caplog.text)[1])

    def edges_to_do() -> str:
        program = repository / "AnomalyFactory/extract_edges.py"
        dataset = sets / "Images4TrainAFnonhybrid"
        done = run(program, "--dataset", dataset, "--detector", "scharr", "--gpu_ids", "-1")
        return re.search(r"4 photos, (\d) to do", done.stdout + done.stderr)[1]

    assert prepared() == 4
    assert not list(sets.rglob("made_from.txt"))  # a set without a note is one of photographs
    assert kinds(sets) == ALL_PHOTOGRAPHS
    assert edges_to_do() == "4"
    kept = sets / "Images4TrainClassifier/Images/non-hybrid/D1.jpg"
    begun = kept.stat().st_mtime_ns
    assert prepared("--cutouts") == 4
    assert kinds(sets) == ALL_CUTOUTS
    assert edges_to_do() == "4"
    assert prepared("--cutouts") == 0
    assert prepared() == 4
    assert kinds(sets) == ALL_PHOTOGRAPHS
    assert prepared() == 0
    assert prepared("--cutouts", tmp_path / "other") == 4
    os.utime(tmp_path / "other/images/D2.jpg", (4e9, 4e9))  # a newer cutout
    assert prepared("--cutouts", tmp_path / "other") == 1
    assert prepared("--cutouts") == 4
    assert kinds(sets) == ALL_CUTOUTS
    assert kept.stat().st_mtime_ns == begun  # the classifiers' photographs are left alone


def test_an_interrupted_change_goes_on(drawn, tmp_path, run):
    sets = tmp_path / "sets"
    assert run(PROGRAM, *drawn, "--cutouts").returncode == 0
    first, *_ = read_photos(tmp_path / "challenge.csv")
    original = tmp_path / "originals" / first.filename
    since = [prepare_images.made_since(sets / name, "photographs") for name in GENERATORS]
    assert prepare_images.prepare(first, original, original, sets, 1024, since)
    assert kinds(sets) == ALL_CUTOUTS | {"D1.jpg": {False}}
    done = run(PROGRAM, *drawn)
    assert "4 photographs, 3 prepared now" in done.stderr
    assert kinds(sets) == ALL_PHOTOGRAPHS


def test_what_cannot_be_cut_out_is_named_and_the_others_prepared(drawn, tmp_path, run):
    original, blank = tmp_path / "originals/D2.jpg", tmp_path / "originals/D4.png"
    whole = original.read_bytes()
    original.write_bytes(whole[:9000])
    blank.write_text("no image")
    options = ["--photos", "originals", "--cutouts"]
    links = tmp_path / "links"
    links.mkdir()
    done = run(PROGRAM, *drawn, *options, cwd=tmp_path, env={"TMPDIR": str(links)})
    assert done.returncode == 1
    assert f"cutout: {original}: not a readable image" in done.stderr  # why
    assert "originals/D2.jpg: not cut out, for the reason above" in done.stderr
    assert "prepare_images: originals/D4.png: not a readable image" in done.stderr
    assert "4 photographs, 2 prepared now" in done.stderr
    assert "2 photographs cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(links) not in done.stderr
    assert kinds(tmp_path / "sets") == {"D1.jpg": {True}, "D3.jpg": {True}}
    original.write_bytes(whole)
    Image.new("RGB", (400, 300), (120, 130, 140)).save(blank)
    assert "4 photographs, 2 prepared now" in run(PROGRAM, *drawn, *options, cwd=tmp_path).stderr
    begun = original.stat().st_mtime_ns
    original.write_bytes(whole[:9000])  # damaged, and no newer than what was made from it
    os.utime(original, ns=(begun, begun))
    done = run(PROGRAM, *drawn, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert "4 photographs, 0 prepared now" in done.stderr
    assert "cannot read what it names above; the cutouts of before were taken" in done.stderr


def test_generators_get_what_your_own_masks_show(drawn, tmp_path, run):
    masks, sets = tmp_path / "mine", tmp_path / "sets"
    masks.mkdir()
    mine = np.zeros((320, 480), bool)
    mine[100:150, 200:300] = True
    Image.fromarray(mine).save(masks / "D1.png")
    cutout = [
        prepare_images.CUTOUT,
        "--input",
        tmp_path / "originals",
        "--output",
        sets / "cutouts",
    ]
    (tmp_path / "originals/D1.png").unlink()  # would share the mask
    run(*cutout, "--masks", masks)
    made = sets / "cutouts/images/D1.jpg"
    begun = made.stat().st_mtime_ns
    done = run(PROGRAM, *drawn, "--cutouts", "--masks", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_mtime_ns == begun  # and is not cut out again without the mask
    assert Image.open(made).size == (109, 109)


def test_a_folder_of_masks_that_is_not_there_stops_before_any_image_is_made(drawn, tmp_path, run):
    done = run(PROGRAM, *drawn, "--cutouts", "--masks", tmp_path / "none")
    assert done.returncode == 1
    assert f"--masks {tmp_path / 'none'}: no such folder" in done.stderr
    assert "stopped: cut_folder.py could not cut out" in done.stderr
    assert not list((tmp_path / "sets").rglob("*.jpg"))


def test_ctrl_c_waits_until_the_cutting_has_stopped(tmp_path, monkeypatch):
    program = tmp_path / "cut_folder.py"
    program.write_text(
        "import os, pathlib, signal, time\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(1)\n"
        f"pathlib.Path({str(tmp_path / 'stopped')!r}).touch()\n"
    )
    monkeypatch.setattr(prepare_images, "CUTOUT", program)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare_images.cut_out([], tmp_path, tmp_path, None, 1)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_cutouts_are_not_written_over_their_photographs(drawn, tmp_path, run, folder):
    (tmp_path / "originals").rename(tmp_path / folder)
    (tmp_path / "link").symlink_to(tmp_path / folder)
    before = {path: path.read_bytes() for path in (tmp_path / folder).glob("D*")}
    done = run(PROGRAM, *drawn, "--photos", tmp_path / "link", "--cutouts", tmp_path)
    assert done.returncode == 1
    assert f"--cutouts {tmp_path}: would write over the photographs in" in done.stderr
    assert {path: path.read_bytes() for path in (tmp_path / folder).glob("D*")} == before
    assert not (tmp_path / "sets").exists()


def test_cutouts_of_a_relative_folder(drawn, tmp_path, run):
    relative = ["--photos", "originals", "--datasets", "sets", "--cutouts", "cut"]
    done = run(PROGRAM, *drawn, *relative, "--classifier_side", 240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cut/images/D1.jpg").is_file()
    assert kinds(tmp_path / "sets") == ALL_CUTOUTS
    reduced = Image.open(tmp_path / "sets/Images4TrainClassifier/Images/non-hybrid/D1.jpg")
    original = Image.open(tmp_path / "originals/D1.jpg").resize((240, 160))
    assert np.abs(np.asarray(reduced, int) - np.asarray(original, int)).mean() < 3
