"""Which images are scored: those of a folder, of its sub-folders too, or those of a list."""

import csv
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from files import IMAGE_SUFFIXES, inside

COLUMN = "filename"  # of a list
MANY_ROWS, FEW_ROWS = 65_536, 64  # of a Parquet file, in memory at a time
# The report sets an apostrophe before a name that spreadsheets would compute (static/list.js).
GUARDED = re.compile(r"'[=+\-@\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True)
class Images(Sequence[Path]):
    """The paths of images in `folder`; only names are kept, for there may be millions."""

    folder: Path
    names: list[str]  # sorted, relative to the folder, with / between their parts

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Path:
        return self.folder / self.names[index]

    def position(self, name: str) -> int | None:
        """Of the image of this name; None where there is none."""
        index = bisect_left(self.names, name)
        return index if index < len(self.names) and self.names[index] == name else None


def find_images(folder: Path, recursive: bool = False) -> tuple[Images, list[str]]:
    """The image files in `folder`, sorted, and why files with a bad name are left out.

    Hidden files are passed over. With `recursive`, sub-folders are searched too, but not hidden
    ones and no links to folders. Raises ValueError where there are no image files.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    names = list(walk(folder) if recursive else plain_names(folder))
    if not names:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        deeper = "" if recursive else "; --recursive searches its sub-folders, too"
        raise ValueError(f"{folder}: holds no images ({kinds}){deeper}")
    return checked(folder, names)


def plain_names(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir() if is_one_of(path.name, IMAGE_SUFFIXES))


def walk(folder: Path, suffixes: Set[str] = IMAGE_SUFFIXES) -> Iterator[str]:
    """The names of files with these suffixes below `folder`, hidden ones passed over."""

    def stop(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = PurePath(place).relative_to(folder)
        yield from ((below / name).as_posix() for name in files if is_one_of(name, suffixes))


def is_one_of(name: str, suffixes: Set[str]) -> bool:
    return not name.startswith(".") and PurePath(name).suffix.lower() in suffixes


def listed_images(path: Path, folder: Path) -> tuple[Images, list[str]]:
    """The images that the list in `path` names, sorted, and why names are left out.

    The list is a .csv or a .parquet with a column `filename`, relative to `folder`. What stands
    there twice is scored once. Raises ValueError where the list cannot be read or is empty.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    readers = {".csv": read_csv, ".parquet": read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: a list of images ends in {' or '.join(readers)}")
    names = list(dict.fromkeys(without_guard(name, folder) for name in reader(path)))
    if not names:
        raise ValueError(f"{path}: names no images")
    inner, refused = [], []
    for name in names:
        if isinstance(name, str) and not leaves(folder, name):
            inner.append(name)
        else:
            refused.append(f"{path}: {name!r} is not the name of a file in {folder}")
    images, more = checked(folder, inner)
    return images, refused + more


def without_guard(name: object, folder: Path) -> object:
    guarded = isinstance(name, str) and GUARDED.match(name) and not (folder / name).is_file()
    return name[1:] if guarded else name


def read_csv(path: Path) -> list[object]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            check_column(path, rows.fieldnames or [])
            return [row[COLUMN] for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error


def read_parquet(path: Path) -> list[object]:
    """The different cells of the column, in their order."""
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError as error:
        raise ValueError(
            f"{path}: Parquet is read by the package pyarrow, which is not there: pip install "
            "pyarrow, or write the list as .csv"
        ) from error
    try:
        schema = parquet.read_schema(path)
        check_column(path, schema.names)
        kind = schema.field(COLUMN).type
        texts = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(texts) or types.is_large_string(texts)):
            raise ValueError(f"{path}: its column {COLUMN} is of {texts}, expected string")
        return different_cells(path)
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error


def different_cells(path: Path) -> list[object]:
    """Of a Parquet file's column. A text that stands in a million rows takes the memory of one."""
    from pyarrow import parquet

    columns = columns_of(parquet.read_metadata(path))
    encodings = {code for column in columns for code in column.encodings}
    # PyArrow cannot keep a text once where each is stored by its difference from the last.
    deltas = any(code.startswith("DELTA") for code in encodings)
    rows, once = (FEW_ROWS, []) if deltas else (MANY_ROWS, [COLUMN])
    cells: dict[object, None] = {}
    with parquet.ParquetFile(path, read_dictionary=once) as file:
        for batch in file.iter_batches(rows, columns=[COLUMN]):
            batch.validate(full=True)
            cells |= dict.fromkeys(batch[COLUMN].unique().to_pylist())
    return list(cells)


def columns_of(metadata: Any) -> Iterator[Any]:
    """What a Parquet file says of the column, one for each row group."""
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        columns = map(group.column, range(group.num_columns))
        yield from (column for column in columns if column.path_in_schema == COLUMN)


def check_column(path: Path, columns: Sequence[str]) -> None:
    if columns.count(COLUMN) != 1:
        raise ValueError(f"{path}: has the columns {', '.join(columns)}, expected {COLUMN}")


def leaves(folder: Path, name: str) -> bool:
    try:
        inside(folder, name)
    except ValueError:
        return True
    return False


def checked(folder: Path, names: Iterable[str]) -> tuple[Images, list[str]]:
    """The names that predictions.txt can hold, sorted, and why the others cannot be used."""
    good, refused = [], []
    for name in names:
        if "," in name or not name.isprintable():
            refused.append(
                f"{name!r}: a comma or a control character would break predictions.txt; rename it"
            )
        else:
            good.append(name)
    return Images(folder, sorted(good)), sorted(refused)
