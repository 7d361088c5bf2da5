"""The lists that pair an edge map with a reference photo: finding, reading and checking them."""

import difflib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from util.errors import InputError, refuse_special
from util.files import inside, stem_of
from util.results import result_name
from util.spelling import but_there, decode

LIST_FOLDERS = ("List", "Lists")  # the published archives use both


@dataclass(frozen=True)
class ListFiles:
    """The aligned files of one list and the folder that their lines are relative to."""

    dataset: Path
    name: str
    edges: Path

    def column(self, column: str) -> Path:
        return self.edges.with_name(self.edges.name.removesuffix("edges.txt") + f"{column}.txt")


@dataclass(frozen=True)
class Pair:
    """One line: a structure and an appearance. `target` is the structure's own photo, where there
    is one; in training it is the reference too, and the subspecies are empty."""

    index: int
    edges: Path
    reference: Path
    target: Path | None
    structure_subspecies: str
    reference_subspecies: str

    @property
    def generated_name(self) -> str:
        return result_name(self.structure_subspecies, self.reference_subspecies, self.index)


def find_list(dataroot: Path, phase: str) -> ListFiles:
    """The list that `dataroot`, a list's own folder DATASET/List/NAME, or else `phase` names.

    Lists lie in List/ or Lists/ of the dataset folder, each in a folder of its name or directly.
    Their files start with the first word of `phase`, train or test, or with the list's whole name.
    """
    split = phase.split("_")[0]
    if dataroot.parent.name in LIST_FOLDERS:
        dataset, name = dataroot.parents[1], dataroot.name
        others = (dataset / folder / name for folder in LIST_FOLDERS)
        folders = list(dict.fromkeys((dataroot, *others)))
    else:
        name, roots = phase, [dataroot]
        if dataroot.name not in LIST_FOLDERS:
            roots = [dataroot / folder for folder in LIST_FOLDERS]
        dataset, folders = roots[0].parent, [root / phase for root in roots] + roots
    # Directly in List/ a bare prefix says nothing about which list it is, unless that was asked.
    wanted = [
        folder / f"{prefix}_edges.txt"
        for folder in folders
        for prefix in dict.fromkeys((split, name))
        if folder.name not in LIST_FOLDERS or prefix == phase
    ]
    for edges in wanted:
        if edges.is_file():
            return ListFiles(dataset, name, edges)
    looked_for = ", ".join(map(str, wanted))
    found = [path for root in LIST_FOLDERS for path in (dataset / root).glob("*/*_edges.txt")]
    lists = {path.parent.name for path in found} - {name}
    nearest = "".join(difflib.get_close_matches(name, sorted(lists), n=1, cutoff=0))
    near = f" (the nearest there is {nearest})" if nearest else ""
    raise InputError(
        f"--dataroot {dataroot}: no list for --phase {phase}{near}; looked for {looked_for}."
        " scripts/make_lists.py makes the lists"
    )


def read_pairs(files: ListFiles, training: bool, photos: bool = False) -> list[Pair]:
    """The pairs in `files`, every path checked to be a file inside the dataset folder, else
    InputError that names the list and its line.

    Training reads edges and color_gt, which must have one name: a photo is its own reference.
    Painting reads edges and color_ref, and color_gt where it is there; its photos must be where
    `photos` asks for them.
    """
    references = "color_gt" if training else "color_ref"
    columns = ["edges", references]
    if not training and (photos or files.column("color_gt").exists()):
        columns.append("color_gt")
    lines = {column: read_lines(files.column(column)) for column in columns}
    if len(set(map(len, lines.values()))) > 1:
        found = ", ".join(f"{files.column(c).name} has {len(lines[c])} lines" for c in columns)
        raise InputError(f"{files.edges.parent}: the lists of {files.name} must align, but {found}")
    if not lines["edges"]:
        raise InputError(f"{files.edges}: the list is empty")

    def pair(index: int) -> Pair:
        column = "edges"
        try:
            paths, subspecies = {}, {"edges": "", references: ""}
            for column in columns:
                paths[column] = inside(files.dataset, lines[column][index])
                if (column != "color_gt" or training or photos) and not paths[column].is_file():
                    raise ValueError(f"{paths[column]} is not there{but_there(paths[column])}")
                if column in subspecies and not training:
                    subspecies[column] = subspecies_in(lines[column][index])
            if (training or photos) and paths["edges"].stem != stem_of(paths["color_gt"].name):
                edges = f"the edge map {paths['edges'].name} of {files.edges.name}"
                remedy = "the same lines belong together; scripts/make_lists.py writes them"
                raise ValueError(f"{paths['color_gt'].name} is not the photo of {edges}: {remedy}")
            if photos and paths["color_gt"].parents[1] != paths["edges"].parents[1]:
                raise ValueError(f"{paths['color_gt']} is not the photo of {paths['edges']}")
        except (ValueError, OSError) as error:  # OSError: a name too long for any file
            raise InputError(f"{files.column(column)}, line {index + 1}: {error}") from error
        images = paths["edges"], paths[references], paths.get("color_gt")
        return Pair(index, *images, subspecies["edges"], subspecies[references])

    return [pair(index) for index in range(len(lines["edges"]))]


def subspecies_in(line: str) -> str:
    """SUBSPECIES of Images/SUBSPECIES/.../NAME."""
    after = dict(pairwise(PurePosixPath(line).parts[:-1])).get("Images")
    if after is None:
        raise ValueError(f"{line!r} names no subspecies; expected Images/SUBSPECIES/.../NAME")
    return after


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without blank ones at its end."""
    refuse_special(path)
    try:
        text = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: this list is missing") from error
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {number}: not in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise InputError(f"{path}, line {lines.index('') + 1}: empty")
    return lines
