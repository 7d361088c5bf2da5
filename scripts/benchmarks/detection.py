"""How well hybrids are found, over many demo sets: the quick start, seed by seed, in one table.

    python scripts/benchmarks/detection.py --seeds 30-39 [--painted]

Each seed is two runs of scripts/quickstart.sh in the folder WORK, one of whole photographs and one
of cutouts: draw, train, score. A run that has its scores is not run again; after a change of the
code, remove WORK. DETECTION.md, which it writes, has means and standard deviations over the seeds,
and differences within each seed.
"""

import argparse
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.files import atomic
from common.program import ROOT, InputError, start
from demo.results import KINDS, MEMBERS, PREPROCESSES, SCORES, read_scores

QUICKSTART = ROOT / "scripts/quickstart.sh"
UNPAINTED = "photographs"  # the kind of training set without painted images
# The rest of the quick start's settings, so that no variable of the caller's slips in. The detector
# of edges decides nothing but the painted images; this one needs no download.
SETTINGS = {"SCALE": "1", "DETECTOR": "scharr", "REPORTS": "0"}
SETTINGS |= {"GENERATOR": "", "EPOCHS": "", "NEPOCH": ""}
SHOWN = list(SCORES)[:5]  # in the table of means
COMPARED = ["challenge_score", "A_score_minor_recall"]  # in that of differences
RESAMPLES, BOOTSTRAP_SEED = 10_000, 0

Way = tuple[str, str, str]  # what is shown of an image, kind of training set, members


def read_seeds(text: str) -> list[int]:
    """The seeds of `20-29` or `5`."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--seeds", type=read_seeds, required=True, help="such as 20-29")
    add("--painted", action="store_true", help="with painted images, too")
    add("--backbone", default="efficientnet_lite0")
    add("--work", type=Path, default=ROOT / "quickstart/detection", help="folder of the runs")
    add("--output", type=Path, default=Path(__file__).with_name("DETECTION.md"))
    options = parser.parse_args()
    options.kinds = list(KINDS) if options.painted else [UNPAINTED]
    return options


def run_seed(seed: int, preprocess: str, options: argparse.Namespace) -> list[dict]:
    """The scores of one run of the quick start, a row a kind and members; run where they lack."""
    run = f"scale{SETTINGS['SCALE']}-seed{seed}-{SETTINGS['DETECTOR']}-{preprocess}"
    folder = options.work.absolute() / run / options.backbone
    pairs = list(product(options.kinds, MEMBERS))
    if not all(Path(folder, *pair, "scores.json").is_file() for pair in pairs):
        print(f"detection: seed {seed}, {PREPROCESSES[preprocess]}", flush=True)
        settings = SETTINGS | {
            "SEED": str(seed),
            "PAINTED": str(int(options.painted)),
            "PREPROCESS": preprocess,
            "BACKBONE": options.backbone,
            "MEMBERS": " ".join(MEMBERS),
            "WORK": str(options.work.absolute()),
        }
        done = subprocess.run([QUICKSTART], env=os.environ | settings, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise InputError(f"seed {seed}: {QUICKSTART} failed, as said above; start again")
    return [
        {"seed": seed, "way": (preprocess, *pair)} | read_scores(folder, *pair) for pair in pairs
    ]


def bootstrap_interval(values: np.ndarray) -> np.ndarray:
    """The middle 95 % of the means of `values` (n,) drawn with replacement, n at a time."""
    draw = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = values[draw.integers(len(values), size=(RESAMPLES, len(values)))]
    return np.quantile(drawn.mean(axis=1), [0.025, 0.975])


def markdown(head: list[str], *rows: list[str]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def spread(values: pd.Series) -> str:
    """Mean and standard deviation of a sample; of one value, itself."""
    deviation = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{deviation}"


def compare(values: pd.Series, others: pd.Series) -> str:
    """Of `values` less `others`, both by seed: mean, interval, seeds above 0, seeds below."""
    differences = (values - others).to_numpy(float).round(9)  # equal numbers differ by nothing
    low, high = bootstrap_interval(differences)
    above, below = (differences > 0).sum(), (differences < 0).sum()
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f}; {above} up, {below} down)"


def caption(way: Way) -> str:
    preprocess, kind, members = way
    return f"{PREPROCESSES[preprocess]}, {KINDS[kind]}: {MEMBERS[members]}"


def pairs_to_compare(ways: list[Way]) -> list[tuple[Way, Way]]:
    """Everything with the published system without painted images; and, all else being the same,
    what is trained on painted images with what is not, and cutouts with whole photographs."""
    first = ways[0]
    pairs = [(way, first) for way in ways]
    pairs += [(way, (way[0], UNPAINTED, way[2])) for way in ways]
    pairs += [(way, (first[0], *way[1:])) for way in ways]
    return [(way, other) for way, other in dict.fromkeys(pairs) if way != other]


REPORT = """# How well hybrids are found

`scripts/benchmarks/detection.py` made this file of the seeds {seeds}:
for each, `scripts/quickstart.sh` draws a demo set, trains, and scores the test set,
with features of {backbone}. The published members are the SGD and the
linear classifier.

## Mean and standard deviation over the seeds

{means}

## Differences within each seed

The mean over the seeds, the 95 % interval of a bootstrap over the seeds, and in how
many of them the difference is above and below 0.

{differences}
"""


def make_report(rows: list[dict], options: argparse.Namespace) -> str:
    """DETECTION.md from the rows of all seeds."""
    table = pd.DataFrame(rows).set_index("seed")
    ways = list(product(PREPROCESSES, options.kinds, MEMBERS))
    scores = {way: table[[one == way for one in table["way"]]] for way in ways}
    means = [["Images, training set: members", *(SCORES[name] for name in SHOWN)]]
    means += [[caption(way), *(spread(scores[way][name]) for name in SHOWN)] for way in ways]
    differences = [["This", "less this", *(SCORES[name] for name in COMPARED)]]
    for this, that in pairs_to_compare(ways):
        compared = [compare(scores[this][name], scores[that][name]) for name in COMPARED]
        differences.append([caption(this), caption(that), *compared])
    return REPORT.format(
        seeds=",".join(map(str, options.seeds)),
        backbone=options.backbone,
        means=markdown(*means),
        differences=markdown(*differences),
    )


def benchmark(options: argparse.Namespace) -> int:
    runs = product(options.seeds, PREPROCESSES)
    rows = [row for seed, way in runs for row in run_seed(seed, way, options)]
    with atomic(options.output) as temporary:
        temporary.write_text(make_report(rows, options), encoding="utf-8")
    print(f"detection: wrote {options.output}")
    return 0


if __name__ == "__main__":
    start(benchmark, parse_arguments)
