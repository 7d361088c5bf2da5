"""Score a folder of butterfly photographs: python ingestion.py [INPUT_DIR] [OUTPUT_DIR]

Writes OUTPUT_DIR/predictions.txt, a line `filename,score` for each image in sorted order, ready
for Codabench. Files that cannot be scored are named on stderr and left out; the exit status is
then 1.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import numpy as np
from dataset import load_batches
from files import IMAGE_SUFFIXES, atomic
from model import BACKBONES, LINEAR_FILE, SGD_FILE, Model
from tqdm import tqdm

INPUT_DIR = "ImageSamples/"  # both relative to this file
OUTPUT_DIR = "./"
BATCH_SIZE = 32
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images

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
        "--classifiers",
        type=Path,
        help=f"folder of {LINEAR_FILE} and {SGD_FILE} (default: beside this program, else "
        "Models/classifiers)",
    )
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE)
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="0: decode in this process")
    options = parser.parse_args()
    if options.batch_size < 1:
        parser.error(f"--batch_size must be at least 1, not {options.batch_size}")
    if options.workers < 0:
        parser.error(f"--workers must not be negative, but is {options.workers}")
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


def score_images(
    model: Model, images: list[Path], batch_size: int, workers: int
) -> dict[str, float]:
    """Scores by file name, in the order of `images`; stderr says why a file has none."""
    scores: dict[str, float] = {}
    with tqdm(total=len(images), unit="image", disable=None) as bar:
        for batch in load_batches(images, model.transform, batch_size, workers):
            failures = list(batch.failures.values())
            batch_scores = model.score(batch.images) if batch.indices else []
            for index, score in zip(batch.indices, batch_scores, strict=True):
                if np.isfinite(score):
                    scores[images[index].name] = float(score)
                else:
                    failures.append(f"{images[index]}: its score is {score}; check the weights")
            for message in failures:
                tqdm.write(f"ingestion: {message}", file=sys.stderr)
            bar.update(len(batch.indices) + len(batch.failures))
    return scores


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="ingestion: %(message)s")
    options = parse_arguments()
    try:
        images, refused = find_images(options.input_dir)
        for message in refused:
            print(f"ingestion: {message}", file=sys.stderr)
        model = Model(options.backbone, options.device, options.classifiers)
        model.load()
        scores = score_images(model, images, options.batch_size, options.workers)
        if not scores:
            raise ValueError(f"{options.input_dir}: none of {len(images)} images can be scored")
        lines = [f"{name},{score:.4f}" for name, score in scores.items()]
        options.output_dir.mkdir(parents=True, exist_ok=True)
        output = options.output_dir / "predictions.txt"
        with atomic(output) as temporary:
            temporary.write_text("\n".join(lines), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"ingestion: {error}", file=sys.stderr)
        return 1
    print(f"ingestion: scored {len(scores)} images with {model.backbone}: {output}")
    left_out = len(images) + len(refused) - len(scores)
    if left_out:
        print(f"ingestion: {left_out} files were left out, named above", file=sys.stderr)
    return int(left_out > 0)


if __name__ == "__main__":
    sys.exit(main())
