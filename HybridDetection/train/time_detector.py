"""Time the published way and ours side by side, in one process, on made-up data:

    python time_detector.py extraction | linear | sgd | scoring [--rounds N] [--rows N] [...]

Every round takes each way once, so that a busy machine slows all alike. One line of JSON comes out,
with the seconds of each round; the programs in scripts/benchmarks/ make a table of it.
"""

import argparse
import json
import logging
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import submission  # noqa: F401  puts the submission folder on the path
import classifier
import numpy as np
import torch
from backbones import BACKBONES, build_backbone, make_transform
from evaluation import one_hybrid_moves, read_scored, score_rows
from model_utils import extract_features
from PIL import Image
from published_members import LinearClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, roc_curve
from timing import Ways, time_ways
from torch.nn import functional as F

FEATURE_SIZE = 1536
PUBLISHED_ROWS = 12_947
SCORED_ROWS = 100_000
CPU = torch.device("cpu")


def made_up(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, FEATURE_SIZE) float32 that tell the 0/1 labels (rows,) in part."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    features = draw.standard_normal((rows, FEATURE_SIZE), np.float32)
    features[:, :20] += 0.3 * labels[:, None]
    return features, labels


def extraction(options: argparse.Namespace, folder: Path) -> tuple[str, Ways, list[str]]:
    draw = np.random.default_rng(0)
    paths = [folder / f"{number:04d}.jpg" for number in range(options.rows or 200)]
    for path in paths:
        coarse = draw.integers(0, 256, (24, 36, 3), np.uint8)
        Image.fromarray(coarse).resize((900, 600)).save(path)
    arguments = (options.backbone, CPU, 32, min(4, os.cpu_count() or 1))

    def one_by_one() -> np.ndarray:
        network, transform = build_backbone(options.backbone, CPU), make_transform(options.backbone)
        with torch.inference_mode():
            images = (transform(Image.open(path))[None] for path in paths)
            return np.concatenate([network(image).numpy() for image in images])

    def first_run() -> np.ndarray:
        with tempfile.TemporaryDirectory() as cache:
            return extract_features(paths, *arguments, Path(cache))[0][:]

    kept = folder / "cache"
    again = extract_features(paths, *arguments, kept)[0][:]
    ways = {
        "published: one photograph at a time": one_by_one,
        "ours: in batches, stored": first_run,
        "ours: the next run": lambda: extract_features(paths, *arguments, kept)[0][:],
    }
    apart = np.abs(one_by_one() - again).max()
    title = f"Features of {len(paths)} photographs of 900 x 600 by {options.backbone}"
    return title, ways, [f"The features differ by {apart:.1e} at the most."]


def linear(options: argparse.Namespace, folder: Path) -> tuple[str, Ways, list[str]]:
    features, labels = made_up(options.rows or PUBLISHED_ROWS)
    epochs, block_rows = 2, 4096

    def published() -> list[float]:
        """Full-batch steps as plainly as they are said."""
        torch.manual_seed(classifier.SEED)
        network = LinearClassifier(FEATURE_SIZE).train()
        adam = torch.optim.Adam(network.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(classifier.SEED)
        inputs, targets = torch.tensor(features), torch.tensor(labels)
        losses = []
        for _ in range(epochs):
            rows = torch.randperm(len(targets), generator=generator)[: round(0.9 * len(targets))]
            loss = F.cross_entropy(network(inputs[rows]), targets[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses

    def ours(**settings: int) -> list[float]:
        return classifier.fit_linear(features, labels, epochs, CPU, **settings)[1]

    ways = {
        "published: a plain loop": published,
        "ours": ours,
        f"ours, streamed in blocks of {block_rows:,}": lambda: ours(block_rows=block_rows),
    }
    losses = [way() for way in ways.values()]
    notes = [
        f"Losses of ours are {'those' if losses[0] == losses[1] else 'not those'} of the plain "
        f"loop to the bit; streamed, they differ by {np.abs(np.subtract(*losses[1:])).max():.1e}."
    ]
    title = f"{epochs} epochs of the linear classifier on {len(features):,} x {FEATURE_SIZE:,}"
    return title, ways, notes


def sgd(options: argparse.Namespace, folder: Path) -> tuple[str, Ways, list[str]]:
    features, labels = made_up(options.rows or PUBLISHED_ROWS)

    def make() -> classifier.ClassifierMixin:
        return make_published().set_params(estimator__max_iter=options.iterations)

    def published() -> classifier.ClassifierMixin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = make().fit(features, labels)
        fitted.backbone_ = "dinov2_base"
        return fitted

    def ours() -> classifier.ClassifierMixin:
        return classifier.fit_classifier("sgd", features, labels, "dinov2_base")

    make_published = classifier.CLASSIFIERS["sgd"]
    classifier.CLASSIFIERS["sgd"] = make
    same = pickle.dumps(published()) == pickle.dumps(ours())
    notes = [f"The pickled classifiers are {'the same' if same else 'not the same'} to the byte."]
    title = (
        f"SGD classifier on {len(features):,} x {FEATURE_SIZE:,}, {options.iterations} of the "
        "1,000 iterations"
    )
    return title, {"published: scikit-learn's own call": published, "ours": ours}, notes


def scoring(options: argparse.Namespace, folder: Path) -> tuple[str, Ways, list[str]]:
    count = options.rows or SCORED_ROWS
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, count)
    indicators = draw.choice(["major", "minor", "mimic"], count)
    scores = (draw.random(count) * 0.7 + 0.3 * labels).round(4)
    predictions, reference = folder / "predictions.txt", folder / "ref_val.csv"
    names = [f"{number:06d}.jpg" for number in range(count)]
    predictions.write_text("\n".join(f"{n},{s:.4f}" for n, s in zip(names, scores, strict=True)))
    crosses = [f"{number % 14} x {number // 14 % 14}" for number in range(count)]
    rows = zip(names, labels, indicators, crosses, strict=True)
    reference.write_text(
        "filename,hybrid_stat,ssp_indicator,subspecies_ref\n"
        + "".join(f"{','.join(map(str, row))}\n" for row in rows)
    )

    def published() -> float:
        """The three recalls and four areas by scikit-learn, from arrays in memory."""
        recalls = []
        mimic = indicators == "mimic"
        for species, groups in ((~mimic, ("major", "minor")), (mimic, ("mimic",))):
            false, _, thresholds = roc_curve(
                labels[species], scores[species], drop_intermediate=False
            )
            # Above a threshold of ours is at or above the next one of scikit-learn.
            called = thresholds[np.flatnonzero(false <= 0.05)[-1]]
            average_precision_score(labels[species], scores[species])
            for group in groups:
                hybrids = (indicators == group) & (labels == 1)
                recalls.append((scores[hybrids] >= called).mean())
                if len(groups) > 1:
                    chosen = indicators == group
                    average_precision_score(labels[chosen], scores[chosen])
        return 3 / sum(1 / recall for recall in recalls)

    def ours() -> float:
        return score_rows(read_scored(predictions, reference), reference)["challenge_score"]

    apart = abs(published() - ours())
    ways = {
        "published: the numbers by scikit-learn": published,
        "ours: read both files, the numbers, how far one hybrid moves them, crosses": ours,
        "of that, how far one hybrid moves them": lambda: one_hybrid_moves(
            scores, labels, indicators
        ),
    }
    return (
        f"Challenge scores of {count:,} rows",
        ways,
        [f"The challenge scores differ by {apart:.1e}."],
    )


CLAIMS = {"extraction": extraction, "linear": linear, "sgd": sgd, "scoring": scoring}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the published way and ours side by side.")
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is taken")
    parser.add_argument("--rows", type=int, help="photographs of extraction, else rows")
    parser.add_argument("--iterations", type=int, default=50, help="of sgd (published: 1,000)")
    parser.add_argument(
        "--backbone", choices=BACKBONES, default="efficientnet_lite0", help="of extraction"
    )
    options = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        title, ways, notes = CLAIMS[options.claim](options, Path(folder))
        times = time_ways(ways, options.rounds)
    print(json.dumps({"title": title, "ways": times, "notes": notes}))


if __name__ == "__main__":
    main()
