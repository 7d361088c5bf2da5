"""What a training leaves for the report: its images' features, names and small pictures.

The report maps them, and shows of each parent of a photograph the training photograph most like
it. All photographs are kept, and a sample of the painted images. The classifiers do not need it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from backbones import BACKBONES
from published_members import Origin
from thumbnails import make_thumbnails
from tqdm import tqdm
from weights import read_arrays

INDEX_FILE = "training_index.npz"
PAINTED_KEPT = 500  # painted images, spread evenly over the rows: enough to see where they lie
THUMBNAIL = 160  # pixels of the longer side
MAX_BYTES = 1_000_000_000  # of all arrays in the file; 2,600 images take 25 MB with DINOv2


@dataclass(frozen=True)
class TrainingIndex:
    """n images of a training."""

    names: np.ndarray  # (n,) of the files
    groups: np.ndarray  # (n,) subspecies such as `8`, or crosses such as `8 x 9`
    hybrid: np.ndarray  # (n,) bool
    painted: np.ndarray  # (n,) bool
    features: np.ndarray  # (n, feature_size) float16
    thumbnails: list[bytes]  # JPEG, of what the backbone looks at
    origin: Origin


def make_index(
    names: Sequence[str],
    groups: Sequence[str],
    hybrid: np.ndarray,
    painted: np.ndarray,
    paths: Sequence[Path],
    features: np.ndarray,
    origin: Origin,
    workers: int,
) -> TrainingIndex | None:
    """The index of n images, as TrainingIndex has them, with their files.

    An image that cannot be read any more has no place in it; None where none can be.
    """
    rows = rows_to_keep(painted)
    made = make_thumbnails([paths[row] for row in rows], origin.preprocess, THUMBNAIL, workers)
    bar = tqdm(made, total=len(rows), desc="thumbnails", unit="image", disable=None)
    pairs = zip(rows, bar, strict=True)
    thumbnails = {row: picture for row, picture in pairs if isinstance(picture, bytes)}
    if not thumbnails:
        return None
    rows = list(thumbnails)
    return TrainingIndex(
        names=np.array(names, str)[rows],
        groups=np.array(groups, str)[rows],
        hybrid=hybrid[rows],
        painted=painted[rows],
        features=features[rows].astype(np.float16),
        thumbnails=list(thumbnails.values()),
        origin=origin,
    )


def rows_to_keep(painted: np.ndarray) -> np.ndarray:
    """Of n rows, painted (n,) or not: all photographs, PAINTED_KEPT painted images; ascending."""
    places = np.flatnonzero(painted)
    count = min(len(places), PAINTED_KEPT)
    kept = places[np.linspace(0, len(places) - 1, count).round().astype(int)]
    return np.sort(np.concatenate([np.flatnonzero(~painted), kept]))


def save_index(index: TrainingIndex, path: Path) -> None:
    arrays = {name: value for name, value in vars(index).items() if name != "origin"}
    arrays["thumbnails"] = np.frombuffer(b"".join(index.thumbnails), np.uint8)
    arrays["ends"] = np.cumsum([len(thumbnail) for thumbnail in index.thumbnails])
    origin = {name: np.array(text or "") for name, text in asdict(index.origin).items()}
    with path.open("wb") as file:
        np.savez(file, **arrays, **origin)


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
    origin = Origin(*(str(arrays[name]) or None for name in ("backbone", "training", "preprocess")))
    columns = {name: arrays[name] for name in ("names", "groups", "hybrid", "painted", "features")}
    n, ends = len(columns["names"]), arrays["ends"]
    kinds = "".join(value.dtype.kind for value in columns.values())
    shapes = [value.shape for value in (ends, *columns.values())]
    if kinds != "UUbbf" or shapes != [(n,)] * 5 + [(n, BACKBONES[origin.backbone].feature_size)]:
        raise ValueError(f"its arrays are of the kinds {kinds} and the shapes {shapes}")
    if n == 0 or not np.isfinite(columns["features"]).all():
        raise ValueError("no images, or a feature that is not finite")
    content = arrays["thumbnails"].tobytes()
    starts = [0, *ends[:-1].tolist()]
    pictures = [content[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
    return TrainingIndex(**columns, thumbnails=pictures, origin=origin)
