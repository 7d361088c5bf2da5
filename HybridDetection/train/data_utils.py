"""The classifier's CSV: read it, check it, find its images, split its rows."""

import os
import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from files import inside
from listing import read_rows
from specimens import MD5, check_labels
from spelling import but, spelling

COLUMNS = (
    "CAMID file_url hybrid_stat split zenodo_link md5 subspecies parent_subspecies_1 "
    "parent_subspecies_2 filename"
).split()
SOURCES = ["structure", "reference"]  # more columns, of painted images: file names of photographs
GENERATED = re.compile(r"AF_(?P<i>[A-Za-z0-9-]+)_(?P<j>[A-Za-z0-9-]+)_gen(?P<index>\d{5,})\.png")
LIST_FOLDERS = ("List", "Lists")  # the published archives use both
LABELS = {"non-hybrid": 0, "hybrid": 1}
SPLIT_SEED = 42
SHARE_HELD_OUT = 0.2
FOLDS = 5  # of the SGD classifier's calibration; each needs an image of both classes

NOTHING = "- ? na n/a nan none unknown".split()  # of a CAMID, in small letters
LONGEST_NAME = 255  # bytes; no file system has longer ones


def read_cells(path: Path, columns: Sequence[str], origin: str = "") -> pd.DataFrame:
    """What `read_rows` gives, as a table of strings; a row's index is the line on which it ends."""
    header, rows = read_rows(path, columns, origin)
    return pd.DataFrame(list(rows.values()), list(rows), header, dtype=str)


def check_cells(path: Path, cells: pd.Series, good: np.ndarray, problem: str) -> None:
    """ValueError naming the line of the first of a column's `cells` (n,) that is not `good` (n,).

    In `problem`, {} stands for what the cell holds.
    """
    if not good.all():
        row = int(np.argmin(good))
        line, cell = cells.index[row], cells.iloc[row]
        raise ValueError(f"{path}, line {line}: {problem.format(repr(cell))}")


def check_once(path: Path, names: pd.Series) -> None:
    """ValueError naming both lines, of the index, where a file's name stands twice among `names`
    (n,), or again in other capitals: many file systems hold but one of them."""
    lines: dict[str, Hashable] = {}
    for line, name in names.items():
        other = lines.setdefault(PurePosixPath(name).as_posix().lower(), line)  # ./a.jpg is a.jpg
        if other != line:
            there = f"stands on line {other} already, as {names[other]}"
            raise ValueError(f"{path}, line {line}: {name} {there}; keep one, or rename it")


def match_generated(name: str) -> re.Match | None:
    return GENERATED.fullmatch(PurePosixPath(name).name)


def is_painted(table: pd.DataFrame) -> np.ndarray:
    """Which rows (n,) of the classifier's table are painted images, not photographs."""
    painted = table["filename"].map(match_generated).notna()
    for column in SOURCES:
        if column in table:
            painted |= table[column] != ""
    return painted.to_numpy(bool)


def specimen_keys(table: pd.DataFrame) -> pd.DataFrame:
    """What photographs of one specimen share: CAMID and md5, "" where there is none."""
    keys = table.reindex(columns=["CAMID", "md5"], fill_value="")
    keys = keys.apply(lambda cells: cells.str.strip().str.lower())
    keys = keys.mask(keys.isin(NOTHING), "")
    return keys.assign(md5=keys["md5"].where(keys["md5"].str.fullmatch(MD5), ""))


def check_specimens(
    table: pd.DataFrame, places: Sequence[str], contents: Sequence[str] | None = None
) -> None:
    """ValueError where photographs of one CAMID or md5, or of the same `contents` (n,), are a
    hybrid and none, or of two subspecies; it names both of their `places` (n,)."""
    rows, keys = ~is_painted(table), specimen_keys(table)
    if contents is not None:
        keys = keys.assign(content=contents)
    labels = table["hybrid_stat"], group_names(table).replace("not said", "")
    remedy = "correct one, keep one, or name specimens differently"
    for (what, key), label in product(keys.items(), labels):
        check_labels(np.array(places)[rows], key[rows], label[rows].array, what, remedy)


def read_table(csv_path: Path) -> pd.DataFrame:
    """The rows of `csv_path` as strings, with a column `label`: 1 for hybrids, 0 for the rest.

    ValueError naming the line, or both, for an unknown label, a split other than train, a file name
    that leaves the image folder or stands there twice, a hybrid whose parents are one subspecies,
    and photographs of one specimen, or of one content, under two labels.
    """
    table = read_cells(csv_path, COLUMNS)
    labels, splits = table["hybrid_stat"], table["split"]
    known = " or ".join(LABELS)
    check_cells(csv_path, labels, labels.isin(LABELS), f"hybrid_stat is {{}}, expected {known}")
    other = "images of another split must not be trained on: leave them out of the CSV"
    check_cells(csv_path, splits, splits == "train", f"split is {{}}, expected train; {other}")
    for line, name in table["filename"].items():
        try:
            path = inside(Path(), name)
            if (length := len(os.fsencode(path.name))) > LONGEST_NAME:
                raise ValueError(f"is of {length:,} bytes, expected {LONGEST_NAME} at the most")
        except ValueError as error:
            raise ValueError(f"{csv_path}, line {line}: filename {error}") from error
    check_once(csv_path, table["filename"])
    first, second = (table[f"parent_subspecies_{side}"].map(plain).str.lower() for side in (1, 2))
    good = (labels != "hybrid") | (first == "") | (first != second)
    one = "a hybrid whose parents are both {}; expected two subspecies, or a non-hybrid"
    check_cells(csv_path, table["parent_subspecies_1"], good.to_numpy(), one)
    check_specimens(table, [f"{csv_path}, line {line}" for line in table.index])
    return table.assign(label=labels.map(LABELS).astype(int)).reset_index(drop=True)


def find_images(table: pd.DataFrame, image_dir: Path, beside: Path) -> list[Path | None]:
    """The image of each row, or None: the first of its `image_places` where there is one."""

    def find(status: str, name: str) -> Path | None:
        return next(filter(Path.is_file, image_places(status, name, image_dir, beside)), None)

    return list(map(find, table["hybrid_stat"], table["filename"]))


def image_places(status: str, name: str, image_dir: Path, beside: Path) -> list[Path]:
    """image_dir/{hybrid,non-hybrid}/NAME, image_dir/NAME, and NAME in the folder `beside` the
    CSV."""
    return [inside(folder, name) for folder in (image_dir / status, image_dir, beside)]


def but_known(name: str, names: Iterable[str]) -> str:
    """What an error says of `name` where it is one of `names` in another spelling, or nothing."""
    meant = {spelling(other): other for other in names}.get(spelling(name))
    return but(name, meant) if meant else ""


def group_names(table: pd.DataFrame) -> pd.Series:
    """The subspecies of each row, such as `8`, or its cross, such as `8 x 9` both ways round."""

    def name(subspecies: str, parent_1: str, parent_2: str) -> str:
        parents = {plain(parent_1), plain(parent_2)}
        if "" in parents:
            return plain(subspecies) or "not said"
        return " x ".join(sorted(parents, key=lambda parent: (len(parent), parent)))

    cells = table[["subspecies", "parent_subspecies_1", "parent_subspecies_2"]].to_numpy()
    return pd.Series([name(*row) for row in cells], table.index, dtype=str)


def plain(subspecies: str) -> str:
    """`8` of `8.0`, as the challenge's CSV writes it, and of `8,0`, as spreadsheets do."""
    return subspecies.strip().removesuffix(".0").removesuffix(",0")


class Split(NamedTuple):
    """Row numbers. The SGD classifier is fitted on `fit`; `check` gives its printed accuracy."""

    fit: np.ndarray  # 64 % of the rows
    check: np.ndarray  # 16 %
    held_out: np.ndarray  # 20 %, for the evaluation

    @property
    def train(self) -> np.ndarray:
        return np.sort(np.concatenate([self.fit, self.check]))


def split_rows(labels: np.ndarray) -> Split:
    """The published split of rows with 0/1 `labels` (n,): at random, always alike, not stratified.

    ValueError where too few rows of a class are left to fit.
    """
    from sklearn.model_selection import train_test_split  # seconds, which evaluation.py can spare

    check_classes(labels, f"the {len(labels)} images in all")
    alike = {"test_size": SHARE_HELD_OUT, "random_state": SPLIT_SEED}
    train, held_out = train_test_split(np.arange(len(labels)), **alike)
    fit, check = train_test_split(train, **alike)
    check_classes(labels[fit], f"{len(fit)} of {len(labels)} images are to fit on")
    return Split(fit, check, held_out)


def check_classes(labels: np.ndarray, where: str) -> None:
    """ValueError unless 0/1 `labels` are enough of each class to fit and calibrate."""
    non_hybrids, hybrids = np.bincount(labels, minlength=2)
    if min(non_hybrids, hybrids) < FOLDS:
        lacking = "non-hybrids" if non_hybrids < FOLDS else "hybrids"
        raise ValueError(
            f"{where}: {hybrids} hybrid and {non_hybrids} non-hybrid; at least {FOLDS} of each "
            f"are needed to fit and calibrate the SGD classifier; add photographs of {lacking}"
        )
