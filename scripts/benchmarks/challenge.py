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
import csv
import json
import os
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.challenge_csv import read_photos, read_table
from common.files import atomic, open_image
from common.program import ROOT, InputError, start

PREPROCESSES = ("photograph", "cutout")  # of training.py --preprocess
INGESTION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls/ingestion.py"
MEMBERS = {"published two": ("sgd", "linear"), "all": ()}  # (): the score of all that are there
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
WAYS = list(product(MEMBERS, PREPROCESSES))
# FIGURES, as far as they are known, of the organisers' own classifier on the whole of a reference.
ORGANISERS = {
    "ref_val": (0.889, 0.059, 0.536, 0.150, None, None, 0.94, 0.21, 0.80),
    "ref_test": (0.910, 0.036, 0.532, 0.097),
}

CORNER = 0.08  # of a photograph's shorter side: four squares that show its ground
GREEN = 20  # levels of 255: the ground's green is so far above the mean of its red and blue
WHITE = 215  # levels: lighter is white, the rest grey

Rows = list[dict[str, str]]  # of a reference
Figures = dict[str, list[float]]  # value and bounds of its 95 % interval, by name


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


# ---- photographs --------------------------------------------------------------------------------


def filenames(rows: Rows) -> list[str]:
    return [row["filename"] for row in rows]


def folder_of(part: str, options: argparse.Namespace) -> Path:
    """Links to the photographs of the training, or to those of a reference."""
    return options.work / "photographs" / part


def find_photographs(folder: Path, names: set[str]) -> dict[str, Path]:
    """Where each of `names` lies below `folder`, as far as it does. InputError: in two places."""
    found: dict[str, Path] = {}
    for place, _, files in os.walk(folder):
        for name in names.intersection(files):
            path = Path(place, name)
            if found.setdefault(name, path) != path:
                raise InputError(f"{name} lies in {found[name]} and in {path}; remove one of them")
    return found


def link(names: list[str], found: dict[str, Path], folder: Path) -> list[str]:
    """Make `folder` one of links to the photographs `names`; gives those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(names) & found.keys():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(found[name].resolve())
    return [name for name in names if name not in found]


def ground_of(path: Path) -> str:
    """green, white or grey: the median colour of a photograph's four corners."""
    image = open_image(path)
    side = max(1, round(CORNER * min(image.size)))
    rgb, ends = np.asarray(image), (slice(side), slice(-side, None))
    corners = [np.median(rgb[rows, columns], axis=(0, 1)) for rows in ends for columns in ends]
    red, green, blue = np.median(corners, axis=0)
    if green - (red + blue) / 2 > GREEN:
        return "green"
    return "white" if (red + green + blue) / 3 > WHITE else "grey"


def read_grounds(photographs: Path, names: list[str], table: Path | None) -> dict[str, str]:
    """The ground of each of `names`, as the CSV `table` says, else as their corners tell."""
    if table is None:
        return {name: ground_of(photographs / name) for name in names}
    said = {row["filename"]: row["ground"] for _, row in read_table(table, ("filename", "ground"))}
    unknown = [name for name in names if name not in said]
    if unknown:
        raise InputError(f"{table}: {len(unknown)} photographs are not in it, as {unknown[0]}")
    return {name: said[name] for name in names}


def write_rows(path: Path, rows: Rows) -> None:
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# ---- the product's own commands -----------------------------------------------------------------


def call(program: str, *arguments: object) -> None:
    print(f"challenge: {program} {' '.join(map(str, arguments))}", flush=True)
    command = [sys.executable, ROOT / program, *arguments]
    if subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL).returncode:
        raise InputError(f"{program} failed, as said above; run the same command again to go on")


def prepare(options: argparse.Namespace, training: list[str], reference: list[str]) -> list[str]:
    """The data set to train on, and the reference's photographs in a folder; those missing."""
    found = find_photographs(options.photographs, {*training, *reference})
    missing = link(training, found, folder_of("training", options))
    missing += link(reference, found, folder_of(options.reference.stem, options))
    given = "--csv", options.csv, "--datasets", options.work / "Datasets", "--allow_missing"
    call("scripts/prepare_images.py", *given, "--photos", folder_of("training", options))
    call("scripts/make_classifier_csv.py", *given, "--name", "photographs.csv")
    return missing


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


def read_figures(scored: Path, reference: Path, members: str) -> Figures:
    """The figures of `members` by what is said in the folder `scored`."""
    output, names = scored / f"{reference.stem}.json", MEMBERS[members]
    call(
        *("scripts/score_predictions.py", "--reference", reference, "--intervals"),
        *("--predictions", scored / ("details.csv" if names else "predictions.txt")),
        *(("--members", *names) if names else ()),
        *("--output", output),
    )
    return json.loads(output.read_text(encoding="utf-8"))["intervals"]


# ---- CHALLENGE.md -------------------------------------------------------------------------------

REPORT = """# How well hybrids are found on the challenge's photographs

`scripts/benchmarks/challenge.py` made this file. Classifiers on features of {backbone}
were trained on {trained} photographs, {crosses} of them hybrids, and scored {everything}
of {reference}. {missing}
Recalls are at the challenge's thresholds, which 95 % of a species' non-hybrids do not pass; the
challenge score is their harmonic mean; a ROC AUC compares the hybrids and the others of one kind.
Behind each figure is the 95 % interval of a bootstrap over specimens, with thresholds of its own in
each draw. The organisers' is their classifier on DINOv2-giant, scored by the same rule on all
photographs of the reference.

{first}

## On {ground} ground alone

The ground alone tells many hybrids: {share:.0%} of them lie on {ground} ground, of the others
{other_share:.0%}. So these are the honest figures, of {alone};
the grounds were told by {told}.

{second}
"""


def counted(rows: Rows) -> str:
    """How many photographs and specimens `rows` are, and hybrids of each kind."""
    hybrids = Counter(row["ssp_indicator"] for row in rows if row["hybrid_stat"] == "1")
    kinds = ", ".join(f"{hybrids[kind]} {kind}" for kind in ("major", "minor", "mimic"))
    specimens = len({row["CAMID"] for row in rows})
    return f"{len(rows)} photographs of {specimens} specimens (hybrids: {kinds})"


def name_missing(names: list[str]) -> str:
    if not names:
        return "None is missing."
    first = ", ".join(names[:5] + ["..."] * (len(names) > 5))
    return f"{len(names)} photographs are missing and left out: {first}."


def share_on(ground: str, rows: Rows, grounds: dict[str, str], hybrid: str) -> float:
    """Of `rows` whose hybrid_stat is `hybrid`, the share on `ground`."""
    those = [grounds[row["filename"]] == ground for row in rows if row["hybrid_stat"] == hybrid]
    return sum(those) / max(1, len(those))


def line(members: str, images: str, figures: Figures) -> list[str]:
    """Of a table; figures without bounds stand alone, those that are not known stay empty."""
    cells = [members, images]
    for value, *bounds in (figures.get(name, [None]) for name in FIGURES):
        between = f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""
        cells.append("" if value is None else f"{value:.3f}{between}")
    return cells


def markdown(lines: list[list[str]]) -> str:
    head = ["members", "images", *FIGURES.values()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def benchmark(options: argparse.Namespace) -> int:
    photos = read_photos(options.csv)
    columns = "CAMID", "filename", "hybrid_stat", "ssp_indicator"
    rows = [row for _, row in read_table(options.reference, columns)]
    missing = prepare(options, [photo.filename for photo in photos], filenames(rows))
    photos = [photo for photo in photos if photo.filename not in missing]
    rows = [row for row in rows if row["filename"] not in missing]
    if not rows:
        raise InputError(f"{options.photographs}: no photograph of {options.reference} is in it")
    name, photographs = options.reference.stem, folder_of(options.reference.stem, options)
    grounds = read_grounds(photographs, filenames(rows), options.ground)
    ground = Counter(grounds.values()).most_common(1)[0][0]
    alone = [row for row in rows if grounds[row["filename"]] == ground]

    scored = {preprocess: examine(options, preprocess, photographs) for preprocess in PREPROCESSES}
    tables: list[list[list[str]]] = []
    for part, some in (("all", rows), ("ground", alone)):
        reference = options.work / f"{name}-{part}.csv"
        write_rows(reference, some)
        figures = [(*way, read_figures(scored[way[1]], reference, way[0])) for way in WAYS]
        tables.append([line(*each) for each in figures])
    theirs = {key: [some] for key, some in zip(FIGURES, ORGANISERS.get(name, ()), strict=False)}
    if theirs:
        tables[0].insert(0, line("organisers'", "photograph", theirs))
    report = REPORT.format(
        backbone=options.backbone,
        trained=len(photos),
        crosses=sum(photo.hybrid for photo in photos),
        everything=counted(rows),
        reference=options.reference.name,
        missing=name_missing(missing),
        first=markdown(tables[0]),
        ground=ground,
        share=share_on(ground, rows, grounds, "1"),
        other_share=share_on(ground, rows, grounds, "0"),
        alone=counted(alone),
        told=options.ground.name if options.ground else "the corners' colour",
        second=markdown(tables[1]),
    )
    with atomic(options.output) as part:
        part.write_text(report, encoding="utf-8")
    print(f"challenge: wrote {options.output}")
    return 0


if __name__ == "__main__":
    start(benchmark, parse_arguments)
