"""Images from outside, in the three trees: a seeded fuzzer of all formats, bombs, modes, pipes.

    pytest tests/faults/test_images.py --files 5000

mutates as many files; the outcome is printed with -s.
"""

import io
import os
import random
import re
import socket
import struct
import zlib
from collections import Counter

import cv2
import files as detection
import numpy as np
import pytest
from common import files as scripts
from faults.formats import FLOATS, SAVING, encoded
from PIL import Image
from util import files as factory

TREES = {"HybridDetection": detection, "AnomalyFactory": factory, "scripts": scripts}


@pytest.mark.parametrize("tree", TREES)
def test_damaged_images_are_read_or_refused(tmp_path, mutate, request, tree):
    count = request.config.getoption("--files")
    wholes = {kind: encoded(kind) for kind in SAVING}
    for kind, whole in wholes.items():
        (tmp_path / kind).write_bytes(whole)
        if kind in FLOATS:
            with pytest.raises(TREES[tree].ImageError, match="floats"):
                TREES[tree].open_image(tmp_path / kind)
        else:
            image = TREES[tree].open_image(tmp_path / kind)
            assert (image.mode, image.size) == ("RGB", (40, 30)), kind
    draw = random.Random(count)
    outcomes = Counter()
    for number in range(count):
        kind = draw.choice(list(SAVING))
        path = tmp_path / f"{number:06d}.{kind.rpartition('.')[2]}"
        path.write_bytes(mutate(draw, wholes[kind]))
        try:
            image = TREES[tree].open_image(path)
            image.load()
            assert image.mode == "RGB" and image.width * image.height <= 100_000_000
            outcomes["read"] += 1
        except TREES[tree].ImageError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
    print(f"{tree}: {dict(outcomes)}")
    assert outcomes["read"] and outcomes["refused"]


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
    "pixels.png": (png(30_000, 30_000), "over 100,000,000 pixels; save it smaller, or as a JPEG"),
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
    "wide.jpg": (
        saved(Image.new("L", (8, 8)), "JPEG").replace(b"\0\x08\0\x08\x01", b"\xff\xdc\xff\xdc\x01"),
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
