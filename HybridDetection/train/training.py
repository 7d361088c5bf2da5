"""Train the hybrid detector on photographs and generated images: python training.py

Reads a CSV of labelled images, extracts the backbone's features once, trains the members of the
ensemble, and writes to CLF_SAVE_DIR:
    sgd_clf.pkl, clf1024.pth              the published members, as the submission folder loads them
    subspecies.npz                        the member that knows the subspecies by their wings
    linear_loss.png                       the linear classifier's loss by epoch
    training.html                         a page that shows how it goes, then how well they do
    training_index.npz                    what the report shows of the training's images
    shortcuts.csv                         how well the background alone tells the photographs
    held_out_photographs/                 evaluation on 20 % of the photographs
    published_split/                      evaluation on the published 20 % of the rows

Each folder of an evaluation holds
    classifier_evaluation_results.csv     metrics with 95 % bootstrap intervals
    classifier_recalls.csv                share called rightly of each subspecies and cross
    classifier_scores.csv                 the held-out images with each classifier's score
    *.png                                 score histograms, ROC, precision-recall

Every constant of the first block is also an option: python training.py --NEPOCH 50 --DEVICE cpu
A path given as an option is relative to the working directory.
"""

import argparse
import hashlib
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import submission  # noqa: F401  puts the submission folder on the path
import numpy as np
import torch
from backbones import BACKBONE, BACKBONES, PREPROCESSES, WINGS
from classifier import (
    fit_linear,
    fit_sgd,
    keep_published,
    save_arrays,
    save_linear,
    save_sgd,
    training_id,
)
from corrections import correct
from data_utils import check_classes, split_rows
from dataset import Rows, check_finite, check_grounds, find_csv, read_dataset, report_left_out
from engine import ENGINES
from files import atomic
from model import LINEAR_FILE, SGD_FILE, SUBSPECIES_FILE, choose_device, combine
from model_utils import Look, extract_features
from painted import PhotographSplit, is_painted, split_photographs
from plots import plot_loss
from processes import CORES, use_own_cores
from published_members import LinearClassifier, Origin, check_origin, load_linear
from shortcuts import SHORTCUTS_FILE, report_backgrounds, table_photographs
from sklearn.base import ClassifierMixin
from subspecies import VIEWS, change, fit_subspecies, select
from subspecies_member import SubspeciesScorer
from tables import (
    HeldOut,
    held_out_threshold,
    remove_evaluation,
    warn_of_third,
    write_evaluation,
)
from training_index import INDEX_FILE, make_index
from training_page import LOSS_PLOT, TrainingPage

# The published block. Relative paths up here are relative to this file's folder.
ROOT_DATA_DIR = Path("../../Datasets/Images4TrainClassifier")
CSV_DIR = Path("../../Datasets/Images4TrainClassifier")
DATA_FILE = CSV_DIR / "List" / "butterfly_anomaly_AF.csv"  # in Lists/, too
IMG_DIR = ROOT_DATA_DIR / "Images"  # holds hybrid/ and non-hybrid/
CLF_SAVE_DIR = Path("../submission/dino2B_contestAF_1024linear2cls")  # where all is written
CTN_SAVE_DIR = Path("../submission/dino2B_contestAF_1024linear2cls")  # the clf1024.pth to continue
DEVICE = None  # the best there is of "cuda", "mps" and "cpu"; or one of them
BATCH_SIZE = 32  # images in one pass through the backbone
NCLS = 2  # non-hybrid and hybrid; there is no other value
NEPOCH = 200  # epochs of the linear classifier
CTN = False  # True: continue the linear classifier in CTN_SAVE_DIR
WORKERS = min(4, CORES)  # processes that decode images
CACHE_DIR = Path("../../Datasets/.feature_cache")  # features by image content, backbone, weights
PREPROCESS = "photograph"  # "cutout": the specimen is cut out, here and whenever images are scored

# Beside ROOT_DATA_DIR: its lists say what an image was painted from, where the CSV does not.
LISTS_DATASET = "Images4TrainAFnonhybrid"

# Folders in CLF_SAVE_DIR; what the log calls these evaluations, and what the page says of them.
PHOTOGRAPHS, PUBLISHED = "held_out_photographs", "published_split"
TITLES = {
    PHOTOGRAPHS: "on held-out photographs",
    PUBLISHED: "on the published split (it shares photographs with the training rows)",
}
MEANINGS = {
    PHOTOGRAPHS: "Photographs that no classifier judged here was trained on, nor on anything that "
    "shows them: how well it does on new photographs of the same collections and crosses.",
    PUBLISHED: "The published 20 % of the rows. Nearly all share a photograph with a row that is "
    "trained on, so these figures flatter.",
}

log = logging.getLogger("training")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the hybrid detector.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, kind, default, meaning in [
        ("--ROOT_DATA_DIR", Path, here(ROOT_DATA_DIR), "the dataset"),
        ("--CSV_DIR", Path, None, "what has List/ or Lists/ (None: where the constants put it)"),
        ("--DATA_FILE", Path, None, "the CSV there, or its path (None: likewise)"),
        ("--IMG_DIR", Path, None, "folder of images in ROOT_DATA_DIR (None: likewise)"),
        ("--CLF_SAVE_DIR", Path, here(CLF_SAVE_DIR), "where results are written"),
        ("--CTN_SAVE_DIR", Path, here(CTN_SAVE_DIR), "what --CTN continues"),
        ("--CACHE_DIR", Path, here(CACHE_DIR), "where features are kept"),
        ("--DEVICE", str, DEVICE, "cuda, mps or cpu; None: the best there is"),
        ("--BATCH_SIZE", int, BATCH_SIZE, "images at a time"),
        ("--NEPOCH", int, NEPOCH, "linear classifier's epochs"),
        ("--WORKERS", int, WORKERS, "processes that decode"),
    ]:
        parser.add_argument(name, type=kind, default=default, help=meaning)
    said = "CSVs that the report saved: what a person said of photographs"
    parser.add_argument("--corrections", type=Path, nargs="+", default=[], help=said)
    parser.add_argument("--NCLS", type=int, default=NCLS, choices=[2], help="number of classes")
    continuing = {"action": argparse.BooleanOptionalAction, "default": CTN}
    parser.add_argument("--CTN", **continuing, help="continue the linear classifier")
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    computes = "of the networks, as for ingestion.py"
    parser.add_argument("--engine", choices=ENGINES, help=computes)
    looks_at = "what the features are of, here and whenever the classifiers score"
    names = ("--preprocess", "--PREPROCESS")
    parser.add_argument(*names, choices=PREPROCESSES, default=PREPROCESS, help=looks_at)
    judged = "which evaluations, each with classifiers of its own; none leaves all out"
    parser.add_argument("--evaluate", nargs="*", choices=TITLES, default=list(TITLES), help=judged)
    options = parser.parse_args()
    for name, least in (("BATCH_SIZE", 1), ("NEPOCH", 1), ("WORKERS", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(options, name)}")
    # The constants lie in each other; so do the options that are not given.
    root = options.ROOT_DATA_DIR
    options.CSV_DIR = options.CSV_DIR or moved(CSV_DIR, ROOT_DATA_DIR, root)
    options.DATA_FILE = options.DATA_FILE or moved(DATA_FILE, CSV_DIR, options.CSV_DIR)
    images = options.IMG_DIR
    options.IMG_DIR = root / images if images else moved(IMG_DIR, ROOT_DATA_DIR, root)
    return options


def here(path: Path | str) -> Path:
    """A constant's path, which is relative to this file's folder."""
    return Path(os.path.normpath(Path(__file__).parent.absolute() / path))


def moved(path: Path, old: Path, new: Path) -> Path:
    """The constant `path`; where it lies in the constant `old`, at the same place in `new`."""
    path, old = here(path), here(old)
    return new / path.relative_to(old) if path.is_relative_to(old) else path


def load(
    options: argparse.Namespace, device: torch.device, page: TrainingPage
) -> tuple[Rows, PhotographSplit | None]:
    """The usable rows of the CSV, and the split that holds photographs out, None where there can
    be none. Images that are not usable are reported and left out.
    """
    csv_path = find_csv(options.CSV_DIR, options.DATA_FILE)
    table, paths = read_dataset(csv_path, options.IMG_DIR)
    lists = options.ROOT_DATA_DIR.absolute().parent / LISTS_DATASET
    if options.corrections:
        table, paths = correct(table, paths, options.corrections, lists)
    check_classes(table["label"].to_numpy(), str(csv_path))
    painted = is_painted(table)
    if options.preprocess == "photograph":
        check_grounds(painted, paths)
    page.begin(f"features of {len(paths):,} images, and their wings")
    backbone = Look(options.backbone, options.preprocess)
    changes = {str(view): partial(change, view=view) for view in VIEWS}
    of_wings = {Look(WINGS, WINGS): painted, Look(WINGS, WINGS, changes): ~painted}
    how = device, options.BATCH_SIZE, options.WORKERS, options.CACHE_DIR, options.engine
    (features, *seen), failures = extract_features(paths, {backbone: slice(None)} | of_wings, *how)
    wings = np.empty(len(paths), object)
    for (look, rows), some in zip(of_wings.items(), seen, strict=True):
        for row, views in zip(np.flatnonzero(rows), some, strict=True):
            wings[row] = views.reshape(1 + len(look.changes), -1)
    names = table["filename"]
    report_left_out(names[sorted(failures)], "cannot be read")
    labels = table["label"].to_numpy()
    rows = Rows(table, paths, features, labels, painted, names.to_numpy(), wings)
    rows = rows.take(np.setdiff1d(np.arange(len(rows)), list(failures)))
    check_finite(rows.features, rows.table["filename"], f"a feature of {options.backbone}")
    log.info("%d images: %d hybrid, %d painted", len(rows), rows.labels.sum(), rows.painted.sum())
    contents = [hashlib.sha256(feature).hexdigest()[:16] for feature in rows.features]
    groups, photographs = split_photographs(rows.table, lists, TITLES[PHOTOGRAPHS], contents)
    return replace(rows, groups=groups), photographs


@dataclass(frozen=True)
class Fitted:
    """The members of the ensemble, fitted to the same rows."""

    sgd: ClassifierMixin
    linear: LinearClassifier
    losses: list[float]  # of the linear classifier, by epoch
    subspecies: SubspeciesScorer | None  # None where the rows do not tell enough


def fit(
    rows: Rows,
    sgd: ClassifierMixin,
    options: argparse.Namespace,
    device: torch.device,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Fitted:
    """`sgd` with the other members beside it; the linear one goes on from `start`."""
    linear, losses = fit_linear(rows.features, rows.labels, options.NEPOCH, device, start)
    photographs = select(rows.table)
    if len(photographs.names) < 2:
        log.warning(
            "no member that knows the subspecies: the CSV names %d subspecies of non-hybrid "
            "photographs, expected two or more",
            len(photographs.names),
        )
        return Fitted(sgd, linear, losses, None)
    subspecies = fit_subspecies(photographs, rows.wings, Origin(options.backbone))
    return Fitted(sgd, linear, losses, subspecies)


def evaluate(rows: Rows, fitted: Fitted, device: torch.device) -> HeldOut:
    """The scores that each classifier and the ensemble give to `rows`, which they never saw."""
    features = torch.as_tensor(rows.features, device=device)
    members = {
        "sgd": fitted.sgd.predict_proba(rows.features)[:, 1],
        "linear": fitted.linear.hybrid_probability(features),
    }
    scores = dict(members)
    if fitted.subspecies is not None:
        plain = np.stack([views[0] for views in rows.wings])
        members["subspecies"] = fitted.subspecies.hybrid_probability(plain)
        scores = members | {"published": combine(scores)}
    scores["ensemble"] = combine(members)
    for name, values in scores.items():
        check_finite(values, rows.table["filename"], f"the score of {name}")
    return HeldOut("all", rows, scores)


def save(
    rows: Rows,
    fitted: Fitted,
    threshold: float,
    start: Mapping[str, torch.Tensor] | None,
    options: argparse.Namespace,
) -> None:
    """Write the members and the report's index, of one origin, and remove what is of others.

    All are whole before any replaces the one of before. Published ones are kept.
    """
    settings = options.backbone, options.preprocess, options.NEPOCH
    origin = Origin(options.backbone, training_id(rows, start, *settings), options.preprocess)
    index = make_index(rows, origin, options.WORKERS)
    folder = options.CLF_SAVE_DIR
    for name in TITLES:
        remove_evaluation(folder / name)
    (folder / SHORTCUTS_FILE).unlink(missing_ok=True)
    with ExitStack() as files:

        def part(name: str) -> Path:
            return files.enter_context(atomic(folder / name, durable=True))

        if fitted.subspecies is not None:
            member = replace(fitted.subspecies, threshold=np.array(threshold), origin=origin)
            save_arrays(member, part(SUBSPECIES_FILE))
        if index is not None:
            save_arrays(index, part(INDEX_FILE))
        save_sgd(fitted.sgd, origin, part(SGD_FILE))
        save_linear(fitted.linear.state_dict(), origin, part(LINEAR_FILE))
        keep_published(folder)
    for name, made in ((SUBSPECIES_FILE, fitted.subspecies), (INDEX_FILE, index)):
        if made is None:
            (folder / name).unlink(missing_ok=True)


def train(options: argparse.Namespace, page: TrainingPage) -> None:
    use_own_cores()
    device = choose_device(options.DEVICE)
    start = None
    if options.CTN:
        path = options.CTN_SAVE_DIR / LINEAR_FILE
        continued = load_linear(path)
        check_origin(path, continued.origin, options.backbone, options.preprocess)
        start = continued.state_dict()
    rows, photographs = load(options, device, page)
    published = split_rows(rows.labels)
    page.facts = {
        "photographs": f"{(~rows.painted).sum():,}",
        "specimens": f"{len(set(rows.groups[~rows.painted, 0])):,}",
        "painted images": f"{rows.painted.sum():,}",
        "hybrids among all": f"{rows.labels.sum():,}",
        "seen as": "cutouts" if options.preprocess == "cutout" else "whole photographs",
        "device": device.type,
    }

    page.begin("the classifiers that are saved")
    taught, check = rows.take(published.fit), rows.take(published.check)
    sgd = fit_sgd(taught.features, taught.labels, options.backbone)
    accuracy = sgd.score(check.features, check.labels)
    log.info("sgd: accuracy %.4f on %d rows that it was not fitted to", accuracy, len(check))
    # The linear classifier that is saved learns from all rows. How well it does on images that it
    # never saw is told by twins that learn from the others.
    saved = fit(rows, sgd, options, device, start)
    if options.CTN:  # what is continued may have seen the images that are held out
        log.warning("CTN: evaluated are linear classifiers trained afresh, not the continued one")
    evaluations = {}
    if photographs is not None and PHOTOGRAPHS in options.evaluate:
        page.begin("their twins that saw no held-out photograph")
        learnt = rows.take(photographs.train)
        own_sgd = fit_sgd(learnt.features, learnt.labels, options.backbone, learnt.groups)
        twins = fit(learnt, own_sgd, options, device)
        evaluations[PHOTOGRAPHS] = evaluate(rows.take(photographs.held_out), twins, device)
    if PUBLISHED in options.evaluate:
        page.begin("their twins for the published split")
        twins = fit(rows.take(published.train), sgd, options, device)
        evaluations[PUBLISHED] = evaluate(rows.take(published.held_out), twins, device)

    save(rows, saved, held_out_threshold(evaluations.get(PHOTOGRAPHS)), start, options)
    page.begin("the evaluation")
    for folder, held_out in evaluations.items():
        write_evaluation(options.CLF_SAVE_DIR / folder, TITLES[folder], held_out)
    if PHOTOGRAPHS in evaluations:
        warn_of_third(evaluations[PHOTOGRAPHS])
    plot_loss(saved.losses, options.CLF_SAVE_DIR / LOSS_PLOT)
    if options.preprocess == "photograph":  # the ground of cutouts is flat: there is none to tell
        page.begin("what the background alone tells")
        report_backgrounds(
            table_photographs(rows.table, rows.paths, rows.groups[:, 0]),
            *(options.CLF_SAVE_DIR / SHORTCUTS_FILE, options.backbone, device, options.CACHE_DIR),
            max(1, options.WORKERS),
        )
    log.info("wrote %s", options.CLF_SAVE_DIR)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        meanings = {name: MEANINGS[name] for name in options.evaluate}
        with TrainingPage(options.CLF_SAVE_DIR, vars(options), meanings) as page:
            train(options, page)
    except (OSError, ValueError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
