"""What a person said of photographs in a report: `training.py --corrections corrections.csv`.

The report saves a row for each photograph, of which training reads
    filename, folder    the photograph; no folder: one of the training's own CSV
    person              hybrid, non-hybrid or unsure; empty: nothing
    person_subspecies   where it is known: `lativitta`, or of a hybrid `lativitta x notabilis`
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from data_utils import (
    LABELS,
    but_known,
    check_cells,
    check_once,
    check_specimens,
    plain,
    read_cells,
)
from dataset import report_left_out
from files import inside, stem_of
from painted import is_painted, read_sources
from published_members import is_short_text
from spelling import but_there

UNSURE = "unsure"
READ = ["filename", "folder", "person", "person_subspecies"]
CROSS = re.compile(r"\s+[xX\u00d7]\s+")
# The apostrophe that the report puts before what a spreadsheet would compute.
GUARD = re.compile(r"^'(?='*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")

log = logging.getLogger("training")


class Said(NamedTuple):
    """What a person said of a photograph, as cells of the training's CSV; UNSURE is no label."""

    hybrid_stat: str
    subspecies: str = ""
    parent_subspecies_1: str = ""
    parent_subspecies_2: str = ""


def read_said(word: str, specimen: str) -> Said:
    names = [plain(name) for name in CROSS.split(specimen.strip()) if name]
    if not names or word == UNSURE:
        return Said(word)
    if not all(map(is_short_text, names)):
        raise ValueError(f"{specimen[:300]!r} is no name of a subspecies, or too long")
    if word == "non-hybrid" and len(names) == 1:
        return Said(word, *names)
    if word == "hybrid" and len(names) == 2 and names[0] != names[1]:
        return Said(word, "", *names)
    expected = "two, as in `mother x father`" if word == "hybrid" else "one"
    raise ValueError(f"the subspecies of a {word} is {specimen!r}, expected {expected}")


def read_corrections(
    files: Sequence[Path], known: Mapping[str, Path]
) -> dict[str, tuple[Said, Path]]:
    """What is said in `files` of each photograph, and its path, by its MD5; `known` are the paths
    of those in the training's CSV, by their names there. Photographs that are missing are reported.

    ValueError naming the line of what cannot be read, and of what contradicts another line.
    """
    said: dict[str, tuple[Said, Path]] = {}
    places: dict[str, str] = {}
    for file in files:
        cells, missing = read_cells(file, READ, "the report saves it"), []
        words = cells["person"]
        check_once(file, cells["folder"] + "/" + cells["filename"])
        expected = f"expected {', '.join(LABELS)} or {UNSURE}"
        good = words.isin([*LABELS, UNSURE, ""])
        check_cells(file, words, good.to_numpy(), f"person is {{}}, {expected}")
        for line, row in cells.loc[words != "", READ].iterrows():
            name, folder, word, specimen = (GUARD.sub("", cell) for cell in row)
            try:
                if not folder and name not in known:
                    other = but_known(name, known)
                    raise ValueError(
                        f"{name} is not in the training's CSV{other}; or say in which folder it is"
                    )
                path = inside(Path(folder), name) if folder else known[name]
                now, there = read_said(word, specimen), path.is_file()
            except (OSError, ValueError) as error:
                raise ValueError(f"{file}, line {line}: {error}") from error
            if not there:
                missing.append(str(path))
                continue
            md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            place = places.setdefault(md5, f"{file}, line {line}")
            if said.setdefault(md5, (now, path.resolve()))[0] != now:
                raise ValueError(f"{file}, line {line}: {path} is another in {place}; keep one")
        hint = but_there(Path(missing[0])) if missing else ""
        report_left_out(pd.Series(missing), f"of {file} are missing", hint)
    return said


def correct(
    table: pd.DataFrame, paths: Sequence[Path], files: Sequence[Path], lists: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """The training's table, and its images' paths, after what a person said in `files`.

    Photographs get the person's label, and only the subspecies that the person names; those that
    are not in the table are added. Left out are those that the person is unsure of, and images
    painted from any that are no longer what they were; `lists` is the data set whose lists name the
    sources of painted images that do not.
    """

    def stands(row: int) -> Said:
        return Said(*map(plain, table.loc[row, list(Said._fields)]))

    said = read_corrections(files, dict(zip(table["filename"], paths, strict=True)))
    table, rows = table.copy(), {path.resolve(): row for row, path in enumerate(paths)}
    contents = {md5.lower(): row for row, md5 in enumerate(table["md5"]) if md5}
    changed, added, gone = [], {}, []
    for md5, (now, path) in said.items():
        row = rows.get(path, contents.get(md5))
        if row is None:
            if now.hybrid_stat != UNSURE:
                cells = {"CAMID": stem_of(str(path)), "split": "train", "md5": md5}
                added[path] = cells | {"filename": str(path)} | now._asdict()
        elif now.hybrid_stat == UNSURE:
            gone.append(row)
        elif now not in (Said(table["hybrid_stat"][row]), stands(row)):
            changed.append(row)
            table.loc[row, list(Said._fields)] = list(now)
    names = table["filename"][changed + gone].map(stem_of)
    stale = np.zeros(len(table), bool)
    if len(names):
        stale = is_painted(table) & np.isin(read_sources(table, lists), names).any(axis=1)
    stays = ~stale & ~table.index.isin(gone)
    log.info(
        "corrections: %d photographs relabelled, %d added, %d left out as unsure, and %d images "
        "painted from such",
        *(len(changed), len(added), len(gone), stale.sum()),
    )
    more = pd.DataFrame(list(added.values())).reindex(columns=table.columns, fill_value="")
    table = pd.concat([table[stays], more], ignore_index=True)
    table["label"] = table["hybrid_stat"].map(LABELS).astype(int)
    check_specimens(table, table["filename"])
    stayed = [path for path, stay in zip(paths, stays, strict=True) if stay]
    return table, [*stayed, *added]
