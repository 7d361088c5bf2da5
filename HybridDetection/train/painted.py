"""Painted images: which photographs each was made from, and a split that holds photographs out."""

import logging
import re
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from data_utils import LIST_FOLDERS, SHARE_HELD_OUT, SPLIT_SEED, check_classes
from listing import read_text

SOURCES = ["structure", "reference"]  # columns of the CSV: file names of photographs
GENERATED = re.compile(r"AF_(?P<i>[A-Za-z0-9-]+)_(?P<j>[A-Za-z0-9-]+)_gen(?P<index>\d{5,})\.png")
LISTS = ("test_nonhybrid", "test_signalhybrid", "test_nonsignalhybrid")

log = logging.getLogger("training")

# Structure and reference, without suffixes, by the two subspecies and the line's number; more
# than one where lists contradict each other.
Pairs = dict[tuple[str, str, int], set[tuple[str, str]]]


class PhotographSplit(NamedTuple):
    """Row numbers. Images with sources of both kinds, or of neither, are in neither."""

    train: np.ndarray
    held_out: np.ndarray


def match_generated(name: str) -> re.Match | None:
    return GENERATED.fullmatch(PurePosixPath(name).name)


def is_painted(table: pd.DataFrame) -> np.ndarray:
    """Which rows (n,) of the classifier's table are painted images, not photographs."""
    painted = table["filename"].map(match_generated).notna()
    for column in SOURCES:
        if column in table:
            painted |= table[column] != ""
    return painted.to_numpy(bool)


def stem(name: str) -> str:
    """What a photograph keeps of its name from one data set to the next, with its folder."""
    return PurePosixPath(name).with_suffix("").as_posix()


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
            pairs.setdefault((i, j, index), set()).add(tuple(file.stem for file in files))
    return pairs


def read_sources(table: pd.DataFrame, lists: Path) -> np.ndarray:
    """Structure and reference (n, 2) of each row, as file names without suffix.

    A photograph is both itself. Those of a painted image stand in the columns `structure` and
    `reference`; where they are empty or missing, in the lists of the dataset `lists`. ValueError
    says which image has none in either.
    """
    own = table["filename"].map(stem).to_numpy(object)
    sources = np.stack([own, own], axis=1)
    columns = pd.DataFrame({name: table.get(name, "") for name in SOURCES}, table.index)
    named = (columns != "").all(axis=1).to_numpy()
    sources[named] = columns[named].map(stem).to_numpy(object)
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


def hold_out_photographs(table: pd.DataFrame, sources: np.ndarray) -> PhotographSplit:
    """Hold 20 % of the photographs of each class out, and the images painted from two of them.

    Trained on are the other photographs and what is painted from two of those; an image with a
    source of either kind, or one that is not in the table, belongs to neither. The draw depends
    on the photographs' names alone: with and without painted images it is the same. ValueError
    where there are too few photographs, or the table lists the sources of no painted image.
    """
    labels, photograph = table["label"].to_numpy(), ~is_painted(table)

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
    check_classes(labels[split.train], "the images to train on, without those held out")
    return split


def split_photographs(
    table: pd.DataFrame, lists: Path, title: str
) -> tuple[np.ndarray, PhotographSplit | None]:
    """The photograph (n,) that gave each row its structure, and the split that holds photographs
    out; None where there can be none. Logged are both, the evaluation by its `title`.
    """
    groups = table["filename"].to_numpy()
    try:
        sources = read_sources(table, lists)
        groups = sources[:, 0]
        split = hold_out_photographs(table, sources)
    except (OSError, ValueError) as error:
        log.warning("no evaluation %s: %s", title, error)
        return groups, None
    counts = len(split.train), len(split.held_out), len(table) - sum(map(len, split))
    log.info(
        "%s: %d images trained on, %d held out, %d left out, which show both or others",
        *(title, *counts),
    )
    return groups, split
