"""Originals of the challenge -> the images of the three datasets.

    python scripts/prepare_images.py --csv butterfly_anomaly_train.csv --photos ORIGINALS

writes each photograph of the CSV, under its own name, to
    Images4TrainAFhybrid/Images/{hybrid,non-hybrid}/train/good/    500x333
    Images4TrainAFnonhybrid/Images/{subspecies}/train/good/        256x256 (signal hybrids: 8_9)
    Images4TrainClassifier/Images/{hybrid,non-hybrid}/             long side 1024 at the most
Photographs are resized, not cropped, as in the published system. What is there already and newer
than its original is kept.

The classifiers see 224x224 pixels. From 1024, those differ by 0.3 of 255 grey levels on average
(3 at the most) from those of an original of 6 to 12 megapixels, which takes twelve times the disk
space and twenty times as long to decode. A photograph that is no larger is copied as it is.
"""

import argparse
import logging
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.challenge_csv import Photo, TableError, challenge_parser, read_photos
from common.files import IMAGE_FORMATS, ImageError, atomic, open_image
from PIL import Image
from tqdm import tqdm

HYBRID_SIZE = (500, 333)  # width, height in pixels, as published
NONHYBRID_SIZE = (256, 256)
JPEG = {"quality": 95, "subsampling": 0}  # full colour resolution: the wing bands are thin

log = logging.getLogger("prepare_images")


def generator_images(photo: Photo, datasets: Path) -> list[tuple[Path, tuple[int, int]]]:
    """Where `photo` goes for the two generators, and the size there."""
    hybrid = datasets / "Images4TrainAFhybrid/Images" / photo.status
    nonhybrid = datasets / "Images4TrainAFnonhybrid/Images" / photo.subspecies
    return [
        (hybrid / "train/good" / photo.filename, HYBRID_SIZE),
        (nonhybrid / "train/good" / photo.filename, NONHYBRID_SIZE),
    ]


def classifier_image(photo: Photo, datasets: Path) -> Path:
    """Where `photo` goes for the classifiers."""
    return datasets / "Images4TrainClassifier/Images" / photo.status / photo.filename


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """`size` scaled down so that its longer side is `side` pixels at the most."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height in the header of `path`; None where it is no image."""
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            return image.size
    except Exception:  # Pillow's plugins raise many types; the caller writes the file anew
        return None


def stands(path: Path, original: Path, size: tuple[int, int]) -> bool:
    """Whether `path` is there, newer than `original` and of this size."""
    newer = path.is_file() and path.stat().st_mtime >= original.stat().st_mtime
    return newer and image_size(path) == size


def prepare(photo: Photo, original: Path, datasets: Path, side: int) -> bool:
    """Write the images of one photograph that do not stand yet; whether there were any.

    Raises ImageError where the original cannot be decoded.
    """
    size = image_size(original)
    if size is None:
        raise ImageError(f"{original}: not a readable image")
    kept = classifier_image(photo, datasets)
    wanted = [*generator_images(photo, datasets), (kept, fitted(size, side))]
    missing = [(path, size) for path, size in wanted if not stands(path, original, size)]
    if not missing:
        return False
    image = open_image(original)
    for path, target_size in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            if path == kept and target_size == size:
                shutil.copyfile(original, part)
            else:
                resized = image.resize(target_size, Image.Resampling.LANCZOS, reducing_gap=3.0)
                options = JPEG if path.suffix.lower() in (".jpg", ".jpeg") else {}
                resized.save(part, **options)
    return True


def run(args: argparse.Namespace) -> int:
    photos = read_photos(args.csv)
    absent = [photo for photo in photos if not (args.photos / photo.filename).is_file()]
    if absent:
        log.error(
            "%d of %d photographs are not in %s, the first is %s; name their folder "
            "in --photos, or fetch the challenge's: scripts/download_challenge.sh %s %s",
            *(len(absent), len(photos), args.photos, absent[0].filename, args.csv, args.photos),
        )
        return 1

    def work(photo: Photo) -> bool | ImageError:
        try:
            return prepare(photo, args.photos / photo.filename, args.datasets, args.classifier_side)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(args.workers) as pool:  # Pillow decodes and resizes outside the lock
        try:
            bar = tqdm(
                pool.map(work, photos),
                total=len(photos),
                unit="photo",
                disable=not sys.stderr.isatty(),
            )
            results = list(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    broken = [result for result in results if isinstance(result, ImageError)]
    for error in broken:
        log.error("%s", error)
    log.info("%d photographs, %d prepared now", len(photos), results.count(True))
    if broken:
        log.error("%d photographs cannot be read; fetch them again and run again", len(broken))
    return int(bool(broken))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = challenge_parser(__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="the folder of originals")
    parser.add_argument(
        "--classifier_side",
        type=int,
        default=1024,
        help="longest side in pixels of the classifiers' photographs (default: 1024)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="photographs at a time (default: one a core)",
    )
    args = parser.parse_args(arguments)
    if args.classifier_side < 224:
        parser.error(f"--classifier_side {args.classifier_side}: the classifiers see 224 pixels")
    if args.workers < 1:
        parser.error(f"--workers {args.workers}: must be 1 or more")
    return args


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="prepare_images: %(message)s")
    try:
        return run(parse_arguments())
    except (TableError, OSError) as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.error("stopped; run the same command to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
