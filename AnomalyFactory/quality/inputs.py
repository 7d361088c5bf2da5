"""Which painted images there are, and what each was painted from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.lists import LIST_FOLDERS, ListFiles, read_pairs
from PIL import Image
from util.errors import InputError
from util.files import IMAGE_SUFFIXES

NAME = re.compile(r"AF_(?P<i>[^_/\\]+)_(?P<j>[^_/\\]+)_gen\d{5,}\.png")
PHOTOS, EDGES = "good", "pidinet_edges"  # the folders of a dataset
NON_HYBRIDS, HYBRIDS = "non-hybrids", "hybrids"

Key = tuple[str, str]  # subspecies and file name without its ending: one specimen


@dataclass(frozen=True)
class Dataset:
    """The photographs of a generator's data set and their edge maps, by specimen."""

    folder: Path
    photos: dict[Key, Path]
    edges: dict[Key, Path]


@dataclass(frozen=True)
class Painting:
    """A painted image and its inputs; `structure` and `reference` are keys of the data set."""

    path: Path
    structure: Key
    reference: Key

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def pair(self) -> tuple[str, str]:
        """The subspecies of its structure and of its reference."""
        return self.structure[0], self.reference[0]

    @property
    def kind(self) -> str:
        return NON_HYBRIDS if self.structure[0] == self.reference[0] else HYBRIDS


def read_dataset(folder: Path) -> Dataset:
    """The data set in `folder`; hidden files are left out, as extract_edges.py does.

    Raises InputError when it holds no photographs.
    """
    found: dict[str, dict[Key, Path]] = {PHOTOS: {}, EDGES: {}}
    for path in sorted((folder / "Images").rglob("*")):
        parts = path.relative_to(folder).parts
        kind = next((part for part in parts[2:-1] if part in found), None)
        hidden = any(part.startswith(".") for part in parts)
        if kind is None or hidden:
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        key = parts[1], path.stem
        other = found[kind].setdefault(key, path)
        if other != path:
            raise InputError(f"{other} and {path} are both {kind} of {key[1]}; rename one")
    if not found[PHOTOS]:
        raise InputError(
            f"{folder}: no photographs in Images/SUBSPECIES/.../{PHOTOS}/; --dataset names the"
            " folder from which the images were painted, such as Datasets/Images4TrainAFnonhybrid"
        )
    return Dataset(folder, found[PHOTOS], found[EDGES])


def find_paintings(results: Path, dataset: Dataset) -> tuple[list[Painting], list[str]]:
    """The painted images below `results` in the order of their names, and what is wrong with
    those that are left out, a line each.

    Raises InputError when none is left.
    """
    paths = [path for path in sorted(results.rglob("AF_*.png")) if NAME.fullmatch(path.name)]
    if not paths:
        raise InputError(
            f"{results}: no painted image AF_*_*_gen*.png in it; paint some:"
            " AnomalyFactory/scripts/test_AF4nonhybrid.sh and test_AF4hybrid.sh"
        )
    listed: dict[str, list[tuple[str, str]]] | None = None
    paintings: dict[str, Painting] = {}
    problems = []
    for path in sorted(paths, key=lambda path: path.name):
        if path.name in paintings:
            problems.append(f"{path}: left out, {paintings[path.name].path} has the same name")
            continue
        try:
            names = stated_inputs(path)
            if names is None:
                listed = listed_inputs(dataset.folder) if listed is None else listed
                names = the_one(path, listed.get(path.name, []), dataset.folder)
            paintings[path.name] = with_inputs(path, names, dataset)
        except InputError as error:
            problems.append(str(error))
    if not paintings:
        raise InputError(
            f"{results}: none of its {len(paths)} painted images can be used; the first:"
            f" {problems[0]}"
        )
    return list(paintings.values()), problems


def with_inputs(path: Path, names: tuple[str, str], dataset: Dataset) -> Painting:
    """The painted image in `path`. Raises InputError unless the data set has all its inputs."""
    match = NAME.fullmatch(path.name)
    structure, reference = (match["i"], names[0]), (match["j"], names[1])
    for what, key, there in (
        ("edge map", structure, dataset.edges),
        ("structure's photograph", structure, dataset.photos),
        ("reference", reference, dataset.photos),
    ):
        if key not in there:
            raise InputError(
                f"{path}: left out, the {what} {key[1]!r} of subspecies {key[0]!r} is not in"
                f" {dataset.folder}"
            )
    return Painting(path, structure, reference)


def stated_inputs(path: Path) -> tuple[str, str] | None:
    """Structure and reference as the PNG itself names them; None where it does not."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise ValueError("no file")
        with Image.open(path, formats=["PNG"]) as image:
            names = image.info.get("structure"), image.info.get("reference")
    except Exception as error:  # Pillow's plugins raise many types on hostile bytes
        raise InputError(f"{path}: left out, not a readable PNG ({error})") from error
    return names if all(names) else None


def listed_inputs(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Structure and reference that the lists of a data set give to each name of a result.

    For images that do not state them, as the published ones.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for files in list_files(folder):
        for pair in read_pairs(files, training=False):
            names = pair.edges.stem, pair.reference.stem
            if names not in found.setdefault(pair.generated_name, []):
                found[pair.generated_name].append(names)
    return found


def list_files(folder: Path) -> Iterator[ListFiles]:
    """The lists of a data set that were there to paint."""
    for root in LIST_FOLDERS:
        for edges in sorted((folder / root).rglob("test*_edges.txt")):
            yield ListFiles(folder, edges.parent.name, edges)


def the_one(path: Path, choices: list[tuple[str, str]], folder: Path) -> tuple[str, str]:
    """The only one of `choices`. Raises InputError that says how many there are."""
    if len(choices) != 1:
        found = "no list" if not choices else f"{len(choices)} lists that disagree"
        raise InputError(
            f"{path}: left out, it does not say what it was painted from, and {found} of {folder}"
            " names it"
        )
    return choices[0]


def crosses(subspecies: str) -> set[frozenset[str]]:
    """The pairs of subspecies that a folder of photographed hybrids, such as 8_9, is of."""
    parts = subspecies.split("_")
    joined = ("_".join(parts[:cut]) for cut in range(1, len(parts)))
    return {frozenset((first, subspecies[len(first) + 1 :])) for first in joined}
