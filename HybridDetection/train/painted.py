"""Painted images: which photographs each was made from, and a split that holds photographs out."""

import logging
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from data_utils import SHARE_HELD_OUT, SPLIT_SEED, check_classes, read_text

SOURCES = ["structure", "reference"]  # columns of the CSV: file names of photographs
GENERATED = re.compile(r"AF_(?P<i>[A-Za-z0-9-]+)_(?P<j>[A-Za-z0-9-]+)_gen(?P<index>\d{5,})\.png")
LISTS = ("test_nonhybrid", "test_signalhybrid", "test_nonsignalhybrid")
LIST_FOLDERS = ("List", "Lists")  # the published archives use both

log = logging.getLogger("training")

Sources = tuple[str, str]  # of an image: its structure and its reference, without suffixes


@dataclass(frozen=True)
class PhotographSplit:
    """Row numbers. Images with sources of both kinds are in none of the three."""

    train: np.ndarray
    held_out: np.ndarray
    unknown: np.ndarray  # images with a source that the table does not list


def is_painted(table: pd.DataFrame) -> np.ndarray:
    """Which rows (n,) of the classifier's table are painted images, not photographs."""
    painted = table["filename"].map(lambda name: bool(GENERATED.fullmatch(base(name))))
    for column in SOURCES:
        if column in table:
            painted |= table[column] != ""
    return painted.to_numpy(bool)


def base(name: str) -> str:
    return PurePosixPath(name).name


def stem(name: str) -> str:
    """What a photograph keeps of its name from one data set to the next."""
    return PurePosixPath(name).stem


def read_pairs(dataset: Path) -> dict[tuple[str, str, int], set[Sources]]:
    """Structure and reference of each line of the lists of `dataset`.

    By the two subspecies and the line's number; more than one where lists contradict each other.
    ValueError where the files of a list are no text or do not align.
    """
    pairs: dict[tuple[str, str, int], set[Sources]] = {}
    lists = [
        dataset / folder / name / f"{prefix}_edges.txt"
        for folder in LIST_FOLDERS
        for name in LISTS
        for prefix in ("test", name)
    ]
    for path in filter(Path.is_file, lists):
        reference_path = path.with_name(path.name.replace("_edges.txt", "_color_ref.txt"))
        edges, references = read_paths(path), read_paths(reference_path)
        if len(edges) != len(references):
            raise ValueError(
                f"{path.parent}: {path.name} has {len(edges)} lines and {reference_path.name} "
                f"{len(references)}, expected as many"
            )
        for index, (structure, reference) in enumerate(zip(edges, references, strict=True)):
            i, j = (dict(pairwise(path.parts)).get("Images", "") for path in (structure, reference))
            pairs.setdefault((i, j, index), set()).add((structure.stem, reference.stem))
    return pairs


def read_paths(path: Path) -> list[PurePosixPath]:
    lines = read_text(path, "a text file").rstrip().splitlines()
    return [PurePosixPath(line) for line in lines]


def read_sources(table: pd.DataFrame, lists: Path) -> np.ndarray:
    """Structure and reference (n, 2) of each row, as file names without suffix.

    A photograph is both itself. Those of a painted image stand in the columns `structure` and
    `reference`; where they are empty or missing, in the lists of the dataset `lists`. ValueError
    says which image has none in either.
    """
    own = table["filename"].map(stem).to_numpy(object)
    sources = np.stack([own, own], axis=1)
    painted = is_painted(table)
    if set(SOURCES) <= set(table.columns):
        named = (table[SOURCES] != "").all(axis=1).to_numpy()
        sources[named] = table.loc[named, SOURCES].map(stem).to_numpy(object)
    else:
        named = np.zeros(len(table), bool)
    unnamed = np.flatnonzero(painted & ~named)
    if len(unnamed):
        pairs = read_pairs(lists)
        for row in unnamed:
            sources[row] = listed_sources(table["filename"].iloc[row], pairs, lists)
    return sources


def listed_sources(
    name: str, pairs: dict[tuple[str, str, int], set[Sources]], lists: Path
) -> Sources:
    """The sources of the painted image `name`; ValueError unless just one line fits it."""
    match = GENERATED.fullmatch(base(name))
    key = (match["i"], match["j"], int(match["index"])) if match else None
    found = pairs.get(key, set())
    if len(found) != 1:
        raise ValueError(
            f"the CSV does not say from which two photographs {name} was painted, and "
            f"{len(found)} lines of {', '.join(LISTS)} in {lists} fit its name, expected one; "
            "paint it anew, and scripts/make_classifier_csv.py writes it into the CSV"
        )
    return next(iter(found))


def hold_out_photographs(table: pd.DataFrame, sources: np.ndarray) -> PhotographSplit:
    """Hold 20 % of the photographs of each class out, and the images painted from two of them.

    Trained on are the other photographs and what is painted from two of those; an image with a
    source of either kind, or one that is not in the table, belongs to neither. The draw depends
    on the photographs' names alone: with and without painted images it is the same. ValueError
    where there are too few to hold one out, too few of a class to train on, or where the table
    lists the sources of no painted image.
    """
    labels = table["label"].to_numpy()
    photograph = ~is_painted(table)
    known = pd.DataFrame(sources).isin(sources[photograph, 0]).all(axis=1).to_numpy()
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
    both = set(train) & set(held_out)
    if both:
        raise ValueError(
            f"{min(both)} is the name of a hybrid and of a non-hybrid photograph, so that nothing "
            "tells which of them a painted image shows; rename one"
        )
    split = PhotographSplit(
        train=np.flatnonzero(pd.DataFrame(sources).isin(train).all(axis=1)),
        held_out=np.flatnonzero(pd.DataFrame(sources).isin(held_out).all(axis=1)),
        unknown=np.flatnonzero(~known),
    )
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
    if len(split.unknown):
        log.warning(
            "%d painted images are of photographs that the CSV does not list, and are left out "
            "of the evaluation %s (first: %s)",
            *(len(split.unknown), title, table["filename"].iloc[split.unknown[0]]),
        )
    log.info(
        "%s: %d images trained on, %d held out, %d left out as they show both kinds",
        *(title, len(split.train), len(split.held_out)),
        len(table) - len(split.train) - len(split.held_out) - len(split.unknown),
    )
    return groups, split
