"""Score a folder of butterfly photographs: python ingestion.py [INPUT_DIR] [OUTPUT_DIR]

Writes OUTPUT_DIR/predictions.txt, a line `filename,score` for each image in sorted order, ready
for Codabench. With --details, OUTPUT_DIR/details.csv says how each score came about: what each
member gives, the call at a threshold, and the likeliest parents. Files that cannot be scored are
named on stderr and left out, and others counted; the exit status is 1 where photographs are left
out. With --report, OUTPUT_DIR/report/index.html shows all of it, and where on the wings the
evidence lies.

What is scored is written down at once; the same command goes on where a run was stopped. Several
processes share the images, and the first of them writes the output:
torchrun --nproc_per_node 2 ingestion.py [INPUT_DIR] [OUTPUT_DIR]
"""

import argparse
import csv
import hashlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from backbones import BACKBONES, PREPROCESSES, version
from engine import ENGINES, choose_engine
from files import atomic, passed_over, unread
from journal import FAILED, SCORED, UNKNOWN, Journal, stamp
from listing import Images, find_images, listed_images
from model import MEMBERS, Model, choose_device
from pictures import freed_memory_kept
from processes import CORES, joined, of_first, torchrun_device, use_own_cores
from scoring import Scored, score_images
from subspecies_member import PARENTS
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
REPORT = HERE.parents[1] / "report/detection_report.py"
INPUT_DIR, OUTPUT_DIR = HERE / "ImageSamples", HERE
REPORTED = "report/index.html"  # in OUTPUT_DIR
BATCH_SIZE = 32
WORKERS = min(4, CORES)  # processes that decode images

DETAILS = ["filename", "score", *MEMBERS, "threshold", "decision", *PARENTS]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score a folder of butterfly photographs; writes predictions.txt."
    )
    option = parser.add_argument
    option("input_dir", nargs="?", type=Path, default=INPUT_DIR)
    option("output_dir", nargs="?", type=Path, default=OUTPUT_DIR)
    refuse = "refuse classifiers of another one (default: what they were trained on)"
    option("--backbone", choices=BACKBONES, help=refuse)
    option("--preprocess", choices=PREPROCESSES, help=refuse)
    where = "(default: beside this program, else Models/classifiers)"
    names = ", ".join(member.file for member in MEMBERS.values())
    option("--classifiers", type=Path, metavar="DIR", help=f"folder of {names} {where}")
    who = "who takes part (default: all that lie there; sgd and linear must)"
    option("--members", nargs="+", choices=MEMBERS, help=who)
    option("--details", action="store_true", help="also write details.csv")
    above = "in details.csv, hybrid above it (default: what training stored for all members)"
    option("--threshold", type=float, help=above)
    option("--report", action="store_true", help="also write report/index.html")
    option("--all_heat_maps", action="store_true", help="in the report, not of the first 200 only")
    option("--batch_size", type=int, default=BATCH_SIZE)
    which = parser.add_mutually_exclusive_group().add_argument
    which("--recursive", action="store_true", help="search the sub-folders of INPUT_DIR, too")
    listed = "score what the column filename of a CSV file names, relative to INPUT_DIR"
    which("--images", type=Path, metavar="LIST", help=listed)
    option("--device", help="cuda, mps or cpu (default: the best there is)")
    computes = "of the networks (default: openvino for many images on a CPU, where it is installed)"
    option("--engine", choices=ENGINES, help=computes)
    rough = "compute in bfloat16 and decode JPEGs reduced: scores move a little"
    option("--fast", action="store_true", help=rough)
    option("--workers", type=int, default=WORKERS, help="processes that decode (0: this one does)")
    options = parser.parse_args()
    if options.batch_size < 1 or options.workers < 0 or not 0 <= (options.threshold or 0) <= 1:
        parser.error("--batch_size must be 1 or more, --workers 0 or more, --threshold 0 to 1")
    return options


def ingest(options: argparse.Namespace, rank: int, count: int) -> int:
    """The program in process `rank` of `count`; gives the exit status."""
    page = options.output_dir / REPORTED
    if options.report and page.parent.exists() and not page.is_file():
        raise ValueError(f"{page.parent}: no report lies there, but something else; move it away")
    wanted = (listed_images, options.images, options.input_dir)
    if options.images is None:
        wanted = (find_images, options.input_dir, options.recursive)
    images, refused = of_first(*wanted)
    if rank == 0:
        for message in refused:
            print(f"ingestion: {message}", file=sys.stderr)
    device = choose_device(torchrun_device(options.device))
    engine = choose_engine(options.engine, device, len(images))
    model = Model(
        options.backbone,
        str(device),
        options.classifiers,
        options.members,
        options.preprocess,
        options.fast,
    )
    model.load(ENGINES[engine])
    with Journal(options.output_dir, rank) as journal:
        known = of_first(journal.begin, settings(options, model, engine), images)
        batches = list(batches_to_do(known, options.batch_size, rank, count))
        rest = sum(map(len, batches))
        if rank == 0 and (known == SCORED).any():
            print(f"ingestion: going on; {counted(rest, 'image')} to score", file=sys.stderr)
        bar = tqdm(total=rest, unit="image", disable=None if rank == 0 else True)
        with bar, freed_memory_kept():
            for said in score_images(model, images, options.batch_size, options.workers, batches):
                journal.add(images, said)
                for outcome in said.values():
                    if isinstance(outcome, str):
                        tqdm.write(f"ingestion: {outcome}", file=sys.stderr)
                bar.update(len(said))
        scored = of_first(write_output, model, images, journal, options)
        left_out = len(images) + len(refused) - scored
        if rank == 0:
            tell(model, scored, left_out, options.output_dir / "predictions.txt")
            for line in passed_over(images.passed):
                print(f"ingestion: {line}", file=sys.stderr)
            if options.report:
                write_report(options)
            journal.remove()
    missing = left_out + unread(images.passed)
    return int(missing > 0 and count == 1)  # torchrun would begin anew, and in vain


def settings(options: argparse.Namespace, model: Model, engine: str) -> dict[str, object]:
    """What the scores of the images depend on; a journal is of one run of these."""
    files = model.files.values()
    return {
        "photographs": str(options.input_dir.resolve()),
        "backbone": model.backbone,
        "preprocess": model.preprocess,
        "mode": "fast, in bfloat16" if model.bfloat16 else "fast" if model.fast else "exact",
        "version of the method": version(model.view),
        "classifiers": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "--engine": engine,
    }


def batches_to_do(known: np.ndarray, batch_size: int, rank: int, count: int) -> Iterator[list[int]]:
    """The batches of process `rank` of `count`, given what is known (n,) of the images.

    A score depends, in its seventh digit, on the images beside it in a batch. So batches are cut
    from the whole list, each goes to one process, and one that is not known to its end is done
    again: a resumed run and one of several processes give the single run's scores. Images that
    failed are tried again, by themselves where the others are known.
    """
    for start in range(rank * batch_size, len(known), count * batch_size):
        batch = known[start : start + batch_size]
        rest = np.arange(len(batch)) if UNKNOWN in batch else np.flatnonzero(batch == FAILED)
        if len(rest):
            yield (start + rest).tolist()


# ---- output -------------------------------------------------------------------------------------


def write_output(
    model: Model, images: Images, journal: Journal, options: argparse.Namespace
) -> int:
    """Put predictions.txt and details.csv in place; gives the number of images in them.

    Raises ValueError, and leaves what lies there, where no image has a score.
    """
    if not any(isinstance(outcome, Scored) for _, outcome in journal.outcomes(images)):
        journal.remove()
        number = counted(len(images), "image")
        raise ValueError(f"{options.input_dir}: none of {number} can be scored")
    threshold = model.threshold if options.threshold is None else options.threshold
    names = ["predictions.txt", "details.csv"][: 1 + options.details]
    scored = 0
    with ExitStack() as stack:
        files = []
        for name in names:
            path = stack.enter_context(atomic(options.output_dir / name, durable=True))
            files.append(stack.enter_context(path.open("w", encoding="utf-8", newline="")))
        details = csv.DictWriter(files[-1], DETAILS, restval="", lineterminator="\n")
        if options.details:
            details.writeheader()
        for name, outcome in journal.outcomes(images):
            if isinstance(outcome, Scored):
                newline = "\n" if scored else ""  # between the lines, none at the end
                files[0].write(f"{newline}{name},{outcome.score:.4f}")
                if options.details:
                    details.writerow(details_row(name, outcome, threshold))
                scored += 1
    return scored


def details_row(name: str, image: Scored, threshold: float | None) -> dict[str, object]:
    """Of details.csv; cells are empty where a member or threshold is not."""
    row: dict[str, object] = {"filename": name, "score": f"{image.score:.6f}"}
    row |= {member: f"{value:.6f}" for member, value in image.members.items()}
    if threshold is not None:
        row["threshold"] = f"{threshold:.6f}"
        row["decision"] = "hybrid" if image.score > threshold else "non-hybrid"
    if image.parents is not None:
        cells = image.parents.cells()
        digits = {"share_1": 2, "share_2": 2, "certainty": 3}
        row |= cells | {name: f"{cells[name]:.{count}f}" for name, count in digits.items()}
    return row


def write_report(options: argparse.Namespace) -> None:
    """Have the report's program, which lies outside this folder, show what was written."""
    predictions, page = (options.output_dir / name for name in ("predictions.txt", REPORTED))
    before = stamp(page)
    command = [sys.executable, REPORT, "--predictions", predictions, "--images", options.input_dir]
    for name in ("classifiers", "threshold", "device", "workers", "batch_size"):
        value = getattr(options, name)
        command += [] if value is None else [f"--{name}", value]
    command += ["--members", *options.members] if options.members else []
    command += [f"--{name}" for name in ("fast", "all_heat_maps") if getattr(options, name)]
    done = subprocess.run(list(map(str, command)))
    if done.returncode and stamp(page) in ("", before):  # else it lacks a photograph, and says so
        raise ValueError(f"{predictions} is there, but not its report: see above")


def tell(model: Model, scored: int, left_out: int, output: Path) -> None:
    members = ", ".join(name for name in MEMBERS if name in model.members)
    cut_out = ", specimens cut out where they were found," if model.preprocess == "cutout" else ""
    done = f"scored {counted(scored, 'image')}{cut_out} with {model.backbone}"
    folder = next(iter(model.files.values())).parent
    print(f"ingestion: {done} ({members}) of {folder}: {output}", flush=True)
    if left_out:
        were = f"{counted(left_out, 'file')} {'was' if left_out == 1 else 'were'}"
        print(f"ingestion: {were} left out, named above", file=sys.stderr)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="ingestion: %(message)s")
    options = parse_arguments()
    use_own_cores()
    with joined() as (rank, count):
        try:
            return ingest(options, rank, count)
        except (OSError, ValueError) as error:
            print(f"ingestion: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
