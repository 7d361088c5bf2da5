"""The classifier's CSV: read it, check it, find its images, split its rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from files import inside
from sklearn.model_selection import train_test_split

COLUMNS = [
    "CAMID",
    "file_url",
    "hybrid_stat",
    "split",
    "zenodo_link",
    "md5",
    "subspecies",
    "parent_subspecies_1",
    "parent_subspecies_2",
    "filename",
]
LABELS = {"non-hybrid": 0, "hybrid": 1}
SPLIT_SEED = 42


def read_table(csv_path: Path) -> pd.DataFrame:
    """The rows of `csv_path` as strings, with a column `label`: 1 for hybrids, 0 for the rest.

    Raises ValueError naming the file and the line for a missing column, an unknown label, a file
    name that is empty, leaves the image folder or stands there twice.
    """
    try:
        table = pd.read_csv(csv_path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{csv_path}: not a CSV table: {error}") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(
            f"{csv_path}, line 1: no column {', '.join(missing)}; expected {','.join(COLUMNS)}"
        )
    if table.empty:
        raise ValueError(f"{csv_path}: no rows below the header")
    first_line: dict[Path, int] = {}
    for line, (status, name) in enumerate(
        zip(table["hybrid_stat"], table["filename"], strict=True), start=2
    ):
        if status not in LABELS:
            raise ValueError(
                f"{csv_path}, line {line}: hybrid_stat is {status!r}, expected "
                f"{' or '.join(LABELS)}"
            )
        try:
            path = inside(Path(), name)
        except ValueError as error:
            raise ValueError(f"{csv_path}, line {line}: filename {error}") from error
        if path in first_line:  # as a path, so that ./a.jpg is a.jpg
            raise ValueError(
                f"{csv_path}, line {line}: {name} stands on line {first_line[path]} already"
            )
        first_line[path] = line
    return table.assign(label=table["hybrid_stat"].map(LABELS).astype(int))


def find_images(table: pd.DataFrame, image_dir: Path) -> list[Path | None]:
    """The image of each row: image_dir/{hybrid,non-hybrid}/NAME, else image_dir/NAME, else None."""
    if not image_dir.is_dir():
        raise ValueError(f"{image_dir}: no such image folder")

    def find(status: str, name: str) -> Path | None:
        candidates = (inside(image_dir / status, name), inside(image_dir, name))
        return next((path for path in candidates if path.is_file()), None)

    return [
        find(status, name)
        for status, name in zip(table["hybrid_stat"], table["filename"], strict=True)
    ]


@dataclass(frozen=True)
class Split:
    """Row numbers. The SGD classifier is fitted on `fit`; `check` gives its printed accuracy."""

    fit: np.ndarray  # 64 % of the rows
    check: np.ndarray  # 16 %
    held_out: np.ndarray  # 20 %, for the evaluation

    @property
    def train(self) -> np.ndarray:
        return np.sort(np.concatenate([self.fit, self.check]))


def split_rows(labels: np.ndarray) -> Split:
    """Split rows with 0/1 `labels` (n,) at random, always alike; both classes in each part."""
    counts = np.bincount(labels, minlength=2)
    if counts.min() < 10:
        raise ValueError(
            f"{counts[1]} hybrid and {counts[0]} non-hybrid images are left; at least 10 of each "
            "are needed to split and calibrate"
        )
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=0.2, random_state=SPLIT_SEED, stratify=labels
    )
    fit, check = train_test_split(
        train, test_size=0.2, random_state=SPLIT_SEED, stratify=labels[train]
    )
    return Split(fit, check, held_out)
