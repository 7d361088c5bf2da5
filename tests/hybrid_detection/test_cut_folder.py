"""cut_folder.py: what it writes, what it keeps, what it refuses."""

import csv
from pathlib import Path

import cut_folder
import cutout
import numpy as np
import pytest
from browser import SCREENS, flaws
from cutout import Found, box_of, cut_out
from PIL import Image


@pytest.fixture
def cut(tmp_path, call):
    """Run the program on tmp_path/photos; its status and messages."""

    def run_cut(*options: object) -> tuple[int, str]:
        folders = ("--input", tmp_path / "photos", "--output", tmp_path / "out")
        done = call(cut_folder.main, *folders, *options)
        return done.returncode, done.stderr

    return run_cut


@pytest.fixture
def photos(tmp_path, specimen) -> Path:
    """Two photographs of a specimen, one in a subfolder, and one of nothing."""
    folder = tmp_path / "photos"
    specimen(folder / "a/one.jpg")
    specimen(folder / "two.png", (20, 60, 60))
    Image.new("RGB", (90, 60), "white").save(folder / "empty.jpg")
    return folder


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    lines = (out / "cutouts.csv").read_text().splitlines()
    return {row["file"]: row for row in csv.DictReader(lines)}


def times(out: Path) -> dict[str, int]:
    files = [path for kind in ("images", "masks") for path in (out / kind).rglob("*")]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files if path.is_file()}


def test_cutouts_masks_and_table_are_written(photos, tmp_path, cut):
    """What is no photograph is named; hidden files are not looked at."""
    out = tmp_path / "out"
    (photos / "text.jpg").write_text("no image")
    (photos / "new\nline.jpg").write_bytes((photos / "two.png").read_bytes())
    (photos / ".hidden.jpg").write_text("no image")
    (photos / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    (tmp_path / "original.jpg").write_text("no image")
    (photos / "broken.png").symlink_to(tmp_path / "original.jpg")
    once = photos / "once.jpg"  # a cutout already, which stays as it is
    cut_out(Image.open(photos / "two.png"))[0].save(once, quality=95)
    status, messages = cut()
    assert (status, "hidden" in messages) == (1, False)
    for said in (
        *("empty.jpg stays whole: nothing found", "text.jpg: not a readable image"),
        *("elsewhere.jpg", "'new\\nline.jpg': a control"),
        f"{tmp_path / 'original.jpg'}: not a readable image",  # not the link
        "8 photographs, 4 of them done now: 3 cut out, 1 stay whole, 4 cannot",
    ):
        assert said in messages

    assert (out / "cutouts.csv").read_text().splitlines()[0] == "file,confidence,box,reason"
    rows = rows_of(out)
    assert list(rows) == ["a/one.jpg", "empty.jpg", "once.jpg", "two.png"]
    mask = cut_out(Image.open(once))[1]
    expected = {"confidence": "1.0", "box": " ".join(map(str, box_of(mask))), "reason": ""}
    assert rows["once.jpg"] == {"file": "once.jpg"} | expected
    assert np.array_equal(np.asarray(Image.open(out / "masks/once.png")), mask)
    assert tuple(rows["empty.jpg"].values())[1:] == ("0.0", "", "nothing found")
    found = np.array(rows["two.png"]["box"].split(), int)
    assert np.abs(found - (30, 20, 131, 85)).max() <= 2  # as the fixture draws it
    for name, size in [("a/one", (160, 120)), ("two", (160, 120)), ("empty", (90, 60))]:
        with Image.open(out / "masks" / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("1", size)
    with Image.open(out / "images/two.png") as image:
        assert image.size == (round((found[2] - found[0]) / 0.92),) * 2
    with Image.open(out / "images/a/one.jpg") as image:
        assert image.format == "JPEG" and image.layer[1][1:3] == (1, 1)  # colours are not halved
    for name in ("empty.jpg", "once.jpg"):
        assert (out / "images" / name).read_bytes() == (photos / name).read_bytes()


def test_what_stands_is_kept_and_what_does_not_is_done_again(photos, tmp_path, cut, monkeypatch):
    out = tmp_path / "out"
    cut()
    before, rows = times(out), rows_of(out)
    assert "0 of them done now" in cut()[1]
    assert (times(out), rows_of(out)) == (before, rows)

    def again(name: str, *options: object) -> None:
        status, messages = cut("--workers", 1, *options)
        assert (status, "1 of them done now" in messages) == (0, True), messages
        after = times(out)
        changed = {path for path in after if after[path] != before.get(path)}
        assert changed == {f"images/{name}", f"masks/{Path(name).with_suffix('.png')}"}
        before.update(after)

    (out / "images/two.png").unlink()
    again("two.png")
    mask = out / "masks/a/one.png"
    mask.write_bytes(mask.read_bytes()[:40])
    again("a/one.jpg")
    Image.new("1", (160, 120)).save(out / "masks/two.png")  # a mask of another program
    again("two.png")
    assert rows_of(out) == rows
    Image.open(photos / "two.png").transpose(0).save(photos / "two.png")  # another photograph
    again("two.png")

    (tmp_path / "mine/a").mkdir(parents=True)
    mine = np.zeros((120, 160), np.uint8)
    mine[50:75, 50:100] = 1  # a class number, as segmenters write them
    Image.fromarray(mine).save(tmp_path / "mine/a/one.png")
    again("a/one.jpg", "--masks", tmp_path / "mine")
    row = rows_of(out)["a/one.jpg"]
    assert (row["confidence"], row["box"]) == ("1.0", "50 50 100 75")
    assert np.array_equal(np.asarray(Image.open(out / "masks/a/one.png")), mine > 0)
    assert Image.open(out / "images/a/one.jpg").size == (54, 54)
    again("a/one.jpg")  # without the mask, it is cut out as the others
    assert rows_of(out)["a/one.jpg"] == rows["a/one.jpg"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cutout, "VERSION", 0)  # another method
    with monkeypatch.context() as patch:
        patch.setattr(cutout, "find_specimen", stop)
        status, messages = cut("--workers", 1)
    assert (status, "run the same command to go on" in messages) == (130, True)
    assert "3 of them done now" in cut()[1]


def test_a_mask_that_is_none_leaves_the_photograph_whole(photos, tmp_path, cut):
    masks, out = tmp_path / "mine", tmp_path / "out"
    masks.mkdir()
    reasons = {
        "small": "your mask is 60x40, the photograph 160x120",
        "empty": "your mask is empty",
        "text": "your mask cannot be read: ",
        "whole": "your mask marks all of the photograph",
        "tight": "your mask takes up most of the photograph's border",
    }
    for name in reasons:
        (photos / f"{name}.jpg").write_bytes((photos / "a/one.jpg").read_bytes())
    Image.new("L", (60, 40), 255).save(masks / "small.png")
    Image.new("L", (160, 120)).save(masks / "empty.png")
    (masks / "text.png").write_text("no image")
    Image.new("1", (160, 120), 1).save(masks / "whole.png")
    corners = np.ones((120, 160), bool)  # of a plate that is cropped to the specimen
    corners[::119, ::159] = False
    Image.fromarray(corners).save(masks / "tight.png")
    assert cut("--masks", masks)[0] == 0
    rows = rows_of(out)
    assert rows["a/one.jpg"]["reason"] == ""
    for name, reason in reasons.items():
        assert rows[f"{name}.jpg"]["reason"].startswith(reason)
        assert (out / f"images/{name}.jpg").read_bytes() == (photos / "a/one.jpg").read_bytes()


MARKED = np.zeros((120, 160), bool)  # a mask that is right
MARKED[40:80, 30:130] = True
GREY = np.where(MARKED, 255, 0).astype(np.uint8)
WHITE = np.full_like(GREY, 255)
FRAME = np.where(MARKED, 255, 0).astype(np.uint8)
FRAME[30:40, 20:140] = 128  # what a trimap does not know


def palette(colours: list[int], **info: int) -> Image.Image:
    image = Image.fromarray(np.uint8(~MARKED), "P")  # number 0 is the specimen
    image.putpalette(colours)
    image.info |= info
    return image


def two_specimens() -> np.ndarray:
    mask = np.zeros((120, 160), np.uint8)
    for left in (5, 37, 69, 101, 133):  # five wings
        mask[40:80, left : left + 20] = 255
    return mask


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        *[(Image.merge("RGBA", [Image.fromarray(band) for band in bands]), "") for bands in (
            (GREY, GREY, GREY, WHITE), (WHITE, WHITE, WHITE, GREY), (0 * GREY,) * 3 + (GREY,))],
        (Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(WHITE)]), ""),
        (palette([255, 255, 255, 0, 0, 0]), ""),
        (palette([128, 0, 0, 0, 0, 0]), ""),
        (palette([128, 0, 0, 128, 0, 0], transparency=1), ""),
        (np.where(MARKED, 255, 128).astype(np.uint8), ""),
        (np.where(MARKED, 60000, 0).astype(np.uint16), ""),
        (~MARKED, "your mask is of the ground, and was taken the other way round"),
        (FRAME, "your mask has more than two values"),
        (np.where(MARKED, 1 + (np.arange(160) < 80), 0).astype(np.uint8), "more than two values"),
        (GREY[::2, ::2].copy(), "your mask is 80x60, the photograph 160x120"),
        (two_specimens(), "several specimens"),
    ],
)  # fmt: skip
def test_what_a_mask_marks(photos, tmp_path, cut, mask, reason):
    """Two values and a free border are believed; the rest is used and doubtful."""
    masks = tmp_path / "mine"
    masks.mkdir()
    mask = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    mask.save(masks / "two.png")
    assert cut("--masks", masks)[0] == 0
    row = rows_of(tmp_path / "out")["two.png"]
    expected = two_specimens() > 0 if reason == "several specimens" else MARKED
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/masks/two.png")), expected)
    assert row["confidence"] == ("0.6" if reason else "1.0")
    assert reason in row["reason"] and bool(reason) == bool(row["reason"])
    assert ("two.png:" in (tmp_path / "out/doubtful.html").read_text()) == bool(reason)


@pytest.mark.parametrize("name", ["one.png", "one.PNG", "one_mask.png", "one.jpg.png"])
def test_masks_are_found_by_their_names_and_counted(photos, tmp_path, cut, name):
    """They are turned as their tag says; hidden ones are not looked at."""
    masks, exif = tmp_path / "mine", Image.Exif()
    (masks / "a").mkdir(parents=True)
    (masks / "a/._one.png").touch()
    exif[274] = 6
    turned = Image.fromarray(GREY).transpose(Image.Transpose.ROTATE_90)
    for path in (masks / "a" / name, masks / "one.png"):
        turned.save(path, "PNG", exif=exif)
    _, messages = cut("--masks", masks)
    assert "1 of 2 masks used" in messages and f"{str(masks / 'one.png')!r} is" in messages
    row = rows_of(tmp_path / "out")["a/one.jpg"]
    assert (row["confidence"], row["box"]) == ("1.0", "30 40 130 80")


def test_a_number_in_a_name_is_no_suffix(photos, tmp_path, cut):
    (photos / "a/one.jpg").rename(photos / "B.1")
    (photos / "two.png").rename(photos / "B.2")
    (tmp_path / "mine").mkdir()
    Image.fromarray(GREY).save(tmp_path / "mine/B.1.png")
    status, messages = cut("--masks", tmp_path / "mine")
    assert status == 0 and "1 of 1 masks used" in messages
    assert rows_of(tmp_path / "out")["B.1"]["box"] == "30 40 130 80"
    masks = sorted(path.name for path in (tmp_path / "out/masks").iterdir())
    assert masks == ["B.1.png", "B.2.png", "empty.png"]


def test_a_clash_of_names_leaves_out_that_pair_alone(photos, tmp_path, cut):
    Image.new("RGB", (9, 9)).save(photos / "two.jpg")
    Image.new("RGB", (9, 9), "white").save(photos / "two.more.jpg")  # by its name between them
    status, messages = cut()
    assert status == 1
    assert "two.jpg and two.png would have the same mask, and are left out" in messages
    assert list(rows_of(tmp_path / "out")) == ["a/one.jpg", "empty.jpg", "two.more.jpg"]
    assert not (tmp_path / "out/images/two.jpg").exists()


def test_the_page_shows_the_doubtful_least_sure_first(
    tmp_path, specimen, cut, monkeypatch, open_page
):
    names = {"<b>&.png": 0.79, "sure.png": 0.8, "third.png": 0.4}
    paths = [specimen(tmp_path / "photos" / name) for name in names]
    confidences = iter(names.values())
    mask = cutout.find_specimen(np.asarray(Image.open(paths[0]))).mask

    def find_specimen(rgb: np.ndarray) -> Found:
        return Found(mask, next(confidences), "faint")

    monkeypatch.setattr(cutout, "find_specimen", find_specimen)
    assert cut("--workers", 1)[0] == 0
    for scheme, width in SCREENS:
        page = open_page(tmp_path / "out/doubtful.html", scheme, width)
        assert flaws(page) == []
    assert page.locator("figcaption").all_inner_texts() == [
        "third.png: stays whole, confidence 0.40, faint",
        "<b>&.png: cut out, confidence 0.79, faint",
    ]
    assert page.evaluate("[...document.images].map(i => i.naturalWidth)") == [160, 160]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--input", "{photos}/none"), "{photos}/none: no such folder"),
        (("--input", "{photos}/b"), "{photos}/b: no images"),
        (("--output", "{photos}/a/cut"), "lie in each other"),
        (("--input", "{out}/images/x"), "lie in each other"),
        (("--masks", "{photos}/none"), "{photos}/none: no such folder"),
    ],
)
def test_what_cannot_be_used_is_refused(photos, tmp_path, cut, options, message):
    (photos / "b").mkdir()
    (tmp_path / "out/images/x").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    places = {"photos": photos, "out": tmp_path / "out"}
    status, messages = cut(*(option.format(**places) for option in options))
    assert status == 2
    assert message.format(**places) in messages
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".jpeg", ".jpe", ".jfif", ".mpo"])
def test_every_jpeg_is_saved_alike(suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert cut_folder.encoded(pixels, suffix) == cut_folder.encoded(pixels, ".jpg")


def test_of_two_masks_of_a_photograph_the_shorter_name_counts(photos, tmp_path, cut):
    names = ["one.png", "one_mask.png", "one.jpg.png", "one.jpg_mask.png"]
    masks = tmp_path / "mine/a"
    masks.mkdir(parents=True)
    for number, name in enumerate(names):
        mask = np.zeros((120, 160), np.uint8)
        mask[40:80, 30 + number : 130] = 255
        Image.fromarray(mask).save(masks / name)
    for left, name in enumerate(names, 30):
        _, messages = cut("--masks", masks.parent)
        assert rows_of(tmp_path / "out")["a/one.jpg"]["box"] == f"{left} 40 130 80"
        assert f"1 of {34 - left} masks used" in messages
        (masks / name).unlink()


def test_a_mask_is_turned_as_its_tag_says_and_hidden_ones_are_not_looked_at(photos, tmp_path, cut):
    (tmp_path / "mine").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(GREY).transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "mine/two.png", exif=exif
    )
    (tmp_path / "mine/._two.png").touch()
    _, messages = cut("--masks", tmp_path / "mine")
    row = rows_of(tmp_path / "out")["two.png"]
    assert (row["confidence"], row["box"]) == ("1.0", "30 40 130 80")
    assert "1 of 1 masks used" in messages


def test_a_cutout_of_more_pixels_than_are_read_stays_whole(photos, tmp_path, cut, monkeypatch):
    monkeypatch.setattr(cut_folder, "MAX_PIXELS", 30_000)  # the whole: (160 / 0.92)^2 = 30,246
    mask = np.zeros((120, 160), np.uint8)
    mask[20:100] = 255
    (tmp_path / "mine").mkdir()
    Image.fromarray(mask).save(tmp_path / "mine/two.png")
    cut("--masks", tmp_path / "mine")
    row = rows_of(tmp_path / "out")["two.png"]
    told = "0.0", "a cutout of it has over 30,000 pixels"
    assert (row["confidence"], row["reason"]) == told
