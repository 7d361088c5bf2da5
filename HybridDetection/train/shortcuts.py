"""What tells subspecies and hybrids apart in these photographs: the wings, or who took them?

    python scripts/check_shortcuts.py --photographs FOLDER       a subfolder for each subspecies
    python scripts/check_shortcuts.py --photographs FOLDER --csv butterfly_anomaly_train.csv
    python scripts/check_shortcuts.py --csv List/butterfly_anomaly_AF.csv     images in ../Images

What of a specimen was learnt from is not asked of it: a CSV says which photographs are of one by
their CAMID or md5; in folders they are of one where their content is the same, or their names, up
to _d and _v, -dorsal and -ventral, or as far as --specimen PATTERN says: 'CAM[0-9]+'.

The published classifier, cross-validated, sees each photograph in four ways:
    whole         as it is
    background    the specimen hidden: its box in the flat colour of the ground around it
    ground        the colour of the photograph's four corners, and nothing else
    cutout        the specimen alone, centred on a flat ground
OUTPUT/shortcuts.csv says how often it was right in each, with a 95 % interval and with chance;
OUTPUT/{whole,background,ground,cutout}/ hold what it saw. Photographs without a specimen that is
found with confidence are left out, as there is nothing to hide; so are subspecies of one
specimen, and painted images. training.py asks the same of the background alone, of a sample.
"""

import argparse
import logging
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from submission import REPOSITORY
from backbones import BACKBONE, BACKBONES, resize
from classifier import make_sgd
from cutout import CONFIDENT, GROUND, box_of, find_specimen, on_flat_ground
from data_utils import COLUMNS, FOLDS, plain
from dataset import read_dataset
from files import ImageError, atomic, images_in, open_image, passed_over, unread
from listing import check_folder, no_images
from metrics import SEED, interval, resample, roc_auc, wilson
from model import choose_device
from model_utils import Look, extract_features, hash_files
from painted import is_painted, name_specimens
from PIL import Image
from processes import CORES, use_own_cores
from sklearn.model_selection import LeaveOneOut, StratifiedKFold, cross_val_predict
from specimens import deal, read_pattern, read_specimens
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

MARGIN = 0.05  # of the box's longer side, hidden around it: antennae and shadow
CORNER = 0.08  # of a photograph's shorter side: four squares that show its ground
ONE_BY_ONE = 100  # photographs; so many are left out one at a time, more in FOLDS parts
BATCH_SIZE = 32  # images in one pass through the backbone
SAMPLE = 200  # photographs of a training: a share is then known within 7 %, for a minute's work
SHORTCUTS_FILE = "shortcuts.csv"
CACHE = REPOSITORY / "Datasets/.feature_cache"  # training's
ADVICE = "cut the specimens out, or balance who photographed them"

log, training_log = logging.getLogger("check_shortcuts"), logging.getLogger("training")

# Photographs are tables: `path`; `subspecies`, "" where it is not asked; `hybrid`, 0 or 1;
# `specimen`, a name.


class Result(NamedTuple):
    """A row of shortcuts.csv: what was told in a view, how well, and how well by chance."""

    view: str
    told: str  # subspecies or hybrids
    photographs: int
    measure: str  # accuracy or ROC AUC
    value: float
    low: float  # of the 95 % interval
    high: float
    chance: float
    specimens: int

    def sentence(self) -> str:
        """What it means, of the views of the background and the ground."""
        return (
            f"the {self.view} alone tells the {self.told} with {self.measure} {self.value:.2f} "
            f"(chance {self.chance:.2f}, 95 % interval {self.low:.2f} to {self.high:.2f}, "
            f"{self.photographs} photographs of {self.specimens} specimens)"
            + (f": {ADVICE}" if self.low > self.chance else ", which may be chance")
        )


def read_folder(
    folder: Path, pattern: re.Pattern | None
) -> tuple[pd.DataFrame, list[Path], dict[str, list[str]]]:
    """The images in the subfolders of `folder`, one for each subspecies, as a classifier's table of
    non-hybrids, their paths, and what is passed over, as images_in gives it. CAMID is what the
    `pattern` finds in their names."""
    check_folder(folder)
    images, passed = images_in(folder)
    names = [name for name in images if "/" in name]
    if alone := [name for name in images if "/" not in name]:
        passed["in no sub-folder"] = alone
    if not names:
        raise no_images(f"the sub-folders of {folder}, one a subspecies", passed)
    table = pd.DataFrame("", range(len(names)), COLUMNS).assign(
        filename=names,
        CAMID=read_specimens(names, pattern) if pattern else "",
        subspecies=[name.split("/")[0] for name in names],
        hybrid_stat="non-hybrid",
        label=0,
    )
    return table, [folder / name for name in names], passed


def table_photographs(
    table: pd.DataFrame, paths: Sequence[Path], specimens: np.ndarray
) -> pd.DataFrame:
    """The photographs among the n rows of a classifier's table, of `specimens` (n,); of hybrids no
    subspecies is asked."""
    subspecies = table["subspecies"].map(plain).where(table["label"] == 0, "")
    rows = {"path": list(paths), "subspecies": subspecies, "hybrid": table["label"]}
    rows["specimen"] = specimens
    return pd.DataFrame(rows)[~is_painted(table)].reset_index(drop=True)


def hide(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A photograph with its specimen's box, and MARGIN around it, in the colour of the paper."""
    left, top, right, bottom = box_of(mask)
    around = ~mask[top:bottom, left:right]
    paper = np.median(rgb[top:bottom, left:right][around], axis=0) if around.any() else GROUND
    margin = round(MARGIN * max(right - left, bottom - top))
    rgb = rgb.copy()
    rgb[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin] = paper
    return rgb


def corner_colour(rgb: np.ndarray) -> np.ndarray:
    """The median colour (3,) of a photograph's four corners, of levels from 0 to 255."""
    side = max(1, round(CORNER * min(rgb.shape[:2])))
    ends = slice(side), slice(-side, None)
    corners = [np.median(rgb[place], axis=(0, 1)) for place in product(ends, ends)]
    return np.median(corners, axis=0)


# Of a photograph (height, width, 3) uint8 and its specimen (height, width) bool.
VIEWS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "whole": lambda rgb, mask: rgb,
    "background": hide,
    "ground": lambda rgb, mask: corner_colour(rgb).astype(np.uint8)[None, None],
    "cutout": on_flat_ground,
}


def write_views(path: Path, targets: dict[str, Path]) -> str | None:
    """Write the views of a photograph that `targets` names, as the backbone sees them; gives why
    there are none.
    """
    try:
        rgb = np.asarray(open_image(path))
    except ImageError as error:
        return str(error)
    found = find_specimen(rgb)
    if found.confidence < CONFIDENT:
        return f"{path}: no specimen found with confidence ({found.reason})"
    for view, target in targets.items():
        picture = Image.fromarray(VIEWS[view](rgb, found.mask))
        with atomic(target) as part:
            resize(picture).save(part)
    return None


def see(
    photographs: pd.DataFrame, views: Sequence[str], folder: Path, workers: int
) -> tuple[pd.DataFrame, list[str]]:
    """Write `views` into a folder of `folder` each, `workers` photographs at a time.

    Gives the photographs that have them, with a column of their files for each view, and why the
    others have none.
    """
    seen = photographs.copy()
    for view in views:
        (folder / view).mkdir(parents=True, exist_ok=True)
        names = [f"{row:05d}_{path.stem}.png" for row, path in enumerate(seen["path"])]
        seen[view] = [folder / view / name for name in names]
    cv2.setNumThreads(0)  # the photographs share the cores already
    given = seen["path"], seen[[*views]].to_dict("records")
    problems = thread_map(write_views, *given, max_workers=workers, desc="views", disable=None)
    done = [problem is None for problem in problems]
    return seen[done].reset_index(drop=True), [problem for problem in problems if problem]


def call_each(
    features: np.ndarray, labels: np.ndarray, specimens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The label that the published classifier gives each of n rows when it did not learn from any
    of its specimen, and the classifier's decision values, (n,) or (n, classes).

    Leave-one-out, or stratified folds where there are many. The published SGD classifier without
    its calibration, which needs five images of each class and changes no order.
    """
    many = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    splitter = LeaveOneOut() if len(set(specimens)) <= ONE_BY_ONE else many
    classes, codes = np.unique(labels, return_inverse=True)
    folds = list(deal(splitter, specimens[:, None], codes))
    with warnings.catch_warnings():
        # Fewer of a subspecies than folds, or, as published, no convergence: see classifier.py.
        warnings.simplefilter("ignore", UserWarning)
        decisions = cross_val_predict(
            make_sgd().estimator, features, codes, cv=folds, method="decision_function"
        )
    called = decisions.argmax(axis=1) if decisions.ndim > 1 else (decisions > 0).astype(int)
    return classes[called], decisions


def of_one_specimen(photographs: pd.DataFrame) -> list[str]:
    """The subspecies that are asked of one specimen alone."""
    specimens = photographs.groupby("subspecies")["specimen"].nunique()
    return [name for name in specimens.index[specimens < 2] if name]


def tell(
    seen: pd.DataFrame, views: Sequence[str], backbone: str, device: torch.device, cache: Path
) -> list[Result]:
    """How well each view tells the subspecies, those of one specimen left out, and the hybrids,
    as far as they are asked. ValueError where there are too few to tell either.
    """
    names, hybrid = seen["subspecies"].to_numpy(object), seen["hybrid"].to_numpy()
    specimens = pd.factorize(seen["specimen"])[0]
    asked = (names != "") & ~np.isin(names, of_one_specimen(seen))
    named = names[asked]
    ask_subspecies = len(set(named)) >= 2
    ask_hybrids = min(len(set(specimens[hybrid == label])) for label in (0, 1)) >= 2
    if not ask_subspecies and not ask_hybrids:
        raise ValueError(
            "nothing to tell apart; expected two subspecies, in a subfolder each, of two or more "
            "specimens, or two hybrids and two others, in whose photographs a specimen is found"
        )
    results = []
    for view in tqdm(views, desc="cross-validation", disable=None, leave=False):
        every = {Look(backbone): slice(None)}
        how = device, BATCH_SIZE, 0, cache
        (features,), _ = extract_features(seen[view].tolist(), every, *how)
        if ask_subspecies:
            called, _ = call_each(features[asked], named, specimens[asked])
            share, n, m = np.mean(called == named), len(named), len(set(specimens[asked]))
            chance = np.unique(named, return_counts=True)[1].max() / n  # the commonest, always
            told = (view, "subspecies", n, "accuracy")
            # As sure as of one photograph each: those of a specimen are not independent.
            results.append(Result(*told, share, *wilson(share * m, m), chance, m))
        if ask_hybrids:
            scores, n = call_each(features, hybrid, specimens)[1], len(hybrid)
            bounds = interval(roc_auc(scores, hybrid, resample(specimens, hybrid)))
            told = (view, "hybrids", n, "ROC AUC")
            area, m = float(roc_auc(scores, hybrid)), len(set(specimens))
            results.append(Result(*told, area, *bounds, 0.5, m))
    return results


def write_results(results: list[Result], path: Path) -> None:
    with atomic(path) as part:
        pd.DataFrame(results).to_csv(part, index=False)


def report_backgrounds(
    photographs: pd.DataFrame,
    output: Path,
    backbone: str,
    device: torch.device,
    cache: Path,
    workers: int,
) -> None:
    """Log and write how well the background alone tells, of SAMPLE photographs at the most, the
    same each time; a word where nothing can be said, as a training is whole without it.
    """
    if len(photographs) > SAMPLE:
        drawn = np.random.default_rng(SEED).choice(len(photographs), SAMPLE, replace=False)
        photographs = photographs.iloc[np.sort(drawn)].reset_index(drop=True)
    try:
        with TemporaryDirectory() as folder:
            seen, _ = see(photographs, ["background"], Path(folder), workers)
            results = tell(seen, ["background"], backbone, device, cache)
        write_results(results, output)
    except (OSError, ValueError) as error:
        training_log.warning("no check of what the background alone tells: %s", error)
        return
    for result in results:
        training_log.info("%s", result.sentence())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="check_shortcuts.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sorted_ = "folder of photographs; without --csv, with a subfolder for each subspecies"
    parser.add_argument("--photographs", type=Path, help=sorted_)
    listed = "the challenge's CSV of --photographs; without these a classifier's, with ../Images"
    parser.add_argument("--csv", type=Path, help=listed)
    named = "regular expression that finds the specimen in a file's name, without --csv"
    parser.add_argument("--specimen", type=read_pattern, metavar="PATTERN", help=named)
    output = REPOSITORY / "results/shortcuts"
    parser.add_argument("--output", type=Path, default=output, help="folder of the results")
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    options = parser.parse_args()
    if options.photographs is None and options.csv is None:
        parser.error("say --photographs, --csv or both")
    if options.csv and options.specimen:
        parser.error("--specimen: the CSV says it, in its column CAMID")
    return options


def check(options: argparse.Namespace) -> tuple[list[Result], dict[str, list[str]]]:
    """What is found, and what is passed over of a folder."""
    use_own_cores()
    root = options.photographs or options.csv.absolute().parents[1] / "Images"
    passed: dict[str, list[str]] = {}
    if options.csv:
        table, paths = read_dataset(options.csv, root)
    else:
        table, paths, passed = read_folder(root, options.specimen)
    contents = [(content or "")[:16] for content in hash_files(paths)]
    photographs = table_photographs(table, paths, name_specimens(table, contents, log))
    if options.output.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"--output {options.output} lies among the photographs in {root}; name another folder"
        )
    seen, problems = see(photographs, VIEWS, options.output, CORES)
    for message in problems:
        log.warning("left out: %s", message)
    if alone := of_one_specimen(seen):
        log.warning("left out, as the only specimen of their subspecies: %s", ", ".join(alone))
    results = tell(seen, VIEWS, options.backbone, choose_device(options.device), CACHE)
    write_results(results, options.output / SHORTCUTS_FILE)
    return results, passed


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        results, passed = check(options)
    except (OSError, ValueError) as error:
        print(f"check_shortcuts: {error}", file=sys.stderr)
        return 1
    print(pd.DataFrame(results).to_string(index=False, float_format="{:.2f}".format))
    print(f"check_shortcuts: wrote {options.output}")
    for result in results:
        if result.view in ("background", "ground"):
            print(result.sentence())
    for line in passed_over(passed):
        print(f"check_shortcuts: {line}", file=sys.stderr)
    return int(unread(passed) > 0)


if __name__ == "__main__":
    sys.exit(main())
