"""Photographs + generated images -> Datasets/Images4TrainClassifier and its CSV.

    python scripts/make_classifier_csv.py --csv butterfly_anomaly_train.csv \\
        --results results/butterflyContest

takes every AF_{i}_{j}_gen{index}.png below the result folders, links it into
Images/{hybrid,non-hybrid} beside the photographs that prepare_images.py put there, and writes
List/butterfly_anomaly_AF.csv. Other images in the result folders are left alone. Without
--results the CSV lists the photographs only.

Behind the challenge's columns stand two more, `structure` and `reference`: the photographs from
which an image was painted, as the image itself says. They stay empty where it does not, as those
of the published archives. The detector's training holds photographs out by them.

A link is a hard link: the dataset stays whole when the results are removed, and can be packed or
copied as it is. Where the file system cannot make one (another disk), it is a copy.
"""

import argparse
import logging
import os
import re
import shutil
from pathlib import Path

import pandas as pd
from common.challenge_csv import (
    COLUMNS,
    GENERATED,
    by_subspecies,
    challenge_parser,
    counted,
    read_photos,
    those_present,
)
from common.files import atomic
from common.program import InputError, start
from PIL import Image
from tqdm import tqdm

SOURCES = ("structure", "reference")  # columns behind the challenge's


def find_generated(folders: list[Path], taken: set[str], subspecies: list[str]) -> list[Path]:
    """The generated images of these `subspecies` below `folders`, sorted by name.

    Raises InputError where a folder holds none, where two images or one and a photograph in `taken`
    have the same name, and for one of another subspecies.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        images = [path for path in sorted(folder.rglob("*.png")) if GENERATED.fullmatch(path.name)]
        if not images:
            raise InputError(
                f"{folder}: no AF_*_*_gen*.png in it; generate them: "
                "AnomalyFactory/scripts/test_AF4nonhybrid.sh and test_AF4hybrid.sh, --how_many inf"
            )
        for path in images:
            other = found.setdefault(path.name, path)
            if other is not path or path.name in taken:
                raise InputError(
                    f"{other} and {path if other is not path else 'a photograph'} have the same "
                    "name; name in --results only the folders that belong together"
                )
            for name in GENERATED.fullmatch(path.name).group("i", "j"):
                if name not in subspecies:
                    known = ", ".join(subspecies)
                    raise InputError(f"{path}: subspecies {name!r} is not in the CSV ({known})")
    return [found[name] for name in sorted(found)]


def place(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or else a copy; nothing when it is one already."""
    now, then = source.stat(), target.stat() if target.exists() else None
    if then and (then.st_size, then.st_mtime_ns) == (now.st_size, now.st_mtime_ns):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as part:
        try:
            os.link(source.resolve(), part)  # a link to a symbolic link could dangle
        except OSError:
            shutil.copy2(source, part)


def painted_from(image: Path, filenames: dict[str | None, str]) -> dict[str, str]:
    """File names of structure and reference as test.py notes them in its PNG, if it does; of
    those in `filenames`, by name without suffix."""
    try:
        with Image.open(image, formats=["PNG"]) as png:
            return {column: filenames[png.info.get(column)] for column in SOURCES}
    except Exception:  # Pillow raises many types on what is no PNG; training names and skips those
        return {}


def run(args: argparse.Namespace) -> int:
    photos = read_photos(args.csv)
    taken = {photo.filename for photo in photos}
    generated = find_generated(args.results, taken, list(by_subspecies(photos)))
    dataset = args.datasets / "Images4TrainClassifier"
    photos = those_present(
        photos,
        lambda photo: dataset / "Images" / photo.status / photo.filename,
        args.allow_missing,
        "make them: scripts/prepare_images.py",
    )
    rows = [{name: photo.cells[name] for name in COLUMNS} for photo in photos]
    unknown, filenames = [], {Path(name).stem: name for name in taken}
    for image in tqdm(generated, unit="image", disable=None):
        i, j = GENERATED.fullmatch(image.name).group("i", "j")
        status = "non-hybrid" if i == j else "hybrid"
        place(image, dataset / "Images" / status / image.name)
        row = {"CAMID": image.stem, "hybrid_stat": status, "split": "train"}  # no address, no MD5
        row |= {"subspecies": f"{i}_{j}", "parent_subspecies_1": i, "parent_subspecies_2": j}
        sources = painted_from(image, filenames)
        rows.append(row | {"filename": image.name} | sources)
        if not sources:
            unknown.append(image)
    if unknown:
        logging.warning(
            "%d images do not say from which photographs of the CSV they were painted (first: %s); "
            "their columns structure and reference stay empty, and training asks the lists",
            *(len(unknown), unknown[0].name),
        )
    table = dataset / "List" / args.name
    table.parent.mkdir(parents=True, exist_ok=True)
    with atomic(table) as part:
        pd.DataFrame(rows, columns=COLUMNS + SOURCES).to_csv(part, index=False)
    hybrids = sum(row["hybrid_stat"] == "hybrid" for row in rows)
    logging.info(
        "%s: %d rows, %d hybrid and %d non-hybrid; %s, %d generated",
        *(table, len(rows), hybrids, len(rows) - hybrids, counted(photos), len(generated)),
    )
    return 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = challenge_parser(__doc__)
    add = parser.add_argument
    where = "folders of generated images, searched to the bottom (default: none)"
    add("--results", type=Path, nargs="*", default=[], metavar="DIR", help=where)
    default = "butterfly_anomaly_AF.csv"
    add("--name", default=default, help=f"file name of the CSV in List/ (default: {default})")
    args = parser.parse_args(arguments)
    if not re.fullmatch(r"[\w-]+\.csv", args.name):
        parser.error(f"--name {args.name!r}: expected a plain name that ends in .csv")
    return args


if __name__ == "__main__":
    start(run, parse_arguments)
