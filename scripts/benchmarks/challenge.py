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
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.challenge_csv import read_photos, read_table
from common.files import atomic, open_image
from common.program import ROOT, InputError, start

PREPROCESSES = ("photograph", "cutout")  # of training.py --preprocess
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
INGESTION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls/ingestion.py"

CORNER = 0.08  # of a photograph's shorter side: four squares that show its ground
GREEN = 20  # levels of 255: the ground's green is so far above the mean of its red and blue
WHITE = 215  # levels: lighter is white, the rest grey

# A reference is a table of strings: `filename`, `CAMID`, `hybrid_stat` (0 or 1), `ssp_indicator`.


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
    work = ROOT / "results/challenge"
    add("--work", type=Path, default=work, help="folder of all that is made (default: %(default)s)")
    add("--output", type=Path, default=Path(__file__).with_name("CHALLENGE.md"))
    return parser.parse_args(arguments)


def read_rows(path: Path, *columns: str) -> pd.DataFrame:
    return pd.DataFrame([row for _, row in read_table(path, columns)])


def link_photographs(source: Path, names: Iterable[str], target: Path, work: Path) -> list[str]:
    """Make `target` a folder of links to the photographs `names` anywhere below `source`; gives
    those that are missing. InputError for one in two places."""
    missing, found = dict.fromkeys(names), {}
    target.mkdir(parents=True, exist_ok=True)
    for link in target.iterdir():  # of an earlier run
        link.unlink()
    for place, folders, files in os.walk(source):
        folders[:] = [name for name in folders if Path(place, name).resolve() != work.resolve()]
        for name in files:
            if name in found:
                places = f"{found[name]} and in {place}"
                raise InputError(f"{name} lies in {places}; leave one of them in {source}")
            if name in missing:
                found[name] = place
                (target / name).symlink_to(Path(place, name).resolve())
    return [name for name in missing if name not in found]


def ground_of(path: Path) -> str:
    """green, white or grey: the median colour of a photograph's four corners."""
    image = open_image(path)
    side = max(1, round(CORNER * min(image.size)))
    rgb, ends = np.asarray(image), (slice(side), slice(-side, None))
    corners = [np.median(rgb[corner], axis=(0, 1)) for corner in product(ends, ends)]
    red, green, blue = np.median(corners, axis=0)
    if green - (red + blue) / 2 > GREEN:
        return "green"
    return "white" if (red + green + blue) / 3 > WHITE else "grey"


# ---- the product's own commands -----------------------------------------------------------------


def call(program: str, *arguments: object) -> None:
    print(f"challenge: {program} {' '.join(map(str, arguments))}", flush=True)
    command = [sys.executable, ROOT / program, *arguments]
    if subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL).returncode:
        raise InputError(f"{program} failed, as said above; run the same command again to go on")


def examine(options: argparse.Namespace, preprocess: str, photographs: Path) -> Path:
    """The folder of what is said of the reference's `photographs`; trains and scores where it is
    not there."""
    trained = options.work / options.backbone / preprocess
    scored = trained / options.reference.stem
    if not (trained / "clf1024.pth").is_file():
        call(
            *("HybridDetection/train/training.py", "--DATA_FILE", "photographs.csv"),
            *("--ROOT_DATA_DIR", options.work / "Datasets/Images4TrainClassifier"),
            *("--CLF_SAVE_DIR", trained, "--CACHE_DIR", options.work / "features"),
            *("--backbone", options.backbone, "--preprocess", preprocess),
        )
    if not (scored / "details.csv").is_file():
        scored.mkdir(parents=True, exist_ok=True)
        call(INGESTION, photographs, scored, "--classifiers", trained, "--details")
    return scored


def table(scored: dict[str, Path], reference: Path, theirs: tuple = ()) -> str:
    """The figures of each members and preprocess, by what is said in the folders `scored`, below
    those of the organisers, as far as they are known."""
    lines = [["members", "images", *FIGURES.values()], ["---"] * (2 + len(FIGURES))]
    if theirs:
        known = ["" if value is None else f"{value:.3f}" for value in theirs]
        lines.append(["organisers'", "photograph", *known, *[""] * (len(FIGURES) - len(known))])
    for said, (preprocess, members) in WAYS.items():
        folder = scored[preprocess]
        output = folder / f"{reference.stem}.json"
        call(
            *("scripts/score_predictions.py", "--reference", reference, "--intervals"),
            *("--predictions", folder / ("details.csv" if members else "predictions.txt")),
            *(("--members", *members) if members else ()),
            *("--output", output),
        )
        figures = json.loads(output.read_text(encoding="utf-8"))["intervals"]
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
    hybrids = rows["ssp_indicator"][rows["hybrid_stat"] == "1"].value_counts()
    kinds = ", ".join(f"{hybrids.get(kind, 0)} {kind}" for kind in ("major", "minor", "mimic"))
    return f"{len(rows)} photographs of {rows['CAMID'].nunique()} specimens (hybrids: {kinds})"


def benchmark(options: argparse.Namespace) -> int:
    photos = read_photos(options.csv)
    rows = read_rows(options.reference, "filename", "CAMID", "hybrid_stat", "ssp_indicator")
    training, photographs = (
        options.work / "photographs" / name for name in ("training", options.reference.stem)
    )
    names = [photo.filename for photo in photos]
    source, work = options.photographs, options.work
    missing = link_photographs(source, names, training, work)
    missing += link_photographs(source, rows["filename"], photographs, work)
    photos = [photo for photo in photos if photo.filename not in missing]
    rows = rows[~rows["filename"].isin(missing)].copy()
    if rows.empty:
        raise InputError(f"{options.photographs}: holds no photograph of {options.reference}")
    if options.ground is None:
        rows["ground"] = [ground_of(photographs / name) for name in rows["filename"]]
    else:
        told = read_rows(options.ground, "filename", "ground").set_index("filename")["ground"]
        rows["ground"] = rows["filename"].map(told)
        if rows["ground"].isna().any():
            raise InputError(f"{options.ground}: lacks {rows['ground'].isna().sum()} photographs")

    given = "--csv", options.csv, "--datasets", options.work / "Datasets", "--allow_missing"
    call("scripts/prepare_images.py", *given, "--photos", training)
    call("scripts/make_classifier_csv.py", *given, "--name", "photographs.csv")
    scored = {preprocess: examine(options, preprocess, photographs) for preprocess in PREPROCESSES}
    ground = rows["ground"].mode()[0]
    on_ground, hybrid = rows["ground"] == ground, rows["hybrid_stat"] == "1"
    everything, alone = (options.work / f"reference-{part}.csv" for part in ("all", "ground"))
    rows.to_csv(everything, index=False)
    rows[on_ground].to_csv(alone, index=False)
    named = (": " + ", ".join(missing[:5]) + " and more" * (len(missing) > 5)) * bool(missing)
    report = REPORT.format(
        backbone=options.backbone,
        trained=len(photos),
        crosses=sum(photo.hybrid for photo in photos),
        everything=counted(rows),
        reference=options.reference.name,
        missing=f"{len(missing)} photographs were missing and left out{named}.",
        first=table(scored, everything, ORGANISERS.get(options.reference.name, ())),
        ground=ground,
        share=on_ground[hybrid].mean(),
        other_share=on_ground[~hybrid].mean(),
        alone=counted(rows[on_ground]),
        told=options.ground.name if options.ground else "the corners' colour",
        second=table(scored, alone),
    )
    with atomic(options.output) as part:
        part.write_text(report, encoding="utf-8")
    print(f"challenge: wrote {options.output}")
    return 0


if __name__ == "__main__":
    start(benchmark, parse_arguments)
