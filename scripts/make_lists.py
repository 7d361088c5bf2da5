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
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common.alignment import nearest, outline
from common.challenge_csv import Photo, TableError, by_subspecies, challenge_parser, read_photos
from common.files import ImageError, atomic

HYBRID_DATASET = "Images4TrainAFhybrid"
NONHYBRID_DATASET = "Images4TrainAFnonhybrid"

# The published choices for the challenge's fourteen subspecies.
GROUPS = ["0,5,6,12", "4,7,10,13", "1,2,3,11", "8", "9"]
SIGNAL = ["9", "8"]
EXCLUDED = ["0,5,6,12:8", "8:0,5,6,12", "9:1,2,3,11"]

log = logging.getLogger("make_lists")


class ListError(Exception):
    """Something the user must put right; the message says what."""


class Pair(NamedTuple):
    """A structure and the photograph whose appearance it is given."""

    structure: Photo
    reference: Photo


def generator(seed: int, *draw: str) -> random.Random:
    """Random numbers for one draw, the same on every machine and Python version."""
    return random.Random(" ".join([str(seed), *draw]))


def nonhybrid_pairs(photos: dict[str, list[Photo]], seed: int) -> list[Pair]:
    """Every photograph once as structure and once as reference, within its subspecies.

    A photograph is its own reference only where its subspecies has no other.
    """
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
    """The ordered pairs that look unlike: of two groups, not the signal pair, not excluded.

    A subspecies in no group is a group of its own.
    """
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
    """For each pair (i, j), `cap` structures of i at the most, with references drawn from j.

    No reference comes again before all of j have come.
    """
    lines = []
    for i, j in pairs:
        draw = generator(seed, "nonsignal", i, j)
        structures = draw.sample(photos[i], min(cap, len(photos[i])))
        references = draw.sample(photos[j], len(photos[j]))
        lines += [
            Pair(structure, references[number % len(references)])
            for number, structure in enumerate(structures)
        ]
    return lines


def with_nearest_references(
    pairs: list[Pair], photos: dict[str, list[Photo]], dataset: Path
) -> list[Pair]:
    """`pairs` with the references of the same subspecies that lie most like the structures."""
    outlines = {
        subspecies: {photo: outline(dataset / edges_path(photo, subspecies)) for photo in members}
        for subspecies, members in photos.items()
    }
    wanted = [(pair.structure, pair.reference.subspecies) for pair in pairs]
    references = nearest(wanted, outlines)
    return [
        Pair(pair.structure, reference) for pair, reference in zip(pairs, references, strict=True)
    ]


def edges_path(photo: Photo, folder: str) -> str:
    """The edge map of `photo`, in a dataset where it lies in `folder` below Images."""
    return f"Images/{folder}/train/pidinet_edges/{photo.edges}"


def write_list(
    dataset: Path, name: str, pairs: list[Pair], folder_of: Callable[[Photo], str]
) -> None:
    """Write the three files of the list `name` after checking that every image is there.

    `folder_of` gives, for a photograph, the name of its folder below Images. Raises ListError
    naming the first image that is missing.
    """
    phase = name.split("_")[0]

    def photo_path(photo: Photo) -> str:
        return f"Images/{folder_of(photo)}/train/good/{photo.filename}"

    columns = {
        "edges": [edges_path(pair.structure, folder_of(pair.structure)) for pair in pairs],
        "color_ref": [photo_path(pair.reference) for pair in pairs],
        "color_gt": [photo_path(pair.structure) for pair in pairs],
    }
    for kind, paths in columns.items():
        program = (
            f"AnomalyFactory/extract_edges.py --dataset {dataset}"
            if kind == "edges"
            else "scripts/prepare_images.py"
        )
        missing = [path for path in dict.fromkeys(paths) if not (dataset / path).is_file()]
        if missing:
            raise ListError(
                f"{dataset / missing[0]} is missing, and {len(missing) - 1} more for {name}; "
                f"make them: {program}"
            )
    folder = dataset / "List" / name
    folder.mkdir(parents=True, exist_ok=True)
    for kind, paths in columns.items():
        with atomic(folder / f"{phase}_{kind}.txt") as part:
            part.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    kinds = {(pair.structure.subspecies, pair.reference.subspecies) for pair in pairs}
    log.info("%s: %d lines in %d pairs of subspecies", name, len(pairs), len(kinds))


def check_known(option: str, names: list[str], known: list[str]) -> None:
    """Raise ListError where `option` names a subspecies that the CSV does not have."""
    for name in names:
        if name not in known:
            raise ListError(
                f"{option} names subspecies {name!r}; the CSV has {', '.join(known)}. "
                "Describe your own subspecies with --groups, --signal and --exclude"
            )


def parse_groups(texts: list[str] | None, known: list[str]) -> list[list[str]]:
    """Look-alike groups from `0,5,6,12`-like texts; None stands for the published ones.

    The published groups may name subspecies that a part of the challenge's CSV lacks.
    """
    groups = [text.split(",") for text in (GROUPS if texts is None else texts)]
    names = [name for group in groups for name in group]
    if texts is not None:
        check_known("--groups", names, known)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ListError(f"--groups names subspecies {twice[0]!r} more than once")
    return groups


def parse_excluded(texts: list[str] | None, known: list[str]) -> set[tuple[str, str]]:
    """Ordered pairs from `9:1,2,3,11`-like texts; None stands for the published ones."""
    excluded = set()
    for text in EXCLUDED if texts is None else texts:
        structures, colon, references = text.partition(":")
        if not colon:
            raise ListError(f"--exclude {text!r}; expected STRUCTURES:REFERENCES, as in 9:1,2,3,11")
        if texts is not None:
            check_known("--exclude", structures.split(",") + references.split(","), known)
        excluded |= {(i, j) for i in structures.split(",") for j in references.split(",")}
    return excluded


def run(args: argparse.Namespace) -> int:
    everything = sorted(read_photos(args.csv), key=lambda photo: photo.filename)
    photos = by_subspecies(everything)
    known = list(photos)
    groups = parse_groups(args.groups, known)
    excluded = parse_excluded(args.exclude, known)
    signal = (args.signal[0], args.signal[1])
    check_known("--signal", list(signal), known)
    if signal[0] == signal[1]:
        raise ListError(f"--signal names subspecies {signal[0]!r} twice; expected two")
    pairs = unlike_pairs(known, groups, signal, excluded)

    hybrid, nonhybrid = args.datasets / HYBRID_DATASET, args.datasets / NONHYBRID_DATASET
    for dataset in (hybrid, nonhybrid):
        if (dataset / "Lists").exists():  # readers accept both names: two sets would be a riddle
            raise ListError(
                f"{dataset / 'Lists'} is there, the lists of a published archive; move it away "
                "before making new ones"
            )
    themselves = [Pair(photo, photo) for photo in everything]
    write_list(hybrid, "train_AFhybrid", themselves, lambda photo: photo.status)
    write_list(nonhybrid, "train_AFnonhybrid", themselves, lambda photo: photo.subspecies)
    for name, lines in {
        "test_nonhybrid": nonhybrid_pairs(photos, args.seed),
        "test_signalhybrid": signal_pairs(photos, signal, args.references, args.seed),
        "test_nonsignalhybrid": nonsignal_pairs(photos, pairs, args.cap, args.seed),
    }.items():
        if args.nearest:
            lines = with_nearest_references(lines, photos, nonhybrid)
        write_list(nonhybrid, name, lines, lambda photo: photo.subspecies)
    return 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = challenge_parser(__doc__)
    parser.add_argument(
        "--groups",
        nargs="*",
        metavar="I,J,...",
        help=f"subspecies that look alike; one in no group stands alone (default: "
        f"{' '.join(GROUPS)})",
    )
    parser.add_argument(
        "--signal",
        nargs=2,
        default=SIGNAL,
        metavar=("I", "J"),
        help=f"structure and reference of the signal hybrid (default: {' '.join(SIGNAL)})",
    )
    parser.add_argument(
        "--exclude",
        nargs="*",
        metavar="I,...:J,...",
        help="ordered pairs, structures:references, to leave out beside the pairs within a group "
        f"and the signal pair both ways (default: {' '.join(EXCLUDED)})",
    )
    parser.add_argument(
        "--cap", type=int, default=50, help="structures for each non-signal pair (default: 50)"
    )
    parser.add_argument(
        "--references",
        type=int,
        default=22,
        help="references for each structure of the signal pair (default: 22)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    parser.add_argument(
        "--nearest", action="store_true", help="references that lie like their structures"
    )
    args = parser.parse_args(arguments)
    for option in ("cap", "references"):
        if getattr(args, option) < 1:
            parser.error(f"--{option} {getattr(args, option)}: must be 1 or more")
    return args


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="make_lists: %(message)s")
    try:
        return run(parse_arguments())
    except (ListError, TableError, ImageError, OSError) as error:
        log.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
