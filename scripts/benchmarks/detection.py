"""How well hybrids are found, over many demo sets: the quick start, seed by seed, in one table.

    python scripts/benchmarks/detection.py --seeds 20-29 [--painted] [--preprocess WAY ...]

Each seed is two runs of scripts/quickstart.sh in the folder WORK, one of whole photographs and one
of cutouts: draw, train, score. What a finished run gives is kept in WORK/detection.csv, so a second
start does only what is missing, and a run's folder may be removed. After a change of the code,
remove WORK. The table, in Markdown, has means and standard deviations over the seeds, differences
within each seed, and the recall of each cross.
"""

import argparse
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.files import atomic
from demo.results import (
    GROUPS,
    KINDS,
    MEMBERS,
    PREPROCESSES,
    PUBLISHED,
    SCORES,
    read_scores,
    title,
)

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "scripts/quickstart.sh"
OUTPUT = Path(__file__).with_name("DETECTION.md")
BACKBONE = "efficientnet_lite0"
UNPAINTED = "photographs"  # the kind of training set without painted images
# The rest of the quick start's settings, so that no variable of the caller's slips in. The detector
# of edges decides nothing but the painted images; this one needs no download.
SETTINGS = {
    "SCALE": "1",
    "DETECTOR": "scharr",
    "GENERATOR": "",
    "EPOCHS": "",
    "NEPOCH": "",
    "REPORTS": "0",
}
RESAMPLES = 10_000
BOOTSTRAP_SEED = 0

# One line a number: a challenge number, whose `group` and `hybrids` are empty, or a cross's recall.
KEYS = ["backbone", "preprocess", "seed", "kind", "members", "name"]
COLUMNS = [*KEYS, "value", "group", "hybrids"]


def read_seeds(text: str) -> list[int]:
    """The seeds of `20-29` or `0,3,5-7`, sorted."""
    seeds: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(f"{text!r}; expected seeds such as 20-29 or 0,3,5-7")
        seeds |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(seeds)


def parse_arguments() -> argparse.Namespace:
    summary, details = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=read_seeds, required=True, help="such as 20-29 or 0,3,5-7")
    parser.add_argument("--painted", action="store_true", help="with painted images, too")
    parser.add_argument(
        "--preprocess",
        nargs="+",
        choices=PREPROCESSES,
        default=list(PREPROCESSES),
        help="ways to show an image to the networks (default: both)",
    )
    parser.add_argument("--backbone", default=BACKBONE, help=f"default: {BACKBONE}")
    parser.add_argument(
        "--members",
        nargs="+",
        default=list(MEMBERS),
        help=f"sets of them, beside {PUBLISHED} (default: {' '.join(MEMBERS)})",
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / "quickstart/detection", help="folder of the runs"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"default: {OUTPUT.name} here")
    options = parser.parse_args()
    options.members = list(dict.fromkeys([PUBLISHED, *options.members]))
    options.kinds = list(KINDS) if options.painted else [UNPAINTED]
    options.preprocess = [way for way in PREPROCESSES if way in options.preprocess]
    return options


def command(options: argparse.Namespace) -> str:
    """What makes the same table anywhere: the command without the folders of this machine."""
    parts = ["python scripts/benchmarks/detection.py --seeds", ",".join(map(str, options.seeds))]
    first, last = options.seeds[0], options.seeds[-1]
    if options.seeds == list(range(first, last + 1)) and first < last:
        parts[-1] = f"{first}-{last}"
    parts += ["--painted"] if options.painted else []
    if options.preprocess != list(PREPROCESSES):
        parts += ["--preprocess", *options.preprocess]
    parts += [f"--backbone {options.backbone}"] if options.backbone != BACKBONE else []
    if options.members != list(MEMBERS):
        parts += ["--members", *options.members]
    return " ".join(parts)


# ---- running ------------------------------------------------------------------------------------


def read_rows(path: Path) -> pd.DataFrame:
    """The kept rows, COLUMNS; none where there is no file. ValueError for another content.

    A value may be empty, which is nan, and the hybrids of a challenge number are, which is NA.
    """
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    try:
        rows = pd.read_csv(path, keep_default_na=False, dtype=str, skip_blank_lines=False)
    except ValueError as error:  # as pandas' own are, and those of an encoding
        raise ValueError(f"{path}: not a CSV table ({error}); remove it") from error
    if list(rows.columns) != COLUMNS:
        raise ValueError(f"{path}: its columns are not {','.join(COLUMNS)}; remove it")
    for name, may_lack in {"seed": False, "value": True, "hybrids": rows["group"] == ""}.items():
        numbers = pd.to_numeric(rows[name], errors="coerce")
        known = np.isfinite(numbers)
        if name != "value":
            known &= (numbers % 1 == 0) & numbers.between(0, 2**62)
        bad = ~known & ~((rows[name] == "") & may_lack)
        if bad.any():
            first, kind = bad.argmax(), "a" if name == "value" else "a whole"
            raise ValueError(
                f"{path}, line {first + 2}: {name} {rows[name].iloc[first]!r}; expected {kind} "
                "number; remove the file"
            )
        rows[name] = numbers.astype(float if name == "value" else "Int64")
    return rows


def wanted_of(rows: pd.DataFrame, options: argparse.Namespace) -> pd.DataFrame:
    """The `rows` that this table is of."""
    return rows[
        (rows["backbone"] == options.backbone)
        & rows["seed"].isin(options.seeds)
        & rows["preprocess"].isin(options.preprocess)
        & rows["kind"].isin(options.kinds)
        & rows["members"].isin(options.members)
    ]


def run_seed(seed: int, preprocess: str, options: argparse.Namespace) -> pd.DataFrame:
    """The rows of one run of the quick start; ValueError where that fails."""
    settings = SETTINGS | {
        "SEED": str(seed),
        "PAINTED": str(int(options.painted)),
        "PREPROCESS": preprocess,
        "BACKBONE": options.backbone,
        "MEMBERS": " ".join(options.members),
        "WORK": str(options.work.absolute()),
    }
    done = subprocess.run([QUICKSTART], env=os.environ | settings, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ValueError(f"seed {seed}: {QUICKSTART} failed, as said above; start again to go on")
    name = f"scale{SETTINGS['SCALE']}-seed{seed}-{SETTINGS['DETECTOR']}-{preprocess}"
    rows = []
    for kind in options.kinds:
        for members in options.members:
            place = (options.backbone, preprocess, seed, kind, members)
            scores = read_scores(options.work / name / options.backbone, kind, members)
            rows += [(*place, name, scores[name], "", "") for name in SCORES]
            rows += [
                (*place, name, cross["recall"], cross["ssp_indicator"], cross["hybrids"])
                for name, cross in scores["crosses"].items()
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def run_missing(options: argparse.Namespace) -> pd.DataFrame:
    """Every run's rows; what is missing in the kept file is run and added to it, run by run."""
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.work / "detection.csv"
    wanted = len(options.kinds) * len(options.members) * len(SCORES)
    runs = list(product(options.seeds, options.preprocess))
    for number, (seed, preprocess) in enumerate(runs, start=1):
        rows = read_rows(kept)
        run = (rows["seed"] == seed) & (rows["preprocess"] == preprocess)
        if wanted_of(rows[run], options)["name"].isin(SCORES).sum() == wanted:
            continue
        images = PREPROCESSES[preprocess]
        print(f"detection: seed {seed}, {images}, {number} of {len(runs)}", flush=True)
        rows = pd.concat([rows.astype(object), run_seed(seed, preprocess, options)])
        with atomic(kept) as temporary:
            rows.drop_duplicates(KEYS, keep="last").to_csv(temporary, index=False)
    return wanted_of(read_rows(kept), options)


# ---- the table ----------------------------------------------------------------------------------


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the means of `values` (n,) drawn with replacement, n at a time."""
    draw = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = values[draw.integers(len(values), size=(RESAMPLES, len(values)))]
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]


def spread(values: pd.Series) -> str:
    """Mean and standard deviation of a sample; of one value, itself."""
    deviation = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{deviation}"


def compare(values: pd.Series, others: pd.Series) -> list[str]:
    """Of `values` less `others`, both by seed: mean, interval, seeds above 0, seeds below."""
    differences = (values - others).to_numpy(float).round(9)  # equal numbers differ by nothing
    low, high = bootstrap_interval(differences)
    above, below = (differences > 0).sum(), (differences < 0).sum()
    return [f"{differences.mean():+.3f}", f"{low:+.3f} to {high:+.3f}", str(above), str(below)]


Combination = tuple[str, str, str]  # what is shown of an image, kind of training set, members


def caption(combination: Combination) -> str:
    preprocess, kind, members = combination
    return f"{PREPROCESSES[preprocess]}, {title(KINDS, kind)}: {title(MEMBERS, members)}"


def pairs_to_compare(combinations: list[Combination]) -> list[tuple[Combination, Combination]]:
    """Everything with the published system without painted images; and, all else being the same,
    what is trained on painted images with what is not, and cutouts with whole photographs.
    """
    first = combinations[0][0]
    pairs = [(each, (first, UNPAINTED, PUBLISHED)) for each in combinations]
    pairs += [(each, (each[0], UNPAINTED, each[2])) for each in combinations]
    pairs += [(each, (first, *each[1:])) for each in combinations]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]


def cross_rows(rows: pd.DataFrame, combinations: list[Combination]) -> list[list[str]]:
    """A row for each cross: how many hybrids all test sets have, and the share that is found."""
    crosses = rows[rows["group"] != ""]
    crosses = crosses.assign(found=crosses["value"] * crosses["hybrids"])
    keys = ["preprocess", "kind", "members", "group", "name"]
    sums = crosses.groupby(keys)[["found", "hybrids"]].sum()
    recalls = sums["found"] / sums["hybrids"]
    sizes = sums["hybrids"].loc[combinations[0]]
    return [
        [name, meaning, str(size)]
        + [f"{recalls[(*combination, group, name)]:.3f}" for combination in combinations]
        for group, meaning in GROUPS.items()
        for name, size in sizes[sizes.index.get_level_values("group") == group].droplevel(0).items()
    ]


def make_report(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    """DETECTION.md from `rows`, complete for all that the options ask for."""
    combinations = list(product(options.preprocess, options.kinds, options.members))
    places = ["preprocess", "kind", "members", "name", "seed"]
    scores = rows[rows["group"] == ""].set_index(places)["value"].sort_index()
    means = [
        [caption(each), *(spread(scores[(*each, name)]) for name in SCORES)]
        for each in combinations
    ]
    differences = [
        [*titles, *compare(scores[(*this, name)], scores[(*that, name)])]
        for this, that in pairs_to_compare(combinations)
        for name, meaning in SCORES.items()
        for titles in [(caption(this), caption(that), meaning)]
    ]
    single = [
        [str(seed), *(f"{scores[(*each, 'challenge_score', seed)]:.3f}" for each in combinations)]
        for seed in options.seeds
    ]
    captions = [caption(each) for each in combinations]
    ways = " and on ".join(PREPROCESSES[way] for way in options.preprocess)
    seeds = f"{len(options.seeds)} seed{'s' if len(options.seeds) > 1 else ''}"
    parts = [
        "# How well hybrids are found",
        "",
        f"    {command(options)}",
        "",
        f"made this file of {seeds}: for each, `scripts/quickstart.sh` draws a demo set, trains on",
        f"{ways} and scores the test set, with features of {options.backbone}.",
        "The published members are the SGD and the linear classifier.",
        "",
        f"## Mean and standard deviation over {seeds}",
        "",
        *markdown(["Images, training set: members", *SCORES.values()], means),
        "## Differences within each seed",
        "",
        f"The mean over {seeds}, the 95 % interval of a bootstrap over the seeds, and in how",
        "many of them the difference is above and below 0.",
        "",
        *markdown(
            ["This", "less this", "Number", "Mean", "95 % interval", "Above", "Below"], differences
        ),
        "## Recall by cross",
        "",
        "At the thresholds of the recalls above; hybrids of all test sets together.",
        "",
        *markdown(["Cross", "Kind", "Hybrids", *captions], cross_rows(rows, combinations)),
        "## Challenge score of each seed",
        "",
        *markdown(["Seed", *captions], single),
    ]
    return "\n".join(parts)


def main() -> int:
    options = parse_arguments()
    try:
        report = make_report(run_missing(options), options)
        with atomic(options.output) as temporary:
            temporary.write_text(report, encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"detection: {error}", file=sys.stderr)
        return 1
    print(f"detection: wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
