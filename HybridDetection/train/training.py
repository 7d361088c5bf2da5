"""Train the hybrid detector on photographs and generated images: python training.py

Reads a CSV of labelled images, extracts the backbone's features once, trains the SGD classifier
and then the linear one, and writes to CLF_SAVE_DIR:
    sgd_clf.pkl, clf1024.pth              the classifiers, as the submission folder loads them
    classifier_evaluation_results.csv     how well each does on the 20 % of rows held out
    classifier_scores.csv                 the held-out rows with each classifier's score
    *.png                                 score histograms, ROC, precision-recall, loss

Every constant below is also an option: python training.py --NEPOCH 50 --DEVICE cpu
"""

from submission import REPOSITORY

import argparse
import io
import logging
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plots
import torch
from classifier import CLASSIFIERS, fit_classifier, fit_linear
from data_utils import find_images, read_table, split_rows
from evaluation import METRICS, evaluate
from files import atomic
from model import BACKBONE, BACKBONES, LINEAR_FILE, SGD_FILE, choose_device, load_linear
from model_utils import extract_features

# Relative paths are relative to the repository root.
ROOT_DATA_DIR = "Datasets/Images4TrainClassifier"
CSV_DIR = "List"  # in ROOT_DATA_DIR; "Lists" is found too
DATA_FILE = "butterfly_anomaly_AF.csv"  # in CSV_DIR
IMG_DIR = "Images"  # in ROOT_DATA_DIR; holds hybrid/ and non-hybrid/
CLF_SAVE_DIR = "Models/classifiers"  # where everything is written
CTN_SAVE_DIR = "Models/classifiers"  # where CTN finds the clf1024.pth to continue
DEVICE = "cuda"  # falls back to "mps", then "cpu"
BATCH_SIZE = 32  # images in one pass through the backbone
NCLS = 2  # non-hybrid and hybrid; there is no other value
NEPOCH = 200  # epochs of the linear classifier
CTN = False  # True: continue the linear classifier in CTN_SAVE_DIR
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images
CACHE_DIR = "Datasets/.feature_cache"  # features by image content, backbone, weights

log = logging.getLogger("training")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the hybrid detector.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--ROOT_DATA_DIR", default=ROOT_DATA_DIR, help="the dataset")
    parser.add_argument("--CSV_DIR", default=CSV_DIR, help="folder of the CSV in ROOT_DATA_DIR")
    parser.add_argument("--DATA_FILE", default=DATA_FILE, help="the CSV in CSV_DIR")
    parser.add_argument("--IMG_DIR", default=IMG_DIR, help="folder of images in ROOT_DATA_DIR")
    parser.add_argument("--CLF_SAVE_DIR", default=CLF_SAVE_DIR, help="where results are written")
    parser.add_argument("--CTN_SAVE_DIR", default=CTN_SAVE_DIR, help="what --CTN continues")
    parser.add_argument("--DEVICE", default=DEVICE, help="cuda, mps or cpu")
    parser.add_argument("--BATCH_SIZE", type=int, default=BATCH_SIZE, help="images at a time")
    parser.add_argument("--NCLS", type=int, default=NCLS, choices=[2], help="number of classes")
    parser.add_argument("--NEPOCH", type=int, default=NEPOCH, help="linear classifier's epochs")
    parser.add_argument(
        "--CTN",
        action=argparse.BooleanOptionalAction,
        default=CTN,
        help="continue the linear classifier",
    )
    parser.add_argument("--WORKERS", type=int, default=WORKERS, help="processes that decode")
    parser.add_argument("--CACHE_DIR", default=CACHE_DIR, help="where features are kept")
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    parser.add_argument(
        "--classifiers",
        nargs="+",
        choices=CLASSIFIERS,
        default=["sgd"],
        help="also evaluate these; sgd is always trained",
    )
    options = parser.parse_args()
    for name in ("BATCH_SIZE", "NEPOCH"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(options, name)}")
    if options.WORKERS < 0:
        parser.error(f"--WORKERS must not be negative, but is {options.WORKERS}")
    return options


def csv_path(options: argparse.Namespace) -> Path:
    """The CSV in CSV_DIR, or in the other spelling of List/ and Lists/."""
    root = REPOSITORY / options.ROOT_DATA_DIR
    folders = [options.CSV_DIR, *{"List": ["Lists"], "Lists": ["List"]}.get(options.CSV_DIR, [])]
    candidates = [root / folder / options.DATA_FILE for folder in folders]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"no CSV of images: looked for {' and '.join(map(str, candidates))}; "
            "scripts/make_classifier_csv.py writes it"
        )
    return found


def load_features(
    options: argparse.Namespace, device: torch.device
) -> tuple[pd.DataFrame, np.ndarray]:
    """The usable rows of the CSV and their features; unusable ones are reported and left out."""
    table = read_table(csv_path(options))
    paths = find_images(table, REPOSITORY / options.ROOT_DATA_DIR / options.IMG_DIR)
    found = np.array([path is not None for path in paths])
    report(table["filename"][~found], "are missing")
    table = table[found].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"{csv_path(options)}: none of its images is in {options.IMG_DIR}")
    features, failures = extract_features(
        [path for path in paths if path is not None],
        options.backbone,
        device,
        options.BATCH_SIZE,
        options.WORKERS,
        REPOSITORY / options.CACHE_DIR,
    )
    report(table["filename"][sorted(failures)], "cannot be read")
    readable = ~table.index.isin(failures)
    return table[readable].reset_index(drop=True), features[readable]


def report(names: pd.Series, problem: str) -> None:
    if len(names):
        log.warning(
            "%d images %s and are left out: %s%s",
            len(names),
            problem,
            ", ".join(names[:5]),
            ", ..." if len(names) > 5 else "",
        )


def state_to_continue(options: argparse.Namespace) -> dict[str, torch.Tensor] | None:
    """The linear classifier that CTN continues, checked; None where training starts afresh."""
    if not options.CTN:
        return None
    path = REPOSITORY / options.CTN_SAVE_DIR / LINEAR_FILE
    if not path.is_file():
        raise FileNotFoundError(f"CTN continues {path}, but there is no such file")
    return load_linear(path, options.backbone).state_dict()


def save_bytes(content: bytes, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def save_linear(state: dict[str, torch.Tensor], backbone: str, path: Path) -> None:
    """Write a plain state dict that remembers its backbone in PyTorch's own metadata."""
    state._metadata[""]["backbone"] = backbone
    buffer = io.BytesIO()  # torch.save writes a file's name into it; a buffer has none
    torch.save(state, buffer)
    save_bytes(buffer.getvalue(), path)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        train(options)
    except (OSError, ValueError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


def train(options: argparse.Namespace) -> None:
    device = choose_device(options.DEVICE)
    start = state_to_continue(options)
    table, features = load_features(options, device)
    labels = table["label"].to_numpy()
    split = split_rows(labels)
    save_dir = REPOSITORY / options.CLF_SAVE_DIR
    save_dir.mkdir(parents=True, exist_ok=True)
    log.info(
        "%d images (%d hybrid), %d held out for the evaluation",
        len(table),
        labels.sum(),
        len(split.held_out),
    )

    held_out_scores = {}
    for name in dict.fromkeys(["sgd", *options.classifiers]):
        classifier = fit_classifier(name, features[split.fit], labels[split.fit], options.backbone)
        accuracy = classifier.score(features[split.check], labels[split.check])
        log.info("%s: accuracy %.4f on %d rows", name, accuracy, len(split.check))
        held_out_scores[name] = classifier.predict_proba(features[split.held_out])[:, 1]
        if name == "sgd":
            sgd = pickle.dumps(classifier)

    # The classifier that is saved learns from all rows. How well it does on rows that it never
    # saw is told by a twin that learns from the training rows only.
    linear, losses = fit_linear(features, labels, options.NEPOCH, device, start)
    if options.CTN:  # what is continued may have seen the rows that are held out
        log.warning("CTN: evaluated is a linear classifier trained afresh, not the continued one")
    twin, _ = fit_linear(features[split.train], labels[split.train], options.NEPOCH, device)
    held_out = torch.tensor(features[split.held_out], device=device)
    held_out_scores["linear"] = twin.hybrid_probability(held_out)
    held_out_scores["ensemble"] = np.maximum(held_out_scores["sgd"], held_out_scores["linear"])

    save_bytes(sgd, save_dir / SGD_FILE)  # side by side, so that an interruption mixes no pair
    save_linear(linear.state_dict(), options.backbone, save_dir / LINEAR_FILE)
    write_evaluation(held_out_scores, table.iloc[split.held_out], save_dir)
    plots.plot_loss(losses, save_dir / "linear_loss.png")
    log.info("wrote %s", save_dir)


def write_evaluation(scores: dict[str, np.ndarray], table: pd.DataFrame, save_dir: Path) -> None:
    """Results, scores and plots of the classifiers on the held-out rows of `table`."""
    labels = table["label"].to_numpy()
    results = {name: evaluate(values, labels) for name, values in scores.items()}
    rows = pd.DataFrame.from_dict(results, orient="index", columns=METRICS)
    with atomic(save_dir / "classifier_evaluation_results.csv") as temporary:
        rows.to_csv(temporary, index_label="classifier", float_format="%.6f")
    columns = table[["filename", "hybrid_stat", "subspecies"]].assign(**scores)
    with atomic(save_dir / "classifier_scores.csv") as temporary:
        columns.to_csv(temporary, index=False, float_format="%.6f")
    log.info("on %d held-out rows:\n%s", len(labels), rows.round(4).to_string())

    thresholds = {name: result["threshold"] for name, result in results.items()}
    plots.plot_histograms(scores, thresholds, labels, save_dir / "score_histograms.png")
    plots.plot_roc(scores, labels, save_dir / "roc.png")
    plots.plot_precision_recall(scores, labels, save_dir / "precision_recall.png")


if __name__ == "__main__":
    sys.exit(main())
