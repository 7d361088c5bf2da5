"""The challenge's CSV, read and checked: every error names the file, the line and the value."""

import argparse
import csv
import io
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.files import IMAGE_SUFFIXES, inside
from common.program import ROOT, InputError
from common.spelling import but_there, decode

COLUMNS = (
    *("CAMID", "file_url", "hybrid_stat", "split", "zenodo_link", "md5"),
    *("subspecies", "parent_subspecies_1", "parent_subspecies_2", "filename"),
)
# Of cells; spreadsheets in many countries write the others.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# No "_" and no ".": the name below and the folder i_j must read back one way only.
# A CAMID, in small letters, that says which specimen.
NAMED = r"(?!(-|\?|na|n/a|nan|none|unknown)$).*\S.*"
SUBSPECIES = re.compile(r"[A-Za-z0-9-]+")
# A generated image: structure of subspecies i, appearance of j, line `index` of a list.
GENERATED = re.compile(
    rf"AF_(?P<i>{SUBSPECIES.pattern})_(?P<j>{SUBSPECIES.pattern})_gen(?P<index>\d{{5,}})\.png"
)


@dataclass(frozen=True)
class Photo:
    """One photograph of the CSV."""

    filename: str
    hybrid: bool
    subspecies: str  # "8", or for a hybrid its parents, "8_9"
    cells: dict[str, str] = field(compare=False, repr=False)  # the row as it stands in the CSV

    @property
    def status(self) -> str:
        """The name of its class and of its folder."""
        return "hybrid" if self.hybrid else "non-hybrid"


def read_table(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Each row of the CSV `path` as (place, cells), where place is "path, line N" for errors.

    Raises InputError where one of `columns` is missing or stands twice, a row has more or fewer
    cells than the header, or a file name is unsafe or stands twice, but for ending and capitals:
    the edge map of a.jpg is a.png, and many file systems hold but one of a.png and A.png. Cells may
    be separated as spreadsheets do it, and Excel's `sep=` may stand first. Read by csv, as pandas
    fills short rows up and does not know on which line a row stands.
    """
    try:
        text = decode(path.read_bytes())
        mark = separator(text, columns)
        if mark != ",":
            logging.info("%s: its cells are separated by %s", path, SEPARATORS[mark])
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        header = reader.fieldnames or ()
        if header and header[0].lower().startswith("sep="):
            reader.fieldnames = None  # so that it reads them from the next line
            header = reader.fieldnames or ()
        for name in columns:
            if header.count(name) != 1:
                found = f"column {name} stands twice" if name in header else f"no column {name}"
                raise InputError(
                    f"{path}: {found} in its first line; expected columns separated by commas, "
                    f"semicolons or tabs, found {','.join(header)[:300]}"
                )
        rows = [(f"{path}, line {reader.line_num}", row) for row in reader]
    except FileNotFoundError as error:
        drawn = "scripts/quickstart.sh draws one: quickstart/*/demo/train.csv"
        challenge = "the challenge's is in github.com/Imageomics/HDR-anomaly-challenge"
        raise InputError(f"{path}: no such file; {challenge}, and {drawn}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.reader.line_num}: not CSV ({error})") from error
    if not rows:
        raise InputError(f"{path}: no rows below its first line")

    places: dict[str, tuple[str, str]] = {}
    for place, row in rows:
        if None in row or None in row.values():
            raise InputError(f"{place}: more or fewer cells than the first line has columns")
        name = row["filename"]
        check_filename(place, name)
        other, there = places.setdefault(Path(name).stem.lower(), (name, place))
        if there != place:
            raise InputError(
                f"{place}: file name {name!r} stands already at {there}, as {other!r}; rename one"
            )
    return rows


def separator(text: str, columns: Sequence[str]) -> str:
    """The one of SEPARATORS by which a table's first lines name the most of `columns`."""
    lines = text[:10_000].splitlines()[:2]  # the first may be `sep=;`

    def found(mark: str) -> int:
        cells = {cell.strip('"') for line in lines for cell in line.split(mark)}
        return len(cells.intersection(columns))

    return max(SEPARATORS, key=found)


def check_filename(place: str, name: str) -> None:
    """Raise InputError unless `name` is the plain file name of an image."""
    try:
        inside(Path(), name)
    except ValueError as error:
        raise InputError(f"{place}: file name {error}") from error
    if (length := len(os.fsencode(name))) > 255:
        raise InputError(f"{place}: a file name of {length} bytes; a file system takes 255")
    plain = name.isprintable() and name == name.strip() and not set(name) & {"/", "\\"}
    if not plain or name.startswith(".") or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{place}: file name {name!r}; expected an image ({kinds}), no folders")


def read_subspecies(place: str, column: str, cell: str) -> str:
    """The subspecies in `cell`; the challenge's CSV writes `8.0` for `8`, a spreadsheet `8,0`."""
    subspecies = re.sub(r"^(\d+)[.,]0$", r"\1", cell.strip())
    if not SUBSPECIES.fullmatch(subspecies):
        raise InputError(f"{place}: {column} {cell!r}; expected letters, digits and hyphens")
    return subspecies


def read_photos(path: Path) -> list[Photo]:
    """The training photographs of the challenge CSV `path`, in its order; see `read_table`.

    InputError, too, where one CAMID or md5 has two labels; it names both lines.
    """
    photos, labels = [], {}
    for place, row in read_table(path, COLUMNS):
        for column, known in (("hybrid_stat", ("hybrid", "non-hybrid")), ("split", ("train",))):
            if row[column] not in known:
                expected = " or ".join(known)
                raise InputError(f"{place}: {column} {row[column]!r}; expected {expected}")
        hybrid = row["hybrid_stat"] == "hybrid"
        columns = ("parent_subspecies_1", "parent_subspecies_2") if hybrid else ("subspecies",)
        subspecies = "_".join(read_subspecies(place, name, row[name]) for name in columns)
        if hybrid and len(set(subspecies.lower().split("_"))) < 2:
            raise InputError(f"{place}: a hybrid of {subspecies}; expected two subspecies")
        for column, form in (("CAMID", NAMED), ("md5", "[0-9a-f]{32}")):
            key = row[column].strip().lower()
            if re.fullmatch(form, key):
                label = f"{row['hybrid_stat']} {'_'.join(sorted(subspecies.split('_')))}"
                other, there = labels.setdefault((column, key), (label, place))
                if other != label:
                    raise InputError(
                        f"{place}: {column} {key} is {label}, but {other} at {there}; correct one, "
                        "keep one, or name specimens differently"
                    )
        photos.append(Photo(row["filename"], hybrid, subspecies, row))
    return photos


def counted(photos: list[Photo]) -> str:
    """`3 photographs`, or `3 photographs of 2 specimens`, as their CAMIDs say."""
    specimens = {photo.cells["CAMID"].strip().lower() or photo.filename for photo in photos}
    plural = "s" * (len(specimens) > 1)
    of = f" of {len(specimens)} specimen{plural}" if len(specimens) < len(photos) else ""
    return f"{len(photos)} photographs{of}"


def those_present(
    photos: list[Photo], place: Callable[[Photo], Path], allow_missing: bool, remedy: str
) -> list[Photo]:
    """The `photos` whose files are at their `place`.

    The others are named in the log, where `allow_missing`; InputError, with the `remedy`, where
    they are not allowed and where none is present.
    """
    missing = [photo for photo in photos if not place(photo).is_file()]
    counted = f"{len(missing)} of {len(photos)} photographs are missing"
    if len(missing) == len(photos) or (missing and not allow_missing):
        or_less = "" if allow_missing else "; or leave them out: --allow_missing"
        first = place(missing[0])
        raise InputError(f"{counted}, the first is {first}{but_there(first)}; {remedy}{or_less}")
    if missing:
        names = [photo.filename for photo in missing[:5]] + ["..."] * (len(missing) > 5)
        logging.warning("%s and left out: %s", counted, ", ".join(names))
    left_out = set(missing)
    return [photo for photo in photos if photo not in left_out]


def by_subspecies(photos: list[Photo]) -> dict[str, list[Photo]]:
    """The non-hybrid photographs of each subspecies, numbers first in their order."""
    groups: dict[str, list[Photo]] = {}
    for photo in sorted(photos, key=lambda photo: photo.filename):
        if not photo.hybrid:
            groups.setdefault(photo.subspecies, []).append(photo)
    numbers_first = sorted(
        groups, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name)
    )
    return {name: groups[name] for name in numbers_first}


def challenge_parser(description: str) -> argparse.ArgumentParser:
    """A command line with the three options that all dataset programs share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="the challenge's CSV")
    parser.add_argument(
        "--datasets",
        type=Path,
        default=ROOT / "Datasets",
        help="the folder that holds the three datasets (default: Datasets in the repository)",
    )
    rest = "leave out the CSV's photographs that are missing, and name them"
    parser.add_argument("--allow_missing", action="store_true", help=rest)
    return parser
