"""The lists that pair an edge map (structure) with a reference photo (appearance).

    python scripts/make_lists.py --csv butterfly_anomaly_train.csv

Training lists, every photograph once, with itself as the reference:
    Images4TrainAFhybrid/List/train_AFhybrid
    Images4TrainAFnonhybrid/List/train_AFnonhybrid
Test lists, in Images4TrainAFnonhybrid/List, structure of subspecies i and reference of j:
    test_nonhybrid        i = j: every photograph once as structure, another one as reference
    test_signalhybrid     the signal pair: every structure of i with 22 references of j
    test_nonsignalhybrid  each other ordered pair that looks unlike: 50 structures at the most
Each list is three aligned files, {train,test}_{edges,color_ref,color_gt}.txt; the last is the
structure's own photograph. The draw depends on --seed and, within a pair, on that pair only.

--nearest is not in the published lists: of the reference's subspecies, it takes the photographs
whose specimens lie most like the structure's. A generator learns on references that are its own
structure, a little warped; one that lies otherwise leaves a ghost of its wings on the ground.
"""

import argparse
import logging
import random
from collections.abc import Iterator
from itertools import chain, cycle, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common.challenge_csv import (
    Photo,
    by_subspecies,
    challenge_parser,
    read_photos,
    those_present,
)
from common.files import atomic, open_image
from common.program import InputError, positive, start
from PIL import Image, ImageFilter

HYBRID_DATASET = "Images4TrainAFhybrid"
NONHYBRID_DATASET = "Images4TrainAFnonhybrid"

# The published choices for the challenge's fourteen subspecies.
GROUPS = ["0,5,6,12", "4,7,10,13", "1,2,3,11", "8", "9"]
SIGNAL = ["9", "8"]
EXCLUDED = ["0,5,6,12:8", "8:0,5,6,12", "9:1,2,3,11"]

# Of the coarse edge maps by which --nearest compares: the outline of the wings, not their pattern.
SIDE = 32  # pixels
BLUR = 1 / 64  # of the width: a shift by this much still counts as alike


class Pair(NamedTuple):
    """A structure and the photograph whose appearance it is given."""

    structure: Photo
    reference: Photo


def generator(seed: int, *draw: str) -> random.Random:
    """Random numbers for one draw, the same on every machine and Python version."""
    return random.Random(" ".join([str(seed), *draw]))


def nonhybrid_pairs(photos: dict[str, list[Photo]], seed: int) -> list[Pair]:
    """Every photograph once as structure and once as reference, within its subspecies; its own
    reference only where there is no other."""
    pairs = []
    for subspecies, structures in photos.items():
        ring = generator(seed, "nonhybrid", subspecies).sample(structures, len(structures))
        follower = dict(zip(ring, ring[1:] + ring[:1], strict=True))
        pairs += [Pair(photo, follower[photo]) for photo in structures]
    return pairs


def signal_pairs(
    photos: dict[str, list[Photo]], signal: tuple[str, str], references: int, seed: int
) -> list[Pair]:
    """Every structure of the first subspecies with `references` of the second, all different."""
    draw = generator(seed, "signal", *signal)
    pool = photos[signal[1]]
    return [
        Pair(structure, reference)
        for structure in photos[signal[0]]
        for reference in draw.sample(pool, min(references, len(pool)))
    ]


def unlike_pairs(
    subspecies: list[str],
    groups: list[list[str]],
    signal: tuple[str, str],
    excluded: set[tuple[str, str]],
) -> list[tuple[str, str]]:
    """The ordered pairs that look unlike: of two groups (a subspecies in none is one by itself),
    not the signal pair, not excluded."""
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    return [
        (i, j)
        for i in subspecies
        for j in subspecies
        if i != j
        and (i not in group_of or group_of[i] != group_of.get(j))
        and {i, j} != set(signal)
        and (i, j) not in excluded
    ]


def nonsignal_pairs(
    photos: dict[str, list[Photo]], pairs: list[tuple[str, str]], cap: int, seed: int
) -> list[Pair]:
    """For each pair (i, j), `cap` structures of i at the most, with references drawn from j, of
    which none comes again before all have come."""
    lines = []
    for i, j in pairs:
        draw = generator(seed, "nonsignal", i, j)
        structures = draw.sample(photos[i], min(cap, len(photos[i])))
        references = draw.sample(photos[j], len(photos[j]))
        lines += map(Pair, structures, cycle(references))
    return lines


def outline(edges: Path) -> np.ndarray:
    """The edge map in `edges`, blurred and shrunk: (1024,) of mean 0 and length 1."""
    image = open_image(edges).convert("L")
    blurred = image.filter(ImageFilter.GaussianBlur(BLUR * image.width))
    coarse = np.asarray(blurred.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()
    coarse -= coarse.mean()
    return coarse / max(np.linalg.norm(coarse), 1e-9)


def with_nearest_references(
    pairs: list[Pair], photos: dict[str, list[Photo]], dataset: Path
) -> list[Pair]:
    """`pairs` with the references of the same subspecies that lie most like the structures.

    A structure that comes again gets the next nearest, and never itself while there are others;
    after the last the nearest comes again.
    """
    outlines = {
        photo: outline(dataset / edges_path(photo, subspecies))
        for subspecies, members in photos.items()
        for photo in members
    }
    ranked: dict[tuple[Photo, str], Iterator[Photo]] = {}
    lines = []
    for structure, reference in pairs:
        key = (structure, reference.subspecies)
        if key not in ranked:
            group = photos[reference.subspecies]
            candidates = [photo for photo in group if photo != structure] or [structure]
            likeness = np.stack([outlines[photo] for photo in candidates]) @ outlines[structure]
            order = np.argsort(-likeness, kind="stable")
            ranked[key] = cycle([candidates[place] for place in order])
        lines.append(Pair(structure, next(ranked[key])))
    return lines


def edges_path(photo: Photo, folder: str) -> str:
    """The edge map of `photo`, in a dataset where it lies in `folder` below Images."""
    return f"Images/{folder}/train/pidinet_edges/{Path(photo.filename).stem}.png"


def write_list(dataset: Path, name: str, pairs: list[Pair], kind: str = "subspecies") -> None:
    """Write the three files of the list `name` after checking that every image is there.

    A photograph's folder below Images is named by its `kind`: subspecies, or status.
    """

    def photo_path(photo: Photo) -> str:
        return f"Images/{getattr(photo, kind)}/train/good/{photo.filename}"

    columns = {
        "edges": [edges_path(pair.structure, getattr(pair.structure, kind)) for pair in pairs],
        "color_ref": [photo_path(pair.reference) for pair in pairs],
        "color_gt": [photo_path(pair.structure) for pair in pairs],
    }
    for column, paths in columns.items():
        missing = [path for path in dict.fromkeys(paths) if not (dataset / path).is_file()]
        if missing:
            extract = f"AnomalyFactory/extract_edges.py --dataset {dataset}"
            raise InputError(
                f"{dataset / missing[0]} is missing, and {len(missing) - 1} more for {name}; "
                f"make them: {extract if column == 'edges' else 'scripts/prepare_images.py'}"
            )
    folder = dataset / "List" / name
    folder.mkdir(parents=True, exist_ok=True)
    for column, paths in columns.items():
        with atomic(folder / f"{name.split('_')[0]}_{column}.txt") as part:
            part.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    kinds = {(pair.structure.subspecies, pair.reference.subspecies) for pair in pairs}
    logging.info("%s: %d lines in %d pairs of subspecies", name, len(pairs), len(kinds))


def read_options(
    args: argparse.Namespace, known: list[str]
) -> tuple[list[list[str]], set[tuple[str, str]]]:
    """The look-alike groups, of texts like `0,5,6,12`, and the ordered pairs that are left out, of
    texts like `9:1,2,3,11`.

    Raises InputError where an option names a subspecies that the CSV does not have. The published
    groups may: a part of the challenge's CSV may lack some.
    """
    groups = [text.split(",") for text in args.groups]
    both = [[side.split(",") for side in text.split(":")] for text in args.exclude]
    named = {"--signal": args.signal}
    named["--groups"] = [] if args.groups is GROUPS else list(chain(*groups))
    named["--exclude"] = [] if args.exclude is EXCLUDED else list(chain(*chain(*both)))
    for option, names in named.items():
        for name in names:
            if name not in known:
                raise InputError(
                    f"{option} names subspecies {name!r}; the CSV has {', '.join(known)}. "
                    "Describe your own subspecies with --groups, --signal and --exclude"
                )
            if option != "--exclude" and names.count(name) > 1:
                raise InputError(f"{option} names subspecies {name!r} more than once")
    if any(len(sides) != 2 for sides in both):
        raise InputError(f"--exclude {args.exclude}; expected STRUCTURES:REFERENCES, as in 9:1,2,3")
    return groups, {pair for sides in both for pair in product(*sides)}


def run(args: argparse.Namespace) -> int:
    hybrid, nonhybrid = args.datasets / HYBRID_DATASET, args.datasets / NONHYBRID_DATASET
    everything = those_present(
        sorted(read_photos(args.csv), key=lambda photo: photo.filename),
        lambda photo: hybrid / "Images" / photo.status / "train/good" / photo.filename,
        args.allow_missing,
        "make them: scripts/prepare_images.py",
    )
    photos = by_subspecies(everything)
    groups, excluded = read_options(args, list(photos))
    i, j = args.signal
    pairs = unlike_pairs(list(photos), groups, (i, j), excluded)

    for lists in (hybrid / "Lists", nonhybrid / "Lists"):
        if lists.exists():  # readers accept both names: two sets would be a riddle
            raise InputError(f"{lists} is there, lists of a published archive; move it away first")
    themselves = [Pair(photo, photo) for photo in everything]
    write_list(hybrid, "train_AFhybrid", themselves, "status")
    write_list(nonhybrid, "train_AFnonhybrid", themselves)
    for name, lines in {
        "test_nonhybrid": nonhybrid_pairs(photos, args.seed),
        "test_signalhybrid": signal_pairs(photos, (i, j), args.references, args.seed),
        "test_nonsignalhybrid": nonsignal_pairs(photos, pairs, args.cap, args.seed),
    }.items():
        if args.nearest:
            lines = with_nearest_references(lines, photos, nonhybrid)
        write_list(nonhybrid, name, lines)
    return 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = challenge_parser(__doc__)
    add = parser.add_argument
    alike = f"subspecies that look alike; others stand alone (default: {' '.join(GROUPS)})"
    add("--groups", nargs="*", default=GROUPS, metavar="I,J,...", help=alike)
    both = f"structure and reference of the signal hybrid (default: {' '.join(SIGNAL)})"
    add("--signal", nargs=2, default=SIGNAL, metavar=("I", "J"), help=both)
    out = (
        "ordered pairs, structures:references, to leave out beside the pairs within a group "
        f"and the signal pair both ways (default: {' '.join(EXCLUDED)})"
    )
    add("--exclude", nargs="*", default=EXCLUDED, metavar="I,...:J,...", help=out)
    number = {"type": positive, "metavar": "N"}
    add("--cap", default=50, help="structures for each non-signal pair (default: 50)", **number)
    help_references = "references for each structure of the signal pair (default: 22)"
    add("--references", default=22, help=help_references, **number)
    add("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    add("--nearest", action="store_true", help="references that lie like their structures")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    start(run, parse_arguments)
