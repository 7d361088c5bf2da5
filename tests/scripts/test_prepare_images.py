"""prepare_images.py: where each photograph goes and at which size, resuming, bad originals, and
cutouts for the generators."""

import os
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import prepare_images
import pytest
from common.challenge_csv import read_photos
from common.program import InputError
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling

GENERATORS = ["Images4TrainAFhybrid", "Images4TrainAFnonhybrid"]


@pytest.fixture
def prepare(tmp_path, caplog, monkeypatch):
    """A function that prepares the photographs in originals/ into sets/; its status and log."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")

    def prepare_here(csv: Path, *options: object) -> tuple[int, str]:
        given = ["--csv", csv, "--photos", "originals", "--datasets", "sets", *options]
        caplog.clear()
        args = prepare_images.parse_arguments(list(map(str, given)))
        return prepare_images.run(args), caplog.text

    return prepare_here


@pytest.fixture
def three(write_csv, draw, tmp_path) -> Path:
    """The CSV of three photographs, one of them large and one a signal hybrid."""
    draw(tmp_path / "originals/C1.jpg", size=(1500, 1000))
    draw(tmp_path / "originals/C2.png", size=(300, 200))
    draw(tmp_path / "originals/C3.jpe", size=(900, 1350))
    rows = ["C1,u,non-hybrid,train,z,m,8.0,,,C1.jpg", "C2,u,non-hybrid,train,z,m,9.0,,,C2.png"]
    return write_csv([*rows, "C3,u,hybrid,train,z,m,,8.0,9.0,C3.jpe"])


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): Image.open(path).size for path in files}


def test_each_photograph_at_its_places_and_sizes_once(three, tmp_path, prepare):
    status, said = prepare(three)
    assert (status, "3 photographs, 3 prepared now" in said) == (0, True)
    assert sizes(tmp_path / "sets") == {
        "Images4TrainAFhybrid/Images/non-hybrid/train/good/C1.jpg": (500, 333),
        "Images4TrainAFhybrid/Images/non-hybrid/train/good/C2.png": (500, 333),
        "Images4TrainAFhybrid/Images/hybrid/train/good/C3.jpe": (500, 333),
        "Images4TrainAFnonhybrid/Images/8/train/good/C1.jpg": (256, 256),
        "Images4TrainAFnonhybrid/Images/9/train/good/C2.png": (256, 256),
        "Images4TrainAFnonhybrid/Images/8_9/train/good/C3.jpe": (256, 256),
        "Images4TrainClassifier/Images/non-hybrid/C1.jpg": (1024, 683),
        "Images4TrainClassifier/Images/non-hybrid/C2.png": (300, 200),
        "Images4TrainClassifier/Images/hybrid/C3.jpe": (683, 1024),
    }
    kept = tmp_path / "sets/Images4TrainClassifier/Images/non-hybrid/C2.png"
    assert kept.read_bytes() == (tmp_path / "originals/C2.png").read_bytes()
    for name in ("8/train/good/C1.jpg", "8_9/train/good/C3.jpe"):
        with Image.open(tmp_path / "sets" / GENERATORS[1] / "Images" / name) as small:
            assert get_sampling(small) == 0  # 4:4:4: colours keep their full resolution
    assert "3 photographs, 0 prepared now" in prepare(three)[1]
    kept.unlink()
    os.utime(tmp_path / "originals/C1.jpg", (4e9, 4e9))  # a newer original
    assert "3 photographs, 2 prepared now" in prepare(three)[1]
    assert kept.is_file()


def test_a_turned_original_with_a_profile_is_prepared_as_it_is_seen(write_csv, tmp_path, prepare):
    pixels = np.zeros((400, 900, 3), np.uint8)
    pixels[:, 450:] = (255, 0, 0)
    pixels[200:, :, 2] = 255
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    exif[274] = 6
    (tmp_path / "originals").mkdir()
    stored = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    for name, size in (("C1.png", (400, 900)), ("C2.png", (1600, 3600))):
        large = stored.resize(size, Image.Resampling.NEAREST)
        large.save(tmp_path / "originals" / name, exif=exif, icc_profile=profile.tobytes())
    csv = write_csv([f"C,u,non-hybrid,train,z,m,8.0,,,{name}" for name in ("C1.png", "C2.png")])
    prepare(csv)
    kept = tmp_path / "sets/Images4TrainClassifier/Images/non-hybrid"
    assert (kept / "C1.png").read_bytes() == (tmp_path / "originals/C1.png").read_bytes()
    assert Image.open(kept / "C2.png").size == (1024, 455)
    assert "2 photographs of 1 specimen, 0 prepared now" in prepare(csv)[1]
    for path in (tmp_path / "sets").rglob("good/*.png"):
        small = Image.open(path)
        width, height = small.size
        corners = [small.getpixel((x, y)) for x in (0, width - 1) for y in (0, height - 1)]
        assert corners == [(0, 0, 0), (0, 0, 255), (255, 0, 0), (255, 0, 255)]  # not cropped
        assert "icc_profile" not in small.info  # else its colours would be changed again


def test_originals_that_are_missing_or_cannot_be_read(three, tmp_path, prepare):
    """The former are an error before any work, unless they may be missing; the others are named,
    and the rest is prepared."""
    (tmp_path / "originals/C2.png").rename(tmp_path / "originals/c2.PNG")
    said = "1 of 3 .* are missing, the first is originals/C2.png, but 'c2.PNG' is there.*"
    remedy = "download_challenge.* originals; or leave them out: --allow_missing"
    with pytest.raises(InputError, match=said + remedy):
        prepare(three)
    with pytest.raises(InputError, match="3 of 3 photographs are missing"):  # another folder
        prepare(three, "--allow_missing", "--photos", "sets")
    assert not (tmp_path / "sets").exists()
    status, said = prepare(three, "--allow_missing")
    assert (status, "1 of 3 photographs are missing and left out: C2.png" in said) == (0, True)
    assert "2 photographs, 2 prepared now" in said
    shutil.rmtree(tmp_path / "sets")
    (tmp_path / "originals/C2.png").write_text("no image")
    whole = (tmp_path / "originals/C3.jpe").read_bytes()
    (tmp_path / "originals/C3.jpe").write_bytes(whole[: len(whole) // 2])
    status, said = prepare(three)
    parts = ("C2.png: not a readable", "C3.jpe: not a readable", "2 photographs cannot be")
    assert (status, [part in said for part in parts]) == (1, [True] * 3)
    assert {Path(name).name for name in sizes(tmp_path / "sets")} == {"C1.jpg"}


# ---------------------------------------------------------------------------------------- cutouts


@pytest.fixture
def drawn(write_csv, specimen, tmp_path) -> Path:
    """The CSV of three drawn specimens and D4, blank paper, beside pictures of no concern."""
    photos = tmp_path / "originals"
    for name in ("D1.jpg", "D2.jpg", "D3.jpg"):
        Image.open(specimen(photos / name)).resize((480, 360)).save(photos / name, quality=95)
    Image.new("RGB", (400, 300), (120, 130, 140)).save(photos / "D4.png")
    (photos / "D1.png").write_text("not in the CSV, and no image")
    shown = {"D1.jpg": "8.0", "D2.jpg": "9.0", "D4.png": "8.0"}
    rows = [f"{name[:2]},u,non-hybrid,train,z,m,{of},,,{name}" for name, of in shown.items()]
    return write_csv([rows[0], rows[1], "D3,u,hybrid,train,z,m,,8.0,9.0,D3.jpg", rows[2]])


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


def test_generators_get_cutouts_and_what_your_own_masks_show(drawn, tmp_path, prepare, capfd):
    mine = np.zeros((360, 480), bool)
    mine[100:150, 200:300] = True
    (tmp_path / "mine").mkdir()
    Image.fromarray(mine).save(tmp_path / "mine/D1.png")
    broken = tmp_path / "originals/D2.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    status, said = prepare(drawn, "--cutouts", "--masks", "mine")
    assert (status, "originals/D2.jpg: not cut out, for the reason above" in said) == (1, True)
    assert "4 photographs, 3 prepared now" in said and "1 photographs cannot be read" in said
    assert "D4.png stays whole" in capfd.readouterr().err
    sets, rest = tmp_path / "sets", ALL_CUTOUTS.keys() - {"D2.jpg"}
    assert set(sizes(sets / "cutouts/images")) == rest  # and nothing beside them
    assert Image.open(sets / "cutouts/images/D1.jpg").size == (109, 109)
    assert kinds(sets) == {name: ALL_CUTOUTS[name] for name in rest}
    for place, size in [
        ("AFhybrid/Images/hybrid/train/good/D3.jpg", (500, 333)),
        ("AFnonhybrid/Images/8_9/train/good/D3.jpg", (256, 256)),
        ("AFnonhybrid/Images/8/train/good/D4.png", (256, 256)),  # whole, as it is
    ]:
        path = sets / f"Images4Train{place}"
        cutout = Image.open(sets / "cutouts/images" / path.name).convert("RGB")
        expected = np.asarray(cutout.resize(size, Image.Resampling.LANCZOS), int)
        assert np.abs(np.asarray(Image.open(path), int) - expected).mean() < 2
    kept = sets / "Images4TrainClassifier/Images/non-hybrid/D1.jpg"
    assert kept.read_bytes() == (tmp_path / "originals/D1.jpg").read_bytes()

    with pytest.raises(SystemExit):
        prepare(drawn, "--masks", "mine")
    with pytest.raises(
        InputError, match=r"cut_folder\.py could not cut out originals \(exit .* 2,"
    ):
        prepare(drawn, "--cutouts", "elsewhere", "--masks", "none")
    assert not list((tmp_path / "elsewhere").rglob("*.jpg"))


def test_a_cut_that_breaks_down_leaves_the_sets_alone(drawn, tmp_path, prepare, monkeypatch):
    """Its exit status, 1, is that of one which leaves photographs out, too."""
    monkeypatch.setattr(prepare_images, "CUTOUT", tmp_path / "broken.py")
    (tmp_path / "broken.py").write_text("raise RuntimeError")
    with pytest.raises(InputError, match=r"cut_folder\.py could not cut out originals"):
        prepare(drawn, "--cutouts")
    assert not list((tmp_path / "sets").rglob("made_from.txt"))


def test_images_follow_from_photographs_to_cutouts_and_back(drawn, tmp_path, prepare):
    sets = tmp_path / "sets"

    def prepared(*options: object) -> str:
        status, said = prepare(drawn, *options)
        assert status == 0
        return said.partition("4 photographs, ")[2][0]

    assert prepared() == "4"
    assert not list(sets.rglob("made_from.txt"))  # a set without a note is one of photographs
    assert kinds(sets) == ALL_PHOTOGRAPHS
    kept = sets / "Images4TrainClassifier/Images/non-hybrid/D1.jpg"
    begun = kept.stat().st_mtime_ns
    assert prepared("--cutouts", "cut") == "4"
    assert kinds(sets) == ALL_CUTOUTS
    os.utime(tmp_path / "cut/images/D2.jpg", (4e9, 4e9))  # a newer cutout
    assert prepared("--cutouts", "cut") == "1"

    # A change back that is interrupted after the first photograph goes on.
    first, *_ = read_photos(drawn)
    since = [prepare_images.made_since(sets / name, "photographs") for name in GENERATORS]
    args = Namespace(photos=tmp_path / "originals", datasets=sets)
    assert prepare_images.prepare(first, args, args.photos, since)
    assert kinds(sets) == ALL_CUTOUTS | {"D1.jpg": {False}}
    assert prepared() == "3"
    assert kinds(sets) == ALL_PHOTOGRAPHS
    assert prepared() == "0"
    assert kept.stat().st_mtime_ns == begun  # the classifiers' photographs are left alone


def test_cutouts_are_not_written_over_their_photographs(three, tmp_path, prepare):
    (tmp_path / "originals").rename(tmp_path / "images")
    (tmp_path / "originals").symlink_to(tmp_path / "images")
    with pytest.raises(InputError, match=f"--cutouts {tmp_path}: would write over the photographs"):
        prepare(three, "--cutouts", tmp_path)
    assert not (tmp_path / "sets").exists()
