"""The classifier's CSV: read it, check it, find its images, split its rows."""

import csv
import io
import os
from collections.abc import Sequence
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
SHARE_HELD_OUT = 0.2
FOLDS = 5  # of the SGD classifier's calibration; each needs an image of both classes
LONGEST_NAME = 255  # bytes; no file system has longer ones


def read_text(path: Path, kind: str) -> str:
    """The text in `path`; ValueError, naming the line, where it is not in UTF-8.

    The error calls it `not {kind}`.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not {kind} in UTF-8 ({error.reason})") from error


def read_cells(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The cells of the CSV `path` as strings; a row's index is the line on which it ends.

    ValueError naming the line for what is no CSV, where one of `columns` is missing or stands
    twice, and for a row of more or fewer cells than the first line.
    """
    rows = csv.reader(io.StringIO(read_text(path, "a CSV table"), newline=""), strict=True)
    try:
        header = next(rows, [])
        missing = [name for name in columns if name not in header]
        twice = [name for name in columns if header.count(name) > 1]
        if missing or twice:
            found = f"no column {', '.join(missing)}" if missing else f"{twice[0]} stands twice"
            raise ValueError(f"{path}, line 1: {found}; expected {','.join(columns)}")
        lines, cells = [], []
        for row in filter(None, rows):
            lines.append(rows.line_num)
            cells.append(row)
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: not a CSV table: {error}") from error
    for line, row in zip(lines, cells, strict=True):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells, but {len(header)} columns in line 1"
            )
    return pd.DataFrame(cells, lines, header, dtype=str)


def read_table(csv_path: Path) -> pd.DataFrame:
    """The rows of `csv_path` as strings, with a column `label`: 1 for hybrids, 0 for the rest.

    Raises ValueError naming the file and the line for a missing column, an unknown label, a
    split other than train, a file name that is empty, leaves the image folder or stands there
    twice.
    """
    table = read_cells(csv_path, COLUMNS)
    if table.empty:
        raise ValueError(f"{csv_path}: no rows below the header")
    first_line: dict[Path, int] = {}
    columns = (table["hybrid_stat"], table["split"], table["filename"])
    for line, status, split, name in zip(table.index, *columns, strict=True):
        if status not in LABELS:
            raise ValueError(
                f"{csv_path}, line {line}: hybrid_stat is {status!r}, expected "
                f"{' or '.join(LABELS)}"
            )
        if split != "train":
            raise ValueError(
                f"{csv_path}, line {line}: split is {split!r}, expected train; images of another "
                "split must not be trained on: leave them out of the CSV"
            )
        try:
            path = inside(Path(), name)
        except ValueError as error:
            raise ValueError(f"{csv_path}, line {line}: filename {error}") from error
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise ValueError(
                f"{csv_path}, line {line}: a filename of {len(name):,} characters, expected "
                f"{LONGEST_NAME} bytes at the most"
            )
        if path in first_line:  # as a path, so that ./a.jpg is a.jpg
            raise ValueError(
                f"{csv_path}, line {line}: {name} stands on line {first_line[path]} already"
            )
        first_line[path] = line
    labels = table["hybrid_stat"].map(LABELS).astype(int)
    return table.assign(label=labels).reset_index(drop=True)


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
    """The published split of rows with 0/1 `labels` (n,): at random, always alike, not stratified.

    Raises ValueError where too few rows of a class are left to fit.
    """
    check_classes(labels, f"the {len(labels)} images in all")
    train, held_out = published_split(np.arange(len(labels)))
    fit, check = published_split(train)
    check_classes(labels[fit], f"{len(fit)} of {len(labels)} images are to fit on")
    return Split(fit, check, held_out)


def published_split(rows: np.ndarray) -> list[np.ndarray]:
    return train_test_split(rows, test_size=SHARE_HELD_OUT, random_state=SPLIT_SEED)


def check_classes(labels: np.ndarray, where: str) -> None:
    """ValueError unless 0/1 `labels` are enough of each class to fit and calibrate."""
    non_hybrids, hybrids = np.bincount(labels, minlength=2)
    if min(non_hybrids, hybrids) < FOLDS:
        raise ValueError(
            f"{where}: {hybrids} hybrid and {non_hybrids} non-hybrid; at least {FOLDS} of each "
            "are needed to fit and calibrate the SGD classifier"
        )
