"""What tells subspecies and hybrids apart in these photographs: the wings, or who took them?

    python scripts/check_shortcuts.py --photographs FOLDER       a subfolder for each subspecies
    python scripts/check_shortcuts.py --csv List/butterfly_anomaly_AF.csv       its photographs

The published classifier, cross-validated, sees each photograph in four ways:
    whole         as it is
    background    the specimen hidden: its box in the flat colour of the ground around it
    outline       the specimen in one flat colour on a flat ground: its shape, size and place
    cutout        the specimen alone, centred on a flat ground
OUTPUT/shortcuts.csv says how often it was right in each, with a 95 % interval and with chance;
OUTPUT/{whole,background,outline,cutout}/ hold what it saw. Photographs without a specimen that is
found with confidence are left out, as there is nothing to hide; so are subspecies of one
photograph, and painted images.
"""

import argparse
import logging
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from classifier import make_sgd
from data_utils import FOLDS, find_images, read_table
from evaluation import interval, resample, roc_auc
from model_utils import extract_features
from painted import is_painted
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import LeaveOneOut, StratifiedKFold
from submission import (
    BACKBONE,
    BACKBONES,
    CONFIDENT,
    GROUND,
    IMAGE_SIZE,
    IMAGE_SUFFIXES,
    REPOSITORY,
    ImageError,
    atomic,
    box_of,
    choose_device,
    find_specimen,
    on_flat_ground,
    open_image,
    read_own_mask,
)
from tqdm import tqdm

VIEWS = ("whole", "background", "outline", "cutout")
MARGIN = 0.05  # of the box's longer side, hidden around it: antennae and shadow
WINGS = (40, 30, 20)  # RGB of the outline, about that of the wings' black
ONE_BY_ONE = 100  # photographs; so many are left out one at a time, more in FOLDS parts
BATCH_SIZE = 32  # images in one pass through the backbone
ADVICE = "cut the specimens out, or balance who photographed them"

log = logging.getLogger("check_shortcuts")


@dataclass(frozen=True)
class Photographs:
    """n photographs below a folder, and what is to be told of them."""

    root: Path
    paths: list[Path]
    names: np.ndarray  # (n,) of the subspecies; empty where it is not asked
    hybrid: np.ndarray | None = None  # (n,) 0 or 1

    def own_mask(self, path: Path, folder: Path | None) -> Path | None:
        """Your mask of a photograph, in `folder` as the photograph lies in the root."""
        mask = folder and (folder / path.relative_to(self.root)).with_suffix(".png")
        return mask if mask is not None and mask.is_file() else None


@dataclass(frozen=True)
class Result:
    """A row of shortcuts.csv: what was told in a view, how well, and how well by chance."""

    view: str
    told: str  # subspecies or hybrids
    photographs: int
    measure: str  # accuracy or ROC AUC
    value: float
    low: float  # of the 95 % interval
    high: float
    chance: float


def folder_photographs(folder: Path) -> Photographs:
    """The images in the subfolders of `folder`; ValueError where fewer than two hold any."""
    if not folder.is_dir():
        raise ValueError(f"--photographs {folder}: no such folder")
    paths = sorted(
        path
        for path in folder.glob("*/**/*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    names = np.array([path.relative_to(folder).parts[0] for path in paths], object)
    if len(set(names)) < 2:
        raise ValueError(
            f"--photographs {folder}: images in {len(set(names))} subfolders, expected one "
            "subfolder for each of two or more subspecies"
        )
    return Photographs(folder, paths, names)


def csv_photographs(csv_path: Path, image_dir: Path) -> Photographs:
    """The photographs that a classifier's CSV lists and `image_dir` holds, painted ones left out.

    Of hybrids the subspecies is not asked.
    """
    table = read_table(csv_path)
    table = table[~is_painted(table)]
    found = find_images(table, image_dir)
    there = np.array([path is not None for path in found])
    if not there.all():
        log.warning("%d photographs are not in %s", np.count_nonzero(~there), image_dir)
    hybrid = table["label"].to_numpy()[there]
    names = table["subspecies"].str.removesuffix(".0").to_numpy(object)[there]
    paths = [path for path in found if path is not None]
    return Photographs(image_dir, paths, np.where(hybrid == 1, "", names), hybrid)


def make_views(rgb: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """VIEWS of a photograph, (height, width, 3) uint8, and its specimen, (height, width) bool."""
    left, top, right, bottom = box_of(mask)
    around = ~mask[top:bottom, left:right]
    paper = np.median(rgb[top:bottom, left:right][around], axis=0) if around.any() else GROUND
    margin = round(MARGIN * max(right - left, bottom - top))
    background = rgb.copy()
    background[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin] = (
        paper
    )
    outline = np.where(mask[..., None], np.uint8(WINGS), np.uint8(GROUND))
    views = (rgb, background, outline, on_flat_ground(rgb, mask))
    return dict(zip(VIEWS, views, strict=True))


def write_views(path: Path, own_mask: Path | None, targets: dict[str, Path]) -> str | None:
    """Write VIEWS of a photograph as the backbone sees them; gives why there are none."""
    try:
        rgb = np.asarray(open_image(path))
    except ImageError as error:
        return str(error)
    found = find_specimen(rgb) if own_mask is None else read_own_mask(own_mask, rgb.shape[:2])
    if found.confidence < CONFIDENT:
        return f"{path}: no specimen found with confidence ({found.reason})"
    for view, pixels in make_views(rgb, found.mask).items():
        small = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
        with atomic(targets[view]) as part:
            small.save(part)
    return None


def call_each(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label that the published classifier gives each of n rows when it did not learn from it,
    and the classifier's decision values, (n,) or (n, classes).

    Leave-one-out, or stratified folds where there are many. The published SGD classifier without
    its calibration, which needs five images of each class and changes no order.
    """
    n = len(labels)
    many = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    splitter = LeaveOneOut() if n <= ONE_BY_ONE else many
    called, decisions = np.empty_like(labels), [None] * n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer of a subspecies than folds
        folds = list(splitter.split(features, labels))
    for train, test in tqdm(folds, desc="cross-validation", disable=None, leave=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as published, see classifier.py
            fit = make_sgd().estimator.fit(features[train], labels[train])
        called[test] = fit.predict(features[test])
        for row, values in zip(test, fit.decision_function(features[test]), strict=True):
            decisions[row] = values
    return called, np.array(decisions)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `n` (Wilson 1927)."""
    z = 1.959964
    middle = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (right * (n - right) / n + z * z / 4) ** 0.5
    return middle - half, middle + half


def tell_subspecies(view: str, features: np.ndarray, names: np.ndarray) -> Result:
    """How often the subspecies of n photographs is told; chance names the commonest always."""
    right = int((call_each(features, names)[0] == names).sum())
    n = len(names)
    chance = np.unique(names, return_counts=True)[1].max() / n
    return Result(view, "subspecies", n, "accuracy", right / n, *wilson(right, n), chance)


def tell_hybrids(view: str, features: np.ndarray, hybrid: np.ndarray) -> Result:
    """ROC AUC of hybrids against the rest, with a bootstrap interval."""
    scores = call_each(features, hybrid)[1]
    counts = resample(np.arange(len(hybrid)), hybrid)
    auc = float(roc_auc(scores, hybrid))
    bounds = interval(roc_auc(scores, hybrid, counts))
    return Result(view, "hybrids", len(hybrid), "ROC AUC", auc, *bounds, 0.5)


def sentence(result: Result) -> str:
    """What a result of the view `background` means."""
    figures = (result.value, result.low, result.high, result.chance)
    if result.measure == "accuracy":
        value, low, high, chance = (f"{100 * share:.0f} %" for share in figures)
        how_well = f"in {value} of cases"
    else:
        value, low, high, chance = (f"{area:.2f}" for area in figures)
        how_well = f"with a ROC AUC of {value}"
    numbers = f"chance {chance}, 95 % interval {low} to {high}, {result.photographs} photographs"
    if result.low > result.chance:
        return f"the background alone tells the {result.told} {how_well} ({numbers}): {ADVICE}"
    return (
        f"the background alone tells the {result.told} {how_well} ({numbers}), which may be chance"
    )


def see(photographs: Photographs, options: argparse.Namespace) -> tuple[np.ndarray, list]:
    """Write every view: the rows (m,) of the photographs that have some, and for each its files
    by view.
    """
    for view in VIEWS:
        (options.output / view).mkdir(parents=True, exist_ok=True)
    targets = [
        {view: options.output / view / f"{row:05d}_{path.stem}.png" for view in VIEWS}
        for row, path in enumerate(photographs.paths)
    ]

    def work(path: Path, where: dict[str, Path]) -> str | None:
        return write_views(path, photographs.own_mask(path, options.masks), where)

    with ThreadPoolExecutor(options.workers) as pool:
        written = pool.map(work, photographs.paths, targets)
        problems = list(tqdm(written, total=len(targets), desc="views", disable=None))
    for message in filter(None, problems):
        log.warning("left out: %s", message)
    rows = [row for row, problem in enumerate(problems) if problem is None]
    return np.array(rows, int), [targets[row] for row in rows]


def check(photographs: Photographs, options: argparse.Namespace) -> list[Result]:
    """Results of every view, of subspecies and of hybrids as far as they are asked."""
    rows, files = see(photographs, options)
    names = photographs.names[rows]
    kinds, numbers = np.unique(names[names != ""], return_counts=True)
    if (numbers == 1).any():
        only = ", ".join(kinds[numbers == 1])
        log.warning("left out, as the only photograph of their subspecies: %s", only)
    named = np.isin(names, kinds[numbers > 1])
    hybrid = None if photographs.hybrid is None else photographs.hybrid[rows]
    ask_subspecies = (numbers > 1).sum() >= 2
    ask_hybrids = hybrid is not None and min(hybrid.sum(), (1 - hybrid).sum()) >= 2
    if not ask_subspecies and not ask_hybrids:
        raise ValueError(
            f"{photographs.root}: nothing to tell apart; expected two subspecies of two or more "
            "photographs, or two hybrids and two others, in which a specimen is found"
        )
    device = choose_device(options.device)
    results = []
    for view in VIEWS:
        paths = [targets[view] for targets in files]
        features, _ = extract_features(
            paths, options.backbone, device, BATCH_SIZE, 0, options.cache
        )
        if ask_subspecies:
            results.append(tell_subspecies(view, features[named], names[named]))
        if ask_hybrids:
            results.append(tell_hybrids(view, features, hybrid))
    return results


def parse_arguments() -> argparse.Namespace:
    summary, details = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(
        prog="check_shortcuts.py",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photographs", type=Path, help="folder with a subfolder a subspecies")
    source.add_argument("--csv", type=Path, help="a classifier's CSV")
    parser.add_argument("--images", type=Path, help="the CSV's images (default: ../Images)")
    parser.add_argument("--masks", type=Path, help="your own masks, as cutout.py takes them")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "results/shortcuts",
                        help="folder of the results (default: results/shortcuts)")  # fmt: skip
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "Datasets/.feature_cache",
                        help="where features are kept")  # fmt: skip
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1,
                        help="photographs at a time (default: one a core)")  # fmt: skip
    options = parser.parse_args()
    if options.workers < 1:
        parser.error(f"--workers is {options.workers}; it must be 1 or more")
    return options


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        if options.csv:
            images = options.images or options.csv.absolute().parents[1] / "Images"
            photographs = csv_photographs(options.csv, images)
        else:
            photographs = folder_photographs(options.photographs)
        if options.output.resolve().is_relative_to(photographs.root.resolve()):
            raise ValueError(
                f"--output {options.output} lies among the photographs in {photographs.root}; "
                "name another folder"
            )
        if options.masks is not None and not options.masks.is_dir():
            raise ValueError(f"--masks {options.masks}: no such folder")
        results = check(photographs, options)
        table = pd.DataFrame(map(asdict, results))
        with atomic(options.output / "shortcuts.csv") as part:
            table.to_csv(part, index=False)
    except (OSError, ValueError) as error:
        print(f"check_shortcuts: {error}", file=sys.stderr)
        return 1
    print(table.to_string(index=False, float_format="{:.2f}".format))
    for result in results:
        if result.view == "background":
            print(sentence(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
