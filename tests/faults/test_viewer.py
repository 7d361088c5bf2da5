"""open_image gives what a viewer shows: the right way up, in its profile's colours, the largest
page; and says by name what it cannot tell. test_trees.py holds the three trees' modules alike."""

import io
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from common import files
from common.files import image_size, open_image, to_rgb
from PIL import Image

# Red and green over blue and white, twice as wide as high: no turn leaves it as it is.
UPRIGHT = Image.new("RGB", (2, 2))
UPRIGHT.putdata([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)])
UPRIGHT = UPRIGHT.resize((256, 128), Image.Resampling.NEAREST)
HELD = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what a tag's value is undone by


def stored(tag: int) -> Image.Image:
    """UPRIGHT as a camera that is held as `tag` says stores it."""
    turn = Image.Transpose[files.TURNS[HELD[tag]]] if tag in HELD else None
    return UPRIGHT.copy() if turn is None else UPRIGHT.transpose(turn)


def noting(tag: int) -> bytes:
    exif = Image.Exif()
    exif[274] = tag
    return exif.tobytes()


def apart(image: Image.Image, other: Image.Image) -> float:
    assert image.size == other.size
    return float(np.abs(np.asarray(image, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "mpo"])
@pytest.mark.parametrize("tag", [1, *HELD, 9])
def test_a_photograph_is_turned_as_its_tag_says(tmp_path, suffix, tag):
    path = tmp_path / f"held.{suffix}"
    stored(tag).save(path, exif=noting(tag))
    if suffix != "tiff":
        assert cv2.imread(str(path)).shape[:2] == (128, 256)  # an independent viewer
    image = open_image(path)
    assert apart(image, UPRIGHT) < 3
    assert image.info == {}  # else what is saved of it would be turned again
    assert image_size(path) == image.size
    assert apart(to_rgb(Image.open(path)), image) == 0  # which predict is given
    assert apart(to_rgb(image), image) == 0
    half = open_image(path, smallest_side=64)
    assert half.size == ((128, 64) if suffix in ("jpg", "mpo") else (256, 128))
    assert apart(half.resize(UPRIGHT.size), UPRIGHT) < 5


# ---- profiles -----------------------------------------------------------------------------------


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in (x, y, z)))


def curve(*levels: float) -> bytes:
    """Of one level: a gamma."""
    if len(levels) == 1:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * levels[0]))
    values = [round(65535 * level) for level in levels]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def profile(space: bytes, pcs: bytes = b"XYZ ", **parts: bytes) -> bytes:
    """An ICC profile, version 2, of these tags (ICC.1:2001-04, 6)."""
    parts = {"wtpt": xyz(0.9642, 1, 0.8249)} | parts
    table, body = struct.pack(">I", len(parts)), b""
    start = 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        part += bytes(-len(part) % 4)
        table += name.encode() + struct.pack(">II", start + len(body), len(part))
        body += part
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"scnr", space, pcs)
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


def primaries(red: tuple, green: tuple, blue: tuple, tone: bytes) -> bytes:
    parts = {"rXYZ": xyz(*red), "gXYZ": xyz(*green), "bXYZ": xyz(*blue)}
    return profile(b"RGB ", **parts, rTRC=tone, gTRC=tone, bTRC=tone)


def inks() -> bytes:
    """Of CMYK, by a table from its corners to L*a*b*: cyan prints red, paper is white, all else
    black."""
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)
    corners[..., 1:] = 128
    corners[0, 0, 0, 0, 0], corners[1, 0, 0, 0] = 255, (138, 209, 198)
    linear = bytes(range(256))
    head = struct.pack(">4sI4B9i", b"mft1", 0, 4, 3, 2, 0, *(65536 * np.eye(3, dtype=int)).flat)
    return profile(b"CMYK", b"Lab ", A2B0=head + linear * 4 + corners.tobytes() + linear * 3)


# Adobe RGB (1998), 4.3; and sRGB as IEC 61966-2-1 has it, its curve in 1,024 steps.
ADOBE = primaries(
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
    curve(2.2),
)
STEPS = np.linspace(0, 1, 1024)
TONE = np.where(STEPS <= 0.04045, STEPS / 12.92, ((STEPS + 0.055) / 1.055) ** 2.4)
COLOURS = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
SRGB = primaries(*COLOURS, curve(*TONE))
LINEAR_GREY = profile(b"GRAY", kTRC=curve(1.0))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("mode", "value", "embedded", "suffix", "expected"),
    [
        ("RGB", (144, 255, 60), ADOBE, "jpg", (0, 255, 0)),
        ("RGB", (144, 255, 60), ADOBE, "webp", (0, 255, 0)),
        ("RGBA", (144, 255, 60, 128), ADOBE, "tiff", (127, 255, 127)),
        ("P", (144, 255, 60), ADOBE, "png", (0, 255, 0)),
        ("L", 128, LINEAR_GREY, "jpg", (188, 188, 188)),
        ("LA", (128, 255), LINEAR_GREY, "png", (188, 188, 188)),
        ("I;16", 128 * 257, LINEAR_GREY, "tiff", (188, 188, 188)),
        ("CMYK", (255, 0, 0, 0), inks(), "tiff", (255, 0, 0)),
        ("CMYK", (255, 0, 0, 0), inks(), "jpg", (255, 0, 0)),  # Adobe's, which stores 255 - ink
        ("CMYK", (255, 0, 0, 0), None, "jpg", (0, 255, 255)),
        ("RGB", (144, 255, 60), None, "png", (144, 255, 60)),
    ],
)
def test_colours_are_those_of_the_profile(tmp_path, mode, value, embedded, suffix, expected):
    path = tmp_path / f"colour.{suffix}"
    image = Image.new("RGB" if mode == "P" else mode, (16, 16), value)
    image = image.quantize(4) if mode == "P" else image
    saving = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    image.save(path, icc_profile=embedded, **saving)
    for shown in (open_image(path), to_rgb(Image.open(path))):
        assert np.abs(np.subtract(shown.getpixel((8, 8)), expected)).max() <= 3
    assert open_image(path).info == {}


@pytest.mark.parametrize(
    ("mode", "embedded", "said"),
    [
        ("RGB", SRGB, False),
        ("RGBA", SRGB, False),
        ("LAB", ADOBE, False),  # it says itself which colours it has
        ("RGB", ADOBE[:200], True),
        ("RGB", LINEAR_GREY, True),
        ("RGB", inks(), True),
        ("CMYK", ADOBE, True),
    ],
)
def test_of_srgb_and_broken_profiles_no_byte_changes(tmp_path, caplog, mode, embedded, said):
    lab = Image.frombytes("LAB", NOISE.size, NOISE.tobytes())
    image = lab if mode == "LAB" else NOISE.convert(mode)
    for name, noted in (("bare.tiff", None), ("noted.tiff", embedded)):
        image.save(tmp_path / name, icc_profile=noted)
    assert apart(open_image(tmp_path / "bare.tiff"), open_image(tmp_path / "noted.tiff")) == 0
    warning = f"{tmp_path}/noted.tiff: its colour profile cannot be used"
    assert [text.startswith(warning) for text in caplog.messages] == [True] * said


# ---- 16 bits ------------------------------------------------------------------------------------


def tiff(values: np.ndarray, bits: int, photometric: int) -> bytes:
    """A grey TIFF of bits that lie one after another, as Pillow does not write it."""
    height, width = values.shape
    text = "".join(f"{value:0{bits}b}" for value in values.flat)
    data = int(text, 2).to_bytes(len(text) // 8, "big")
    data = values.astype("<u2").tobytes() if bits == 16 else data
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1}
    entries |= {278: height, 279: len(data)}
    ifd = struct.pack("<H", len(entries))
    ifd += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd + bytes(4)


@pytest.mark.parametrize(
    ("value", "bits", "photometric", "expected", "said"),
    [
        (200 * 257, 16, 0, 55, False),  # 0 is white
        (4095, 16, 1, 16, True),  # 12 bits in 16
        (65535 - 4095, 16, 0, 16, True),
        (8192, 16, 1, 32, False),
        (4095, 12, 1, 255, False),
    ],
)
def test_greys_are_scaled_and_what_looks_black_is_said(
    tmp_path, caplog, value, bits, photometric, expected, said
):
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff(np.full((4, 4), value), bits, photometric))
    for image in (open_image(path), to_rgb(Image.open(path))):
        assert image.getpixel((1, 1)) == (expected,) * 3
    assert caplog.text.count(f"{path}: its values stay below an eighth of 16 bits") == 2 * said


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize(("red", "said"), [(0x0FFF, 1), (0xFFFF, 0)])
def test_colours_of_twelve_bits_in_sixteen_are_said(tmp_path, caplog, suffix, red, said):
    path = tmp_path / f"deep.{suffix}"
    colour = np.array([0x0234, 0x08FF, red], np.uint16)  # blue comes first
    cv2.imwrite(str(path), np.full((4, 4, 3), colour))
    assert open_image(path).getpixel((0, 0)) == (red >> 8, 8, 2)
    assert caplog.text.count(f"{path}: its values stay below") == said
    Image.new("RGB", (4, 4)).save(path)
    assert open_image(path).getpixel((0, 0)) == (0, 0, 0)  # black in 8 bits is black
    assert len(caplog.messages) == said


# ---- pages --------------------------------------------------------------------------------------

SMALL, OTHER = UPRIGHT.reduce(4), Image.new("RGB", UPRIGHT.size, (90, 0, 90))


@pytest.mark.parametrize("suffix", ["tiff", "mpo"])
@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([SMALL, UPRIGHT], False),  # a thumbnail first
        ([UPRIGHT, SMALL, SMALL], False),  # reduced copies
        ([SMALL, UPRIGHT, OTHER], True),
    ],
)
def test_of_pages_the_largest_is_taken(tmp_path, caplog, suffix, pages, said):
    path = tmp_path / f"pages.{suffix}"
    pages = [page.copy() for page in pages]  # Pillow notes in them how it saved them
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert apart(open_image(path), UPRIGHT) < 3
    assert image_size(path) == UPRIGHT.size
    assert caplog.messages == [f"{path}: 2 pictures of one size; the first of them is taken"] * said
    with path.open("rb") as file:
        assert apart(open_image(file, name="a cell"), UPRIGHT) < 3
    half = open_image(path, smallest_side=64)
    assert half.size == ((128, 64) if suffix == "mpo" else (256, 128))


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, caplog, suffix):
    path = tmp_path / f"frames.{suffix}"
    UPRIGHT.copy().save(path, save_all=True, append_images=[OTHER.copy()], duration=50)
    assert apart(open_image(path), UPRIGHT) < 5
    assert caplog.messages == [f"{path}: 2 pictures of one size; the first of them is taken"]


def test_damaged_tags_turn_nothing_and_a_damaged_page_leaves_the_others(tmp_path):
    path = tmp_path / "held.jpg"
    UPRIGHT.save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff nothing")
    assert apart(open_image(path), UPRIGHT) < 3
    path = tmp_path / "pages.tiff"
    SMALL.copy().save(path, save_all=True, append_images=[UPRIGHT.copy(), SMALL.copy()])
    with Image.open(path) as image:
        image.seek(2)
        place = image.tag_v2._offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert apart(open_image(path), UPRIGHT) == 0


# ---- large ones ---------------------------------------------------------------------------------


def test_a_jpeg_over_the_limit_is_reduced_and_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(files, "MAX_JPEG_PIXELS", 40_000)
    path = tmp_path / "large.jpg"
    stored(6).save(path, exif=noting(6))  # 32,768 pixels
    image = open_image(path)
    assert image.size == (128, 64)
    assert apart(image.resize(UPRIGHT.size), UPRIGHT) < 5
    assert open_image(path, smallest_side=16).size == (32, 16)
    UPRIGHT.resize((300, 200)).save(path)
    with pytest.raises(files.ImageError, match=r"300x200, over 40,000 pixels; save it smaller\)$"):
        open_image(path)
    UPRIGHT.save(tmp_path / "large.png")
    fix = r"256x128, over 10,000 pixels; save it smaller, or as a JPEG, which may have 40,000\)$"
    with pytest.raises(files.ImageError, match=fix):
        open_image(tmp_path / "large.png")
    for name in ("limit.jpg", "limit.png"):  # the limit itself is allowed, and nothing reduced
        UPRIGHT.resize((100, 100)).save(tmp_path / name)
        assert open_image(tmp_path / name).size == (100, 100)


def test_so_many_pages_are_counted_and_no_more():
    """What a file claims to have costs no memory."""
    claims = SimpleNamespace(width=4, height=3, format="PNG", n_frames=10**6)
    assert files.page_areas(claims) == [12] * files.MOST_PAGES


# ---- HEIC ---------------------------------------------------------------------------------------

# Stands in for pillow-heif, which is not among the requirements: its files are PNGs after a mark.
STAND_IN = """
import io
from PIL import Image, PngImagePlugin
class Heif(PngImagePlugin.PngImageFile):
    format = "HEIF"
    def _open(self):
        self.fp = io.BytesIO(self.fp.read()[12:])
        super()._open()
def register_heif_opener():
    Image.register_open("HEIF", Heif, lambda prefix: prefix[4:12] == b"ftypheic")
"""
READ = """
import sys
from pathlib import Path
from common.files import images_in, open_image, unread
folder = Path(sys.argv[1])
images, passed = images_in(folder)
print(images, [open_image(folder / name).size for name in images], passed, unread(passed))
"""


@pytest.mark.parametrize(
    ("stand_in", "read"),
    [
        (STAND_IN, f"['a.HEIC', 'b', 'c.hif'] {[(256, 128)] * 3} {{}} 0"),
        (
            "raise ImportError",
            "[] [] {'.HEIC': ['a.HEIC'], '.hif': ['c.hif'], 'without a suffix': ['b']} 2",
        ),
    ],
)
def test_heic_is_read_where_pillow_heif_is_installed(tmp_path, repository, run, stand_in, read):
    folder, content = tmp_path / "photographs", io.BytesIO()
    UPRIGHT.save(content, "PNG")
    folder.mkdir()
    for name in ("a.HEIC", "b", "c.hif"):
        (folder / name).write_bytes(b"\0\0\0\x0cftypheic" + content.getvalue())
    (tmp_path / "pillow_heif.py").write_text(stand_in)
    path = {"PYTHONPATH": f"{repository}/scripts:{tmp_path}"}
    done = run("-c", READ, folder, env=path)
    assert (done.stdout, done.stderr) == (f"{read}\n", "")
