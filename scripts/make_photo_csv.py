"""Photographs sorted into folders -> the CSV that training takes, beside them.

    python scripts/make_photo_csv.py photographs

takes the images in a folder for each subspecies, such as photographs/lativitta/, and for each
cross, the mother first: photographs/lativitta x notabilis/. Hybrids of unknown parents belong into
hybrid/, other specimens of unknown subspecies into non-hybrid/. Nothing is copied: photographs.csv
names the images by their paths in the folder.

Images in a folder whose names differ by _d and _v, or -dorsal and -ventral, alone are of one
specimen (CAMID). --specimen PATTERN says otherwise: 'CAM[0-9]+' finds it in a file's name, wherever
that lies. Training judges on no specimen that it learnt from.
What is passed over is named and counted. A CSV that is there is written anew where that only adds
rows; else it may have been edited, and is left alone.
"""

import argparse
import hashlib
import logging
import re
import shlex
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import pandas as pd
from common.challenge_csv import COLUMNS
from common.files import (
    IMAGE,
    IMAGE_SUFFIXES,
    ImageError,
    atomic,
    images_in,
    is_ours,
    kind_of,
    open_image,
    stem_of,
    unread,
)
from common.program import InputError, start
from tqdm import tqdm

CSV = "photographs.csv"
UNNAMED = {name: name for name in ("hybrid", "non-hybrid")}  # folders that say no more
UNNAMED |= {f"{name}s": name for name in UNNAMED}
CROSS = re.compile(r"\s+[xX]\s+|\s*\u00d7\s*|_[xX]_")
SIDE = re.compile(r"(^|[ ._-])(d|v|dorsal|ventral)(?=[ ._-]|$)", re.IGNORECASE)  # in a file's name
MOST = 100  # letters of a subspecies' name that classifiers remember


def read_label(folder: str) -> dict[str, str]:
    """What the name of a folder says of the photographs in it, by column of the CSV.

    Raises InputError for what is neither a subspecies nor a cross of two.
    """
    if folder.lower() in UNNAMED:
        return {"hybrid_stat": UNNAMED[folder.lower()]}
    names = [name.strip() for name in CROSS.split(folder)]
    good = all(0 < len(name) <= MOST and name.isprintable() for name in names)
    if not good or set(folder) & set("\\:"):
        expected = f"expected a name of 1 to {MOST} printable letters without \\ and :"
        raise InputError(f"folder {folder!r}: {expected}")
    if len(names) == 1:
        return {"hybrid_stat": "non-hybrid", "subspecies": names[0]}
    if len(names) > 2 or names[0] == names[1]:
        other = "hybrids of other parents belong into hybrid/"
        raise InputError(f"folder {folder!r}: expected `mother x father`, two subspecies; {other}")
    parents = {f"parent_subspecies_{side}": name for side, name in enumerate(names, start=1)}
    return {"hybrid_stat": "hybrid"} | parents


def find_photographs(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The photographs in each folder of `folder`, and what is passed over by its kind; as paths in
    `folder`, sorted.
    """
    found, passed_over = {}, defaultdict(list)
    for place in sorted(folder.iterdir()):
        if not is_ours(place.name) or place.name == CSV:
            continue
        if place.is_dir():
            images, kinds = images_in(place)
            here = [name for name in images if "/" not in name]
            kinds["in sub-folders"] = [name for name in images if "/" in name]
            found[place.name] = [f"{place.name}/{name}" for name in here if name.isprintable()]
            kinds["with a name of unprintable letters"] = [
                name for name in here if not name.isprintable()
            ]
        else:
            kind = kind_of(place)
            kinds = {"in no folder" if kind == IMAGE else kind: [""]}
        for kind, names in kinds.items():
            paths = [Path(place.name, name).as_posix() for name in names]
            passed_over[kind] += [ascii(path)[1:-1] for path in paths]
    return found, passed_over


def check_content(path: Path) -> str | ImageError:
    """The MD5 of a whole image, else what ails it."""
    try:
        open_image(path)
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except ImageError as error:
        return error


def read_pattern(text: str) -> re.Pattern:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def read_specimen(name: str, pattern: re.Pattern | None) -> str:
    """The specimen that a photograph's name says: the `pattern`'s first group, or all of it.

    Raises InputError where it finds none.
    """
    path = Path(name)
    if pattern is None:  # 001.jpg of another folder is another
        return f"{path.parent}/{SIDE.sub('', stem_of(path.name))}"
    match = pattern.search(path.name)
    if not match or not match[min(1, pattern.groups)]:
        raise InputError(f"{name}: --specimen {pattern.pattern!r} finds nothing in its name")
    return match[min(1, pattern.groups)]


def make_rows(
    folder: Path,
    found: dict[str, list[str]],
    passed_over: dict[str, list[str]],
    pattern: re.Pattern | None,
) -> list[dict[str, str]]:
    """The CSV's rows of what is `found`; adds to what is `passed_over`.

    Raises InputError where one content or one specimen has two labels, and for names that differ
    by their capitals alone.
    """
    labels = {place: read_label(place) for place, names in found.items() if names}
    names = [(place, name) for place in labels for name in found[place]]
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        checked = pool.map(check_content, [folder / name for _, name in names])
        contents = list(tqdm(checked, "photographs", len(names), unit="image", disable=None))
    rows, first = [], {}
    for (place, name), content in zip(names, contents, strict=True):
        if isinstance(content, ImageError):
            logging.warning("%s", content)
            passed_over["unreadable"].append(name)
            continue
        specimen = read_specimen(name, pattern)
        for key, what in ((content, "photograph"), (("of", specimen), f"specimen, {specimen}")):
            other, other_name = first.setdefault(key, (place, name))
            if labels[other] != labels[place]:
                both = f"{folder / other_name} and {folder / name} are one {what}"
                raise InputError(f"{both}: keep one, or sort both into one folder")
        if first[content][1] != name:
            passed_over["copies of others"].append(name)
            continue
        if (other_name := first.setdefault(name.lower(), ("", name))[1]) != name:
            both = f"{folder / other_name} and {folder / name}"
            raise InputError(f"{both} differ by their capitals alone: rename one")
        row = {"CAMID": specimen, "split": "train", "md5": content, "filename": name}
        rows.append(row | labels[place])
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Raises InputError where rows that are there would be lost."""
    content = pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False).encode()
    there = path.read_bytes() if path.exists() else b""
    if lost := set(there.splitlines()) - set(content.splitlines()):
        raise InputError(
            f"{path} is there, and {len(lost)} of its rows would be lost, such as "
            f"{min(lost).decode(errors='replace')!r}: move it away, or name another --output"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        part.write_bytes(content)


def tell(rows: list[dict[str, str]], found: dict[str, list[str]], output: Path) -> None:
    """Log what each folder has, and what training will lack."""
    specimens: dict[str, list[str]] = {place: [] for place in found}
    for row in rows:
        specimens[Path(row["filename"]).parent.name].append(row["CAMID"])
    for place, names in specimens.items():
        logging.info("%s: %d photographs of %d specimens", place, len(names), len(set(names)))
    hybrids = [row for row in rows if row["hybrid_stat"] == "hybrid"]
    parents = {row.get(f"parent_subspecies_{side}") for row in hybrids for side in (1, 2)}
    for name in sorted(parents - {row.get("subspecies") for row in rows} - {None}):
        logging.warning("%s is a parent, and has no photographs in a folder of its own", name)
    if not hybrids:
        logging.warning("no hybrids, and training needs some: in folders such as `mother x father`")
    counts = len(rows), sum(len(set(names)) for names in specimens.values()), len(hybrids)
    logging.info("%s: %d photographs of %d specimens, %d of hybrids", output, *counts)


def run(args: argparse.Namespace) -> int:
    folder, output = args.folder, args.output or args.folder / CSV
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found, passed_over = find_photographs(folder)
    rows = make_rows(folder, found, passed_over, args.specimen)
    kinds = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for kind, names in sorted(passed_over.items())
        if names
    ]
    passed = f"passed over: {'; '.join(kinds)}" if kinds else ""
    if not rows:
        wanted = f"no photographs ({' '.join(sorted(IMAGE_SUFFIXES))})"
        said = f"{folder}: {wanted} in folders named after subspecies"
        raise InputError("; ".join(filter(None, (said, passed))))
    write_csv(output, rows)
    tell(rows, found, output)
    if args.specimen is None and len({row["CAMID"] for row in rows}) < len(rows):
        logging.warning(
            "photographs whose names differ by their side alone, _d and _v or dorsal and ventral, "
            "are taken for one specimen each; where that is wrong, say --specimen PATTERN"
        )
    if passed:
        logging.warning(passed)
    images = f" --ROOT_DATA_DIR {shlex.quote(str(folder))} --IMG_DIR ." if args.output else ""
    options = f"--DATA_FILE {shlex.quote(str(output))}{images} --CLF_SAVE_DIR Models/mine"
    options += " --preprocess cutout --backbone efficientnet_lite0"
    if any(row["hybrid_stat"] == "hybrid" for row in rows):
        logging.info("next: python HybridDetection/train/training.py %s", options)
    return int("unreadable" in passed_over or unread(passed_over) > 0)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sorted_ = "photographs in a folder for each subspecies and cross"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=sorted_)
    where = f"the CSV (default: {CSV} in FOLDER)"
    named = "regular expression that finds the specimen in a file's name"
    parser.add_argument("--specimen", type=read_pattern, metavar="PATTERN", help=named)
    parser.add_argument("--output", type=Path, metavar="FILE", help=where)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    start(run, parse_arguments)
