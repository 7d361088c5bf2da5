"""Draw the edge maps of photos, dark lines on white: the structures that the generators paint.

python AnomalyFactory/extract_edges.py --dataset Datasets/Images4TrainAFhybrid
python AnomalyFactory/extract_edges.py --input PHOTOS --output EDGES --size 256 256

--dataset fills pidinet_edges/ beside each good/ below DIR/Images; --input and --output mirror one
tree of photos. Each edge map is a grey PNG with the photo's stem. A map stays when it was made from
the same photo with the same detector, weights and size (they are noted in the PNG), or not by
this program. With several --gpu_ids, or under torchrun, every process draws its share. A photo that
cannot be used is named and left out, and kinds of files that are not read are counted; the exit
status is then 1, but 0 of several processes, which torchrun would start again in vain.
"""

import argparse
import hashlib
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from models.pidinet import SMALLEST_SIDE, pidinet_detector
from models.scharr import scharr_edges
from options.base_options import PIDINET, gpu_ids, gpus_there, new_parser, positive, rooted
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm
from util import distributed
from util.background import ahead
from util.device import keep_freed_memory, prepare
from util.engine import ENGINES, choose_engine
from util.errors import InputError, reported
from util.files import (
    ImageError,
    atomic,
    image_size,
    images_in,
    open_image,
    passed_over,
    stem_of,
    unread,
)
from util.images import png_texts

MAX_BATCH_PIXELS = 2**20  # a whole batch in PiDiNet, on a CPU: 2 to 3 GB
MAX_PHOTO_PIXELS = 2**22  # a photo alone in PiDiNet, on a CPU: 8 GB
BATCHES_WRITTEN = 2  # that wait to be written at once, while further ones are drawn
NOTE = "extract_edges"  # the PNG text chunk that says how a map was made


class Job(NamedTuple):
    """One photo, its edge map to be, and the working size (width, height) in pixels."""

    photo: Path
    edges: Path
    size: tuple[int, int]


def main() -> int:
    """Draw what is to be drawn; the exit status: 1 where photos are left out."""
    opt = edge_options()
    process = distributed.start(opt.gpu_ids)
    pairs, passed = plan(opt)
    note = how_made(opt)
    to_do = [(photo, edges) for photo, edges in pairs if not stands(photo, edges, note)]
    if process.first:
        tqdm.write(f"{note}: {len(pairs)} photos, {len(to_do)} to do")

    jobs = [Job(photo, edges, tuple(opt.size or image_size(photo))) for photo, edges in to_do]
    process.wait()  # nobody draws before everybody has looked
    detect = scharr_edges
    if opt.detector == "pidinet":
        large = [job for job in jobs if math.prod(job.size) > MAX_PHOTO_PIXELS]
        if large:
            photo = "{}: {}x{}".format(large[0].photo, *large[0].size)
            raise InputError(
                f"{photo}, and PiDiNet takes {MAX_PHOTO_PIXELS:,} pixels at the most"
                f" ({len(large)} of {len(jobs)} photos have more); resize them with --size W H"
            )
        prepare(exact=True)
        keep_freed_memory()
        engine = choose_engine(opt.engine, process.device, len(pairs))
        detect = pidinet_detector(opt.weights, process.device, engine)

    mine = list(batches(jobs, opt.batch_size))[process.share]
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:  # decodes and encodes beside the detector

        def maps() -> Iterator[tuple[Path, np.ndarray]]:
            read_ahead = ahead(read, mine, pool, most=joblib.cpu_count())
            bar = {"desc": "edges", "unit": "batch", "disable": process.quiet}
            for photos in tqdm(read_ahead, total=len(mine), **bar):
                strengths = detect(np.stack(list(photos.values()))) if photos else []
                yield from zip(photos, strengths, strict=True)

        write, most = partial(write_edges, note), BATCHES_WRITTEN * opt.batch_size
        drawn = sum(1 for _ in ahead(write, maps(), pool, most))
    drawn = process.sum(drawn)
    process.stop()
    unusable = len(to_do) - drawn
    if process.first:
        left = f"; {unusable} photos could not be used (named above)" if unusable else ""
        for line in (f"{drawn} edge maps drawn{left}", *passed_over(passed)):
            tqdm.write(line)
    # torchrun would begin anew, and in vain.
    return int(unusable + unread(passed) > 0 and process.world == 1)


def edge_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("Draw the edge maps of a dataset, or of one tree of photos.")
    add = parser.add_argument
    add("--dataset", type=rooted, help="fill pidinet_edges/ beside each good/ below its Images/")
    add("--input", type=rooted, help="a tree of photos")
    add("--output", type=rooted, help="where the tree of edge maps goes")
    detector = "scharr: plain gradients, which need no weights"
    add("--detector", choices=("pidinet", "scharr"), default="pidinet", help=detector)
    add("--weights", type=rooted, default=PIDINET, help="PiDiNet's")
    size = "resize each photo to W x H pixels first; as it is without it"
    add("--size", type=positive, nargs=2, metavar=("W", "H"), help=size)
    add("--batch_size", type=positive, default=8, help="photos at once at the most")
    computes = "of PiDiNet (default: openvino for many photos on a CPU, where it is installed)"
    add("--engine", choices=ENGINES, help=computes)
    gpus = (
        "GPUs such as 0 or 0,1; -1 for the CPU; without it 0, or under torchrun one for each"
        " process, where there is a GPU, else the CPU"
    )
    add("--gpu_ids", type=gpu_ids, help=gpus)
    opt = parser.parse_args(arguments)
    if opt.gpu_ids is None:
        opt.gpu_ids = gpus_there()
    trees = [name for name in ("dataset", "input", "output") if getattr(opt, name)]
    if trees not in (["dataset"], ["input", "output"]):
        raise InputError("give either --dataset DIR, or --input DIR with --output DIR")
    if opt.size and min(opt.size) < SMALLEST_SIDE:
        width, height = opt.size
        raise InputError(f"--size {width} {height}: expected {SMALLEST_SIDE} pixels or more a side")
    return opt


def plan(opt: argparse.Namespace) -> tuple[list[tuple[Path, Path]], dict[str, list[str]]]:
    """Each photo with the path of its edge map, for the folders that the options name; and what is
    passed over there, as images_in gives it."""
    if opt.dataset:
        goods = sorted(path for path in (opt.dataset / "Images").rglob("good") if path.is_dir())
        if not goods:
            raise InputError(
                f"{opt.dataset}: no Images/.../good folder in it; scripts/prepare_images.py"
                " makes them from the photographs"
            )
        trees = [(good, good.parent / "pidinet_edges") for good in goods]
    elif not opt.input.is_dir():
        raise InputError(f"{opt.input}: no such folder; --input names a folder of photos")
    # Inside the input, the next run would take the edge maps for photos.
    elif opt.output.resolve().is_relative_to(opt.input.resolve()):
        raise InputError(f"{opt.output} lies inside {opt.input}; name an --output outside it")
    else:
        trees = [(opt.input, opt.output)]
    owner: dict[Path, Path] = {}
    passed: dict[str, list[str]] = {}
    for tree, maps in trees:
        images, others = images_in(tree)
        for kind, names in others.items():
            passed[kind] = passed.get(kind, []) + names
        for name in images:
            photo, edges = tree / name, maps / f"{stem_of(name)}.png"
            if edges in owner:
                both = f"{owner[edges]} and {photo}"
                raise InputError(f"{both} would both become {edges}; rename one")
            owner[edges] = photo
    if not owner:
        nothing = f"{opt.dataset or opt.input}: no photos in it"
        raise InputError("; ".join([nothing, *passed_over(passed)]))
    return [(photo, edges) for edges, photo in owner.items()], passed


def how_made(opt: argparse.Namespace) -> str:
    """All that a map depends on besides its photo. Raises InputError for missing weights."""
    parts = [opt.detector]
    if opt.detector == "pidinet":
        if not opt.weights.is_file():
            raise InputError(
                f"{opt.weights}: no such file; fetch PiDiNet's with scripts/download_models.sh"
                " pidinet, name yours with --weights, or draw plain gradients: --detector scharr"
            )
        parts.append(hashlib.sha256(opt.weights.read_bytes()).hexdigest())
    size = [f"{opt.size[0]}x{opt.size[1]}"] if opt.size else []
    return " ".join([*parts, "dark_on_white", *size])


def stands(photo: Path, edges: Path, note: str) -> bool:
    """Whether `edges` stays: made so from this photo, or not made by this program at all."""
    if not edges.exists():
        return False
    found = png_texts(edges).get(NOTE)
    is_newer = edges.stat().st_mtime >= photo.stat().st_mtime
    return found is None or (found == note and is_newer)


def batches(jobs: list[Job], most: int) -> Iterator[list[Job]]:
    """`jobs` in batches of one size each, `most` photos and MAX_BATCH_PIXELS at the most, the
    largest first: every later batch fits into the memory that they took."""
    by_size: dict[tuple[int, int], list[Job]] = defaultdict(list)
    for job in jobs:
        by_size[job.size].append(job)
    for size in sorted(by_size, key=math.prod, reverse=True):
        same, pixels = by_size[size], math.prod(size)
        count = max(1, min(most, MAX_BATCH_PIXELS // max(pixels, 1)))
        yield from (same[start : start + count] for start in range(0, len(same), count))


def read(batch: list[Job]) -> dict[Path, np.ndarray]:
    """The photos at their working size, uint8 (height, width, 3), by the paths of their maps; one
    that cannot be read is named and left out."""
    photos = {}
    for job in batch:
        try:
            photo = open_image(job.photo)
            if min(job.size) < SMALLEST_SIDE:
                width, height = photo.size
                least = f"expected {SMALLEST_SIDE} pixels or more"
                raise ImageError(f"{job.photo}: {width}x{height}, {least}")
        except ImageError as error:
            tqdm.write(str(error), file=sys.stderr)
            continue
        if photo.size != job.size:
            photo = photo.resize(job.size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        photos[job.edges] = np.asarray(photo)
    return photos


def write_edges(note: str, edges: tuple[Path, np.ndarray]) -> None:
    """Write edge strength, uint8 (height, width), to its path as a PNG of dark lines on white."""
    path, strength = edges
    info = PngInfo()
    info.add_text(NOTE, note)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        Image.fromarray(255 - strength).save(temporary, pnginfo=info)


if __name__ == "__main__":
    with reported("extract_edges.py"):
        sys.exit(main())
