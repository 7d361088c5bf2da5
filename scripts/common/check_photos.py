"""Which photographs of a CSV are whole in a folder; download_challenge.sh asks before and after.

    PYTHONPATH=scripts python -m common.check_photos CSV FOLDER [COPY]

Broken ones are renamed to NAME.broken: cautious-robot fetches what is not there. The CSV needs the
columns `filename` and `file_url`. With `md5` in it each file is compared with its checksum, without
it each file is decoded. Where some are missing or broken, COPY becomes the CSV, written plainly, in
UTF-8 with commas. Exit status 0: all whole; 3: some are missing or broken; 1: the CSV cannot
be used.
"""

import argparse
import hashlib
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import pandas as pd
from tqdm import tqdm

from common.challenge_csv import read_table
from common.files import ImageError, atomic, open_image
from common.program import InputError, start

MISSING = "is missing"
INCOMPLETE = 3


def problem(path: Path, md5: str | None) -> str | None:
    """What is wrong with the file `path`; None when it is whole. `md5` None: decode it."""
    if not path.is_file():
        return MISSING
    if md5 is None:
        try:
            open_image(path)
        except ImageError as error:
            return f"is broken ({error})"
        return None
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return None if found == md5 else f"is broken (MD5 {found}, expected {md5})"


def run(args: argparse.Namespace) -> int:
    checksums: dict[Path, str | None] = {}
    table = read_table(args.csv, ("filename", "file_url"))
    for place, row in table:
        if not row["file_url"].startswith(("https://", "http://")):
            raise InputError(f"{place}: file_url {row['file_url']!r}; expected https://...")
        if "md5" in row and not re.fullmatch(r"[0-9A-Fa-f]{32}", row["md5"]):
            raise InputError(f"{place}: md5 {row['md5']!r}; expected 32 hexadecimal digits")
        checksums[args.folder / row["filename"]] = row["md5"].lower() if "md5" in row else None
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        checked = pool.map(problem, checksums, checksums.values())
        bar = tqdm(checked, "checking", len(checksums), disable=None)
        problems = {path: found for path, found in zip(checksums, bar, strict=True) if found}
    if not problems:
        logging.info("all %d photographs are whole in %s", len(checksums), args.folder)
        return 0
    broken = [path for path, found in problems.items() if found != MISSING]
    for path in broken:
        path.replace(path.with_name(f"{path.name}.broken"))
    counts = len(problems) - len(broken), len(checksums), len(broken)
    logging.info("%d of %d photographs are missing, %d are broken", *counts)
    for path in list(problems)[:5]:
        logging.info("%s %s", path.name, problems[path])
    if args.copy:
        args.copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic(args.copy) as part:
            pd.DataFrame([row for _, row in table]).to_csv(part, index=False)
    return INCOMPLETE


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("csv", type=Path, help="the challenge's CSV, or one of that form")
    parser.add_argument("folder", type=Path, help="the folder of photographs")
    parser.add_argument("copy", type=Path, nargs="?", help="where the CSV is written plainly")
    return parser.parse_args()


if __name__ == "__main__":
    start(run, parse_arguments)
