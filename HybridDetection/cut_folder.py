"""Cut the specimens out of a folder of photographs, subfolders included.

    python HybridDetection/cut_folder.py --input PHOTOGRAPHS --output CUTOUTS [--masks MASKS]

writes, for PHOTOGRAPHS/a/b.jpg,
    CUTOUTS/images/a/b.jpg     the specimen on a flat ground, in a square of which it fills 92 %
    CUTOUTS/masks/a/b.png      where it is in the photograph, white, of the photograph's size
    CUTOUTS/cutouts.csv        file, confidence, box (left top right bottom), reason for doubt
    CUTOUTS/doubtful.html      the doubtful ones, least sure first, to look through

A photograph in which nothing is found, or with too little confidence, stays whole in images/. So
does what is a cutout already. What stands and is of the photograph as it is now is kept, so that a
stopped run goes on where it was.

A mask of your own is MASKS/a/b.png, b_mask.png or b.jpg.png, of the photograph's size as viewers
show it. Of its two values the brighter one is specimen, or the opaque one of an alpha channel that
varies. A mask of more values, of another size or of the ground is used as far as it can be, and is
doubtful. A photograph without one is cut out as usual.

The exit status is 1 where some photographs cannot be used, or are of a kind that is not read, and
all others are done. Two that would have the same mask, as b.jpg and b.tif, are left out.
"""

import argparse
import base64
import io
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent / "train"))
import submission  # noqa: F401  puts the submission folder on the path
import cutout
import cv2
import numpy as np
import pandas as pd
from files import (
    MAX_PIXELS,
    ImageError,
    atomic,
    images_in,
    open_image,
    opened,
    passed_over,
    stem_of,
    unread,
)
from listing import check_folder, no_images
from pages import save_page
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from processes import CORES
from tqdm import tqdm

LOOK_AT = 0.8  # a cutout of less confidence is shown among the doubtful ones
DOUBTED = 0.6  # confidence of a mask of your own that is used with doubt
CLASSES = 32  # a mask of more than two values, all lower than this, has them for numbers of classes
SURE = 0.6  # of the way from the darkest to the brightest begins what other masks call specimen
SHOWN = 480  # pixels of a doubtful photograph's longer side on the page
OUTLINE = (255, 0, 255)  # of what was found there; no butterfly is of this colour
JPEG = {"quality": 95, "subsampling": 0}  # full colour resolution: the wing bands are thin
SAVING = {
    "JPEG": JPEG,
    "MPO": JPEG,
    "WEBP": {"lossless": True},
}
RECORD = "cutout"  # name of the text in a mask's PNG: its row, and what it was made from
COLUMNS = ["file", "confidence", "box", "reason"]  # of cutouts.csv

log = logging.getLogger("cutout")


def find_photographs(folder: Path, output: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The image files in the folder and below, and what is passed over, as images_in gives them.

    Raises ValueError where there are none, and where the results would lie among the photographs
    or replace them.
    """
    source = folder.resolve()
    for target in ((output / name).resolve() for name in ("images", "masks")):
        if target.is_relative_to(source) or source.is_relative_to(target):
            lie = f"its {target.name}/ and the photographs in {folder} lie in each other"
            raise ValueError(f"--output {output}: {lie}; name another folder")
    files, passed = images_in(folder)
    if not files:
        raise no_images(f"--input {folder}", passed)
    return files, passed


def without_clashes(files: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """The files that share their mask with no other, sorted; and why the others are left out."""
    mask = partial(mask_in, folder)
    groups = [list(group) for _, group in groupby(sorted(files, key=mask), mask)]
    clash = "would have the same mask, and are left out; rename all but one"
    refused = [f"{folder}: {' and '.join(group)} {clash}" for group in groups if len(group) > 1]
    return sorted(group[0] for group in groups if len(group) == 1), refused


def find_masks(folder: Path, photographs: list[str]) -> dict[str, Path]:
    """Your mask of each photograph that has one; says which masks are not used."""
    there = [path for path in sorted(folder.rglob("[!.]*")) if path.suffix.lower() == ".png"]
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in there}
    used = {}
    for file in photographs:
        stem = stem_of(file)
        names = (stem, f"{stem}_mask", file, f"{file}_mask")
        if mask := next((masks[name] for name in names if name in masks), None):
            used[file] = mask
    log.info("%d of %d masks used", len(used), len(there))
    for path in sorted(set(there) - set(used.values())):
        log.warning("%r is the mask of no photograph that is cut out", str(path))
    return used


def mask_in(folder: Path, file: str) -> Path:
    return folder / f"{stem_of(file)}.png"


def cut(file: str, options: argparse.Namespace, own_masks: dict[str, Path]) -> dict[str, Any] | str:
    """Cut out one photograph: its row, with whether it was done `now`; or why it cannot be used."""
    if not file.isprintable():
        return f"{file!r}: a control character in its name; rename it"
    photograph = options.input / file
    if photograph.is_symlink():  # prepare_images.py's are gone once the message is read
        photograph = photograph.resolve()
    own_mask = own_masks.get(file)
    target, mask = options.output / "images" / file, mask_in(options.output / "masks", file)
    try:
        states = [path.stat() for path in (photograph, own_mask) if path]
        made_from = [cutout.VERSION, *([state.st_size, state.st_mtime_ns] for state in states)]
        if target.is_file() and (row := standing_row(mask, made_from)):
            return row | {"now": False}
        rgb = np.asarray(open_image(photograph))
        found, flat = cut_one(rgb, own_mask)
        suffix = target.suffix.lower()
        write(target, photograph.read_bytes() if flat is None else encoded(flat, suffix))
    except (ImageError, MemoryError, FileNotFoundError) as error:
        return str(error) or f"{photograph}: too large for the memory that is left"
    box = " ".join(map(str, cutout.box_of(found.mask))) if found.mask.any() else ""
    row = dict(zip(COLUMNS, (file, round(found.confidence, 3), box, found.reason), strict=True))
    record = PngInfo()
    record.add_text(RECORD, json.dumps({"made from": made_from, "row": row}))
    write(mask, encoded(found.mask, ".png", pnginfo=record))
    return row | {"now": True}


def standing_row(mask: Path, made_from: list) -> dict[str, Any] | None:
    """The row in a mask that was made from this; None: it is to be made anew."""
    if not mask.is_file():  # a pipe would be waited for
        return None
    try:
        with Image.open(mask, formats=("PNG",)) as image:
            record = json.loads(image.text[RECORD])
        return record["row"] if record["made from"] == made_from else None
    except Exception:  # it is damaged
        return None


def cut_one(rgb: np.ndarray, own_mask: Path | None) -> tuple[cutout.Found, np.ndarray | None]:
    """What is found in a photograph, and its cutout; None where the photograph stays whole."""
    if own_mask is None and cutout.is_cutout(rgb):
        return cutout.Found(cutout.mask_of_cutout(rgb), 1.0, ""), None
    found = read_own_mask(own_mask, rgb.shape[:2]) if own_mask else cutout.find_specimen(rgb)
    if found.confidence < cutout.CONFIDENT:
        return found, None
    left, top, right, bottom = cutout.box_of(found.mask)
    if (max(right - left, bottom - top) / cutout.FILLED) ** 2 > MAX_PIXELS:
        too_large = f"a cutout of it has over {MAX_PIXELS:,} pixels"
        return cutout.Found(found.mask, 0.0, too_large), None
    return found, cutout.on_flat_ground(rgb, found.mask)


def read_own_mask(path: Path, shape: tuple[int, int]) -> cutout.Found:
    """Your mask of a photograph of (height, width) `shape`; no confidence where it is none."""
    nothing, photograph = np.zeros(shape, bool), shape[::-1]
    try:
        with opened(path) as image:
            values = values_of(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        return cutout.Found(nothing, 0.0, f"your mask cannot be read: {str(error) or repr(error)}")
    doubts, (height, width) = [], values.shape
    if values.shape != shape:
        doubts.append("your mask is {}x{}, the photograph {}x{}".format(width, height, *photograph))
        if abs(width * shape[0] - height * shape[1]) > max(*shape, *values.shape):
            return cutout.Found(nothing, 0.0, doubts[0])
        values = cv2.resize(values, photograph, interpolation=cv2.INTER_NEAREST)
    low, high = values.min(), values.max()
    if ((values > low) & (values < high)).any():
        doubts.append("your mask has more than two values")
        low = 0 if high < CLASSES else low + SURE * (high - low)
    mask = values > low if low < high else values > 0
    if not mask.any():
        return cutout.Found(mask, 0.0, "your mask is empty")
    if mask.all():
        return cutout.Found(mask, 0.0, "your mask marks all of the photograph")
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if border.mean() > 0.5:
        doubts.append("your mask is of the ground, and was taken the other way round")
        mask = ~mask
        if mask[[0, 0, -1, -1], [0, -1, 0, -1]].all():  # what it leaves are the corners
            return cutout.Found(mask, 0.0, "your mask takes up most of the photograph's border")
    if cutout.are_several(mask):
        doubts.append("several specimens")
    return cutout.Found(mask, DOUBTED if doubts else 1.0, "; ".join(doubts))


def values_of(mask: Image.Image) -> np.ndarray:
    """What a mask marks more, (height, width) float32: its alpha where that varies, or its light.

    An alpha channel is no brightness, and a palette's numbers are no colours.
    """
    if mask.has_transparency_data:
        mask = mask.convert("RGBA")
        alpha = np.asarray(mask.getchannel("A"), np.float32)
        if alpha.min() < alpha.max():
            return alpha
    deep = mask.mode.startswith(("I", "F"))
    return np.asarray(mask if deep else mask.convert("RGB").convert("L"), np.float32)


def write(path: Path, content: bytes) -> None:
    """Not by Pillow itself, which takes a file that a full disk cuts short for a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        part.write_bytes(content)


def encoded(picture: np.ndarray, suffix: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image_format = Image.registered_extensions().get(suffix, "JPEG")  # of a name without a suffix
    Image.fromarray(picture).save(buffer, image_format, **SAVING.get(image_format, {}), **options)
    return buffer.getvalue()


def outlined(file: str, options: argparse.Namespace) -> str:
    """A photograph, SHOWN pixels long, with what was found outlined, as base64; "" once gone."""
    try:
        picture = open_image(options.input / file)
        mask = open_image(mask_in(options.output / "masks", file)).convert("L")
    except ImageError:
        return ""
    picture.thumbnail((SHOWN, SHOWN))
    small = np.array(mask.resize(picture.size))
    outlines, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = cv2.drawContours(np.array(picture), outlines, -1, OUTLINE, 2)
    return base64.b64encode(encoded(drawn, ".jpg")).decode()


def run(options: argparse.Namespace) -> int:
    """Cut out every photograph; the exit status."""
    files, passed = find_photographs(options.input, options.output)
    files, unusable = without_clashes(files, options.input)
    own_masks = find_masks(options.masks, files) if options.masks else {}
    options.output.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(0)  # the photographs share the cores already
    with ThreadPoolExecutor(options.workers) as pool:  # they work outside Python's lock
        work = pool.map(partial(cut, options=options, own_masks=own_masks), files)
        results = list(tqdm(work, total=len(files), unit="photo", disable=None))
    unusable += [result for result in results if isinstance(result, str)]
    rows = [result for result in results if isinstance(result, dict)]
    with atomic(options.output / "cutouts.csv") as part:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(part, index=False)
    doubtful = [row for row in rows if row["confidence"] < LOOK_AT]
    doubtful.sort(key=itemgetter("confidence"))
    shown = [(row, outlined(row["file"], options)) for row in doubtful]
    page = options.output / "doubtful.html"
    save_page(page, "doubtful.html", doubtful=shown, confident=cutout.CONFIDENT)
    whole = [row for row in rows if row["confidence"] < cutout.CONFIDENT]
    for row in whole:
        log.warning("%s stays whole: %s", row["file"], row["reason"])
    for message in unusable:
        log.error("%s", message)
    log.info(
        "%d photographs, %d of them done now: %d cut out, %d stay whole, %d cannot be used; %s",
        *(len(rows) + len(unusable), sum(row["now"] for row in rows), len(rows) - len(whole)),
        *(len(whole), len(unusable), f"look through {page}" if shown else "none is doubtful"),
    )
    for line in passed_over(passed):
        log.warning(line)
    return int(len(unusable) + unread(passed) > 0)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    add = parser.add_argument
    add("--input", type=Path, required=True, help="folder of photographs")
    add("--output", type=Path, required=True, help="folder of what is written")
    add("--masks", type=Path, help="folder of your own masks")
    add("--workers", type=int, default=CORES, help="photographs at a time")
    options = parser.parse_args()
    try:
        if options.workers < 1:
            raise ValueError(f"--workers {options.workers}: must be 1 or more")
        for folder in filter(None, (options.input, options.masks)):
            check_folder(folder)
        return run(options)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 2
    except KeyboardInterrupt:
        log.error("stopped; run the same command to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
