"""How well hybrids are found on the challenge's own photographs, in two tables: CHALLENGE.md.

    python scripts/benchmarks/challenge.py --photographs DIR --csv butterfly_anomaly_train.csv \\
        --reference ref_val.csv

Photographs are found by their names anywhere below DIR (download_challenge.sh fetches those of
either CSV); those that are missing are counted, left out and named. For each of PREPROCESSES the
classifiers are trained on the photographs alone, and score the reference's. The second table has
only the photographs on the commonest ground: nearly all hybrids of the challenge lie on grey paper,
half of the others do not, so that the paper alone tells many of them.

What stands in WORK is not run again: remove it after a change of the code or the photographs.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from submission import REPOSITORY
from backbones import PREPROCESSES
from data_utils import read_table
from evaluation import read_reference, read_scored, with_intervals
from files import atomic, open_image
from shortcuts import corner_colour

# Who scores, by which classifiers' details; (): the score of all that are there.
WAYS = {
    ("published two", "photograph"): ("photograph", ("sgd", "linear")),
    ("published two", "cutout"): ("cutout", ("sgd", "linear")),
    ("the third", "wings"): ("cutout", ("subspecies",)),
    ("all", "photograph, wings"): ("photograph", ()),
    ("all", "cutout, wings"): ("cutout", ()),
}
FIGURES = {
    "A_score_major_recall": "recall, major",
    "A_score_minor_recall": "minor",
    "mimic_recall": "mimic",
    "challenge_score": "challenge score",
    "A_PRC_AUC": "PR AUC, species A",
    "mimic_PRC_AUC": "mimic",
    "A_ROC_AUC_major": "ROC AUC, major",
    "A_ROC_AUC_minor": "minor",
    "mimic_ROC_AUC": "mimic",
}
# FIGURES, as far as they are known, of the organisers' own classifier on the whole of a reference.
ORGANISERS = {
    "ref_val.csv": (0.889, 0.059, 0.536, 0.150, None, None, 0.94, 0.21, 0.80),
    "ref_test.csv": (0.910, 0.036, 0.532, 0.097),
}
TRAINING = "HybridDetection/train/training.py"
INGESTION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls/ingestion.py"
GREEN = 20  # levels of 255: the ground's green is so far above the mean of its red and blue
WHITE = 215  # levels: lighter is white, the rest grey


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--photographs", type=Path, required=True, help="the folder of all photographs")
    add("--csv", type=Path, required=True, help="the challenge's CSV of the training photographs")
    add("--reference", type=Path, required=True, help="the challenge's ref_val.csv or ref_test.csv")
    told = "columns filename and ground of the reference's photographs (default: told from corners)"
    add("--ground", type=Path, metavar="CSV", help=told)
    add("--backbone", default="efficientnet_lite0", help="as training.py's")
    work = REPOSITORY / "results/challenge"
    add("--work", type=Path, default=work, help="folder of all that is made (default: %(default)s)")
    add("--output", type=Path, default=REPOSITORY / "scripts/benchmarks/CHALLENGE.md")
    return parser.parse_args(arguments)


def link_photographs(source: Path, names: Iterable[str], target: Path, work: Path) -> list[str]:
    """Make `target` a folder of links to the photographs `names` anywhere below `source`; gives
    those that are missing. ValueError for one in two places."""
    missing, found = dict.fromkeys(names), {}
    target.mkdir(parents=True, exist_ok=True)
    for link in target.iterdir():  # of an earlier run
        link.unlink()
    for place, folders, files in os.walk(source):
        folders[:] = [name for name in folders if Path(place, name).resolve() != work.resolve()]
        for name in files:
            if name in found:
                places = f"{found[name]} and in {place}"
                raise ValueError(f"{name} lies in {places}; leave one of them in {source}")
            if name in missing:
                found[name] = place
                (target / name).symlink_to(Path(place, name).resolve())
    return [name for name in missing if name not in found]


def ground_of(path: Path) -> str:
    """green, white or grey: the median colour of a photograph's four corners."""
    red, green, blue = corner_colour(np.asarray(open_image(path)))
    if green - (red + blue) / 2 > GREEN:
        return "green"
    return "white" if (red + green + blue) / 3 > WHITE else "grey"


# ---- the product's own commands -----------------------------------------------------------------


def call(program: str, *arguments: object) -> None:
    print(f"challenge: {program} {' '.join(map(str, arguments))}", flush=True)
    command = [sys.executable, REPOSITORY / program, *arguments]
    if subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL).returncode:
        raise ValueError(f"{program} failed, as said above; run the same command again to go on")


def examine(options: argparse.Namespace, preprocess: str, photographs: Path) -> Path:
    """The folder of what is said of the reference's `photographs`; trains and scores where it is
    not there."""
    trained = options.work / options.backbone / preprocess
    scored = trained / options.reference.stem
    if not (trained / "clf1024.pth").is_file():
        call(
            *(TRAINING, "--ROOT_DATA_DIR", options.work / "dataset"),
            *("--DATA_FILE", "photographs.csv", "--CACHE_DIR", options.work / "features"),
            *("--CLF_SAVE_DIR", trained),
            *("--backbone", options.backbone, "--preprocess", preprocess),
        )
    if not (scored / "details.csv").is_file():
        scored.mkdir(parents=True, exist_ok=True)
        call(INGESTION, photographs, scored, "--classifiers", trained, "--details")
    return scored


def table(scored: dict[str, Path], reference: Path, chosen: np.ndarray, theirs: tuple = ()) -> str:
    """The figures of each members and preprocess on the `chosen` rows of a reference, by what is
    said in the folders `scored`, below those of the organisers, as far as they are known."""
    lines = [["members", "images", *FIGURES.values()], ["---"] * (2 + len(FIGURES))]
    if theirs:
        known = ["" if value is None else f"{value:.3f}" for value in theirs]
        lines.append(["organisers'", "photograph", *known, *[""] * (len(FIGURES) - len(known))])
    for said, (preprocess, members) in WAYS.items():
        predictions = scored[preprocess] / ("details.csv" if members else "predictions.txt")
        figures = with_intervals(read_scored(predictions, reference, members)[chosen])
        cells = ["{:.3f} ({:.2f} to {:.2f})".format(*figures[name]) for name in FIGURES]
        lines.append([*said, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# ---- CHALLENGE.md -------------------------------------------------------------------------------

REPORT = """# How well hybrids are found on the challenge's photographs

`scripts/benchmarks/challenge.py` made this file. Classifiers on features of {backbone}
were trained on {trained} photographs, {crosses} of them hybrids, and scored
{everything} of {reference}.
{missing}
Recalls are at the challenge's thresholds, which 95 % of a species' non-hybrids do not pass; the
challenge score is their harmonic mean; a ROC AUC compares the hybrids and the others of one kind.
Behind each figure is the 95 % interval of a bootstrap over specimens, with thresholds of its own in
each draw. The organisers' is their classifier on DINOv2-giant, scored by the same rule on all
photographs of the reference.

{first}

## On {ground} ground alone

The ground alone tells many hybrids: {share:.2f} of them lie on {ground} ground,
{other_share:.2f} of the others. So these are the honest figures, of
{alone};
the grounds were told by {told}.

{second}
"""


def counted(rows: pd.DataFrame) -> str:
    """How many photographs and specimens `rows` are, and hybrids of each kind."""
    hybrids = rows["ssp_indicator"][rows["hybrid_stat"] == 1].value_counts()
    kinds = ", ".join(f"{hybrids.get(kind, 0)} {kind}" for kind in ("major", "minor", "mimic"))
    return f"{len(rows)} photographs of {rows['CAMID'].nunique()} specimens (hybrids: {kinds})"


def benchmark(options: argparse.Namespace) -> None:
    photos, rows = read_table(options.csv), read_reference(options.reference)
    source, work, dataset = options.photographs, options.work, options.work / "dataset"
    photographs = work / "photographs" / options.reference.stem
    missing = link_photographs(source, photos["filename"], dataset / "Images", work)
    missing += link_photographs(source, rows["filename"], photographs, work)
    (dataset / "List").mkdir(exist_ok=True)
    shutil.copy(options.csv, dataset / "List/photographs.csv")
    photos = photos[~photos["filename"].isin(missing)]
    rows = rows[~rows["filename"].isin(missing)].reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"{source}: holds no photograph of {options.reference}")
    if options.ground is None:
        grounds = pd.Series([ground_of(photographs / name) for name in rows["filename"]])
    else:
        told = pd.read_csv(options.ground, dtype=str).set_index("filename")["ground"]
        grounds = rows["filename"].map(told)
        if grounds.isna().any():
            raise ValueError(f"{options.ground}: lacks {grounds.isna().sum()} photographs")
    scored = {preprocess: examine(options, preprocess, photographs) for preprocess in PREPROCESSES}
    ground = grounds.mode()[0]
    on_ground, hybrid = grounds == ground, rows["hybrid_stat"] == 1
    reference = work / "reference.csv"
    rows.to_csv(reference, index=False)
    named = (": " + ", ".join(missing[:5]) + " and more" * (len(missing) > 5)) * bool(missing)
    theirs = ORGANISERS.get(options.reference.name, ())
    report = REPORT.format(
        backbone=options.backbone,
        trained=len(photos),
        crosses=photos["label"].sum(),
        everything=counted(rows),
        reference=options.reference.name,
        missing=f"{len(missing)} photographs were missing and left out{named}.",
        first=table(scored, reference, np.full(len(rows), True), theirs),
        ground=ground,
        share=on_ground[hybrid].mean(),
        other_share=on_ground[~hybrid].mean(),
        alone=counted(rows[on_ground]),
        told=options.ground.name if options.ground else "the corners' colour",
        second=table(scored, reference, on_ground.to_numpy()),
    )
    with atomic(options.output) as part:
        part.write_text(report, encoding="utf-8")
    print(f"challenge: wrote {options.output}")


def main() -> int:
    try:
        benchmark(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"challenge: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
