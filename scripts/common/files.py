"""Files on disk: images from outside, names from a list, outputs that are whole or absent."""

import io
import logging
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

IMAGE_SUFFIXES = set(".jpg .jpeg .jpe .jfif .mpo .png .tif .tiff .bmp .webp".split())
IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
HEIC = {".heic", ".heif", ".hif"}
with suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()
    IMAGE_SUFFIXES |= HEIC
    IMAGE_FORMATS += ("HEIF",)
# Where such files are passed over, photographs are missing.
PHOTOGRAPHS = HEIC | set(
    ".avif .jxl .jp2 .j2k .gif .psd .raw .3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc"
    " .mef .mos .mrw .nef .nrw .orf .pef .raf .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
# Previews, bins and notes of storage systems, in small letters.
BOOKKEEPING = set("@eadir @recycle #recycle #snapshot __macosx $recycle.bin".split())
BOOKKEEPING |= {"system volume information", "lost+found", "thumbs.db", "desktop.ini"}
IMAGE, DEEPER = "image", "images in sub-folders (--recursive)"  # kinds of files, beside suffixes
MOST_DEEPER = 1000  # of those in sub-folders are counted

MAX_PIXELS = 100_000_000  # a photo of 100 megapixels takes 400 MB once decoded
MAX_JPEG_PIXELS = 500_000_000  # that are reduced; a progressive one takes 3 GB on the way
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS  # Pillow warns of more, and refuses twice as many
MOST_PAGES = 1000  # of a file, that are looked at
SAME = 2  # levels of 255 by which the colours of an sRGB profile may differ from sRGB
# Tags of TIFF and, the last, of Exif: how the camera was held. TURNS undo it.
BITS, PHOTOMETRIC, ORIENTATION = 258, 262, 274
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
TURNS |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}

log = logging.getLogger(__name__)


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says why."""


def open_image(
    source: Path | BinaryIO, smallest_side: int | None = None, name: object = None
) -> Image.Image:
    """RGB image in a file as a viewer shows it (see to_rgb); of several pages the largest. Nothing
    is left of its `info`, as what is saved of it would be turned again.

    A JPEG is read at a half to an eighth where it has over MAX_PIXELS, or keeps `smallest_side`
    pixels. Raises ImageError, which names it, for anything else.
    """
    name = name or source
    try:
        with opened(source, smallest_side, name) as image:
            image = to_rgb(image, name)
            image.info = {}
            return image
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file" if missing else str(error) or repr(error)
        raise ImageError(f"{name}: not a readable image ({reason})") from error


@contextmanager
def opened(
    source: Path | BinaryIO, smallest_side: int | None = None, name: object = None
) -> Iterator[Image.Image]:
    """The image that open_image decodes. With a `name`, a warning says that others are as large."""
    if isinstance(source, Path) and source.exists() and not source.is_file():  # a pipe waits
        raise ImageError("a folder, a pipe or a device")
    image, page = Image.open(source, formats=IMAGE_FORMATS), 0
    if getattr(image, "is_animated", False):
        with image:
            areas = page_areas(image)
        image, page = Image.open(source, formats=IMAGE_FORMATS), areas.index(max(areas))
        if name and (count := areas.count(max(areas))) > 1:
            log.warning("%s: %d pictures of one size; the first of them is taken", name, count)
    with image:
        if page:
            image.seek(page)
        area, is_jpeg = image.width * image.height, image.format in ("JPEG", "MPO")
        if area > (limit := MAX_JPEG_PIXELS if is_jpeg else MAX_PIXELS):
            or_jpeg = "" if is_jpeg else f", or as a JPEG, which may have {MAX_JPEG_PIXELS:,}"
            size = "{}x{}".format(*image.size)
            raise ImageError(f"{size}, over {limit:,} pixels; save it smaller{or_jpeg}")
        part = next(part for part in (1, 2, 4, 8) if area <= MAX_PIXELS * part**2)
        if smallest_side or part > 1:
            least = (min(side // part, smallest_side or side) for side in image.size)
            image.draft(None, tuple(max(1, side) for side in least))
        yield image


def page_areas(image: Image.Image) -> list[int]:
    """Pixels of each page of a file; those of an animation are alike, and are not looked at."""
    areas = [image.width * image.height]
    if image.format not in ("TIFF", "MPO"):
        return areas * min(image.n_frames, MOST_PAGES)
    with suppress(Exception):  # there are no more, or Pillow raises many types on hostile bytes
        for page in range(1, MOST_PAGES):
            image.seek(page)
            areas.append(image.width * image.height)
    return areas


def to_rgb(image: Image.Image, name: object = None) -> Image.Image:
    """`image` in RGB as a viewer shows it: turned as its tag says, the colours of its profile in
    sRGB, 16 bits scaled to 8, transparency laid on white. It is `image` itself where it is so.

    A warning with its `name` says what cannot be told. Raises ValueError for floats, whose white
    nobody knows.
    """
    if image.mode == "F":
        raise ValueError("an image of floats; save it with 8 or 16 bits")
    name = name or getattr(image, "filename", None) or "an image"
    is_deep = image.format in ("PNG", "TIFF") and ";16" in str(image.tile)
    tags, profile = getattr(image, "tag_v2", {}), image.info.get("icc_profile")
    image.load()  # which turns a TIFF
    if held := how_held(image):
        image = image.transpose(Image.Transpose[TURNS[held]])
    brightest = 1.0
    if image.mode.startswith("I"):  # Pillow clips 16-bit values where it converts them itself
        white = 4095 if tags.get(BITS) == (12,) else 65535
        grey = np.asarray(image, np.int32).clip(0, white)
        if tags.get(PHOTOMETRIC) == 0:  # 0 is white, which Pillow minds in 8 bits alone
            grey = white - grey
        brightest = grey.max() / white
        image = Image.fromarray(((grey * 255 + white // 2) // white).astype(np.uint8))
    elif is_deep:
        brightest = max(high for _, high in image.convert("RGB").getextrema()) / 255
    if brightest < 1 / 8:
        dark = "its values stay below an eighth of 16 bits, as those of 12 do: it looks black"
        log.warning("%s: %s; scale them to 16 bits", name, dark)
    if profile and image.mode != "LAB":
        image = in_srgb(image, profile, name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def how_held(image: Image.Image) -> int:
    """The value of the tag that says how the camera was held, if it is one of TURNS; else 0."""
    with suppress(Exception):  # Pillow raises many types on hostile bytes
        # A PNG's own getexif decodes all of it where its header has no Exif.
        if (value := Image.Image.getexif(image).get(ORIENTATION)) in TURNS:
            return value
    return 0


def in_srgb(image: Image.Image, profile: bytes, name: object) -> Image.Image:
    """`image`, whose colours are those of an ICC `profile`, in sRGB, with its transparency.

    As it is where the profile is sRGB's, and, with a warning, where it cannot be used.
    """
    try:
        mode, transform = srgb_transform(profile)
        grey = image.mode in ("1", "L", "LA")
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not grey):
            raise ValueError(f"{mode} for {image.mode}")
    except Exception as error:  # LittleCMS, by Pillow, raises many types on hostile bytes
        log.warning("%s: its colour profile cannot be used, and is left aside (%r)", name, error)
        return image
    if transform is None:
        return image
    colours = transform.apply(image if image.mode == mode else image.convert(mode))
    if image.has_transparency_data:
        colours.putalpha(image.convert("RGBA").getchannel("A"))
    return colours


@lru_cache(maxsize=8)  # photographs of one camera have the same
def srgb_transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode of the pixels that an ICC profile is of, and what brings them to sRGB; None: they
    are there. Raises many types for a profile that is damaged or of other pixels."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}[source.profile.xcolor_space]
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    colours = Image.fromarray(cube).convert(mode)
    before, after = (some.convert("RGB") for some in (colours, transform.apply(colours)))
    apart = np.abs(np.asarray(before, int) - np.asarray(after, int)).max()
    return mode, None if apart <= SAME else transform


# ---- folders ------------------------------------------------------------------------------------


def images_in(folder: Path, recursive: bool = True) -> tuple[list[str], dict[str, list[str]]]:
    """The images in `folder`, sorted, and what is passed over, by its kind; with / in their names.

    Not `recursive`, sub-folders are only looked into for what is missed there. What is hidden, and
    what storage systems keep for themselves, is neither; links to folders are not followed.
    """
    kinds: dict[str, list[str]] = defaultdict(list)

    def stop(error: OSError) -> None:
        if recursive or error.filename == str(folder):
            raise error

    for place, folders, files in os.walk(folder, onerror=stop):
        below = PurePath(place).relative_to(folder)
        folders[:], files = (list(filter(is_ours, names)) for names in (folders, files))
        files += [name for name in folders if Path(place, name).is_symlink()]
        found = {name: kind_of(Path(place, name)) for name in files}
        stems = {PurePath(name).stem for name, kind in found.items() if kind == IMAGE}
        for name, kind in found.items():
            if kind.lower() in PHOTOGRAPHS and PurePath(name).stem in stems:
                kind += " beside an image of its name"
            if recursive or not below.parts or kind.lower() in PHOTOGRAPHS:
                kinds[kind].append((below / name).as_posix())
            elif kind == IMAGE:
                kinds[DEEPER].append((below / name).as_posix())
        if len(kinds.get(DEEPER, ())) >= MOST_DEEPER:
            kinds[f"or more {DEEPER}"] = kinds.pop(DEEPER)[:MOST_DEEPER]
            break
    images = sorted(kinds.pop(IMAGE, []))
    return images, {kind: sorted(names) for kind, names in sorted(kinds.items())}


def is_ours(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in BOOKKEEPING


def kind_of(path: Path) -> str:
    """IMAGE for what open_image is to read; for all else its suffix, or what it is.

    A file without a suffix, or of a number such as BMNH.1234, is looked into.
    """
    suffix = path.suffix
    if suffix.lower() in IMAGE_SUFFIXES:
        return IMAGE
    if path.is_dir():
        return "links to folders"
    if suffix[1:2].isalpha() or suffix.lower() in PHOTOGRAPHS:
        return suffix if suffix.isprintable() else ascii(suffix)
    with suppress(Exception):  # Pillow raises many types on what is no image
        if path.is_file():  # a pipe waits
            Image.open(path, formats=IMAGE_FORMATS).close()
            return IMAGE
    return "without a suffix"


def stem_of(name: str) -> str:
    """`name` without an image's suffix: a/B of a/B.jpg, but all of BMNH.1234."""
    path = PurePath(name)
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def unread(passed: Mapping[str, Sized]) -> int:
    """How many photographs are among what is passed over: a program's exit status tells."""
    return sum(len(names) for kind, names in passed.items() if kind.lower() in PHOTOGRAPHS)


def passed_over(passed: Mapping[str, Sized]) -> list[str]:
    """The last line of a program, that counts what is passed over; no line where nothing is."""
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in passed.items())
    advice = "; save photographs as JPEG or TIFF, or install pillow-heif for HEIC"
    return [f"passed over: {counts}{advice if unread(passed) else ''}"] if counts else []


def inside(folder: Path, name: str) -> Path:
    """`folder / name`; ValueError for a name that would leave the folder."""
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ValueError(f"{name!r} leaves the folder {folder}")
    return folder / name


@contextmanager
def atomic(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`, moved onto it when the block succeeds, else removed;
    `durable`: once there, it outlives a power cut."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:  # that of a full disk names no file
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have what the file `path` holds, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the image that open_image gives, from its header; of no image 0, 0."""
    try:
        with opened(path) as image:
            # Those of a TIFF are given turned.
            turned = image.format != "TIFF" and how_held(image) > 4
            return image.size[::-1] if turned else image.size
    except Exception:  # Pillow's plugins raise many types on hostile bytes
        return 0, 0
