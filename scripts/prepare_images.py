"""Originals of the challenge -> the images of the three datasets.

    python scripts/prepare_images.py --csv butterfly_anomaly_train.csv --photos ORIGINALS

writes each photograph of the CSV, under its own name, to
    Images4TrainAFhybrid/Images/{hybrid,non-hybrid}/train/good/    500x333
    Images4TrainAFnonhybrid/Images/{subspecies}/train/good/        256x256 (signal hybrids: 8_9)
    Images4TrainClassifier/Images/{hybrid,non-hybrid}/             long side 1024 at the most
Photographs are resized, not cropped, as in the published system. What is there already and newer
than its original is kept.

With --cutouts, the generators get cutouts instead: the specimen alone, on a flat ground.
cut_folder.py writes them to CUTOUTS/images/, and lists in CUTOUTS/doubtful.html those to look
through; a photograph in which it finds nothing stays whole. --masks takes masks of your own. Images
made from the other kind before are made anew. The classifiers' images stay photographs: training.py
cuts them out itself.

The classifiers see 224x224 pixels. From 1024, those differ by 0.3 of 255 grey levels on average
(3 at the most) from those of an original of 6 to 12 megapixels, which takes twelve times the disk
space and twenty times as long to decode. A photograph that is no larger is copied as it is.
"""

import argparse
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import joblib
from common.challenge_csv import Photo, challenge_parser, counted, read_photos, those_present
from common.files import ImageError, atomic, image_size, open_image
from common.program import ROOT, InputError, positive, start
from PIL import Image
from tqdm import tqdm

CUTOUT = ROOT / "HybridDetection/cut_folder.py"
SETS = ("Images4TrainAFhybrid", "Images4TrainAFnonhybrid", "Images4TrainClassifier")
HYBRID_SIZE = (500, 333)  # width, height in pixels, as published
NONHYBRID_SIZE = (256, 256)
CLASSIFIER_SIDE = 1024  # pixels of the longer side, at the most
NOTE = "made_from.txt"  # in a generator's data set: what its images are made from, and since when
PHOTOGRAPHS = "photographs"  # what they are made from where there is no note
JPEG = {"quality": 95, "subsampling": 0}  # full colour resolution: the wing bands are thin


def made_since(dataset: Path, source: str) -> float:
    """Since when the images of `dataset` are made from `source`, in seconds since 1970.

    A note holds the source, and its own date is when that began: by their dates alone, images of
    cutouts would be kept when they are to be made from the photographs again, which are older.
    """
    note = dataset / NOTE
    text = f"{source}\n".encode()
    found = note.read_bytes() if note.is_file() else f"{PHOTOGRAPHS}\n".encode()
    if found != text:
        dataset.mkdir(parents=True, exist_ok=True)
        with atomic(note) as part:
            part.write_bytes(text)
    return note.stat().st_mtime if note.is_file() else 0.0


def encoded(image: Image.Image, suffix: str) -> bytes:
    """What `image` is in the format of `suffix`.

    Pillow's own writing takes a file that a full disk cuts short for a whole one.
    """
    buffer = io.BytesIO()
    image_format = Image.registered_extensions()[suffix]
    image.save(buffer, image_format, **(JPEG if image_format in ("JPEG", "MPO") else {}))
    return buffer.getvalue()


def prepare(photo: Photo, args: argparse.Namespace, seen: Path, since: Sequence[float]) -> bool:
    """Write the images of one photograph that do not stand yet; whether there were any.

    `seen` has what the generators get, photographs or cutouts, since when their data sets are made
    from these. Raises ImageError where the original or its cutout is missing or cannot be decoded.
    """
    original, pictured = args.photos / photo.filename, seen / photo.filename
    size = image_size(original)
    if size == (0, 0):
        raise ImageError(f"{original}: not a readable image")
    if not pictured.is_file():
        raise ImageError(f"{original}: not cut out, for the reason above")
    hybrid, nonhybrid, classifier = (args.datasets / name / "Images" for name in SETS)
    kept = classifier / photo.status / photo.filename
    good = Path("train/good", photo.filename)
    scale = min(1, CLASSIFIER_SIDE / max(size))
    fitted = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    places = (
        (hybrid / photo.status / good, HYBRID_SIZE, pictured, since[0]),
        (nonhybrid / photo.subspecies / good, NONHYBRID_SIZE, pictured, since[1]),
        (kept, fitted, original, 0.0),
    )
    opened, written = cache(open_image), False
    for path, wanted, source, begun in places:
        newest = max(source.stat().st_mtime, begun)
        if path.is_file() and path.stat().st_mtime >= newest and image_size(path) == wanted:
            continue
        image, written = opened(source), True
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            if path == kept and wanted == size:
                shutil.copyfile(original, part)
            else:
                resized = image.resize(wanted, Image.Resampling.LANCZOS, reducing_gap=3.0)
                part.write_bytes(encoded(resized, path.suffix.lower()))
    return written


def cut_out(photos: list[Photo], args: argparse.Namespace) -> bool:
    """Cut `photos` out into `args.cutouts`/images/; whether all of them could be. InputError where
    cut_folder.py did not come to its end."""
    if args.photos.resolve() in [(args.cutouts / name).resolve() for name in ("images", "masks")]:
        over = f"would write over the photographs in {args.photos}; name another folder"
        raise InputError(f"--cutouts {args.cutouts}: {over}")
    with tempfile.TemporaryDirectory() as links:  # what else lies in the folder is left alone
        for photo in photos:
            Path(links, photo.filename).symlink_to((args.photos / photo.filename).resolve())
        command = [sys.executable, CUTOUT, "--input", links, "--output", args.cutouts]
        command += ["--workers", str(args.workers)]
        command += ["--masks", args.masks] if args.masks is not None else []
        page = args.cutouts / "doubtful.html"  # which is its last word
        page.unlink(missing_ok=True)
        status = subprocess.call(command)
    if not page.is_file():
        said = f"could not cut out {args.photos} (exit status {status}, its reason is above)"
        raise InputError(f"stopped: cut_folder.py {said}")
    return status == 0


def run(args: argparse.Namespace) -> int:
    fetch = f"fetch the challenge's: scripts/download_challenge.sh {args.csv} {args.photos}"
    photos = those_present(
        read_photos(args.csv),
        lambda photo: args.photos / photo.filename,
        args.allow_missing,
        f"name their folder in --photos, or {fetch}",
    )
    seen, source, whole = args.photos, PHOTOGRAPHS, True
    if args.cutouts:
        seen = args.cutouts / "images"
        source = f"cutouts in {os.path.relpath(args.cutouts, args.datasets)}"
        whole = cut_out(photos, args)
    since = [made_since(args.datasets / name, source) for name in SETS[:2]]

    def work(photo: Photo) -> bool | ImageError:
        try:
            return prepare(photo, args, seen, since)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(args.workers) as pool:  # Pillow decodes and resizes outside the lock
        done = pool.map(work, photos)
        results = list(tqdm(done, total=len(photos), unit="photo", disable=None))
    broken = [result for result in results if isinstance(result, ImageError)]
    for error in broken:
        logging.error("%s", error)
    logging.info("%s, %d prepared now", counted(photos), results.count(True))
    if broken:
        remedy = "fetch them again, or move them away and say --allow_missing"
        logging.error("%d photographs cannot be read; %s", len(broken), remedy)
    elif not whole:
        logging.error("cut_folder.py cannot read what it names above; older cutouts were taken")
    return int(bool(broken) or not whole)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = challenge_parser(__doc__)
    add = parser.add_argument
    add("--photos", type=Path, required=True, help="the folder of originals")
    kept = "cut the generators' images out, into this folder (default: cutouts/ beside the sets)"
    add("--cutouts", type=Path, nargs="?", const=True, help=kept)
    add("--masks", type=Path, help="folder of your own masks for --cutouts")
    a_time = "photographs at a time (default: one a core)"
    add("--workers", type=positive, default=joblib.cpu_count(), help=a_time)
    args = parser.parse_args(arguments)
    if args.masks is not None and args.cutouts is None:
        parser.error(f"--masks {args.masks}: needs --cutouts, which cuts out with them")
    if args.cutouts is True:
        args.cutouts = args.datasets / "cutouts"
    return args


if __name__ == "__main__":
    start(run, parse_arguments)
