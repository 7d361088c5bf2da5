"""What is on disk: photographs and their edge maps, painted images and what each was painted from,
and the detector that drew the edge maps. Subspecies and names are as tables have them (`shown`)."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from data.lists import LIST_FOLDERS, ListFiles, read_pairs
from models.pidinet import pidinet_detector
from models.scharr import scharr_edges
from util.errors import InputError
from util.files import images_in
from util.images import png_texts
from util.results import NAME

PHOTOS, EDGES = "good", "pidinet_edges"  # the folders of a dataset
NON_HYBRIDS, HYBRIDS = "non-hybrids", "hybrids"

Key = tuple[str, str]  # subspecies and file name without its ending: one specimen
Row = dict[str, Any]  # what is known of an image, as columns
Detector = Callable[[np.ndarray], np.ndarray]  # photos (n, h, w, 3) uint8 -> edges (n, h, w) uint8


class Dataset(NamedTuple):
    """The photographs of a generator's data set and their edge maps, by specimen."""

    folder: Path
    photos: dict[Key, Path]
    edges: dict[Key, Path]
    passed: dict[str, list[str]]  # over, as images_in gives it


def shown(name: str) -> str:
    """The name of a file as tables have it: without what is no UTF-8, and \\r, which ends a row."""
    return name.replace("\r", "\\r").encode("utf-8", "backslashreplace").decode("utf-8")


def read_dataset(folder: Path) -> Dataset:
    """The data set in `folder`.

    Raises InputError when it holds no photographs.
    """
    found: dict[str, dict[Key, Path]] = {PHOTOS: {}, EDGES: {}}
    root = folder / "Images"
    images, passed = images_in(root) if root.is_dir() else ([], {})
    for path in (root / name for name in images):
        parts = path.relative_to(folder).parts
        if kind := next((part for part in parts[2:-1] if part in found), None):
            other = found[kind].setdefault((shown(parts[1]), shown(path.stem)), path)
            if other != path:
                raise InputError(f"{other} and {path} are both {kind} of {path.stem}; rename one")
    if not found[PHOTOS]:
        raise InputError(
            f"{folder}: no photographs in Images/SUBSPECIES/.../{PHOTOS}/; --dataset names the"
            " folder from which the images were painted, such as Datasets/Images4TrainAFnonhybrid"
        )
    return Dataset(folder, found[PHOTOS], found[EDGES], passed)


# ---- painted images -----------------------------------------------------------------------------


def find_painted(results: Path, dataset: Dataset) -> tuple[list[Row], list[str]]:
    """`painted_image` of each below `results` in the order of their names, and what is
    wrong with those that are left out, a line each.

    Raises InputError when none is left, and for a list that is needed and wrong.
    """
    paths = [path for path in results.rglob("AF_*.png") if NAME.fullmatch(path.name)]
    if not paths:
        raise InputError(
            f"{results}: no painted image AF_*_*_gen*.png in it; paint some:"
            " AnomalyFactory/scripts/test_AF4nonhybrid.sh and test_AF4hybrid.sh, --how_many inf"
        )
    found, problems = {}, []
    for path in sorted(paths, key=lambda path: (path.name, path)):
        try:
            if path.name in found:
                raise ValueError(f"{found[path.name]['path']} has the same name")
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


def painted_image(path: Path, dataset: Dataset) -> Row:
    """What the painted image in `path` was painted from, as columns. Raises ValueError unless it,
    or the list that its name is of, says so, and the data set has that."""
    texts, match = png_texts(path), NAME.fullmatch(path.name)
    names = texts.get("structure"), texts.get("reference")
    if not all(names):
        choices = listed_inputs(dataset.folder)[path.name]
        if len(choices) != 1:
            lists = "lists that disagree name it" if choices else "no list names it"
            raise ValueError(f"it does not say what it was painted from, and {lists}")
        [names] = choices
    structure, reference = zip(map(shown, match.group("i", "j")), map(shown, names), strict=True)
    for what, key, there in (
        ("edge map", structure, dataset.edges),
        ("structure's photograph", structure, dataset.photos),
        ("reference", reference, dataset.photos),
    ):
        if key not in there:
            where = f"of subspecies {key[0]!r} is not in {dataset.folder}"
            raise ValueError(f"the {what} {key[1]!r} {where}")
    return {
        "path": path,
        "kind": NON_HYBRIDS if structure[0] == reference[0] else HYBRIDS,
        "edge_map": dataset.edges[structure],
        "structure_photo": dataset.photos[structure],
        "reference_photo": dataset.photos[reference],
        "image": shown(path.name),
        "structure_subspecies": structure[0],
        "structure": structure[1],
        "reference_subspecies": reference[0],
        "reference": reference[1],
    }


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


# ---- the detector of edges ----------------------------------------------------------------------


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
