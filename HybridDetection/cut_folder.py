"""Cut the specimens out of a folder of photographs, subfolders included.

    python HybridDetection/cut_folder.py --input PHOTOGRAPHS --output CUTOUTS [--masks MASKS]

writes, for PHOTOGRAPHS/a/b.jpg,
    CUTOUTS/images/a/b.jpg     the specimen on a flat ground, in a square of which it fills 92 %
    CUTOUTS/masks/a/b.png      where it is in the photograph, white, of the photograph's size
    CUTOUTS/cutouts.csv        file, confidence, box (left top right bottom), reason for doubt
    CUTOUTS/doubtful.html      the doubtful ones, least sure first, to look through

A photograph in which nothing is found, or with too little confidence, stays whole in images/. So
does what is a cutout already. A mask of your own, MASKS/a/b.png of the photograph's size, counts as
given: what is not 0 is specimen. A photograph without one is cut out as usual. What stands and is
of the photograph as it is now is kept, so that a stopped run goes on where it was.

The exit status is 3 where some photographs cannot be used and all others are done.
"""

import argparse
import base64
import io
import json
import logging
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "train"))
import submission  # noqa: F401  puts the submission folder on the path
import cutout
import cv2
import numpy as np
import pandas as pd
from cutout import CONFIDENT, FILLED, Found, box_of, find_specimen, is_cutout, on_flat_ground
from files import IMAGE_SUFFIXES, MAX_PIXELS, ImageError, atomic, open_image
from listing import walk
from pages import save_page
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

LOOK_AT = 0.8  # a cutout of less confidence is shown among the doubtful ones
SHOWN = 480  # pixels of a doubtful photograph's longer side on the page
OUTLINE = (255, 0, 255)  # of what was found there; no butterfly is of this colour
JPEG = {"quality": 95, "subsampling": 0}  # full colour resolution: the wing bands are thin
SAVING = {".jpg": JPEG, ".jpeg": JPEG, ".webp": {"lossless": True}}
PARTLY = 3  # exit status where some photographs cannot be used and all others are done
RECORD = "cutout"  # name of the text in a mask's PNG: its row, and what it was made from

log = logging.getLogger("cutout")


@dataclass(frozen=True)
class CutoutRow:
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


def find_photographs(folders: Folders) -> list[str]:
    """The image files in the folder and below, sorted.

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
    files = sorted(walk(folders.photographs))
    if not files:
        raise ValueError(
            f"--input {folders.photographs}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    masks = Counter(map(folders.mask, files))
    twice = [file for file in files if masks[folders.mask(file)] > 1]
    if twice:
        names = " and ".join(twice[:2])
        raise ValueError(f"{folders.photographs}: {names} would have the same mask; rename one")
    return files


def cut(file: str, folders: Folders) -> tuple[CutoutRow, bool] | str:
    """Cut out one photograph: its row, and whether it was done now; or why it cannot be used."""
    photograph, own_mask = folders.photographs / file, folders.own_mask(file)
    if not file.isprintable():
        return f"{file!r}: a control character in its name; rename it"
    try:
        made_from = [cutout.VERSION, *map(stamp, filter(None, (photograph, own_mask)))]
        if (row := standing_row(file, folders, made_from)) is not None:
            return row, False
        rgb = np.asarray(open_image(photograph))
        found, flat = cut_one(rgb, own_mask)
        if flat is None:
            write(folders.image(file), photograph.read_bytes())
        else:
            write(folders.image(file), encoded(flat, photograph.suffix.lower()))
    except (ImageError, MemoryError, FileNotFoundError) as error:
        return str(error) or f"{photograph}: too large for the memory that is left"
    box = " ".join(map(str, box_of(found.mask))) if found.mask.any() else ""
    row = CutoutRow(file, round(found.confidence, 3), box, found.reason)
    record = PngInfo()
    record.add_text(RECORD, json.dumps({"made from": made_from, "row": asdict(row)}))
    write(folders.mask(file), encoded(found.mask, ".png", pnginfo=record))
    return row, True


def cut_one(rgb: np.ndarray, own_mask: Path | None) -> tuple[Found, np.ndarray | None]:
    """What is found in a photograph, and its cutout; None where the photograph stays whole."""
    if own_mask is None and is_cutout(rgb):
        return Found(cutout.mask_of_cutout(rgb), 1.0, ""), None
    found = read_own_mask(own_mask, rgb.shape[:2]) if own_mask else find_specimen(rgb)
    if found.confidence < CONFIDENT:
        return found, None
    left, top, right, bottom = box_of(found.mask)
    if (max(right - left, bottom - top) / FILLED) ** 2 > MAX_PIXELS:
        return Found(found.mask, 0.0, f"a cutout of it has over {MAX_PIXELS:,} pixels"), None
    return found, on_flat_ground(rgb, found.mask)


def stamp(path: Path) -> list[int]:
    """What changes when a file does: its size, and the time of its last change."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def standing_row(file: str, folders: Folders, made_from: list) -> CutoutRow | None:
    """The row of a photograph whose cutout and mask stand and were made from this."""
    if not folders.image(file).is_file():
        return None
    try:
        with Image.open(folders.mask(file), formats=("PNG",)) as mask:
            record = json.loads(mask.text[RECORD])
        return CutoutRow(**record["row"]) if record["made from"] == made_from else None
    except Exception:  # none, or damaged: it is made anew
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
    return Found(mask, 1.0, "") if mask.any() else Found(mask, 0.0, "your mask is empty")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        part.write_bytes(content)


def encoded(picture: np.ndarray, suffix: str, **options: object) -> bytes:
    """A picture in the format of `suffix`. In memory: Pillow's own writing takes a file that a
    full disk cuts short for a whole one."""
    buffer = io.BytesIO()
    image_format = Image.registered_extensions()[suffix]
    Image.fromarray(picture).save(buffer, image_format, **SAVING.get(suffix, {}), **options)
    return buffer.getvalue()


def outlined(file: str, folders: Folders) -> str:
    """A photograph, SHOWN pixels long, with its outline, as base64; empty once it is gone."""
    try:
        picture = open_image(folders.photographs / file)
        picture.thumbnail((SHOWN, SHOWN))
        mask = open_image(folders.mask(file)).convert("L").resize(picture.size)
    except ImageError:
        return ""
    outlines, _ = cv2.findContours(np.array(mask), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = cv2.drawContours(np.array(picture), outlines, -1, OUTLINE, 2)
    return base64.b64encode(encoded(drawn, ".jpg")).decode()


def run(folders: Folders, workers: int) -> int:
    """Cut out every photograph; the exit status."""
    files = find_photographs(folders)
    folders.output.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(0)  # the photographs share the cores already
    with ThreadPoolExecutor(workers) as pool:  # OpenCV and Pillow work outside Python's lock
        try:
            work = pool.map(partial(cut, folders=folders), files)
            results = list(tqdm(work, total=len(files), unit="photo", disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    unusable = [result for result in results if isinstance(result, str)]
    done = [result for result in results if not isinstance(result, str)]
    rows = [row for row, _ in done]
    whole = [row for row in rows if row.confidence < CONFIDENT]
    doubtful = sorted((row for row in rows if row.confidence < LOOK_AT), key=lambda r: r.confidence)
    with atomic(folders.output / "cutouts.csv") as part:
        pd.DataFrame(rows, columns=list(CutoutRow.__annotations__)).to_csv(part, index=False)
    shown = [(row, outlined(row.file, folders)) for row in doubtful]
    page = folders.output / "doubtful.html"
    save_page(page, "doubtful.html", doubtful=shown, confident=CONFIDENT)
    for row in whole:
        log.warning("%s stays whole: %s", row.file, row.reason)
    for message in unusable:
        log.error("%s", message)
    log.info(
        "%d photographs, %d of them done now: %d cut out, %d stay whole, %d cannot be used; %s",
        *(len(files), sum(now for _, now in done), len(rows) - len(whole)),
        *(len(whole), len(unusable), f"look through {page}" if shown else "none is doubtful"),
    )
    return PARTLY if unusable else 0


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--input", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is written")
    parser.add_argument("--masks", type=Path, help="folder of your own masks")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=cores, help="photographs at a time")
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
