"""The dataset that is trained on: a CSV's images, with their features, labels and groups."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from cutout import is_cutout
from data_utils import LIST_FOLDERS, find_images, image_places, read_table
from files import ImageError, open_image
from spelling import but_there

LOOKED_AT = 20  # painted images, and photographs, that tell whether they are cutouts

log = logging.getLogger("training")


@dataclass(frozen=True)
class Rows:
    """n images of the dataset, in the order of the CSV."""

    table: pd.DataFrame  # of the CSV, as read_table gives it
    paths: list[Path]
    features: np.ndarray  # (n, d) float32
    labels: np.ndarray  # (n,) 1 for hybrids, 0 for the rest
    painted: np.ndarray  # (n,) bool
    groups: np.ndarray  # (n, 2) the specimens that gave an image its structure and its reference
    wings: np.ndarray  # (n,) arrays (v, d): what is seen of the wings, of photographs in views

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: np.ndarray) -> "Rows":
        """Those of `rows`, numbers or a mask."""
        paths = np.array(self.paths, object)[rows].tolist()
        arrays = (self.features, self.labels, self.painted, self.groups, self.wings)
        return Rows(self.table.iloc[rows], paths, *(values[rows] for values in arrays))


def find_csv(folder: Path, file: Path) -> Path:
    """The CSV `file` in List/ or Lists/ of `folder` or in itself, or else where it is as a path, in
    whichever of the two spellings."""
    candidates = [folder / lists / file for lists in LIST_FOLDERS] + [folder / file, file]
    if file.parent.name in LIST_FOLDERS:
        candidates += [file.parents[1] / lists / file.name for lists in LIST_FOLDERS]
    candidates = list(dict.fromkeys(candidates))
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no CSV of images: looked for {' and '.join(map(str, candidates))}{but_there(file)}; "
        "scripts/make_classifier_csv.py writes it, or make_photo_csv.py of your own photographs"
    )


def read_dataset(csv_path: Path, image_dir: Path) -> tuple[pd.DataFrame, list[Path]]:
    """The rows of the CSV whose images are beside it or in `image_dir`, and these; the others are
    reported."""
    table = read_table(csv_path)
    paths = find_images(table, image_dir, csv_path.parent)
    found = np.array([path is not None for path in paths])
    hint = ""
    if not found.all():
        status, name = table.loc[~found, ["hybrid_stat", "filename"]].iloc[0]
        places = image_places(status, name, image_dir, csv_path.parent)
        hint = next(filter(None, map(but_there, places)), "")
    report_left_out(table["filename"][~found], "are missing", hint)
    if not found.any():
        raise ValueError(f"{csv_path}: none of its images lies beside it or in {image_dir}")
    return table[found].reset_index(drop=True), [path for path in paths if path is not None]


def report_left_out(names: pd.Series, problem: str, hint: str = "") -> None:
    """Log how many are left out, the first five, and what `but_there` says of the first."""
    if len(names):
        first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        log.warning("%d images %s and are left out: %s%s", len(names), problem, first, hint)


def check_grounds(painted: np.ndarray, paths: Sequence[Path]) -> None:
    """ValueError where the painted (n,) among n images are cutouts and the photographs are not.

    Classifiers would learn the ground. A few of each kind tell.
    """
    pictures, photographs = (np.array(paths, object)[rows] for rows in (painted, ~painted))
    cut, whole = (any(map(shows_cutout, some[:LOOKED_AT])) for some in (pictures, photographs))
    if cut and not whole and len(photographs):
        raise ValueError(
            f"painted images such as {pictures[0]} are cutouts, and photographs such as "
            f"{photographs[0]} are not, so that the ground would tell them apart: train with "
            "--preprocess cutout"
        )


def shows_cutout(path: Path) -> bool:
    try:
        return is_cutout(np.asarray(open_image(path)))
    except ImageError:  # told where the features are extracted
        return False


def check_finite(values: np.ndarray, names: pd.Series, what: str) -> None:
    """ValueError naming the first of n images whose `values` (n, ...) are not all finite."""
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.all():
        raise ValueError(
            f"{names[~finite].iloc[0]} and {(~finite).sum() - 1} more images: {what} is NaN or "
            "infinite; look for images unlike all others, check the backbone's weights, or delete "
            "the feature cache and train again"
        )
