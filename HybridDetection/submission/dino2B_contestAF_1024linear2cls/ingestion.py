"""Score a folder of butterfly photographs: python ingestion.py [INPUT_DIR] [OUTPUT_DIR]

Writes OUTPUT_DIR/predictions.txt, a line `filename,score` for each image in sorted order, ready
for Codabench. With --details, OUTPUT_DIR/details.csv says how each score came about: what each
member gives, the call at a threshold, and the likeliest parents. Files that cannot be scored are
named on stderr and left out; the exit status is then 1.
"""

import argparse
import csv
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dataset import load_batches
from files import IMAGE_SUFFIXES, atomic
from model import BACKBONES, MEMBER_FILES, PREPROCESSES, Model, Parents
from tqdm import tqdm

INPUT_DIR = "ImageSamples/"  # both relative to this file
OUTPUT_DIR = "./"
BATCH_SIZE = 32
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images

MEMBERS = ("sgd", "linear", "subspecies")  # in the order in which they are written
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
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE)
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="0: decode in this process")
    options = parser.parse_args()
    if options.batch_size < 1:
        parser.error(f"--batch_size must be at least 1, not {options.batch_size}")
    if options.workers < 0:
        parser.error(f"--workers must not be negative, but is {options.workers}")
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        parser.error(f"--threshold must be 0 to 1, not {options.threshold}")
    return options


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files directly in `folder`, sorted, and why files with a bad name are left out.

    Raises ValueError where there are no image files.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not images:
        raise ValueError(f"{folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    good, refused = [], []
    for path in images:
        if "," in path.name or not path.name.isprintable():
            refused.append(
                f"{path.name!r}: a comma or a control character would break predictions.txt; "
                "rename it"
            )
        else:
            good.append(path)
    return good, refused


@dataclass(frozen=True)
class Scored:
    """What the model says of one image."""

    score: float
    members: dict[str, float]  # the probability of each that takes part
    parents: Parents | None


def score_images(
    model: Model, images: list[Path], batch_size: int, workers: int
) -> dict[str, Scored]:
    """What is said by file name, in the order of `images`; stderr says why a file has no score."""
    scored: dict[str, Scored] = {}
    with tqdm(total=len(images), unit="image", disable=None) as bar:
        for batch in load_batches(images, model.transform, batch_size, workers):
            failures = list(batch.failures.values())
            examined = model.examine(batch.images) if batch.indices else None
            for row, index in enumerate(batch.indices):
                score = float(examined.scores[row])
                if np.isfinite(score):
                    members = {name: float(some[row]) for name, some in examined.members.items()}
                    parents = examined.parents and examined.parents[row]
                    scored[images[index].name] = Scored(score, members, parents)
                else:
                    failures.append(f"{images[index]}: its score is {score}; check the weights")
            for message in failures:
                tqdm.write(f"ingestion: {message}", file=sys.stderr)
            bar.update(len(batch.indices) + len(batch.failures))
    return scored


def details_csv(scored: dict[str, Scored], threshold: float | None) -> str:
    """The text of details.csv: a row an image, cells empty where a member or threshold is not."""
    text = io.StringIO()
    writer = csv.DictWriter(text, DETAILS, restval="", lineterminator="\n")
    writer.writeheader()
    for name, image in scored.items():
        row: dict[str, object] = {"filename": name, "score": f"{image.score:.6f}"}
        row |= {member: f"{value:.6f}" for member, value in image.members.items()}
        if threshold is not None:
            row["threshold"] = f"{threshold:.6f}"
            row["decision"] = "hybrid" if image.score > threshold else "non-hybrid"
        if image.parents is not None:
            row |= dict(zip(PARENTS, parents_cells(image.parents), strict=True))
        writer.writerow(row)
    return text.getvalue()


def parents_cells(parents: Parents) -> Sequence[str]:
    """In the order of PARENTS."""
    share = f"{parents.share:.2f}"
    rest = f"{1 - parents.share:.2f}"
    return parents.first, share, parents.second, rest, str(parents), f"{parents.certainty:.3f}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="ingestion: %(message)s")
    options = parse_arguments()
    try:
        images, refused = find_images(options.input_dir)
        for message in refused:
            print(f"ingestion: {message}", file=sys.stderr)
        model = Model(
            options.backbone,
            options.device,
            options.classifiers,
            options.members,
            options.preprocess,
        )
        model.load()
        scored = score_images(model, images, options.batch_size, options.workers)
        if not scored:
            tried = counted(len(images), "image")
            raise ValueError(f"{options.input_dir}: none of {tried} can be scored")
        lines = [f"{name},{image.score:.4f}" for name, image in scored.items()]
        threshold = model.threshold if options.threshold is None else options.threshold
        options.output_dir.mkdir(parents=True, exist_ok=True)
        output = options.output_dir / "predictions.txt"
        with atomic(output) as temporary:
            temporary.write_text("\n".join(lines), encoding="utf-8")
        if options.details:
            with atomic(options.output_dir / "details.csv") as temporary:
                temporary.write_text(details_csv(scored, threshold), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"ingestion: {error}", file=sys.stderr)
        return 1
    members = ", ".join(name for name in MEMBERS if name in model.members)
    cut_out = ", specimens cut out where they were found," if model.preprocess == "cutout" else ""
    done = f"scored {counted(len(scored), 'image')}{cut_out} with {model.backbone}"
    print(f"ingestion: {done} ({members}): {output}")
    left_out = len(images) + len(refused) - len(scored)
    if left_out:
        were = "was" if left_out == 1 else "were"
        files = counted(left_out, "file")
        print(f"ingestion: {files} {were} left out, named above", file=sys.stderr)
    return int(left_out > 0)


if __name__ == "__main__":
    sys.exit(main())
