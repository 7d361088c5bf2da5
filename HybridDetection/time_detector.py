"""Time the published way and ours side by side: scoring, features, both published classifiers.

    python HybridDetection/time_detector.py --photographs DIR --classifiers DIR [--rounds 3]

Every round takes each way once, so that a busy machine slows all alike; the figure to look at is
how many times as fast each way is, the median over the rounds. Prints Markdown, with how far the
results lie apart. scripts/benchmarks/run_all.sh keeps it as RESULTS.md.
"""

import argparse
import os
import pickle
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from torch.nn import functional as F
from torchvision import transforms
from tqdm import tqdm

sys.path.append(str(Path(__file__).parent / "train"))

import submission  # noqa: F401  puts the submission folder on the path
import classifier
import ingestion
from backbones import BACKBONES, build_backbone
from model import Model
from model_utils import extract_features
from published_members import LinearClassifier

ROWS, FEATURES = 12_947, 1536  # of the published training
EPOCHS, ITERATIONS = 2, 50  # of the published 200 and 1,000
CPU = torch.device("cpu")

Ways = dict[str, Callable[[], object]]  # the first is the published one
# What is measured, in which ways, and what is said of how far their results lie apart.
Claim = tuple[str, Ways, Callable[..., str]]


def copy_photographs(source: Path, target: Path, how_many: int) -> list[Path]:
    """The first `how_many` photographs of a folder, copied into another."""
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    if not found:
        raise ValueError(f"{source}: no .jpg or .png in it")
    target.mkdir()
    return [Path(shutil.copy(path, target)) for path in found[:how_many]]


def scoring(options: argparse.Namespace, folder: Path) -> Claim:
    photographs = folder / "photographs"
    paths = copy_photographs(options.photographs, photographs, options.how_many)

    def published() -> np.ndarray:
        model = Model(device="cpu", classifiers=options.classifiers)
        model.load()
        return np.array([model.predict(Image.open(path)) for path in paths])

    def ours(*arguments: str) -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=folder) as output:
            sys.argv = ["ingestion.py", str(photographs), output, "--device", "cpu"]
            sys.argv += ["--classifiers", str(options.classifiers), *arguments]
            with redirect_stdout(sys.stderr):
                if ingestion.main():
                    raise ValueError(f"{options.photographs}: not all of it was scored")
            lines = Path(output, "predictions.txt").read_text().splitlines()
        return np.array([float(line.rpartition(",")[2]) for line in lines])

    def apart(first: np.ndarray, exact: np.ndarray, fast: np.ndarray) -> str:
        largest = [np.abs(scores - first).max() for scores in (exact, fast)]
        return (
            f"Scores, of 4 decimals, differ by {largest[0]:.4f} at the most, by {largest[1]:.4f} "
            "with --fast."
        )

    title = f"Scores of {len(paths)} photographs, from loading to writing"
    ways = {"published: one at a time": published, "ours": ours}
    return title, ways | {"ours, --fast": lambda: ours("--fast")}, apart


def features(options: argparse.Namespace, folder: Path) -> Claim:
    paths = copy_photographs(options.photographs, folder / "photographs", options.how_many)
    name = options.backbone

    def published() -> np.ndarray:
        network, spec = build_backbone(name, CPU), BACKBONES[name]
        steps = [transforms.Resize((224, 224)), transforms.ToTensor()]
        transform = transforms.Compose([*steps, transforms.Normalize(spec.mean, spec.std)])
        with torch.inference_mode():
            images = (transform(Image.open(path))[None] for path in paths)
            return np.concatenate([network(image).numpy() for image in images])

    def ours(cache: Path) -> np.ndarray:
        workers = min(4, os.cpu_count() or 1)
        return extract_features(paths, name, CPU, 32, workers, cache)[0][:]

    def first_run() -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            return ours(Path(cache))

    def apart(first: np.ndarray, *others: np.ndarray) -> str:
        largest = max(np.abs(values - first).max() for values in others)
        return f"The features differ by {largest:.1e} at the most."

    ours(folder / "kept")
    ways = {
        "published: one at a time": published,
        "ours: in batches, stored": first_run,
        "ours: the next run": lambda: ours(folder / "kept"),
    }
    return f"Features of {len(paths)} photographs by {name}", ways, apart


def made_up(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, FEATURES) float32 that tell the 0/1 labels (rows,) in part."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    values = draw.standard_normal((rows, FEATURES), np.float32)
    values[:, :20] += 0.3 * labels[:, None]
    return values, labels


def linear(options: argparse.Namespace, folder: Path) -> Claim:
    values, labels = made_up(options.rows)

    def published() -> list[float]:
        """Full-batch steps as plainly as they are said."""
        torch.manual_seed(classifier.SEED)
        network = LinearClassifier(FEATURES).train()
        adam = torch.optim.Adam(network.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(classifier.SEED)
        inputs, targets = torch.tensor(values), torch.tensor(labels)
        losses = []
        for _ in range(EPOCHS):
            rows = torch.randperm(len(targets), generator=generator)[: round(0.9 * len(targets))]
            loss = F.cross_entropy(network(inputs[rows]), targets[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses

    def ours() -> list[float]:
        return classifier.fit_linear(values, labels, EPOCHS, CPU)[1]

    def apart(first: list[float], second: list[float]) -> str:
        return f"The losses are {'' if first == second else 'not '}the same to the bit."

    title = f"{EPOCHS} epochs of the linear classifier on {len(values):,} x {FEATURES:,}"
    return title, {"published: a plain loop": published, "ours": ours}, apart


def sgd(options: argparse.Namespace, folder: Path) -> Claim:
    values, labels = made_up(options.rows)
    make_published = classifier.CLASSIFIERS["sgd"]

    def make() -> classifier.ClassifierMixin:
        return make_published().set_params(estimator__max_iter=ITERATIONS)

    def published() -> classifier.ClassifierMixin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = make().fit(values, labels)
        fitted.backbone_ = "dinov2_base"
        return fitted

    def ours() -> classifier.ClassifierMixin:
        return classifier.fit_classifier("sgd", values, labels, "dinov2_base")

    def apart(*fitted: classifier.ClassifierMixin) -> str:
        first, second = map(pickle.dumps, fitted)
        return (
            f"The pickled classifiers are {'' if first == second else 'not '}the same to the byte."
        )

    classifier.CLASSIFIERS["sgd"] = make
    title = f"SGD classifier on {len(values):,} x {FEATURES:,}, {ITERATIONS} iterations"
    return title, {"published: scikit-learn's own call": published, "ours": ours}, apart


def time_ways(ways: Ways, rounds: int) -> tuple[dict[str, list[float]], list[object]]:
    """The seconds of each way in each round, and the last result of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in tqdm(range(rounds), "rounds", disable=None):
        results = []
        for name, run in ways.items():
            begin = time.perf_counter()
            results.append(run())
            seconds[name].append(time.perf_counter() - begin)
    return seconds, results


def table(title: str, seconds: dict[str, list[float]], note: str) -> str:
    """A section of Markdown: a row for each way, the ratios those of each round's times."""
    first = next(iter(seconds.values()))
    lines = [f"## {title}", "", "| Way | Seconds | Times as fast |", "| --- | --- | --- |"]
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(first, own, strict=True))
        lines.append(f"| {name} | {statistics.median(own):.3g} | {ratio:.2f} |")
    return "\n".join([*lines, "", note, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the published way and ours side by side.")
    add = parser.add_argument
    add("--photographs", type=Path, required=True, help="a folder of them")
    add("--classifiers", type=Path, required=True, help="trained ones, that score them")
    add("--backbone", choices=BACKBONES, default="efficientnet_lite0", help="of the features")
    add("--how_many", type=int, default=64, help="photographs of those in the folder")
    add("--rounds", type=int, default=3, help="times that each way is taken")
    add("--rows", type=int, default=ROWS, help="of features that classifiers are trained on")
    options = parser.parse_args()
    print(f"# Published and ours\n\nMedians of {options.rounds} rounds on {platform.machine()},")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}.\n")
    try:
        for claim in (scoring, features, linear, sgd):
            with tempfile.TemporaryDirectory() as folder:
                title, ways, apart = claim(options, Path(folder))
                seconds, results = time_ways(ways, options.rounds)
                print(table(title, seconds, apart(*results)), flush=True)
    except (OSError, ValueError) as error:
        print(f"time_detector: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
