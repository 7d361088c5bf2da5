"""Painted images: which photographs each was made from, and a split that holds photographs out."""

import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from data_utils import (
    LIST_FOLDERS,
    SHARE_HELD_OUT,
    SOURCES,
    SPLIT_SEED,
    check_classes,
    check_specimens,
    is_painted,
    match_generated,
    specimen_keys,
)
from files import stem_of
from listing import read_text
from specimens import join, warn_of_sides, without_side

LISTS = ("test_nonhybrid", "test_signalhybrid", "test_nonsignalhybrid")

log = logging.getLogger("training")

# Structure and reference, without suffixes, by the two subspecies and the line's number; more
# than one where lists contradict each other.
Pairs = dict[tuple[str, str, int], set[tuple[str, str]]]


class PhotographSplit(NamedTuple):
    """Row numbers. Images with sources of both kinds, or of neither, are in neither."""

    train: np.ndarray
    held_out: np.ndarray


def read_pairs(dataset: Path) -> Pairs:
    """Each line of the lists of `dataset`; ValueError where the files of a list do not align."""
    pairs: Pairs = {}
    lists = [
        dataset / folder / name / f"{prefix}_edges.txt"
        for folder in LIST_FOLDERS
        for name in LISTS
        for prefix in ("test", name)
    ]
    for path in filter(Path.is_file, lists):
        other = path.with_name(path.name.replace("_edges.txt", "_color_ref.txt"))
        edges, references = (
            [PurePosixPath(line) for line in read_text(file, "a text file").rstrip().splitlines()]
            for file in (path, other)
        )
        if len(edges) != len(references):
            raise ValueError(
                f"{path.parent}: {path.name} has {len(edges)} lines and {other.name} "
                f"{len(references)}, expected as many"
            )
        for index, files in enumerate(zip(edges, references, strict=True)):
            i, j = (dict(pairwise(file.parts)).get("Images", "") for file in files)
            pairs.setdefault((i, j, index), set()).add(tuple(stem_of(file.name) for file in files))
    return pairs


def read_sources(table: pd.DataFrame, lists: Path) -> np.ndarray:
    """Structure and reference (n, 2) of each row, as file names without suffix.

    A photograph is both itself. Those of a painted image stand in the columns `structure` and
    `reference`; where they are empty or missing, in the lists of the dataset `lists`. ValueError
    says which image has none in either.
    """
    own = table["filename"].map(stem_of).to_numpy(object)
    sources = np.stack([own, own], axis=1)
    columns = pd.DataFrame({name: table.get(name, "") for name in SOURCES}, table.index)
    named = (columns != "").all(axis=1).to_numpy()
    sources[named] = columns[named].map(stem_of).to_numpy(object)
    unnamed = np.flatnonzero(is_painted(table) & ~named)
    pairs = read_pairs(lists) if len(unnamed) else {}
    for row in unnamed:
        name = table["filename"].iloc[row]
        match = match_generated(name)
        found = pairs.get((match["i"], match["j"], int(match["index"])), ()) if match else ()
        if len(found) != 1:
            raise ValueError(
                f"the CSV does not say from which two photographs {name} was painted, and "
                f"{len(found)} lines of {', '.join(LISTS)} in {lists} fit its name, expected one; "
                "paint it anew, and scripts/make_classifier_csv.py writes it into the CSV"
            )
        (sources[row],) = found
    return sources


def of_specimens(
    table: pd.DataFrame, sources: np.ndarray, contents: Sequence[str] | None = None
) -> np.ndarray:
    """`sources` (n, k), which name photographs, with those of one specimen named alike.

    Of one specimen are photographs with the same CAMID, md5 or `contents` (n,), and those without
    CAMID whose names differ by their side alone.
    """
    rows = ~is_painted(table)
    names, keys = table["filename"][rows], specimen_keys(table)[rows]
    camid = keys["CAMID"].where(keys["CAMID"] != "", names.map(without_side))
    known = [camid, keys["md5"]] + ([] if contents is None else [np.asarray(contents)[rows]])
    of = dict(zip(sources[rows, 0], join(sources[rows, 0], *known), strict=True))
    return np.vectorize(lambda name: of.get(name, name), otypes=[object])(sources)


def hold_out_photographs(table: pd.DataFrame, sources: np.ndarray) -> PhotographSplit:
    """Hold 20 % of the specimens of each class out, and the images painted from two of them.

    Trained on are the other specimens and what is painted from two of those; an image with a
    source of either kind, or one that is not in the table, belongs to neither. The draw depends
    on the photographs' names alone: with and without painted images it is the same. ValueError
    where there are too few specimens, or the table lists the sources of no painted image.
    """
    labels, photograph = table["label"].to_numpy(), ~is_painted(table)
    sources = of_specimens(table, sources)

    def made_of(names: np.ndarray | list[str]) -> np.ndarray:
        return pd.DataFrame(sources).isin(names).all(axis=1).to_numpy()

    known = made_of(sources[photograph, 0])
    if not photograph.all() and not known[~photograph].any():
        row = np.flatnonzero(~photograph)[0]
        raise ValueError(
            f"no painted image is of photographs that the CSV lists; {table['filename'].iloc[row]} "
            f"is of {' and '.join(sources[row])}"
        )
    draw = np.random.default_rng(SPLIT_SEED)
    train, held_out = [], []
    for label in (0, 1):
        names = np.unique(sources[photograph & (labels == label), 0].astype(str))
        drawn = draw.permutation(names)
        count = round(SHARE_HELD_OUT * len(names))
        held_out += drawn[:count].tolist()
        train += drawn[count:].tolist()
    if both := set(train) & set(held_out):
        raise ValueError(
            f"{min(both)} is the name of a hybrid and of a non-hybrid photograph, so that nothing "
            "tells which of them a painted image shows; rename one"
        )
    # At random, as the published split is: calibration deals rows into folds block by block, and a
    # CSV lists one kind of image after the other.
    rows = draw.permutation(np.flatnonzero(made_of(train)))
    split = PhotographSplit(rows, np.flatnonzero(made_of(held_out)))
    if not len(split.held_out):
        raise ValueError(f"{photograph.sum()} photographs are too few to hold 20 % out")
    specimens = pd.DataFrame({"name": sources[rows, 0], "label": labels[rows]}).drop_duplicates()
    check_classes(
        specimens["label"].to_numpy(), "the specimens to train on, without those held out"
    )
    return split


def name_specimens(
    table: pd.DataFrame, contents: Sequence[str], log: logging.Logger = log
) -> np.ndarray:
    """The specimen (n,) that each photograph shows, as of_specimens names it; of painted images
    their own names. Logged are how many there are, and what is doubtful.

    ValueError where photographs of the same `contents` (n,) have two labels.
    """
    check_specimens(table, table["filename"], contents)
    own = table["filename"].map(stem_of).to_numpy(object)[:, None]
    specimens, rows = of_specimens(table, own, contents)[:, 0], ~is_painted(table)
    log.info("%d photographs of %d specimens", rows.sum(), len(set(specimens[rows])))
    told = specimen_keys(table)["CAMID"] != ""
    warn_of_sides(table["filename"][rows], specimens[rows], told[rows], log)
    return specimens


def split_photographs(
    table: pd.DataFrame, lists: Path, title: str, contents: Sequence[str]
) -> tuple[np.ndarray, PhotographSplit | None]:
    """The specimens (n, 2) that gave each row its structure and its reference, and the split that
    holds specimens out; None where there can be none. Files of the same `contents` (n,) are of one.
    Logged are both, the evaluation by its `title`.
    """
    own = name_specimens(table, contents)
    groups = np.stack([own, own], axis=1)
    try:
        groups = of_specimens(table, read_sources(table, lists), contents)
        split = hold_out_photographs(table, groups)
    except (OSError, ValueError) as error:
        log.warning("no evaluation %s: %s", title, error)
        return groups, None
    counts = len(split.train), len(split.held_out), len(table) - sum(map(len, split))
    log.info(
        "%s: %d images trained on, %d held out, %d left out, which show both or others",
        *(title, *counts),
    )
    return groups, split
