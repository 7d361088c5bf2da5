"""What is on disk: the photographs, the painted images and what each was painted from, and the
detector that drew the edge maps."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from data.lists import LIST_FOLDERS, ListFiles, read_pairs
from models.pidinet import pidinet_detector
from models.scharr import scharr_edges
from util.errors import InputError
from util.images import images_below, png_texts
from util.results import NAME

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
    def sources(self) -> tuple[Key, Key]:
        return self.structure, self.reference

    @property
    def kind(self) -> str:
        return NON_HYBRIDS if self.structure[0] == self.reference[0] else HYBRIDS


def read_dataset(folder: Path) -> Dataset:
    """The data set in `folder`; hidden files are left out, as extract_edges.py does.

    Raises InputError when it holds no photographs.
    """
    found: dict[str, dict[Key, Path]] = {PHOTOS: {}, EDGES: {}}
    for path in images_below(folder / "Images"):
        parts = path.relative_to(folder).parts
        if kind := next((part for part in parts[2:-1] if part in found), None):
            other = found[kind].setdefault((parts[1], path.stem), path)
            if other != path:
                raise InputError(f"{other} and {path} are both {kind} of {path.stem}; rename one")
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

    Raises InputError when none is left, and for a list that is needed and wrong.
    """
    paths = [path for path in results.rglob("AF_*.png") if NAME.fullmatch(path.name)]
    if not paths:
        raise InputError(
            f"{results}: no painted image AF_*_*_gen*.png in it; paint some:"
            " AnomalyFactory/scripts/test_AF4nonhybrid.sh and test_AF4hybrid.sh"
        )
    found: dict[str, PaintedImage] = {}
    problems = []
    for path in sorted(paths, key=lambda path: (path.name, path)):
        try:
            if path.name in found:
                raise ValueError(f"{found[path.name].path} has the same name")
            found[path.name] = painted_image(path, dataset)
        except InputError:
            raise
        except ValueError as error:
            problems.append(f"{path}: left out, {error}")
    if not found:
        raise InputError(
            f"{results}: none of its {len(paths)} painted images can be used; the first:"
            f" {problems[0]}"
        )
    return list(found.values()), problems


def painted_image(path: Path, dataset: Dataset) -> PaintedImage:
    """The painted image in `path`. Raises ValueError unless it, or the list that its name is of,
    says what it was painted from, and the data set has that."""
    texts, match = png_texts(path), NAME.fullmatch(path.name)
    names = texts.get("structure"), texts.get("reference")
    if not all(names):
        choices = listed_inputs(dataset.folder)[path.name]
        if len(choices) != 1:
            lists = "lists that disagree name it" if choices else "no list names it"
            raise ValueError(f"it does not say what it was painted from, and {lists}")
        [names] = choices
    structure, reference = (match["i"], names[0]), (match["j"], names[1])
    for what, key, there in (
        ("edge map", structure, dataset.edges),
        ("structure's photograph", structure, dataset.photos),
        ("reference", reference, dataset.photos),
    ):
        if key not in there:
            where = f"of subspecies {key[0]!r} is not in {dataset.folder}"
            raise ValueError(f"the {what} {key[1]!r} {where}")
    return PaintedImage(path, structure, reference)


@cache
def listed_inputs(folder: Path) -> dict[str, set[tuple[str, str]]]:
    """The structures and references that the lists of a data set give to each name of a result:
    images of the published program do not state them."""
    found = defaultdict(set)
    for lists in LIST_FOLDERS:
        for edges in (folder / lists).rglob("test*_edges.txt"):
            for pair in read_pairs(ListFiles(folder, edges.parent.name, edges), training=False):
                found[pair.generated_name].add((pair.edges.stem, pair.reference.stem))
    return found


def crosses(subspecies: str) -> set[frozenset[str]]:
    """The pairs of subspecies that a folder of photographed hybrids, such as 8_9, is of."""
    parts = subspecies.split("_")
    cuts = range(1, len(parts))
    return {frozenset(("_".join(parts[:cut]), "_".join(parts[cut:]))) for cut in cuts}


def edge_detector(
    dataset: Dataset, wanted: str | None, weights: Path, device: torch.device
) -> tuple[str, Detector]:
    """Name and function of the detector that is `wanted`, else of the one that drew the edge maps.

    Raises InputError for maps of two detectors, and for PiDiNet without its `weights`.
    """
    names = {wanted} if wanted else set(map(drawn_by, dataset.edges.values()))
    if len(names) > 1:
        found = " and ".join(sorted(names))
        raise InputError(f"{dataset.folder}: edge maps drawn by {found}; choose a --detector")
    if "scharr" in names:
        return "scharr", scharr_edges
    try:
        return "pidinet", pidinet_detector(weights, device)
    except InputError as error:
        advice = "fetch it with scripts/download_models.sh pidinet, or give --detector scharr"
        raise InputError(f"{error}; {advice}") from error


def drawn_by(path: Path) -> str:
    """The detector that drew a map, as extract_edges.py notes it; the published maps, which are
    PiDiNet's, say nothing."""
    try:
        return png_texts(path)["extract_edges"].split()[0]
    except (ValueError, KeyError):  # what is no PNG is named when it is to be read
        return "pidinet"
