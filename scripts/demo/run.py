"""What a finished quick start holds: its specimens, its painted images, and how each was called."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.challenge_csv import read_table

from demo.notes import AGAIN, read_note, reading

PAINTED_NAME = re.compile(r"AF_(\d+)_(\d+)_gen(\d+)\.png")
HYBRID_LISTS = ("test_signalhybrid", "test_nonsignalhybrid")

PARENTS = ("parent_subspecies_1", "parent_subspecies_2")
RECORD = {
    "scale": float,
    "seed": int,
    "subspecies": [str],
    "signal_pair": [int],
    "look_alikes": [[int]],
}

Cross = frozenset[str]  # the names of both parents


@dataclass(frozen=True)
class Call:
    """What a detector said of one image of the test set."""

    filename: str
    shows: str  # a subspecies, or `mother x father`
    indicator: str  # major, minor or mimic
    hybrid: bool
    score: float
    threshold: float
    called: bool  # a hybrid

    @property
    def cross(self) -> Cross:
        return cross_of(self.shows)

    @property
    def margin(self) -> float:
        """How far the score lies above the threshold; negative below it."""
        return self.score - self.threshold


@dataclass(frozen=True)
class Painting:
    """A painted hybrid: its image and its strip of panels, relative to the run's folder."""

    image: str
    strip: str
    structure: str  # the subspecies whose edges it has
    reference: str  # the subspecies whose colours it has


@dataclass(frozen=True)
class Run:
    """The folder of a quick start, read where it is asked for."""

    path: Path

    @cached_property
    def record(self) -> dict:
        return read_note(self.path / "demo/demo.json", RECORD)

    @property
    def subspecies(self) -> list[str]:
        """The names of those that are trained on, by number."""
        return self.record["subspecies"]

    def name_of(self, number: str) -> str:
        """The name of a subspecies in details.csv, which has the numbers of the training CSV."""
        return self.subspecies[int(number)] if number.isdecimal() else number

    @cached_property
    def train(self) -> list[dict[str, str]]:
        return read_rows(
            self.path / "demo/train.csv", ("filename", "subspecies", "hybrid_stat", *PARENTS)
        )

    @cached_property
    def test(self) -> list[dict[str, str]]:
        return read_rows(self.path / "demo/ref_test.csv", ("filename", "subspecies_ref"))

    def named(self, row: dict[str, str], *columns: str) -> list[str]:
        """The names of the subspecies in `columns` of a row of `train`."""
        names = self.subspecies
        with reading(self.path / "demo/train.csv"):
            return [names[int(float(row[column]))] for column in columns]

    @cached_property
    def photographs(self) -> dict[str, list[str]]:
        """By subspecies its photographs, relative to the run's folder: those to train on first."""
        found: dict[str, list[str]] = {}
        for row in self.train:
            if row["hybrid_stat"] == "non-hybrid":
                (name,) = self.named(row, "subspecies")
                found.setdefault(name, []).append(f"demo/train/images/{row['filename']}")
        for row in self.test:
            name = row["subspecies_ref"]
            if " x " not in name:
                found.setdefault(name, []).append(f"demo/test/images/{row['filename']}")
        return found

    @cached_property
    def crosses_in_training(self) -> Counter[Cross]:
        """How many photographs of hybrids there are to train on, by cross."""
        hybrids = (row for row in self.train if row["hybrid_stat"] == "hybrid")
        return Counter(frozenset(self.named(row, *PARENTS)) for row in hybrids)

    def recorded(self, group: list[int]) -> Cross:
        """The names of the subspecies in a group of the record."""
        with reading(self.path / "demo/demo.json"):
            return frozenset(self.subspecies[number] for number in group)

    def are_alike(self, cross: Cross) -> bool:
        """Whether the parents are of one group of look-alikes, which is never painted."""
        return any(cross <= self.recorded(group) for group in self.record["look_alikes"])

    @cached_property
    def paintings(self) -> list[Painting]:
        """The painted hybrids, in the order of their names."""
        signal = self.recorded(self.record["signal_pair"])
        found = []
        for path in sorted((self.path / "results/hybrid").rglob("AF_*.png")):
            if match := PAINTED_NAME.fullmatch(path.name):
                with reading(path):
                    structure, reference = map(self.name_of, match.groups()[:2])
                of_signal = {structure, reference} == signal
                strip = path.parent / "gallery" / HYBRID_LISTS[not of_signal] / f"{match[3]}.jpg"
                places = (file.relative_to(self.path).as_posix() for file in (path, strip))
                found.append(Painting(*places, structure, reference))
        return found

    @cached_property
    def painted_crosses(self) -> Counter[Cross]:
        return Counter(frozenset((one.structure, one.reference)) for one in self.paintings)

    @cached_property
    def painted_non_hybrids(self) -> int:
        return sum(1 for _ in (self.path / "results/nonhybrid").rglob("AF_*.png"))

    def calls(self, backbone: str, kind: str, members: str) -> list[Call]:
        """How the detector trained on `kind` called the test set by `members`."""
        path = self.path / backbone / kind / members / "calls.csv"
        columns = ("filename", "subspecies_ref", "ssp_indicator", "hybrid_stat", "score")
        rows = read_rows(path, (*columns, "threshold", "called"))
        with reading(path):
            return [
                Call(
                    filename=row["filename"],
                    shows=row["subspecies_ref"],
                    indicator=row["ssp_indicator"],
                    hybrid=row["hybrid_stat"] == "1",
                    score=float(row["score"]),
                    threshold=float(row["threshold"]),
                    called=row["called"] == "1",
                )
                for row in rows
            ]

    def details(self, backbone: str, kind: str) -> dict[str, dict[str, str]]:
        """What each member said of the test set, by file name."""
        path = self.path / backbone / kind / "details.csv"
        rows = read_rows(path, ("filename",))
        with reading(path):  # which fails where a number is none, or no subspecies has it
            for row in rows:
                for name in ("sgd", "linear", "subspecies", "share_1"):
                    float(row.get(name) or 0)
                for place in (1, 2) if row.get("share_1") else ():
                    self.name_of(row[f"parent_{place}"])
        return {row["filename"]: row for row in rows}


def read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file with `columns` and more. ValueError for another content."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {AGAIN}")
    with reading(path):
        return [row for _, row in read_table(path, columns)]


def cross_of(shows: str) -> Cross:
    """The parents of `mother x father`; of a subspecies, itself alone."""
    return frozenset(shows.split(" x "))


def title_of(cross: Cross) -> str:
    return " x ".join(sorted(cross))


def spread(items: Sequence, count: int) -> list:
    """At most `count` of `items`, evenly spread from the first to the last."""
    if len(items) <= count:
        return list(items)
    step = (len(items) - 1) / max(count - 1, 1)
    return [items[round(step * place)] for place in range(count)]
