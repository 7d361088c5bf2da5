"""Train the hybrid detector on photographs and generated images: python training.py

Reads a CSV of labelled images, extracts the backbone's features once, trains the members of the
ensemble, and writes to CLF_SAVE_DIR:
    sgd_clf.pkl, clf1024.pth              the published members, as the submission folder loads them
    subspecies.npz                        the member that knows the subspecies of the photographs
    linear_loss.png                       the linear classifier's loss by epoch
    training.html                         a page that shows how it goes, then how well they do
    training_index.npz                    what the report shows of the training's images
    shortcuts.csv                         how well the background alone tells the photographs
    held_out_photographs/                 evaluation on 20 % of the photographs
    published_split/                      evaluation on the published 20 % of the rows

Nearly all of the published rows share a source photograph with a row that is trained on, so that
figures on them flatter. The other evaluation trains on nothing that shows a held-out photograph.
Each folder holds
    classifier_evaluation_results.csv     metrics with 95 % bootstrap intervals
    classifier_recalls.csv                share called rightly of each subspecies and cross
    classifier_scores.csv                 the held-out images with each classifier's score
    *.png                                 score histograms, ROC, precision-recall

Every constant below is also an option: python training.py --NEPOCH 50 --DEVICE cpu
A path given as an option is relative to the working directory. Under torchrun each process
extracts its share of the features; then the first trains, and the others end.
"""

import argparse
import hashlib
import io
import logging
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import plots
import torch
from submission import REPOSITORY
from backbones import BACKBONE, BACKBONES, PREPROCESSES
from classifier import BLOCK_ROWS, CLASSIFIERS, fit_classifier, fit_linear
from cutout import is_cutout
from data_utils import find_images, read_table, split_rows
from evaluation import threshold_at_tnr
from feature_cache import Features, blocks, select
from files import ImageError, atomic, open_image, sync
from model import LINEAR_FILE, SGD_FILE, SUBSPECIES_FILE, choose_device, combine
from model_utils import extract_features, torchrun_device, torchrun_process
from painted import PhotographSplit, hold_out_photographs, is_painted, read_sources
from published_members import LinearClassifier, Origin, load_linear
from shortcuts import (
    RESULTS_FILE,
    sentence,
    table_photographs,
    tell_backgrounds,
    write_results,
)
from sklearn.base import ClassifierMixin
from subspecies import fit_subspecies
from subspecies_member import SubspeciesScorer
from tables import HeldOut, group_names, remove_evaluation, write_evaluation
from training_index import INDEX_FILE, make_index, save_index
from training_page import LOSS_PLOT, TrainingPage

# Relative paths up here are relative to the repository root.
ROOT_DATA_DIR = "Datasets/Images4TrainClassifier"
CSV_DIR = "List"  # in ROOT_DATA_DIR; "Lists" is found too
DATA_FILE = "butterfly_anomaly_AF.csv"  # in CSV_DIR
IMG_DIR = "Images"  # in ROOT_DATA_DIR; holds hybrid/ and non-hybrid/
CLF_SAVE_DIR = "Models/classifiers"  # where everything is written
CTN_SAVE_DIR = "Models/classifiers"  # where CTN finds the clf1024.pth to continue
DEVICE = None  # the best there is of "cuda", "mps" and "cpu"; or one of them
BATCH_SIZE = 32  # images in one pass through the backbone
NCLS = 2  # non-hybrid and hybrid; there is no other value
NEPOCH = 200  # epochs of the linear classifier
CTN = False  # True: continue the linear classifier in CTN_SAVE_DIR
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images
CACHE_DIR = "Datasets/.feature_cache"  # features by image content, backbone, weights
PREPROCESS = "photograph"  # "cutout": the specimen is cut out, here and whenever images are scored

LOOKED_AT = 20  # painted images, and photographs, that tell whether they are cutouts

# Beside ROOT_DATA_DIR: its lists say what an image was painted from, where the CSV does not.
LISTS_DATASET = "Images4TrainAFnonhybrid"

# Folders in CLF_SAVE_DIR, and what the log calls these evaluations.
PHOTOGRAPHS, PUBLISHED = "held_out_photographs", "published_split"
TITLES = {
    PHOTOGRAPHS: "on held-out photographs",
    PUBLISHED: "on the published split (it shares photographs with the training rows)",
}
MEANINGS = {  # what the page says of them
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
    for name, folder, meaning in [
        ("ROOT_DATA_DIR", ROOT_DATA_DIR, "the dataset"),
        ("CLF_SAVE_DIR", CLF_SAVE_DIR, "where results are written"),
        ("CTN_SAVE_DIR", CTN_SAVE_DIR, "what --CTN continues"),
        ("CACHE_DIR", CACHE_DIR, "where features are kept"),
    ]:
        parser.add_argument(f"--{name}", type=Path, default=REPOSITORY / folder, help=meaning)
    parser.add_argument("--CSV_DIR", default=CSV_DIR, help="folder of the CSV in ROOT_DATA_DIR")
    parser.add_argument("--DATA_FILE", default=DATA_FILE, help="the CSV in CSV_DIR")
    parser.add_argument("--IMG_DIR", default=IMG_DIR, help="folder of images in ROOT_DATA_DIR")
    parser.add_argument("--DEVICE", default=DEVICE, help="cuda, mps or cpu (default: the best)")
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
    parser.add_argument(
        "--rehash",
        action="store_true",
        help="read every image again, also those whose size and modification time are as before",
    )
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    parser.add_argument(
        *("--preprocess", "--PREPROCESS"),
        choices=PREPROCESSES,
        default=PREPROCESS,
        help="what the features are of, here and whenever the classifiers score",
    )
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
    folders = [options.CSV_DIR, *{"List": ["Lists"], "Lists": ["List"]}.get(options.CSV_DIR, [])]
    candidates = [options.ROOT_DATA_DIR / folder / options.DATA_FILE for folder in folders]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"no CSV of images: looked for {' and '.join(map(str, candidates))}; "
            "scripts/make_classifier_csv.py writes it"
        )
    return found


def load_features(
    options: argparse.Namespace, device: torch.device, page: TrainingPage
) -> tuple[pd.DataFrame, Features]:
    """The usable rows of the CSV and their features; unusable ones are reported and left out."""
    table = read_table(csv_path(options))
    paths = find_images(table, options.ROOT_DATA_DIR / options.IMG_DIR)
    found = np.array([path is not None for path in paths])
    report(table["filename"][~found], "are missing")
    table = table[found].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"{csv_path(options)}: none of its images is in {options.IMG_DIR}")
    there = [path for path in paths if path is not None]
    if options.preprocess == "photograph":
        check_grounds(is_painted(table), there)
    page.begin(f"features of {len(there):,} images")
    features, failures = extract_features(
        there,
        options.backbone,
        device,
        options.BATCH_SIZE,
        options.WORKERS,
        options.CACHE_DIR,
        options.preprocess,
        options.rehash,
        lambda done, total: page.advance(done, total, "images"),
    )
    report(table["filename"][sorted(failures)], "cannot be read")
    readable = ~table.index.isin(failures)
    table, features = table[readable].reset_index(drop=True), select(features, readable)
    finite = np.ones(len(features), bool)
    for block in blocks(len(features), BLOCK_ROWS):
        finite[block] = np.isfinite(features[block]).all(axis=1)
    check_finite(
        finite,
        table["filename"],
        f"a feature of {options.backbone}",
        f"check its weights, delete {options.CACHE_DIR} and train again",
    )
    return table, features


def check_grounds(painted: np.ndarray, paths: Sequence[Path]) -> None:
    """ValueError where the painted (n,) among n images are cutouts and the photographs are not.

    Classifiers would learn the ground. A few of each kind tell.
    """
    kinds = {
        kind: [path for path, of_kind in zip(paths, painted, strict=True) if of_kind == kind]
        for kind in (True, False)
    }
    cut, whole = (any(map(shows_cutout, kinds[kind][:LOOKED_AT])) for kind in (True, False))
    if cut and not whole and kinds[False]:
        raise ValueError(
            f"painted images such as {kinds[True][0]} are cutouts, and photographs such as "
            f"{kinds[False][0]} are not, so that the ground would tell them apart: train with "
            "--preprocess cutout"
        )


def shows_cutout(path: Path) -> bool:
    try:
        return is_cutout(np.asarray(open_image(path)))
    except ImageError:  # told where the features are extracted
        return False


def check_finite(finite: np.ndarray, names: pd.Series, what: str, next_step: str) -> None:
    """ValueError naming the first of n images for which `finite` (n,) is False."""
    if not finite.all():
        first = names[~finite].iloc[0]
        raise ValueError(
            f"{first} and {(~finite).sum() - 1} more images: {what} is NaN or infinite, expected "
            f"finite numbers; {next_step}"
        )


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
    path = options.CTN_SAVE_DIR / LINEAR_FILE
    if not path.is_file():
        raise FileNotFoundError(f"CTN continues {path}, but there is no such file")
    return load_linear(path, options.backbone, options.preprocess).state_dict()


def save_bytes(content: bytes, path: Path) -> None:
    """Write `content`; it is on the disk when this returns."""
    path.write_bytes(content)
    sync(path)


def save_linear(state: dict[str, torch.Tensor], origin: Origin, path: Path) -> None:
    """Write a plain state dict that remembers its origin in PyTorch's own metadata."""
    state._metadata[""] |= asdict(origin)
    buffer = io.BytesIO()  # torch.save writes a file's name into it; a buffer has none
    torch.save(state, buffer)
    save_bytes(buffer.getvalue(), path)


def save_subspecies(scorer: SubspeciesScorer, path: Path) -> None:
    """Write the member's arrays; the same arrays give the same bytes."""
    arrays = {name: value for name, value in vars(scorer).items() if name != "origin"}
    origin = {name: np.array(text or "") for name, text in asdict(scorer.origin).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **origin)
    save_bytes(buffer.getvalue(), path)


def training_id(
    features: Features,
    table: pd.DataFrame,
    start: Mapping[str, torch.Tensor] | None,
    options: argparse.Namespace,
) -> str:
    """16 hexadecimal digits; the same for equal features, rows, start and settings."""
    settings = f"{options.backbone} {options.preprocess} {options.NEPOCH} {features.shape}"
    digest = hashlib.sha256(settings.encode())
    for block in blocks(len(features), BLOCK_ROWS):
        digest.update(features[block].tobytes())
    taught = ["hybrid_stat", "subspecies", "parent_subspecies_1", "parent_subspecies_2"]
    digest.update(table[taught].to_csv(index=False).encode())
    for tensor in (start or {}).values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def main() -> int:
    level = logging.WARNING if torchrun_process()[0] else logging.INFO  # the first tells enough
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        silent = torchrun_process()[0] > 0
        with TrainingPage(options.CLF_SAVE_DIR, vars(options), MEANINGS, silent=silent) as page:
            train(options, page)
    except (OSError, ValueError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


def train(options: argparse.Namespace, page: TrainingPage) -> None:
    device = choose_device(torchrun_device(options.DEVICE))
    start = state_to_continue(options)
    table, features = load_features(options, device, page)
    if torchrun_process()[0]:
        return
    labels = table["label"].to_numpy()
    published = split_rows(labels)
    groups, photographs = hold_out(table, options)
    save_dir = options.CLF_SAVE_DIR
    page.facts = describe(table, options, device)
    names = list(dict.fromkeys(["sgd", *options.classifiers]))

    def fit_others(rows: np.ndarray) -> dict[str, ClassifierMixin]:
        return {
            name: fit_classifier(name, features[rows], labels[rows], options.backbone)
            for name in names
        }

    def watch(epoch: int, loss: float) -> None:
        page.advance(epoch, options.NEPOCH, "epochs", loss)

    def fit_twin(rows: np.ndarray) -> LinearClassifier:
        log.info("fitting a linear classifier to %d rows, for an evaluation", len(rows))
        return fit_linear(select(features, rows), labels[rows], options.NEPOCH, device)[0]

    def fit_member(rows: np.ndarray) -> SubspeciesScorer | None:
        try:
            return fit_subspecies(table.iloc[rows], select(features, rows), options.backbone)
        except ValueError as error:
            log.warning("no member that knows the subspecies: %s", error)
            return None

    def score(probability: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
        parts = [rows[part] for part in blocks(len(rows), BLOCK_ROWS)]
        return np.concatenate([probability(features[part]) for part in parts])

    def hold(
        rows: np.ndarray,
        others: Mapping[str, ClassifierMixin],
        linear: LinearClassifier,
        subspecies: SubspeciesScorer | None,
    ) -> HeldOut:
        scores = {name: score(fit.predict_proba, rows)[:, 1] for name, fit in others.items()}
        scores["linear"] = score(
            lambda part: linear.hybrid_probability(torch.tensor(part, device=device)), rows
        )
        members = {name: scores[name] for name in ("sgd", "linear")}
        if subspecies is not None:
            members["subspecies"] = score(subspecies.hybrid_probability, rows)
            scores["subspecies"] = members["subspecies"]
            scores["published"] = combine({name: members[name] for name in ("sgd", "linear")})
        scores["ensemble"] = combine(members)
        filenames = table["filename"].iloc[rows]
        for name, values in scores.items():
            step = "look for images whose features are far from all others"
            check_finite(np.isfinite(values), filenames, f"the score of {name}", step)
        return HeldOut("all", table.iloc[rows], groups[rows], scores)

    page.begin("the classifiers that are saved")
    classifiers = fit_others(published.fit)
    for name, classifier in classifiers.items():
        accuracy = classifier.score(features[published.check], labels[published.check])
        log.info("%s: accuracy %.4f on %d rows", name, accuracy, len(published.check))
    # The linear classifier that is saved learns from all rows. How well it does on images that it
    # never saw is told by twins that learn from the others.
    log.info("fitting the linear classifier that is saved to %d rows", len(labels))
    linear, losses = fit_linear(features, labels, options.NEPOCH, device, start, watch)
    if options.CTN:  # what is continued may have seen the images that are held out
        log.warning("CTN: evaluated are linear classifiers trained afresh, not the continued one")
    evaluations = {}
    if photographs is not None:
        page.begin("their twins that saw no held-out photograph")
        twins = [fit(photographs.train) for fit in (fit_others, fit_twin, fit_member)]
        evaluations[PHOTOGRAPHS] = hold(photographs.held_out, *twins)
    page.begin("their twins for the published split")
    twins = [fit(published.train) for fit in (fit_twin, fit_member)]
    evaluations[PUBLISHED] = hold(published.held_out, classifiers, *twins)
    subspecies = fit_member(np.arange(len(labels)))

    sgd = classifiers["sgd"]
    origin = Origin(
        options.backbone, training_id(features, table, start, options), options.preprocess
    )
    sgd.training_, sgd.preprocess_ = origin.training, origin.preprocess
    index = make_index(
        names=table["filename"],
        groups=group_names(table),
        hybrid=labels == 1,
        painted=is_painted(table),
        paths=find_images(table, options.ROOT_DATA_DIR / options.IMG_DIR),
        features=features,
        origin=origin,
        workers=options.WORKERS,
    )
    for folder in TITLES:  # of the classifiers that are replaced now
        remove_evaluation(save_dir / folder)
    (save_dir / RESULTS_FILE).unlink(missing_ok=True)
    # All are whole before any replaces the one of before.
    with ExitStack() as files:
        if subspecies is not None:
            member = replace(
                subspecies,
                threshold=np.array(held_out_threshold(evaluations.get(PHOTOGRAPHS))),
                origin=origin,
            )
            save_subspecies(member, files.enter_context(atomic(save_dir / SUBSPECIES_FILE)))
        if index is not None:
            save_index(index, files.enter_context(atomic(save_dir / INDEX_FILE)))
        save_bytes(pickle.dumps(sgd), files.enter_context(atomic(save_dir / SGD_FILE)))
        linear_file = files.enter_context(atomic(save_dir / LINEAR_FILE))
        save_linear(linear.state_dict(), origin, linear_file)
    sync(save_dir)
    if subspecies is None:
        (save_dir / SUBSPECIES_FILE).unlink(missing_ok=True)  # of a training before
    if index is None:
        (save_dir / INDEX_FILE).unlink(missing_ok=True)
    page.begin("the evaluation")
    for folder, held_out in evaluations.items():
        write_evaluation(save_dir / folder, TITLES[folder], held_out)
    plots.plot_loss(losses, save_dir / LOSS_PLOT)
    if options.preprocess == "photograph":  # the ground of cutouts is flat: there is none to tell
        page.begin("what the background alone tells")
        report_shortcuts(table, options, device)
    log.info("wrote %s", save_dir)


def describe(
    table: pd.DataFrame, options: argparse.Namespace, device: torch.device
) -> dict[str, str]:
    """What the page says of the images and of what looks at them."""
    painted = is_painted(table)
    return {
        "photographs": f"{(~painted).sum():,}",
        "painted images": f"{painted.sum():,}",
        "hybrids among all": f"{table['label'].sum():,}",
        "seen as": {"cutout": "cutouts"}.get(options.preprocess, "whole photographs"),
        "device": device.type,
    }


def report_shortcuts(
    table: pd.DataFrame, options: argparse.Namespace, device: torch.device
) -> None:
    """Log and write how well the background alone tells the photographs; a word where nothing can
    be said, as the classifiers are whole without it.
    """
    try:
        results = tell_backgrounds(
            table_photographs(table, options.ROOT_DATA_DIR / options.IMG_DIR),
            options.backbone,
            device,
            options.CACHE_DIR,
            max(1, options.WORKERS),
        )
        write_results(results, options.CLF_SAVE_DIR / RESULTS_FILE)
    except (OSError, ValueError) as error:
        log.warning("no check of what the background alone tells: %s", error)
        return
    for result in results:
        log.info("%s", sentence(result))


def held_out_threshold(held_out: HeldOut | None) -> float:
    """The ensemble's score that 95 % of the held-out photographs of non-hybrids do not pass.

    By twins of the members that saw none of these. NaN where there are no such photographs, or
    where their twin of the subspecies' member could not be fitted.
    """
    if held_out is None or "subspecies" not in held_out.scores:
        return np.nan
    scored = ~is_painted(held_out.table) & (held_out.labels == 0)
    if not scored.any():
        return np.nan
    return float(threshold_at_tnr(held_out.scores["ensemble"][scored], held_out.labels[scored]))


def hold_out(
    table: pd.DataFrame, options: argparse.Namespace
) -> tuple[np.ndarray, PhotographSplit | None]:
    """For a bootstrap, the photograph (n,) that gave each row its structure; and the split that
    holds photographs out, None where there can be none, which is logged.
    """
    log.info(
        "%d images: %d hybrid, %d painted",
        *(len(table), table["label"].sum(), is_painted(table).sum()),
    )
    groups = table["filename"].to_numpy()
    try:
        sources = read_sources(table, options.ROOT_DATA_DIR.absolute().parent / LISTS_DATASET)
        groups = sources[:, 0]
        split = hold_out_photographs(table, sources)
    except (OSError, ValueError) as error:
        log.warning("no evaluation %s: %s", TITLES[PHOTOGRAPHS], error)
        return groups, None
    if len(split.unknown):
        log.warning(
            "%d painted images are of photographs that the CSV does not list, and are left out "
            "of the evaluation %s (first: %s)",
            *(len(split.unknown), TITLES[PHOTOGRAPHS]),
            table["filename"].iloc[split.unknown[0]],
        )
    log.info(
        "%s: %d images trained on, %d held out, %d left out as they show both kinds",
        *(TITLES[PHOTOGRAPHS], len(split.train), len(split.held_out)),
        len(table) - len(split.train) - len(split.held_out) - len(split.unknown),
    )
    return groups, split


if __name__ == "__main__":
    sys.exit(main())
