"""Which photographs are of one specimen: the unit that is held out, dealt and drawn."""

import logging
import re
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from files import stem_of

if TYPE_CHECKING:  # which takes seconds that evaluation.py can spare
    from sklearn.model_selection import BaseCrossValidator

MD5 = "[0-9a-f]{32}"
# In the name of a file: from above or from below.
SIDE = re.compile(r"(^|[ ._-])(d|v|dorsal|ventral)(?=[ ._-]|$)", re.IGNORECASE)


def join(names: Sequence[str], *keys: Sequence[str]) -> np.ndarray:
    """For each of n rows the first, in the alphabet, of the `names` (n,) of its group (n,).

    Rows that are equal in their name or in one of the `keys` (n,) are of one group, and with them
    all that others join to it; the key "" joins nothing.
    """
    names = np.asarray(names, str)
    known, group = np.unique(names, return_inverse=True)
    while True:
        before = group
        for key in (names, *keys):
            key = pd.Series(np.asarray(key, object))
            firsts = pd.Series(group).groupby(key).transform("min").to_numpy()
            group = np.where(key == "", group, firsts)
        if np.array_equal(group, before):
            return known[group].astype(object)


def deal(
    splitter: "BaseCrossValidator", groups: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The folds of a `splitter` that deals specimens, not rows: the numbers of the rows to learn
    from, and of those to test.

    `groups` (n, k) names the specimens that a row shows. Dealt are the first of all rows, each with
    its least of the `labels` (n,). A row is learnt from where it shows none that is tested, and
    tested where it shows no other.
    """
    codes = pd.factorize(groups.ravel())[0].reshape(groups.shape)  # in the order of the rows
    dealt = pd.Series(labels).groupby(codes[:, 0]).min()
    for _, tested in splitter.split(dealt, dealt):
        shows = np.isin(codes, dealt.index[tested])
        yield np.flatnonzero(~shows.any(axis=1)), np.flatnonzero(shows.all(axis=1))


def without_side(name: str) -> str:
    """`race/7` of race/7_d.jpg and of race/7-ventral.png."""
    path = PurePosixPath(name)
    return (path.parent / SIDE.sub("", stem_of(path.name))).as_posix()


def read_pattern(text: str) -> re.Pattern:
    try:
        return re.compile(text)
    except re.error as error:
        raise ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def read_specimens(names: Sequence[str], pattern: re.Pattern) -> list[str]:
    """The specimens that the names of files say: the `pattern`'s first group, or all of it.

    ValueError for a name in which it finds nothing.
    """
    found = [pattern.search(PurePosixPath(name).name) for name in names]
    said = [match and match[min(1, pattern.groups)] for match in found]
    if not all(said):
        name = names[list(map(bool, said)).index(False)]
        raise ValueError(f"{name}: --specimen {pattern.pattern!r} finds nothing in its name")
    return said


def warn_of_sides(
    names: Sequence[str], specimens: Sequence[str], told: Sequence[bool], log: logging.Logger
) -> None:
    """A warning where `names` (n,) of files differ by their side alone, and their `specimens` (n,)
    are several, or one that was not `told` (n,)."""
    rows = pd.DataFrame({"name": list(names), "specimen": specimens, "told": list(told)})
    rows["bare"] = rows["name"].map(without_side)
    several = rows.groupby("bare")["specimen"].transform("nunique") > 1
    one = rows["bare"].duplicated(keep=False) & ~several & ~rows["told"]
    sided = (rows["bare"] != rows["name"].map(stem_of)).groupby(rows["bare"]).transform("any")
    for chosen, taken in (
        (one & sided, "one specimen each"),
        (several & sided, "specimens of their own"),
    ):
        if chosen.any():
            twins = rows["name"][rows["bare"] == rows["bare"][chosen].iloc[0]]
            log.warning(
                "%d photographs have names that differ by their side alone, such as %s: taken for "
                "%s; where that is wrong, fill the column CAMID, or say --specimen PATTERN",
                *(chosen.sum(), " and ".join(twins[:2]), taken),
            )


def check_labels(
    places: Sequence[str], keys: Sequence[str], labels: Sequence[str], what: str, remedy: str
) -> None:
    """ValueError naming both of n `places` where one of their `keys` (n,), of which `what` is the
    name, has two `labels` (n,). "" says nothing, of either.
    """
    rows = pd.DataFrame({"place": places, "key": keys, "label": labels}, dtype=object)
    rows = rows[(rows["key"] != "") & (rows["label"] != "")]
    first = rows.groupby("key").transform("first")
    for row in rows.index[rows["label"] != first["label"]][:1]:
        (place, key, label), (other, its) = rows.loc[row], first.loc[row, ["place", "label"]]
        said = f"{place}: {what} {key} is {label}, but {its} in {other}"
        raise ValueError(f"{said}; {remedy}")
