"""Hostile images: a seeded fuzzer of all formats, bombs, odd modes, pipes and names.

    pytest tests/faults/test_images.py --files 5000

mutates as many files; the outcome is printed with -s.
"""

import csv
import html
import io
import os
import random
import re
import socket
import struct
import subprocess
import sys
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cut_folder
import cv2
import extract_edges
import files as detection
import ingestion
import numpy as np
import pytest
from common import files as scripts
from faults.formats import FLOATS, SAVING, encoded
from faults.hostile import NAMES
from PIL import Image, ImageOps
from util import files as factory
from util.errors import InputError
from util.html import Row, write_page

TREES = {"HybridDetection": detection, "AnomalyFactory": factory, "scripts": scripts}


@pytest.mark.parametrize("tree", TREES)
def test_every_kind_is_read_before_it_is_damaged(tmp_path, tree):
    for kind in SAVING:
        path = tmp_path / f"{kind}"
        path.write_bytes(encoded(kind))
        if kind in FLOATS:
            with pytest.raises(TREES[tree].ImageError, match="floats"):
                TREES[tree].open_image(path)
        else:
            image = TREES[tree].open_image(path)
            assert (image.mode, image.size) == ("RGB", (40, 30)), kind


# ---------------------------------------------------------------------------------- the fuzzer

FUZZ = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from {module} import ImageError, open_image
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        image = open_image(path)
        assert image.mode == "RGB" and image.width * image.height <= 100_000_000
        image.load()
        outcome = "read"
    except ImageError as error:
        assert str(path) in str(error)
        outcome = "refused"
    print(outcome, path.name)
status = Path("/proc/self/status")
if status.exists():
    print("peak", status.read_text().split("VmHWM:")[1].split()[0])
"""
MODULES = {
    "HybridDetection": ("files", "HybridDetection/submission/dino2B_contestAF_1024linear2cls"),
    "AnomalyFactory": ("util.files", "AnomalyFactory"),
    "scripts": ("common.files", "scripts"),
}
PEAK = 1_300  # MB, of which Python with PyTorch takes 700


def test_damaged_images_are_read_or_refused(tmp_path, mutate, repository, request):
    """In a process for each tree, so that a crash of a decoder is seen, too."""
    count = request.config.getoption("--files")
    wholes = {kind: encoded(kind) for kind in SAVING}
    draw = random.Random(count)
    folder = tmp_path / "images"
    folder.mkdir()
    kinds = {}
    for number in range(count):
        kind = draw.choice(list(SAVING))
        name = f"{number:06d}.{kind.rpartition('.')[2]}"
        kinds[name] = kind
        (folder / name).write_bytes(mutate(draw, wholes[kind]))
    for tree, (module, place) in MODULES.items():
        done = subprocess.run(
            [sys.executable, "-c", FUZZ.format(module=module), folder, repository / place],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-5:]
        *lines, peak = done.stdout.splitlines()
        outcomes = {name: outcome for outcome, name in map(str.split, lines)}
        assert outcomes.keys() == kinds.keys()
        counts = Counter(outcomes.values())
        print(f"{tree}: {counts['read']} read, {counts['refused']} refused, {peak} kB")
        assert counts["read"] and counts["refused"]
        if sys.platform == "linux":
            assert int(peak.split()[1]) < PEAK * 1024


BYTES = 25  # of memory for a pixel, at the most: 2.5 GB for the largest image that is taken
WEBP_BYTES = 29  # and the file, which Pillow reads whole
PIXELS = 2000 * 2000
MODES = {"RGB": "png", "RGBA": "png", "LA": "png", "I;16": "png", "P": "png", "CMYK": "jpg",
         "I": "tiff", "1": "tiff", "LAB": "tiff"}  # fmt: skip
GROWTH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from common.files import open_image
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
open_image(Path(sys.argv[2]))
before = peak()
for path in sys.argv[3:]:
    open_image(Path(path))
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_memory_that_an_image_takes_is_bounded(tmp_path, repository):
    small = tmp_path / "small.png"
    Image.new("RGB", (8, 8)).save(small)
    paths = []
    for mode, suffix in MODES.items():
        paths.append(tmp_path / f"{mode.replace(';', '')}.{suffix}")
        Image.new(mode, (2000, 2000)).save(paths[-1])
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 4), np.uint8)
    webp = tmp_path / "noise.webp"
    Image.fromarray(noise).save(webp, lossless=True, quality=0, method=0)

    def growth(paths: list[Path]) -> int:
        command = [sys.executable, "-c", GROWTH, repository / "scripts", small, *paths]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert 10 * PIXELS < growth(paths) < BYTES * PIXELS
    assert growth([webp]) < WEBP_BYTES * PIXELS + webp.stat().st_size


# ---------------------------------------------------------------------------------- bombs


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, extra: bytes = b"", rows: int = 0) -> bytes:
    """A PNG that claims a size and holds `rows` of it, of one colour."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(rows * (1 + 3 * width)), 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


TEXT = zlib.compress(bytes(60_000_000))  # a note of 60 MB in 60 KB
BOMBS = {
    "pixels.png": (png(30_000, 30_000), "decompression bomb"),
    "more.png": (png(10_001, 10_000), "over 100,000,000 pixels"),
    "giant.png": (png(2**31 - 1, 2**31 - 1), "decompression bomb"),
    "note.png": (png(4, 4, chunk(b"zTXt", b"a\0\0" + TEXT), 4), "Decompressed data too large"),
    "profile.png": (png(4, 4, chunk(b"iCCP", b"a\0\0" + TEXT), 4), "Decompressed data too large"),
    "empty.png": (b"", "cannot identify"),
    "text.png": (b"<svg onload=alert(1)>", "cannot identify"),
    "frames.gif.png": (saved(Image.new("L", (4, 4)), "GIF"), "cannot identify"),
    "script.eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify"),
    "bmp.bmp": (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 10**5, 10**5, 1, 24, *[0] * 6),
        "decompression bomb",
    ),
    "strip.png": (png(1, 100_000, rows=100_000), None),
    "strip.jpg": (saved(Image.new("RGB", (65_000, 1)), "JPEG"), None),
    "strip.tiff": (saved(Image.new("RGB", (100_000, 1)), "TIFF", compression="tiff_lzw"), None),
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_and_strips_are_read(tmp_path, tree, name):
    content, message = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(content)
    if message is None:
        assert TREES[tree].open_image(path).mode == "RGB"
        return
    with pytest.raises(TREES[tree].ImageError, match=message) as raised:
        TREES[tree].open_image(path)
    assert str(raised.value).startswith(f"{path}: not a readable image (")


@pytest.mark.parametrize("tree", TREES)
def test_pipes_devices_sockets_and_links_to_them_are_refused(tmp_path, tree, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "pipe.jpg").symlink_to("pipe.png")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(TREES[tree].ImageError, match=re.escape(str(path))):
            TREES[tree].open_image(path)


WIDE, OTHER = Image.new("RGB", (40, 30), (250, 0, 0)), Image.new("RGB", (40, 30), (0, 0, 250))


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_the_rotation_that_a_camera_noted_is_not_applied(tmp_path, tree, suffix):
    """The published system looks at the pixels as Pillow gives them: those of a TIFF are turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"turned.{suffix}"
    WIDE.save(path, exif=exif)
    assert ImageOps.exif_transpose(Image.open(path)).size == (30, 40)
    assert TREES[tree].open_image(path).size == ((30, 40) if suffix == "tiff" else (40, 30))


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_of_pages_and_frames_the_first_is_taken(tmp_path, tree, suffix):
    path = tmp_path / f"frames.{suffix}"
    timing = {} if suffix == "tiff" else {"duration": 50}
    WIDE.save(path, save_all=True, append_images=[OTHER], **timing)
    with Image.open(path) as image:
        assert image.n_frames == 2
    red, _, blue = TREES[tree].open_image(path).getpixel((20, 15))
    assert red > 240 and blue < 10


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_colours_of_16_bits_are_read_in_8(tmp_path, tree, suffix):
    path = tmp_path / f"deep.{suffix}"
    colour = np.array([0xFFFF, 0x80FF, 0x1234], np.uint16)  # blue comes first
    cv2.imwrite(str(path), np.full((30, 40, 3), colour))
    assert TREES[tree].open_image(path).getpixel((0, 0)) == (0x12, 0x80, 0xFF)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_greys_of_16_bits_are_scaled_in_either_byte_order(tmp_path, tree, order):
    path = tmp_path / "deep.tiff"
    Image.fromarray(np.full((30, 40), 200 * 257, order)).save(path)
    assert Image.open(path).mode == ("I;16B" if order == ">u2" else "I;16")
    assert TREES[tree].open_image(path).getpixel((0, 0)) == (200, 200, 200)


# ---------------------------------------------------------------------------------- names


class Tags(HTMLParser):
    """The elements of a page, and all that it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def hostile_folder(tmp_path, draw) -> Path:
    """A folder of photographs with hostile names, and one that is no image."""
    folder = tmp_path / "photos"
    whole = draw(tmp_path / "whole.png").read_bytes()
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name.removesuffix('.png')}.png").write_bytes(whole)
    (folder / "<img src=x onerror=alert(1)>.png").write_bytes(b"no image")
    return folder


def test_edge_maps_of_hostile_names(hostile_folder, tmp_path, monkeypatch, capfd):
    arguments = ["--detector", "scharr", "--input", hostile_folder, "--output", tmp_path / "edges"]
    monkeypatch.setattr(sys, "argv", ["extract_edges.py", *map(str, arguments)])
    with pytest.raises(InputError, match="1 photos could not be used"):
        extract_edges.main()
    assert "onerror=alert(1)>.png: not a readable image" in capfd.readouterr().err
    drawn = {path.name for path in (tmp_path / "edges").iterdir()}
    assert drawn == {path.name for path in hostile_folder.iterdir() if "onerror" not in path.name}


def test_cutouts_of_hostile_names(hostile_folder, tmp_path, monkeypatch, caplog):
    output = tmp_path / "cutouts"
    arguments = ["cut_folder.py", "--input", str(hostile_folder), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert cut_folder.main() == cut_folder.PARTLY
    good = {path.name for path in hostile_folder.iterdir() if path.name.isprintable()}
    good -= {"<img src=x onerror=alert(1)>.png"}
    with (output / "cutouts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == good
    page = Tags((output / "doubtful.html").read_text(encoding="utf-8"))
    assert page.names["script"] == 0
    assert page.names["img"] == page.names["figure"] == len(good)
    assert all(f"{name}: " in page.text for name in good)
    assert {path.name for path in (output / "images").iterdir()} == good


def test_scores_of_hostile_names(hostile_folder, tmp_path, monkeypatch, capfd, classifiers):
    arguments = [hostile_folder, tmp_path / "out", "--device", "cpu", "--workers", "0", "--details"]
    arguments += ["--classifiers", classifiers]
    monkeypatch.setattr(sys, "argv", ["ingestion.py", *map(str, arguments)])
    assert ingestion.main() == 1
    good = {path.name for path in hostile_folder.iterdir()} - {"<img src=x onerror=alert(1)>.png"}
    good = {name for name in good if name.isprintable() and "," not in name}
    lines = (tmp_path / "out/predictions.txt").read_text(encoding="utf-8").split("\n")
    assert {re.fullmatch(r"(.+),[01]\.\d{4}", line)[1] for line in lines} == good
    with (tmp_path / "out/details.csv").open(newline="", encoding="utf-8") as file:
        assert {row["filename"] for row in csv.DictReader(file)} == good
    errors = capfd.readouterr().err
    assert errors.isprintable() or set(filter(lambda c: not c.isprintable(), errors)) <= {*"\n\r"}
    assert "'a\\nb.png': a comma or a control character" in errors


def test_pages_escape_all_that_they_show(tmp_path):
    rows = [Row(f"s/{name}.jpg", f"{name}.png", name, f"</option>{name}") for name in NAMES[:-1]]
    write_page(tmp_path / "page.html", "</title><script>alert(1)</script>", ["<b>", "&lt;"], rows)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Tags(text)
    assert page.names["script"] == 1  # its own
    assert page.names["b"] == 0
    assert page.names["img"] == page.names["figure"] == len(rows)
    links = [unquote(html.unescape(link)) for link in re.findall(r'<a href="([^"]*)"', text)]
    assert links == [row.link for row in rows]
