"""Edge maps of photos, dark lines on white: the structures that the generators paint.

    python AnomalyFactory/extract_edges.py --dataset Datasets/Images4TrainAFhybrid
    python AnomalyFactory/extract_edges.py --input PHOTOS --output EDGES --size 256 256

`--dataset` fills `pidinet_edges/` beside each `good/` below DIR/Images; `--input` and `--output`
mirror one tree of photos. Each edge map is a grey PNG with the photo's stem. A map that is there
already is kept when it was made from the same photo with the same detector, polarity and size
(they are written into the PNG), so an interrupted run goes on and a change takes effect. A map
that this program did not make is never touched.

PiDiNet's weights are read from --weights. When that file is missing at its default place it is
downloaded from the authors' repository, or from the address in the environment variable
PIDINET_URL, and kept only if its SHA-256 is right.
"""

import argparse
import ctypes
import hashlib
import http.client
import itertools
import logging
import os
import platform
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from models.pidinet import load_pidinet, normalise
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm
from util.errors import InputError
from util.files import IMAGE_FORMATS, IMAGE_SUFFIXES, ImageError, atomic, open_image

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_WEIGHTS = REPOSITORY / "Models/edges/table5_pidinet.pth"
PIDINET_URL = (
    "https://raw.githubusercontent.com/hellozhuo/pidinet/master/trained_models/table5_pidinet.pth"
)
PIDINET_SHA256 = "80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c"
MAX_DOWNLOAD = 64 * 2**20  # the file has 2.9 MB; a server that sends more sends something else
SMALLEST_SIDE = 8  # pixels: PiDiNet halves a photo three times
MAX_BATCH_PIXELS = 2**20  # PiDiNet holds some 800 bytes a pixel at its widest
MAX_PHOTO_PIXELS = 2**22  # of one photo in PiDiNet: 3.4 GB

SETTINGS_KEY = "extract_edges"  # PNG text chunk that says how a map was made
Detector = Callable[[np.ndarray], np.ndarray]  # photos (n, h, w, 3) uint8 -> edges (n, h, w) uint8

log = logging.getLogger("extract_edges")


class EdgeError(Exception):
    """Something the user must put right; the message says what."""


@dataclass(frozen=True)
class Job:
    """One photo, its edge map to be, and the working size (width, height) in pixels."""

    photo: Path
    edges: Path
    size: tuple[int, int]


# ----------------------------------------------------------------------------- detectors


def scharr_edges(photos: np.ndarray) -> np.ndarray:
    """Edge strength, uint8 (n, h, w), by smoothed Scharr gradients of `photos` (n, h, w, 3) uint8.

    A stand-in for PiDiNet without weights: gradient of the strongest colour channel, on a scale
    set by the photo itself. Half the pixels of a specimen photo are plain ground, so the median
    is the noise floor; the 98th percentile is a full line.
    """
    return np.stack([_scharr(photo) for photo in photos])


def _scharr(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    sigma = (height * width) ** 0.5 / 160  # 1.6 pixels at 256x256: lines as thick as PiDiNet's
    smooth = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), sigma)
    gradient = np.hypot(cv2.Scharr(smooth, -1, 1, 0), cv2.Scharr(smooth, -1, 0, 1)).max(axis=2)
    floor, full = np.percentile(gradient, (50, 98))
    # A flat photo has no scale of its own: noise of a grey level or two must stay faint.
    # (Scharr's kernel multiplies a slope of one level a pixel by 32.)
    full = max(full, floor + 96)
    strength = np.clip((gradient - floor) / (full - floor), 0, 1)
    return (255 * cv2.GaussianBlur(strength, (0, 0), sigma / 2)).astype(np.uint8)


def pidinet_detector(weights: Path, device: torch.device) -> Detector:
    """Edge strength by PiDiNet, 255 times its output, rounded down as published."""
    network = load_pidinet(weights).to(device)
    torch.backends.cudnn.allow_tf32 = False  # its 10 bits could move a pixel by a grey level

    def detect(photos: np.ndarray) -> np.ndarray:
        # A stack of (h, w, 3) photos is channels last already: the layout the network wants.
        pixels = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return (255 * network(normalise(pixels)))[:, 0].to(torch.uint8).cpu().numpy()

    return detect


def fetch_weights(path: Path) -> None:
    """Download PiDiNet's published weights to `path`. Raises EdgeError, leaving no file."""
    url = os.environ.get("PIDINET_URL", PIDINET_URL)
    log.info("fetching %s", url)
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            data = reply.read(MAX_DOWNLOAD + 1)
        found = hashlib.sha256(data).hexdigest()
        if found != PIDINET_SHA256:
            raise ValueError(f"SHA-256 is {found}, expected {PIDINET_SHA256}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise EdgeError(
            f"PiDiNet's weights are not at {path} and could not be fetched from {url} ({error}). "
            "Put table5_pidinet.pth of github.com/hellozhuo/pidinet (trained_models/) there, or "
            "name it with --weights, or use the plain gradient detector: --detector scharr"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        part.write_bytes(data)


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the system.

    Each layer's output is tens of megabytes. Returned and asked for again, its pages are zeroed
    every time: half of the network's time on a 500x333 photo.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max = -1, -4  # from malloc.h
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_mmap_max, 0)


# ------------------------------------------------------------------------------ the work


def find_photos(folder: Path) -> list[Path]:
    """The image files of the tree `folder`, sorted; hidden ones are left out."""
    photos = (
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    return [p for p in photos if not any(x.startswith(".") for x in p.relative_to(folder).parts)]


def plan(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Each photo with the path of its edge map, for the folders that the options name."""
    if args.dataset:
        goods = sorted(path for path in (args.dataset / "Images").rglob("good") if path.is_dir())
        if not goods:
            raise EdgeError(
                f"{args.dataset}: no Images/.../good folder in it; scripts/prepare_images.py "
                "makes them from the photographs"
            )
        pairs = [
            (photo, good.parent / "pidinet_edges" / photo.relative_to(good).with_suffix(".png"))
            for good in goods
            for photo in find_photos(good)
        ]
    else:
        if not args.input.is_dir():
            raise EdgeError(f"{args.input}: no such folder; --input names a folder of photos")
        # Inside the input, the next run would take the edge maps for photos.
        if args.output.resolve().is_relative_to(args.input.resolve()):
            raise EdgeError(f"{args.output} lies inside {args.input}; name an --output outside it")
        pairs = [
            (photo, args.output / photo.relative_to(args.input).with_suffix(".png"))
            for photo in find_photos(args.input)
        ]
    if not pairs:
        raise EdgeError(f"{args.dataset or args.input}: no photos in it")
    owner: dict[Path, Path] = {}
    for photo, edges in pairs:
        if edges in owner:
            raise EdgeError(f"{owner[edges]} and {photo} would both become {edges}; rename one")
        owner[edges] = photo
    return pairs


def is_done(photo: Path, edges: Path, settings: str) -> bool:
    """Whether `edges` stands: made so from this photo, or not made by this program at all."""
    try:
        with Image.open(edges, formats=["PNG"]) as image:
            made = image.info.get(SETTINGS_KEY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EdgeError(f"{edges}: not a readable PNG ({error}); remove it") from error
    if made is None:
        return True
    return made == settings and edges.stat().st_mtime >= photo.stat().st_mtime


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height from the file's header; ImageError where they cannot be had or used."""
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            width, height = image.size
    except Exception as error:  # Pillow's plugins raise many types on hostile bytes
        raise ImageError(f"{path}: not a readable image ({error})") from error
    if min(width, height) < SMALLEST_SIDE:
        raise ImageError(f"{path}: {width}x{height}, expected {SMALLEST_SIDE} pixels or more")
    return width, height


def refuse_large(jobs: list[Job]) -> None:
    """Raise EdgeError for photos that would take PiDiNet more memory than most machines have."""
    large = [job for job in jobs if job.size[0] * job.size[1] > MAX_PHOTO_PIXELS]
    if large:
        width, height = large[0].size
        raise EdgeError(
            f"{large[0].photo}: {width}x{height}, and PiDiNet takes {MAX_PHOTO_PIXELS:,} pixels at"
            f" the most ({len(large)} of {len(jobs)} photos have more); resize them with --size W H"
        )


def batches(jobs: list[Job], most: int) -> Iterator[list[Job]]:
    """`jobs` in batches of one size each, `most` photos and MAX_BATCH_PIXELS at the most."""
    for (width, height), same in itertools.groupby(
        sorted(jobs, key=lambda job: job.size), key=lambda job: job.size
    ):
        count = max(1, min(most, MAX_BATCH_PIXELS // (width * height)))
        same = list(same)
        yield from (same[start : start + count] for start in range(0, len(same), count))


def read_photo(job: Job) -> np.ndarray | ImageError:
    """The photo at its working size, uint8 (height, width, 3); an error is returned, not raised."""
    try:
        photo = open_image(job.photo)
    except ImageError as error:
        return error
    if photo.size != job.size:
        photo = photo.resize(job.size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(photo)


def write_edges(path: Path, strength: np.ndarray, polarity: str, settings: str) -> None:
    """Write the edge strength, uint8 (height, width), as a PNG in the polarity asked for."""
    info = PngInfo()
    info.add_text(SETTINGS_KEY, settings)
    grey = 255 - strength if polarity == "dark_on_white" else strength
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        Image.fromarray(grey).save(part, pnginfo=info)


def read_batches(
    jobs: list[Job], most: int, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[Job, np.ndarray | ImageError]]]:
    """The batches of `jobs`, each job with its photo, read in `pool` two batches ahead."""
    ahead: deque[list[tuple[Job, Future]]] = deque()
    for batch in batches(jobs, most):
        ahead.append([(job, pool.submit(read_photo, job)) for job in batch])
        if len(ahead) > 2:
            yield [(job, read.result()) for job, read in ahead.popleft()]
    for batch in ahead:
        yield [(job, read.result()) for job, read in batch]


def extract(
    jobs: list[Job], detect: Detector, polarity: str, settings: str, batch_size: int
) -> list[ImageError]:
    """Write the edge map of every job; returns the errors of the photos that cannot be read."""
    broken: list[ImageError] = []
    quiet = not sys.stderr.isatty()
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,  # decoding and encoding beside the detector
        tqdm(total=len(jobs), unit="photo", disable=quiet) as bar,
    ):
        for batch in read_batches(jobs, batch_size, pool):
            broken += [photo for _, photo in batch if isinstance(photo, ImageError)]
            whole = [(job, photo) for job, photo in batch if not isinstance(photo, ImageError)]
            if whole:
                strengths = detect(np.stack([photo for _, photo in whole]))
                writes = [
                    pool.submit(write_edges, job.edges, strength, polarity, settings)
                    for (job, _), strength in zip(whole, strengths, strict=True)
                ]
                for write in writes:
                    write.result()
            bar.update(len(batch))
    return broken


# ----------------------------------------------------------------------- the command line


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, help="fill pidinet_edges/ beside each good/")
    parser.add_argument("--input", type=Path, help="a tree of photos")
    parser.add_argument("--output", type=Path, help="where the tree of edge maps goes")
    parser.add_argument(
        "--detector",
        choices=("pidinet", "scharr"),
        default="pidinet",
        help="scharr: a plain gradient detector that needs no weights (default: pidinet)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=DEFAULT_WEIGHTS,
        help="PiDiNet's weights (default: Models/edges/table5_pidinet.pth, fetched if missing)",
    )
    parser.add_argument(
        "--polarity",
        choices=("dark_on_white", "white_on_dark"),
        default="dark_on_white",
        help="the generators expect dark lines on white (default)",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("W", "H"),
        help="resize each photo to W x H pixels first (default: as it is)",
    )
    parser.add_argument(
        "--batch_size", type=int, default=8, help="photos in a batch at the most (default: 8)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where PiDiNet runs (default: auto, the GPU if there is one)",
    )
    args = parser.parse_args(arguments)
    if (args.dataset is None) == (args.input is None) or (args.input is None) != (
        args.output is None
    ):
        parser.error("give either --dataset DIR, or --input DIR with --output DIR")
    if args.size and min(args.size) < SMALLEST_SIDE:
        parser.error(f"--size: both sides must be {SMALLEST_SIDE} pixels or more")
    if args.batch_size < 1:
        parser.error(f"--batch_size {args.batch_size}: must be 1 or more")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here; use --device cpu")
    return args


def make_detector(args: argparse.Namespace) -> Detector:
    """The detector that the options name, its weights fetched if need be."""
    if args.detector == "scharr":
        return scharr_edges
    if not args.weights.exists():
        if args.weights != DEFAULT_WEIGHTS:
            raise EdgeError(f"{args.weights}: no such file; --weights names PiDiNet's weights")
        fetch_weights(args.weights)
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    return pidinet_detector(args.weights, torch.device(args.device))


def run(args: argparse.Namespace) -> int:
    settings = f"{args.detector} {args.polarity}"
    if args.size:
        settings += f" {args.size[0]}x{args.size[1]}"
    pairs = plan(args)
    pairs_to_do = [(photo, edges) for photo, edges in pairs if not is_done(photo, edges, settings)]
    log.info("%s: %d photos, %d to do", settings, len(pairs), len(pairs_to_do))
    if not pairs_to_do:
        return 0

    jobs, broken = [], []
    for photo, edges in pairs_to_do:
        try:
            jobs.append(Job(photo, edges, tuple(args.size) if args.size else photo_size(photo)))
        except ImageError as error:
            broken.append(error)
    if args.detector == "pidinet":
        refuse_large(jobs)
    detect = make_detector(args)
    start = time.perf_counter()
    broken += extract(jobs, detect, args.polarity, settings, args.batch_size)
    seconds = time.perf_counter() - start

    done = len(pairs_to_do) - len(broken)
    log.info("%d edge maps in %.1f s (%.1f a second)", done, seconds, done / max(seconds, 1e-9))
    for error in broken:
        log.error("%s", error)
    if broken:
        raise EdgeError(f"{len(broken)} photos could not be read; replace them and run again")
    return 0


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="extract_edges: %(message)s")
    keep_freed_memory()
    try:
        return run(parse_arguments())
    except (EdgeError, InputError, OSError) as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.error("stopped; run the same command to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
