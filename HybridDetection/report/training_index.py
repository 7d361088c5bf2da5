"""Small pictures, and what a training leaves for the report: its photographs of non-hybrids.

The report shows of each parent of a photograph the one most like it. Classifiers do not need it.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from backbones import BACKBONES
from cutout import WORKING_SIDE, cut_out
from data_utils import group_names
from dataset import Rows
from files import ImageError, open_image
from published_members import Origin
from tqdm import tqdm
from weights import read_arrays

INDEX_FILE = "training_index.npz"
THUMBNAIL = 160  # pixels of the longer side
QUALITY = 82  # of JPEG
COLUMNS = ("names", "groups", "features", "thumbnails")  # of the file, beside the origin
MAX_BYTES = 1_000_000_000  # of all arrays in the file; 2,000 photographs take 20 MB with DINOv2


@dataclass(frozen=True)
class TrainingIndex:
    """n photographs of non-hybrids in a training."""

    names: np.ndarray  # (n,) of the files
    groups: np.ndarray  # (n,) subspecies such as `8`
    features: np.ndarray  # (n, feature_size) float16
    thumbnails: np.ndarray  # (n,) bytes of JPEGs, of what the backbone looks at
    origin: Origin


def make_index(rows: Rows, origin: Origin, workers: int) -> TrainingIndex | None:
    """The index of the photographs of non-hybrids among a training's rows, with their files.

    One that cannot be read any more has no place in it; None where none can be.
    """
    rows = rows.take(~rows.painted & (rows.labels == 0))
    made = make_thumbnails(rows.paths, origin.preprocess, THUMBNAIL, workers)
    bar = tqdm(made, total=len(rows), desc="thumbnails", unit="image", disable=None)
    thumbnails = {row: picture for row, picture in enumerate(bar) if isinstance(picture, bytes)}
    if not thumbnails:
        return None
    rows = rows.take(list(thumbnails))
    return TrainingIndex(
        names=rows.table["filename"].to_numpy(str),
        groups=group_names(rows.table).to_numpy(str),
        features=rows.features.astype(np.float16),
        thumbnails=np.array(list(thumbnails.values())),  # a JPEG ends with no zero
        origin=origin,
    )


def load_index(path: Path, origin: Origin) -> TrainingIndex:
    """The index in `path`, of the training that `origin` names.

    Raises FileNotFoundError where there is none, and ValueError for damage, another training and
    published classifiers, which remember none; each says what to do.
    """
    remedy = "train again, and the report shows training images"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {remedy}")
    try:
        index = parse_index(read_arrays(path, MAX_BYTES))
    except Exception as error:  # hostile bytes make zip's and npy's readers raise almost anything
        raise ValueError(f"{path}: no index of a training ({error}); {remedy}") from error
    if index.origin != origin:
        raise ValueError(f"{path} is of {index.origin}, but the classifiers of {origin}; {remedy}")
    return index


def parse_index(arrays: dict[str, np.ndarray]) -> TrainingIndex:
    """The index of a file's arrays; ValueError where they are not n images' and finite."""
    origin = Origin(*(str(arrays[name]) or None for name in asdict(Origin())))
    columns = {name: arrays[name] for name in COLUMNS}
    n = len(columns["names"])
    kinds = "".join(value.dtype.kind for value in columns.values())
    shapes = [value.shape for value in columns.values()]
    size = BACKBONES[origin.backbone].feature_size
    if kinds != "UUfS" or shapes != [(n,), (n,), (n, size), (n,)]:
        raise ValueError(f"its arrays are of the kinds {kinds} and the shapes {shapes}")
    if n == 0 or not np.isfinite(columns["features"]).all():
        raise ValueError("no images, or a feature that is not finite")
    return TrainingIndex(**columns, origin=origin)


def make_thumbnails(
    paths: Sequence[Path], preprocess: str, side: int, workers: int
) -> Iterator[bytes | str]:
    """Of each photograph a JPEG whose longer side is `side` pixels at the most, or what ails it.

    For the `preprocess` "cutout", of the specimen cut out. Made by `workers` threads: Pillow and
    OpenCV work outside Python's lock.
    """

    def thumbnail(path: Path) -> bytes | str:
        try:
            cut = preprocess == "cutout"
            image = open_image(path, WORKING_SIDE if cut else 2 * side)
            image = cut_out(image)[0] if cut else image
        except ImageError as error:
            return str(error)
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(thumbnail, paths)
