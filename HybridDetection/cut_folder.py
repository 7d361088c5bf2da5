"""Cut the specimens out of a folder of photographs, subfolders included.

    python HybridDetection/cut_folder.py --input PHOTOGRAPHS --output CUTOUTS [--masks MASKS]

writes, for PHOTOGRAPHS/a/b.jpg,
    CUTOUTS/images/a/b.jpg     the specimen on a flat ground, in a square of which it fills 92 %
    CUTOUTS/masks/a/b.png      where it is in the photograph, white, of the photograph's size
    CUTOUTS/cutouts.csv        file, confidence, box (left top right bottom), reason for doubt
    CUTOUTS/doubtful.html      the doubtful ones, least sure first, to look through

A photograph in which nothing is found, or with too little confidence, stays whole in images/. So
does what is a cutout already. A mask of your own, MASKS/a/b.png of the photograph's size, counts as
given: what is not 0 is specimen. A photograph without one is cut out as usual. What stands and fits
its photograph is kept, so that a stopped run goes on where it was.

The exit status is 3 where some photographs cannot be used and all others are done.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.append(str(Path(__file__).resolve().parent / "train"))
import submission  # noqa: F401  puts the submission folder on the path
import cutout
import cv2
import numpy as np
from cutout import (
    CONFIDENT,
    FILLED,
    Found,
    box_of,
    cut_out,
    find_specimen,
    is_cutout,
    on_flat_ground,
)
from durable import naming
from files import IMAGE_SUFFIXES, MAX_PIXELS, ImageError, atomic, open_image
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

LOOK_AT = 0.8  # a cutout of less confidence is shown among the doubtful ones
SHOWN = 480  # pixels of a doubtful photograph's longer side on the page
OUTLINE = (255, 0, 255)  # of what was found there; no butterfly is of this colour
JPEG = {"quality": 95, "subsampling": 0}  # full colour resolution: the wing bands are thin
SAVING = {".jpg": JPEG, ".jpeg": JPEG, ".webp": {"lossless": True}}
PARTLY = 3  # exit status where some photographs cannot be used and all others are done
RECORD = "cutout"  # name of the text in a mask's PNG that holds the row of cutouts.csv

log = logging.getLogger("cutout")


@dataclass(frozen=True)
class Row:
    """What cutouts.csv says of a photograph."""

    file: str  # relative to the folder of photographs
    confidence: float
    box: str  # left, top, right, bottom in the photograph; empty where nothing was found
    reason: str  # what speaks most against the mask


@dataclass(frozen=True)
class Folders:
    photographs: Path
    output: Path
    own_masks: Path | None

    def image(self, file: str) -> Path:
        return self.output / "images" / file

    def mask(self, file: str) -> Path:
        return (self.output / "masks" / file).with_suffix(".png")

    def own_mask(self, file: str) -> Path | None:
        """Your mask of a photograph, if there is one."""
        path = self.own_masks and (self.own_masks / file).with_suffix(".png")
        return path if path is not None and path.is_file() else None


def find_photographs(folders: Folders) -> tuple[list[str], list[str]]:
    """The image files in the folder and below, sorted, and why some are left out.

    Raises ValueError where there are none, where two would share a mask, and where the results
    would lie among the photographs or replace them.
    """
    if not folders.photographs.is_dir():
        raise ValueError(f"--input {folders.photographs}: no such folder")
    source = folders.photographs.resolve()
    for target in (folders.output / "images", folders.output / "masks"):
        target = target.resolve()
        if target.is_relative_to(source) or source.is_relative_to(target):
            raise ValueError(
                f"--output {folders.output}: its {target.name}/ and the photographs in "
                f"{folders.photographs} lie in each other; name another folder"
            )
    files, refused = [], []
    first: dict[Path, str] = {}
    for path in sorted(folders.photographs.rglob("*")):
        file = path.relative_to(folders.photographs).as_posix()
        hidden = any(part.startswith(".") for part in file.split("/"))
        if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or path.is_dir():
            continue
        if not file.isprintable():
            refused.append(f"{file!r}: a control character in its name; rename it")
            continue
        other = first.setdefault(folders.mask(file), file)
        if other != file:
            raise ValueError(
                f"{other} and {file} in {folders.photographs} would have the same mask, "
                f"{folders.mask(file)}; rename one"
            )
        files.append(file)
    if not files:
        raise ValueError(
            f"--input {folders.photographs}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return files, refused


def cut(file: str, folders: Folders) -> tuple[Row, bool] | str:
    """Cut out one photograph: its row, and whether it was done now; or why it cannot be read."""
    # A message names the file itself, not a link to it that may be gone by then.
    photograph = Path(os.path.realpath(folders.photographs / file))
    try:
        if not photograph.is_file():
            return f"{photograph}: not a file"
        own_mask = folders.own_mask(file)
        try:
            with naming(photograph):
                digest = digest_of(photograph, own_mask)
        except OSError as error:  # gone since, or not ours to read
            return str(error)
        row = standing_row(file, folders, digest)
        if row is not None:
            return row, False
        image = open_image(photograph)
        rgb = np.asarray(image)
        stays = own_mask is None and is_cutout(rgb)
        if stays:
            _, mask, confidence = cut_out(image)
            found = Found(mask, confidence, "")
        elif own_mask is None:
            found = unless_too_large(find_specimen(rgb))
        else:
            found = unless_too_large(read_own_mask(own_mask, rgb.shape[:2]))
        box = " ".join(map(str, box_of(found.mask))) if found.mask.any() else ""
        row = Row(file, round(found.confidence, 3), box, found.reason)
        whole = stays or found.confidence < CONFIDENT
        flat = None if whole else on_flat_ground(rgb, found.mask)
        write_image(photograph, folders.image(file), flat)
    except (ImageError, MemoryError, FileNotFoundError) as error:
        return str(error) or f"{photograph}: too large for the memory that is left"
    record = PngInfo()
    record.add_text(RECORD, json.dumps({"made from": digest, "row": asdict(row)}))
    path = folders.mask(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        Image.fromarray(found.mask).save(part, pnginfo=record)
    return row, True


def digest_of(photograph: Path, own_mask: Path | None) -> str:
    """SHA-256 of all that decides a cutout: both programs, the photograph, your mask of it."""
    digest = hashlib.sha256()
    for path in (Path(cutout.__file__), Path(__file__), photograph, own_mask):
        content = b"" if path is None else path.read_bytes()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def standing_row(file: str, folders: Folders, digest: str) -> Row | None:
    """The row of a photograph whose cutout and mask stand and were made from `digest`.

    None for those of another program and for damaged ones, too.
    """
    if not (folders.image(file).is_file() and folders.mask(file).is_file()):
        return None
    try:
        with Image.open(folders.mask(file), formats=("PNG",)) as mask:
            record = json.loads(mask.text[RECORD])
        row = Row(**record["row"])
        typed = all(type(getattr(row, field.name)) is field.type for field in fields(Row))
        return row if typed and (row.file, record["made from"]) == (file, digest) else None
    except Exception:  # Pillow's plugins raise many types on hostile bytes; it is made anew
        return None


def read_own_mask(path: Path, shape: tuple[int, int]) -> Found:
    """Your mask of a photograph of (height, width) `shape`; no confidence where it is none."""
    nothing = np.zeros(shape, bool)
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size != shape[::-1]:
                found, wanted = ("{}x{}".format(*size) for size in (image.size, shape[::-1]))
                return Found(nothing, 0.0, f"your mask is {found}, the photograph {wanted}")
            values = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise many types on hostile bytes
        return Found(nothing, 0.0, f"your mask cannot be read: {str(error) or repr(error)}")
    mask = values.reshape(*shape, -1).any(axis=2)
    if not mask.any():
        return Found(mask, 0.0, "your mask is empty")
    return Found(mask, 1.0, "")


def unless_too_large(found: Found) -> Found:
    """`found`, without confidence where its cutout would be larger than any program reads."""
    if found.confidence < CONFIDENT:
        return found
    left, top, right, bottom = box_of(found.mask)
    if (max(right - left, bottom - top) / FILLED) ** 2 > MAX_PIXELS:
        return Found(found.mask, 0.0, f"a cutout of it has over {MAX_PIXELS:,} pixels")
    return found


def write_image(photograph: Path, path: Path, flat: np.ndarray | None) -> None:
    """Write the cutout `flat`, (side, side, 3) uint8, or where there is none, the photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        if flat is None:
            shutil.copyfile(photograph, part)
        else:
            part.write_bytes(encoded(flat, path.suffix.lower()))


def encoded(rgb: np.ndarray, suffix: str) -> bytes:
    """A picture (height, width, 3) in the format of `suffix`.

    Pillow's own writing takes a file that a full disk cuts short for a whole one.
    """
    buffer = io.BytesIO()
    image_format = Image.registered_extensions()[suffix]
    Image.fromarray(rgb).save(buffer, image_format, **SAVING.get(suffix, {}))
    return buffer.getvalue()


def write_table(rows: Sequence[Row], path: Path) -> None:
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Row))
        table.writerows(asdict(row).values() for row in rows)


def write_page(rows: Sequence[Row], folders: Folders, path: Path) -> None:
    """A page, pictures included, of the rows, least sure first."""
    figures = []
    for row in sorted(rows, key=lambda row: row.confidence):
        what = "stays whole" if row.confidence < CONFIDENT else "cut out"
        text = escape(f"{row.file}: {what}, confidence {row.confidence:.2f}, {row.reason}")
        figures.append(
            f"<figure>{outlined(row.file, folders)}<figcaption>{text}</figcaption></figure>"
        )
    head = (
        "<!DOCTYPE html><meta charset=utf-8><title>Doubtful cutouts</title><style>"
        "body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; } figure { display: "
        f"inline-block; width: {SHOWN}px; margin: 0 1rem 1rem 0; vertical-align: top; }} "
        "img { max-width: 100%; } figcaption { overflow-wrap: anywhere; }</style>"
        f"<h1>Doubtful cutouts: {len(rows)}</h1><p>Outlined: what was found. For a better mask, "
        "put your own into a folder, as a PNG of the photograph's name and size, and give the "
        "folder as --masks.</p>"
    )
    with atomic(path) as part:
        part.write_text("\n".join([head, *figures, ""]), encoding="utf-8")


def outlined(file: str, folders: Folders) -> str:
    """HTML: a photograph, SHOWN pixels long, with its mask's outline; or why there is none."""
    try:
        picture = open_image(folders.photographs / file)
        picture.thumbnail((SHOWN, SHOWN))
        mask = open_image(folders.mask(file)).convert("L").resize(picture.size)
    except ImageError as error:  # gone since it was cut out
        return f"<p>{escape(str(error))}</p>"
    outlines, _ = cv2.findContours(np.array(mask), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    jpeg = io.BytesIO()
    Image.fromarray(cv2.drawContours(np.array(picture), outlines, -1, OUTLINE, 2)).save(
        jpeg, "JPEG", quality=85
    )
    data = base64.b64encode(jpeg.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="">'


def run(folders: Folders, workers: int) -> int:
    """Cut out every photograph; the exit status."""
    files, unusable = find_photographs(folders)
    folders.output.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(0)  # the photographs share the cores already
    with ThreadPoolExecutor(workers) as pool:  # OpenCV and Pillow work outside Python's lock
        try:
            work = pool.map(partial(cut, folders=folders), files)
            results = list(tqdm(work, total=len(files), unit="photo", disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    unusable += [result for result in results if isinstance(result, str)]
    done = [result for result in results if not isinstance(result, str)]
    rows = [row for row, _ in done]
    whole = [row for row in rows if row.confidence < CONFIDENT]
    doubtful = [row for row in rows if row.confidence < LOOK_AT]
    write_table(rows, folders.output / "cutouts.csv")
    write_page(doubtful, folders, folders.output / "doubtful.html")
    for row in whole:
        log.warning("%s stays whole: %s", row.file, row.reason)
    for message in unusable:
        log.error("%s", message)
    log.info(
        "%d photographs, %d of them done now: %d cut out, %d stay whole, %d cannot be used; %s",
        *(len(rows) + len(unusable), sum(now for _, now in done), len(rows) - len(whole)),
        *(len(whole), len(unusable)),
        f"look through {folders.output / 'doubtful.html'}" if doubtful else "none is doubtful",
    )
    return PARTLY if unusable else 0


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    summary, details = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is written")
    parser.add_argument("--masks", type=Path, help="folder of your own masks")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1,
                        help="photographs at a time (default: one a core)")  # fmt: skip
    options = parser.parse_args()
    if options.workers < 1:
        parser.error(f"--workers is {options.workers}; it must be 1 or more")
    try:
        if options.masks is not None and not options.masks.is_dir():
            raise ValueError(f"--masks {options.masks}: no such folder")
        return run(Folders(options.input, options.output, options.masks), options.workers)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.error("stopped; run the same command to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
