"""What a finished quick start holds: its specimens, its painted images, and how each was called."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.challenge_csv import Photo, read_photos, read_table

from demo.notes import read_note, reading, stage

PAINTED_NAME = re.compile(r"AF_(\d+)_(\d+)_gen(\d+)\.png")
HYBRID_LISTS = ("test_signalhybrid", "test_nonsignalhybrid")
MEMBERS = ("sgd", "linear", "subspecies")  # of the ensemble; each has its column in details.csv

# The stage demo stops at a folder that has no record, or a damaged one.
DRAW_ANEW = "remove demo/ and .done/demo in the run's folder and run quickstart.sh again"
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
class Said:
    """What the members said of one image of the test set."""

    probability: dict[str, float]  # of a hybrid, by member
    parents: tuple[str, ...] = ()  # the two subspecies that the third member puts it between
    share: float = 0.0  # of the first of them


UNSAID = Said({})


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
        return read_note(self.path / "demo/demo.json", RECORD, DRAW_ANEW)

    @cached_property
    def subspecies(self) -> dict[str, str]:
        """The names of those that are trained on, by number, such as 8."""
        return {str(number): name for number, name in enumerate(self.record["subspecies"])}

    @cached_property
    def train(self) -> list[Photo]:
        path = self.path / "demo/train.csv"
        with reading(path, DRAW_ANEW):
            return read_photos(path)

    @cached_property
    def test(self) -> list[dict[str, str]]:
        path = self.path / "demo/ref_test.csv"
        return read_rows(path, ("filename", "subspecies_ref"), DRAW_ANEW)

    def shown(self, photo: Photo) -> Cross:
        """The names of the parents of a hybrid of `train`; of another photograph, the one name."""
        names = self.subspecies
        with reading(self.path / "demo/train.csv", DRAW_ANEW):
            return frozenset(names[number] for number in photo.subspecies.split("_"))

    @cached_property
    def photographs(self) -> dict[str, list[str]]:
        """By subspecies its photographs, relative to the run's folder: those to train on first."""
        found: dict[str, list[str]] = {}
        for photo in self.train:
            if not photo.hybrid:
                (name,) = self.shown(photo)
                found.setdefault(name, []).append(f"demo/train/images/{photo.filename}")
        for row in self.test:
            name = row["subspecies_ref"]
            if " x " not in name:
                found.setdefault(name, []).append(f"demo/test/images/{row['filename']}")
        return found

    @cached_property
    def crosses_in_training(self) -> Counter[Cross]:
        """How many photographs of hybrids there are to train on, by cross."""
        return Counter(self.shown(photo) for photo in self.train if photo.hybrid)

    def recorded(self, group: list[int]) -> Cross:
        """The names of the subspecies in a group of the record."""
        names = self.subspecies
        with reading(self.path / "demo/demo.json", DRAW_ANEW):
            return frozenset(names[str(number)] for number in group)

    def are_alike(self, cross: Cross) -> bool:
        """Whether the parents are of one group of look-alikes, which is never painted."""
        return any(cross <= self.recorded(group) for group in self.record["look_alikes"])

    @cached_property
    def paintings(self) -> list[Painting]:
        """The painted hybrids of the run's subspecies, in the order of their names."""
        signal = self.recorded(self.record["signal_pair"])
        found = []
        for path in sorted((self.path / "results/hybrid").rglob("AF_*.png")):
            match = PAINTED_NAME.fullmatch(path.name)
            if match and {match[1], match[2]} <= self.subspecies.keys():
                structure, reference = self.subspecies[match[1]], self.subspecies[match[2]]
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
        next_step = stage("score", kind, backbone, members)
        rows = read_rows(path, (*columns, "threshold", "called"), next_step)
        with reading(path, next_step):
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

    def details(self, backbone: str, kind: str) -> dict[str, Said]:
        """What the members said of the test set, by file name."""
        path = self.path / backbone / kind / "details.csv"
        next_step = stage("examine", kind, backbone)
        rows, names = read_rows(path, ("filename",), next_step), self.subspecies
        with reading(path, next_step):
            return {row["filename"]: read_said(row, names) for row in rows}


def read_said(row: dict[str, str], names: dict[str, str]) -> Said:
    """What a row of details.csv says; `names` are those of the subspecies by number."""
    probability = {member: float(row[member]) for member in MEMBERS if row.get(member)}
    if not row.get("share_1"):
        return Said(probability)
    parents = (names[row["parent_1"]], names[row["parent_2"]])
    return Said(probability, parents, float(row["share_1"]))


def read_rows(path: Path, columns: tuple[str, ...], next_step: str) -> list[dict[str, str]]:
    """The rows of a CSV file with `columns` and more; see `reading`."""
    with reading(path, next_step):
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
