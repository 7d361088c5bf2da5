"""Images from outside: a seeded fuzzer of all formats, bombs, modes, pipes.

    pytest tests/faults/test_images.py --files 5000

damages as many files. test_trees.py holds the three trees' modules for files alike: one is tested.
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
import numpy as np
import pytest
from common.files import ImageError, open_image
from faults.hostile import damaged
from PIL import Image, ImageCms

# Turned upside down, and in the colours of a profile.
EXIF = Image.Exif()
EXIF[274] = 3
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
NOTED = {"exif": EXIF.tobytes(), "icc_profile": SRGB.tobytes()}
SAVING = {
    "jpeg": ("JPEG", "RGB", {"quality": 80}),
    "progressive.jpeg": ("JPEG", "RGB", {"progressive": True}),
    "cmyk.jpeg": ("JPEG", "CMYK", {}),
    "grey.jpeg": ("JPEG", "L", {}),
    "png": ("PNG", "RGB", {}),
    "palette.png": ("PNG", "P", {"transparency": 3}),
    "deep.png": ("PNG", "I;16", {}),
    "deep_colour.png": (".png", "16 bits", {}),
    "alpha.png": ("PNG", "LA", {}),
    "animated.png": ("PNG", "RGB", {"save_all": True}),
    "tiff": ("TIFF", "RGB", {}),
    "packed.tiff": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "zipped.tiff": ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tiff": ("TIFF", "RGB", {"compression": "jpeg"}),
    "lines.tiff": ("TIFF", "1", {"compression": "group4"}),
    "deep.tiff": ("TIFF", "I;16B", {}),
    "deep_colour.tiff": (".tiff", "16 bits", {}),
    "palette_alpha.tiff": ("TIFF", "PA", {}),
    "float.tiff": ("TIFF", "F", {}),
    "whole.tiff": ("TIFF", "I", {}),
    "print.tiff": ("TIFF", "CMYK", {}),
    "lab.tiff": ("TIFF", "LAB", {}),
    "pages.tiff": ("TIFF", "RGB", {"save_all": True}),
    "noted.jpeg": ("JPEG", "RGB", NOTED),
    "noted.png": ("PNG", "RGBA", NOTED),
    "noted.tiff": ("TIFF", "L", NOTED | {"save_all": True}),
    "noted.webp": ("WEBP", "RGB", NOTED),
    "pages.mpo": ("MPO", "RGB", {"save_all": True}),
    "webp": ("WEBP", "RGB", {}),
    "lossless.webp": ("WEBP", "RGBA", {"lossless": True}),
    "animated.webp": ("WEBP", "RGB", {"save_all": True}),
    "bmp": ("BMP", "RGB", {}),
    "palette.bmp": ("BMP", "P", {}),
}


def encoded(kind: str) -> bytes:
    """A picture of 40 x 30 noisy pixels in the format and mode of `kind`."""
    form, mode, options = SAVING[kind]
    draw = np.random.default_rng(zlib.crc32(kind.encode()))
    pages = [Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8)) for _ in range(2)]
    if mode == "16 bits":  # which Pillow reads but does not write
        return cv2.imencode(form, np.asarray(pages[0], np.uint16) * 257)[1].tobytes()
    if mode == "I;16B":
        pages = [Image.fromarray(np.asarray(page, ">u2")[..., 0] * 257) for page in pages]
    elif mode in ("I;16", "I", "F"):
        pages = [Image.fromarray(np.asarray(page, np.uint16)[..., 0] * 257) for page in pages]
        pages = pages if mode == "I;16" else [page.convert("I").convert(mode) for page in pages]
    elif mode == "LAB":
        pages = [Image.frombytes("LAB", page.size, page.tobytes()) for page in pages]
    else:
        pages = [page.convert(mode) for page in pages]
    more = {"append_images": pages[1:], "duration": 50} if options.get("save_all") else {}
    buffer = io.BytesIO()
    pages[0].save(buffer, form, **options, **more)
    return buffer.getvalue()


def test_damaged_images_are_read_or_refused(tmp_path, request):
    count = request.config.getoption("--files")
    wholes = {kind: encoded(kind) for kind in SAVING}
    for kind, whole in wholes.items():
        (tmp_path / kind).write_bytes(whole)
        if kind == "float.tiff":
            with pytest.raises(ImageError, match="floats"):
                open_image(tmp_path / kind)
        else:
            image = open_image(tmp_path / kind)
            assert (image.mode, image.size) == ("RGB", (40, 30)), kind
    draw = random.Random(count)
    outcomes = Counter()
    for number in range(count):
        kind = draw.choice(list(SAVING))
        path = tmp_path / f"{number:06d}.{kind.rpartition('.')[2]}"
        path.write_bytes(damaged(draw, wholes[kind]))
        try:
            image = open_image(path)
            image.load()
            assert image.mode == "RGB" and image.width * image.height <= 100_000_000
            outcomes["read"] += 1
        except ImageError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
    assert outcomes["read"] and outcomes["refused"]


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, extra: bytes = b"", rows: int = 0) -> bytes:
    """A PNG that claims a size and holds `rows` of it, of one colour."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(rows * (1 + 3 * width)), 1)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_and_strips_are_read(tmp_path, name):
    content, message = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(content)
    if message is None:
        assert open_image(path).mode == "RGB"
        return
    with pytest.raises(ImageError, match=message) as raised:
        open_image(path)
    assert str(raised.value).startswith(f"{path}: not a readable image (")


def test_pipes_devices_sockets_and_links_to_them_are_refused(tmp_path, monkeypatch):
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
        with pytest.raises(ImageError, match=re.escape(str(path))):
            open_image(path)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_greys_of_16_bits_are_scaled_in_either_byte_order(tmp_path, order):
    path = tmp_path / "deep.tiff"
    Image.fromarray(np.full((30, 40), 200 * 257, order)).save(path)
    assert Image.open(path).mode == ("I;16B" if order == ">u2" else "I;16")
    assert open_image(path).getpixel((0, 0)) == (200, 200, 200)
