"""Which images are scored: those of a folder, of its sub-folders too, or those of a list."""

import csv
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from files import IMAGE_SUFFIXES, images_in, inside, passed_over
from spelling import decode

COLUMN = "filename"  # of a list
# Of cells; spreadsheets in many countries write the others.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images(Sequence[Path]):
    """The paths of images in `folder`; only names are kept, for there may be millions."""

    folder: Path
    names: list[str]  # sorted, relative to the folder, with / between their parts
    passed: dict[str, list[str]] = field(default_factory=dict)  # what is no image, by kind

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Path:
        return self.folder / self.names[index]


def find_images(folder: Path, recursive: bool = False) -> tuple[Images, list[str]]:
    """The image files in `folder`, as images_in finds them, and why files with a bad name are left
    out. Raises ValueError where there are no image files.
    """
    check_folder(folder)
    names, passed = images_in(folder, recursive)
    if not names:
        raise no_images(folder, passed)
    return checked(folder, names, passed)


def no_images(place: object, passed: dict[str, list[str]], nor: str = "") -> ValueError:
    """What is raised of a `place` in which there are none, with what is passed over there."""
    kinds = ", ".join(sorted(IMAGE_SUFFIXES))
    return ValueError("; ".join([f"{place}: no images ({kinds}){nor}", *passed_over(passed)]))


def check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")


def listed_images(path: Path, folder: Path) -> tuple[Images, list[str]]:
    """The images that the list in `path` names, sorted, and why names are left out.

    The list is a CSV file with a column `filename`, relative to `folder`. What stands there twice
    is scored once. Raises ValueError where the list cannot be read or is empty.
    """
    check_folder(folder)
    names, refused = set(), []
    header, rows = read_rows(path, [COLUMN])
    place = header.index(COLUMN)
    for name in dict.fromkeys(row[place] for row in rows.values()):
        try:
            inside(folder, name)
            names.add(name)
        except ValueError:
            refused.append(f"{path}: {name!r} is not the name of a file in {folder}")
    if not names and not refused:
        raise ValueError(f"{path}: names no images")
    images, more = checked(folder, names)
    return images, refused + more


def read_rows(
    path: Path, columns: Sequence[str], origin: str = ""
) -> tuple[list[str], dict[int, list[str]]]:
    """The first row of the CSV `path`, and the cells of the others by the line on which each ends.

    Cells may be separated as spreadsheets do it, and Excel's `sep=` may stand first. ValueError
    naming the line where one of `columns` is missing or stands twice, and for a row of more or
    fewer cells than the first. `origin` is read_text's.
    """
    text = read_text(path, "a CSV table", origin)
    mark = separator(text, columns)
    if mark != ",":
        log.info("%s: its cells are separated by %s", path, SEPARATORS[mark])
    # csv knows its line; pandas does not.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    rows: dict[int, list[str]] = {}
    try:
        header = next(reader, [])
        if header and header[0].lower().startswith("sep="):
            header = next(reader, [])
        first = reader.line_num or 1
        for row in filter(None, reader):
            rows[reader.line_num] = row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a CSV table: {error}") from error
    for name in columns:
        if (count := header.count(name)) != 1:
            found = f"{name} stands twice" if count else f"no column {name}"
            expected = f"{','.join(columns)}, separated by commas, semicolons or tabs"
            there = ",".join(header)[:300] or "nothing"
            raise ValueError(f"{path}, line {first}: {found}; expected {expected}; found {there}")
    for line, row in rows.items():
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells, but {len(header)} columns in line {first}"
            )
    return header, rows


def separator(text: str, columns: Sequence[str]) -> str:
    """The one of SEPARATORS by which a table's first lines name the most of `columns`."""
    lines = text[:10_000].splitlines()[:2]  # the first may be `sep=;`

    def found(mark: str) -> int:
        cells = {cell.strip('"') for line in lines for cell in line.split(mark)}
        return len(cells.intersection(columns))

    return max(SEPARATORS, key=found)


def read_text(path: Path, kind: str, origin: str = "") -> str:
    """The text in `path`; ValueError, naming the line, where it is not in UTF-8 or UTF-16.

    The error calls it `not {kind}`; FileNotFoundError says the `origin` of such files.
    """
    try:
        return decode(path.read_bytes())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file{origin and '; '}{origin}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: not {kind} in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error


def checked(
    folder: Path, names: Iterable[str], passed: dict[str, list[str]] | None = None
) -> tuple[Images, list[str]]:
    """The names that predictions.txt can hold, sorted, and why the others cannot be used."""
    broken = {name for name in names if "," in name or not name.isprintable()}
    reason = "a comma or a control character would break predictions.txt; rename it"
    images = Images(folder, sorted(set(names) - broken), passed or {})
    return images, [f"{name!r}: {reason}" for name in sorted(broken)]
