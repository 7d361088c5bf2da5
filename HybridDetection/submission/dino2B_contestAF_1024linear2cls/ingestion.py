"""Score a folder of butterfly photographs: python ingestion.py [INPUT_DIR] [OUTPUT_DIR]

Writes OUTPUT_DIR/predictions.txt, a line `filename,score` for each image in sorted order, ready
for Codabench. With --details, OUTPUT_DIR/details.csv says how each score came about: what each
member gives, the call at a threshold, and the likeliest parents. Files that cannot be scored are
named on stderr and left out; the exit status is then 1. With --report, OUTPUT_DIR/report/index.html
shows all of it, and where on the wings the evidence lies.

What is scored is written down at once; the same command goes on where a run was stopped. Several
processes share the images, and the first of them writes the output:
torchrun --nproc_per_node 2 ingestion.py [INPUT_DIR] [OUTPUT_DIR]
"""

import argparse
import csv
import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from backbones import BACKBONES, PREPROCESSES
from decoders import LARGEST_BATCH
from files import atomic, sync
from journal import FAILED, SCORED, UNKNOWN, Journal
from listing import Images, find_images, listed_images
from memory import freed_memory_kept
from model import MEMBER_FILES, Model
from processes import Processes, join
from scoring import MEMBERS, Scored, score_images
from subspecies_member import Parents
from tqdm import tqdm

INPUT_DIR = "ImageSamples/"  # both relative to this file
OUTPUT_DIR = "./"
BATCH_SIZE = 32
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images

PARENTS = ["parent_1", "share_1", "parent_2", "share_2", "parents", "certainty"]
DETAILS = ["filename", "score", *MEMBERS, "threshold", "decision", *PARENTS]

HERE = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score a folder of butterfly photographs; writes predictions.txt."
    )
    parser.add_argument("input_dir", nargs="?", type=Path, default=HERE / INPUT_DIR)
    parser.add_argument("output_dir", nargs="?", type=Path, default=HERE / OUTPUT_DIR)
    parser.add_argument(
        "--backbone",
        choices=BACKBONES,
        help="refuse classifiers of another one (default: the one that they were trained on)",
    )
    parser.add_argument(
        "--preprocess",
        choices=PREPROCESSES,
        help="refuse classifiers of another one (default: what they were trained on)",
    )
    parser.add_argument(
        "--classifiers",
        type=Path,
        help=f"folder of {', '.join(MEMBER_FILES.values())} (default: beside this program, else "
        "Models/classifiers)",
    )
    parser.add_argument(
        "--members",
        nargs="+",
        choices=MEMBERS,
        help="who takes part (default: all that lie there; sgd and linear must)",
    )
    parser.add_argument("--details", action="store_true", help="also write details.csv")
    parser.add_argument(
        "--threshold",
        type=float,
        help="of the decision in details.csv: hybrid above it (default: what training stored for "
        "all members together)",
    )
    parser.add_argument("--report", action="store_true", help="also write report/index.html")
    parser.add_argument(
        "--all_heat_maps", action="store_true", help="in the report, not of the first 200 only"
    )
    parser.add_argument("--tsne", action="store_true", help="map features by t-SNE, not PCA")
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE)
    parser.add_argument(
        "--recursive", action="store_true", help="search the sub-folders of INPUT_DIR, too"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="LIST",
        help="score what the column filename of a .csv or .parquet names, relative to INPUT_DIR",
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="compute in bfloat16 and decode JPEGs reduced: scores move a little",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=WORKERS,
        help="processes that decode images (0: this one does)",
    )
    options = parser.parse_args()
    if options.batch_size < 1:
        parser.error(f"--batch_size must be at least 1, not {options.batch_size}")
    if options.batch_size > LARGEST_BATCH:
        parser.error(f"--batch_size must be at most {LARGEST_BATCH}, not {options.batch_size}")
    if options.images is not None and options.recursive:
        parser.error("--recursive searches folders, and --images names the files: choose one")
    if options.workers < 0:
        parser.error(f"--workers must not be negative, but is {options.workers}")
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        parser.error(f"--threshold must be 0 to 1, not {options.threshold}")
    return options


def list_images(options: argparse.Namespace) -> tuple[Images, list[str]]:
    """What is to be scored, and why files with a bad name are not."""
    if options.images is not None:
        return listed_images(options.images, options.input_dir)
    return find_images(options.input_dir, options.recursive)


def settings(options: argparse.Namespace, model: Model) -> dict[str, object]:
    """What the scores of the images depend on; a journal is of one run of these."""
    files = model.files.values()
    return {
        "photographs": str(options.input_dir.resolve()),
        "backbone": model.backbone,
        "preprocess": model.preprocess,
        "mode": "fast" if model.fast else "exact",
        "classifiers": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def score_rest(
    model: Model,
    images: Images,
    journal: Journal,
    options: argparse.Namespace,
    processes: Processes,
    gallery: Any = None,
) -> None:
    """Score this process's share of what is not in the journal yet; stderr names what fails."""
    known = journal.known(images)
    batches = list(batches_to_do(known, options.batch_size, processes.rank, processes.count))
    rest = sum(map(len, batches))
    if processes.first and (known == SCORED).any():
        print(f"ingestion: going on; {counted(rest, 'image')} to score", file=sys.stderr)
    workers = options.workers
    bar = tqdm(total=rest, unit="image", disable=None if processes.first else True)
    with bar, freed_memory_kept():
        for outcomes in score_images(model, images, options.batch_size, workers, batches, gallery):
            journal.add(images, outcomes)
            for outcome in outcomes.values():
                if isinstance(outcome, str):
                    tqdm.write(f"ingestion: {outcome}", file=sys.stderr)
            bar.update(len(outcomes))


def batches_to_do(known: np.ndarray, batch_size: int, rank: int, count: int) -> Iterator[list[int]]:
    """The batches of process `rank` of `count`, given what is known (n,) of the images.

    A score depends, in its seventh digit, on the images beside it in a batch. So batches are cut
    from the whole list, each goes to one process, and one that is not known to its end is done
    again: a resumed run and one of several processes give the single run's scores. Images that
    failed are tried again, by themselves where the others are known.
    """
    for start in range(rank * batch_size, len(known), count * batch_size):
        batch = known[start : start + batch_size]
        rest = (
            np.arange(len(batch)) if (batch == UNKNOWN).any() else np.flatnonzero(batch == FAILED)
        )
        if len(rest):
            yield (start + rest).tolist()


def write_predictions(outcomes: Iterable[tuple[str, Scored | str]], path: Path) -> int:
    """Write predictions.txt; gives the number of images that have a score."""
    scored = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for name, outcome in outcomes:
            if isinstance(outcome, Scored):
                newline = "\n" if scored else ""  # between the lines, none at the end
                file.write(f"{newline}{name},{outcome.score:.4f}")
                scored += 1
    return scored


def write_details(
    outcomes: Iterable[tuple[str, Scored | str]], path: Path, threshold: float | None
) -> None:
    """Write details.csv: a row an image, cells empty where a member or threshold is not."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, DETAILS, restval="", lineterminator="\n")
        writer.writeheader()
        for name, outcome in outcomes:
            if isinstance(outcome, Scored):
                writer.writerow(details_row(name, outcome, threshold))


def details_row(name: str, image: Scored, threshold: float | None) -> dict[str, object]:
    row: dict[str, object] = {"filename": name, "score": f"{image.score:.6f}"}
    row |= {member: f"{value:.6f}" for member, value in image.members.items()}
    if threshold is not None:
        row["threshold"] = f"{threshold:.6f}"
        row["decision"] = "hybrid" if image.score > threshold else "non-hybrid"
    if image.parents is not None:
        row |= dict(zip(PARENTS, parents_cells(image.parents), strict=True))
    return row


def parents_cells(parents: Parents) -> Sequence[str]:
    """In the order of PARENTS."""
    share = f"{parents.share:.2f}"
    rest = f"{1 - parents.share:.2f}"
    return parents.first, share, parents.second, rest, str(parents), f"{parents.certainty:.3f}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def load_gallery(model: Model, options: argparse.Namespace, processes: Processes) -> Any:
    """What takes the report's pictures, if it is asked for.

    The report lies outside this folder, of which the platform gets a part.
    """
    if not options.report:
        return None
    if processes.count > 1:
        raise ValueError(
            "--report is for one process: score without it, then run scripts/report.py "
            f"--predictions {options.output_dir / 'predictions.txt'} --images {options.input_dir}, "
            "with the same --classifiers, --members and --fast"
        )
    sys.path.append(str(Path(__file__).resolve().parents[2] / "report"))
    from detection_report import refuse_other_content
    from gallery import Gallery

    refuse_other_content(options.output_dir / "report")
    return Gallery(model)


def write_output(
    model: Model, images: Images, journal: Journal, options: argparse.Namespace, gallery: Any
) -> int:
    """Put predictions.txt, details.csv and the report in place; gives the number of images in them.

    Raises ValueError, and leaves what lies there, where no image has a score.
    """
    if not (journal.places(images)["known"] == SCORED).any():
        journal.remove()
        raise ValueError(
            f"{options.input_dir}: none of {counted(len(images), 'image')} can be scored"
        )
    with atomic(options.output_dir / "predictions.txt") as temporary:
        scored = write_predictions(journal.outcomes(images), temporary)
        sync(temporary)
    if options.details:
        threshold = model.threshold if options.threshold is None else options.threshold
        with atomic(options.output_dir / "details.csv") as temporary:
            write_details(journal.outcomes(images), temporary, threshold)
            sync(temporary)
    sync(options.output_dir)  # only then may the journal go
    if options.report:
        from detection_report import report_outcomes

        report_outcomes(gallery, images, dict(journal.outcomes(images)), options)
    journal.remove()
    return scored


def ingest(options: argparse.Namespace, processes: Processes) -> int:
    """The program in one of its processes; gives the exit status."""
    images, refused = processes.of_first(list_images, options)
    model = Model(
        options.backbone,
        processes.device(options.device),
        options.classifiers,
        options.members,
        options.preprocess,
        options.fast,
    )
    if processes.first:
        for message in refused:
            print(f"ingestion: {message}", file=sys.stderr)
    model.load()
    gallery = load_gallery(model, options, processes)
    with Journal(
        options.output_dir, settings(options, model), processes.rank, processes.count
    ) as journal:
        processes.wait()  # a process that failed to start shall not find the others gone
        score_rest(model, images, journal, options, processes, gallery)
        processes.wait()
        scored = processes.of_first(write_output, model, images, journal, options, gallery)
    left_out = len(images) + len(refused) - scored
    if processes.first:
        tell(model, scored, left_out, options.output_dir / "predictions.txt")
    return int(left_out > 0 and processes.count == 1)  # torchrun would begin anew, and in vain


def tell(model: Model, scored: int, left_out: int, output: Path) -> None:
    members = ", ".join(name for name in MEMBERS if name in model.members)
    cut_out = ", specimens cut out where they were found," if model.preprocess == "cutout" else ""
    done = f"scored {counted(scored, 'image')}{cut_out} with {model.backbone}"
    print(f"ingestion: {done} ({members}): {output}")
    if left_out:
        were = "was" if left_out == 1 else "were"
        files = counted(left_out, "file")
        print(f"ingestion: {files} {were} left out, named above", file=sys.stderr)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="ingestion: %(message)s")
    options = parse_arguments()
    processes = join()
    try:
        return ingest(options, processes)
    except (OSError, ValueError) as error:
        print(f"ingestion: {error}", file=sys.stderr)
        return 1
    finally:
        processes.leave()


if __name__ == "__main__":
    sys.exit(main())
