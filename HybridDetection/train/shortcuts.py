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
photograph, and painted images. training.py asks the same of the background alone, of a sample.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pandas as pd
import torch
from submission import REPOSITORY
from backbones import BACKBONE, BACKBONES, IMAGE_SIZE
from classifier import make_sgd
from cut_folder import read_own_mask
from cutout import CONFIDENT, GROUND, box_of, find_specimen, on_flat_ground
from data_utils import FOLDS, find_images, read_table
from evaluation import SEED, interval, resample, roc_auc, wilson
from files import IMAGE_SUFFIXES, ImageError, atomic, open_image
from model import choose_device
from model_utils import extract_features
from painted import is_painted
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import LeaveOneOut, StratifiedKFold
from tqdm import tqdm

VIEWS = ("whole", "background", "outline", "cutout")
MARGIN = 0.05  # of the box's longer side, hidden around it: antennae and shadow
WINGS = (40, 30, 20)  # RGB of the outline, about that of the wings' black
ONE_BY_ONE = 100  # photographs; so many are left out one at a time, more in FOLDS parts
BATCH_SIZE = 32  # images in one pass through the backbone
SAMPLE = 200  # photographs of a training: a share is then known within 7 %, for a minute's work
RESULTS_FILE = "shortcuts.csv"
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

    def take(self, rows: np.ndarray) -> "Photographs":
        """Those of row numbers `rows` (m,)."""
        hybrid = None if self.hybrid is None else self.hybrid[rows]
        return Photographs(self.root, [self.paths[row] for row in rows], self.names[rows], hybrid)

    def alone(self) -> np.ndarray:
        """The subspecies of one photograph only, (k,)."""
        kinds, numbers = np.unique(self.names[self.names != ""], return_counts=True)
        return kinds[numbers == 1]


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
    """The photographs that a classifier's CSV lists and `image_dir` holds."""
    return table_photographs(read_table(csv_path), image_dir)


def table_photographs(table: pd.DataFrame, image_dir: Path) -> Photographs:
    """The photographs that a classifier's table lists and `image_dir` holds, painted ones left out.

    Of hybrids the subspecies is not asked.
    """
    table = table[~is_painted(table)]
    found = find_images(table, image_dir)
    there = np.array([path is not None for path in found])
    if not there.all():
        log.warning("%d photographs are not in %s", np.count_nonzero(~there), image_dir)
    hybrid = table["label"].to_numpy()[there]
    names = table["subspecies"].str.removesuffix(".0").to_numpy(object)[there]
    paths = [path for path in found if path is not None]
    return Photographs(image_dir, paths, np.where(hybrid == 1, "", names), hybrid)


def make_view(view: str, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One of VIEWS of a photograph, (height, width, 3) uint8, by its specimen, (height, width)
    bool.
    """
    if view == "outline":
        return np.where(mask[..., None], np.uint8(WINGS), np.uint8(GROUND))
    if view == "cutout":
        return on_flat_ground(rgb, mask)
    if view == "background":
        left, top, right, bottom = box_of(mask)
        around = ~mask[top:bottom, left:right]
        paper = np.median(rgb[top:bottom, left:right][around], axis=0) if around.any() else GROUND
        margin = round(MARGIN * max(right - left, bottom - top))
        rgb = rgb.copy()
        rgb[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin] = paper
    return rgb


def write_views(path: Path, own_mask: Path | None, targets: dict[str, Path]) -> str | None:
    """Write the views of a photograph that `targets` names, as the backbone sees them; gives why
    there are none.
    """
    try:
        rgb = np.asarray(open_image(path))
        found = find_specimen(rgb) if own_mask is None else read_own_mask(own_mask, rgb.shape[:2])
    except ImageError as error:
        return str(error)
    except (MemoryError, cv2.error):
        return f"{path}: too large for the memory that is left"
    if found.confidence < CONFIDENT:
        return f"{path}: no specimen found with confidence ({found.reason})"
    for view, target in targets.items():
        picture = Image.fromarray(make_view(view, rgb, found.mask))
        with atomic(target) as part:
            picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR).save(part)
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


def see(
    photographs: Photographs,
    views: Sequence[str],
    folder: Path,
    masks: Path | None = None,  # your own
    workers: int = 1,  # photographs at a time
) -> tuple[Photographs, dict[str, list[Path]], list[str]]:
    """Write `views` into a folder of `folder` each.

    Gives the photographs that have them, their files by view, and why the others have none.
    """
    for view in views:
        (folder / view).mkdir(parents=True, exist_ok=True)
    targets = [
        {view: folder / view / f"{row:05d}_{path.stem}.png" for view in views}
        for row, path in enumerate(photographs.paths)
    ]

    def work(path: Path, where: dict[str, Path]) -> str | None:
        return write_views(path, photographs.own_mask(path, masks), where)

    cv2.setNumThreads(0)  # the photographs share the cores already
    with ThreadPoolExecutor(workers) as pool:
        written = pool.map(work, photographs.paths, targets)
        problems = list(tqdm(written, total=len(targets), desc="views", disable=None))
    rows = [row for row, problem in enumerate(problems) if problem is None]
    files = {view: [targets[row][view] for row in rows] for view in views}
    return photographs.take(np.array(rows, int)), files, list(filter(None, problems))


def tell(
    photographs: Photographs,
    files: dict[str, list[Path]],  # by view
    backbone: str,
    device: torch.device,
    cache: Path,
) -> list[Result]:
    """How well each view tells the subspecies, those of one photograph left out, and the hybrids,
    as far as they are asked. ValueError where there are too few to tell either.
    """
    names, hybrid = photographs.names, photographs.hybrid
    named = (names != "") & ~np.isin(names, photographs.alone())
    ask_subspecies = len(set(names[named])) >= 2
    ask_hybrids = hybrid is not None and min(hybrid.sum(), (1 - hybrid).sum()) >= 2
    if not ask_subspecies and not ask_hybrids:
        raise ValueError(
            f"{photographs.root}: nothing to tell apart; expected two subspecies of two or more "
            "photographs, or two hybrids and two others, in which a specimen is found"
        )
    results = []
    for view, paths in files.items():
        features, _ = extract_features(paths, backbone, device, BATCH_SIZE, 0, cache)
        if ask_subspecies:
            results.append(tell_subspecies(view, features[named], names[named]))
        if ask_hybrids:
            results.append(tell_hybrids(view, features, hybrid))
    return results


def tell_backgrounds(
    photographs: Photographs, backbone: str, device: torch.device, cache: Path, workers: int
) -> list[Result]:
    """How well the background alone tells, of SAMPLE photographs at the most, the same each time.

    ValueError where there are too few to tell anything.
    """
    if len(photographs.paths) > SAMPLE:
        drawn = np.random.default_rng(SEED).choice(len(photographs.paths), SAMPLE, replace=False)
        photographs = photographs.take(np.sort(drawn))
    with TemporaryDirectory() as folder:
        seen, files, _ = see(photographs, ["background"], Path(folder), workers=workers)
        return tell(seen, files, backbone, device, cache)


def write_results(results: list[Result], path: Path) -> pd.DataFrame:
    """Write shortcuts.csv; gives its table."""
    table = pd.DataFrame(map(asdict, results))
    with atomic(path) as part:
        table.to_csv(part, index=False)
    return table


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
    parser.add_argument("--masks", type=Path, help="your own masks, as cut_folder.py takes them")
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
        seen, files, problems = see(
            photographs, VIEWS, options.output, options.masks, options.workers
        )
        for message in problems:
            log.warning("left out: %s", message)
        if len(seen.alone()):
            only = ", ".join(seen.alone())
            log.warning("left out, as the only photograph of their subspecies: %s", only)
        device = choose_device(options.device)
        results = tell(seen, files, options.backbone, device, options.cache)
        table = write_results(results, options.output / RESULTS_FILE)
    except (OSError, ValueError) as error:
        print(f"check_shortcuts: {error}", file=sys.stderr)
        return 1
    print(table.to_string(index=False, float_format="{:.2f}".format))
    print(f"check_shortcuts: wrote {options.output}")
    for result in results:
        if result.view == "background":
            print(sentence(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
