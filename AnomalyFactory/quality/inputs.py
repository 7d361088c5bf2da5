"""What is on disk: the photographs, the painted images and what each was painted from, and the
detector that drew the edge maps."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data.lists import LIST_FOLDERS, ListFiles, read_pairs
from models.pidinet import pidinet_detector
from models.scharr import scharr_edges
from PIL import Image
from util.errors import InputError
from util.files import IMAGE_SUFFIXES

NAME = re.compile(r"AF_(?P<i>[^_/\\]+)_(?P<j>[^_/\\]+)_gen\d{5,}\.png")
PHOTOS, EDGES = "good", "pidinet_edges"  # the folders of a dataset
NON_HYBRIDS, HYBRIDS = "non-hybrids", "hybrids"

Key = tuple[str, str]  # subspecies and file name without its ending: one specimen
Detector = Callable[[np.ndarray], np.ndarray]  # photos (n, h, w, 3) uint8 -> edges (n, h, w) uint8


@dataclass(frozen=True)
class Dataset:
    """The photographs of a generator's data set and their edge maps, by specimen."""

    folder: Path
    photos: dict[Key, Path]
    edges: dict[Key, Path]


@dataclass(frozen=True)
class PaintedImage:
    """A painted image and its inputs; `structure` and `reference` are keys of the data set."""

    path: Path
    structure: Key
    reference: Key

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
        if kind is None or hidden or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if not path.is_file():
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


# ---- painted images -----------------------------------------------------------------------------


def find_painted(results: Path, dataset: Dataset) -> tuple[list[PaintedImage], list[str]]:
    """The painted images below `results` in the order of their names, and what is wrong with
    those that are left out, a line each.

    Raises InputError when none is left.
    """
    paths = [path for path in results.rglob("AF_*.png") if NAME.fullmatch(path.name)]
    if not paths:
        raise InputError(
            f"{results}: no painted image AF_*_*_gen*.png in it; paint some:"
            " AnomalyFactory/scripts/test_AF4nonhybrid.sh and test_AF4hybrid.sh"
        )
    listed: dict[str, set[tuple[str, str]]] | None = None
    found: dict[str, PaintedImage] = {}
    problems = []
    for path in sorted(paths, key=lambda path: (path.name, path)):
        try:
            if path.name in found:
                raise InputError(f"{path}: left out, {found[path.name].path} has the same name")
            names = stated_inputs(path)
            if names is None:
                listed = listed_inputs(dataset.folder) if listed is None else listed
                choices = listed.get(path.name, set())
                if len(choices) != 1:
                    lists = f"{len(choices)} lists that disagree" if choices else "no list"
                    raise InputError(
                        f"{path}: left out, it does not say what it was painted from, and {lists}"
                        f" of {dataset.folder} names it"
                    )
                [names] = choices
            found[path.name] = with_inputs(path, names, dataset)
        except InputError as error:
            problems.append(str(error))
    if not found:
        raise InputError(
            f"{results}: none of its {len(paths)} painted images can be used; the first:"
            f" {problems[0]}"
        )
    return list(found.values()), problems


def with_inputs(path: Path, names: tuple[str, str], dataset: Dataset) -> PaintedImage:
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
    return PaintedImage(path, structure, reference)


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


def listed_inputs(folder: Path) -> dict[str, set[tuple[str, str]]]:
    """The structures and references that the lists of a data set give to each name of a result:
    images of the published program do not state them."""
    found: dict[str, set[tuple[str, str]]] = {}
    for edges in (
        path for root in LIST_FOLDERS for path in (folder / root).rglob("test*_edges.txt")
    ):
        for pair in read_pairs(ListFiles(folder, edges.parent.name, edges), training=False):
            names = pair.edges.stem, pair.reference.stem
            found.setdefault(pair.generated_name, set()).add(names)
    return found


def how_painted(results: Path) -> list[str]:
    """What the notes that test.py leaves say of options and generator, a line each list."""
    lines = []
    for note in sorted(results.rglob("painted.json")):
        if not note.is_file():  # opening a pipe would wait for ever
            continue
        try:
            source = dict(json.loads(note.read_text(encoding="utf-8"))["source"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # a note that says nothing is no reason to say nothing of the images
        options = [
            f"--{name}" if value is True else f"--{name} {value}"
            for name, value in source.items()
            if name not in ("checkpoint", "list") and value not in (None, False)
        ]
        generator = str(source.get("checkpoint", "unknown"))[:12]
        lines.append(f"{note.parent.name}: generator {generator}, {' '.join(options)}")
    return lines


def crosses(subspecies: str) -> set[frozenset[str]]:
    """The pairs of subspecies that a folder of photographed hybrids, such as 8_9, is of."""
    parts = subspecies.split("_")
    joined = ("_".join(parts[:cut]) for cut in range(1, len(parts)))
    return {frozenset((first, subspecies[len(first) + 1 :])) for first in joined}


# ---- the detector of edges ----------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeFinder:
    """A detector by its name; without one, the reason for which there is none."""

    name: str
    detect: Detector | None
    reason: str = ""


def edge_finder(
    dataset: Dataset, wanted: str | None, weights: Path, device: torch.device
) -> EdgeFinder:
    """The detector that is `wanted`, else the one that drew the maps of the data set.

    Raises InputError when PiDiNet is wanted by name and its `weights` cannot be used.
    """
    notes = [note_of(path) for path in dataset.edges.values()]
    drawn_by = sorted({note[0] for note in notes})
    if any("dark_on_white" not in note for note in notes if len(note) > 1):
        return EdgeFinder("", None, "edge maps are light on dark, where dark on light is expected")
    if wanted is None and len(drawn_by) > 1:
        found = " and ".join(drawn_by)
        return EdgeFinder("", None, f"the edge maps were drawn by {found}; choose a --detector")
    name = wanted or drawn_by[0]
    if name == "scharr":
        return EdgeFinder(name, scharr_edges)
    try:
        return EdgeFinder(name, pidinet_detector(weights, device))
    except InputError as error:
        if wanted:
            raise
        advice = "fetch the weights: scripts/download_models.sh pidinet"
        return EdgeFinder(name, None, f"the edge maps are PiDiNet's, and {error}; {advice}")


def note_of(path: Path) -> list[str]:
    """How extract_edges.py says it drew a map, the detector first; the published maps, which are
    PiDiNet's, say nothing."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return str(image.info.get("extract_edges", "")).split() or ["pidinet"]
    except Exception:  # Pillow's plugins raise many types; it is named when it is to be read
        return ["pidinet"]
