"""How the third member does on photographs in folders by subspecies: python real_photos.py DIR

DIR holds a folder of photographs for each subspecies. There need be no hybrids among them; folders
with fewer than 5 photographs are left out. Prints, as Markdown,
    for how many photographs a fit to all others tells the subspecies, and the confusions;
    for each subspecies how high its photographs score where no fit has seen the subspecies, against
    the photographs of the others, each scored by a fit to the rest of them. What nobody has seen is
    no hybrid, but it should look like none of the known, too.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from submission import REPOSITORY
from backbones import BACKBONE, BACKBONES
from data_utils import COLUMNS
from evaluation import roc_auc
from files import IMAGE_SUFFIXES
from model import choose_device
from model_utils import extract_features
from subspecies import fit_subspecies
from subspecies_member import SubspeciesScorer
from tqdm import tqdm
from training import BATCH_SIZE, CACHE_DIR, WORKERS

LEAST = 5  # photographs of a subspecies

log = logging.getLogger("real_photos")


class Member(Protocol):
    """What is asked of the third member."""

    def name(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> the names (n,) of their subspecies."""

    def score(self, features: np.ndarray) -> np.ndarray:
        """(n, d) features -> (n,) probabilities of a hybrid."""


Fit = Callable[[np.ndarray, np.ndarray], Member]  # of features (n, d) and names (n,)


@dataclass(frozen=True)
class ThirdMember:
    """The Member that is tried: as the ensemble has it, telling subspecies by its regression."""

    scorer: SubspeciesScorer

    @classmethod
    def fit(cls, backbone: str) -> Fit:
        """What fits it to features of `backbone`, as training.py does."""

        def fit(features: np.ndarray, names: np.ndarray) -> Member:
            cells = {"subspecies": names, "hybrid_stat": "non-hybrid", "label": 0}
            table = pd.DataFrame(dict.fromkeys(COLUMNS, "") | cells, index=range(len(names)))
            return cls(fit_subspecies(table, features, backbone))

        return fit

    def name(self, features: np.ndarray) -> np.ndarray:
        logits = features @ self.scorer.weights.T + self.scorer.intercepts
        return self.scorer.subspecies[logits.argmax(axis=1)]

    def score(self, features: np.ndarray) -> np.ndarray:
        return self.scorer.hybrid_probability(features)


@dataclass(frozen=True)
class Unseen:
    """The photographs of a subspecies that no fit has seen, among those of the others."""

    roc_auc: float  # chance that one of its photographs scores above one of the others
    median_rank: float  # share of the others below it, for the median of its photographs


def leave_one_out(
    features: np.ndarray, names: np.ndarray, fit: Fit
) -> tuple[np.ndarray, np.ndarray]:
    """For each of n photographs, told by a fit to all others: its name (n,) and its score (n,)."""
    told, scores = np.empty_like(names), np.empty(len(names))
    for row in tqdm(range(len(names)), desc="leave one out", unit="fit", disable=None):
        others = np.arange(len(names)) != row
        member = fit(features[others], names[others])
        told[row] = member.name(features[[row]])[0]
        scores[row] = member.score(features[[row]])[0]
    return told, scores


def leave_out_whole(features: np.ndarray, names: np.ndarray, fit: Fit, left_out: str) -> Unseen:
    """How high the photographs of the subspecies `left_out` score by a fit to all others."""
    seen = names != left_out
    member = fit(features[seen], names[seen])
    unseen = member.score(features[~seen])
    others = leave_one_out(features[seen], names[seen], fit)[1]
    scores = np.concatenate([others, unseen])
    labels = np.repeat([0, 1], [len(others), len(unseen)])
    # Equal scores count half, as in the area.
    ranks = [np.mean(others < score) + np.mean(others == score) / 2 for score in unseen]
    return Unseen(float(roc_auc(scores, labels)), float(np.median(ranks)))


def confusions(names: np.ndarray, told: np.ndarray) -> dict[str, dict[str, int]]:
    """By name, and by the name that was told, the number of photographs."""
    known = sorted(set(names))
    return {a: {b: int(np.sum((names == a) & (told == b))) for b in known} for a in known}


def find_photographs(folder: Path) -> tuple[list[Path], list[str]]:
    """The photographs of each subspecies with at least LEAST, and those subspecies' names.

    Which folders are left out is logged; ValueError where fewer than three are left.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    paths: list[Path] = []
    for subspecies in sorted(path for path in folder.iterdir() if path.is_dir()):
        photographs = sorted(
            path
            for path in subspecies.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if len(photographs) >= LEAST:
            paths += photographs
        else:
            log.info("%s: left out, %d photographs", subspecies.name, len(photographs))
    names = [path.parent.name for path in paths]
    if len(set(names)) < 3:  # one is left out as a whole, and a fit needs two
        raise ValueError(
            f"{folder}: {len(set(names))} folders with at least {LEAST} photographs; expected one "
            "for each of three or more subspecies"
        )
    return paths, names


def markdown(head: list[str], rows: list[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def make_report(features: np.ndarray, names: np.ndarray, fit: Fit) -> str:
    """The program's output for features (n, d) of photographs of subspecies `names` (n,)."""
    told, _ = leave_one_out(features, names, fit)
    table = confusions(names, told)
    right = int(np.sum(told == names))
    parts = [
        f"{right} of {len(names)} photographs of {len(table)} subspecies are told rightly by a fit "
        f"to all others ({right / len(names):.3f}). A row is a subspecies, a column what is told:",
        markdown(["", *table], [[a, *map(str, row.values())] for a, row in table.items()]),
        "Scores of photographs whose subspecies no fit has seen, against those of the others:",
    ]
    rows = []
    for name in table:
        unseen = leave_out_whole(features, names, fit, name)
        count = str(np.sum(names == name))
        rows.append([name, count, f"{unseen.roc_auc:.3f}", f"{unseen.median_rank:.3f}"])
    parts.append(markdown(["Unseen", "Photographs", "ROC AUC", "Median rank"], rows))
    parts.append(
        "ROC AUC: the chance that an unseen one scores above one of the others. Median rank: the "
        "share of the others that score below the median unseen one."
    )
    uncertain = len(names) ** -0.5  # twice the standard error of a share of a half
    parts.append(
        f"A share of {len(names)} photographs is uncertain by up to {uncertain:.2f}, and of one "
        "subspecies by more: few photographs show that this runs, not how good it is."
    )
    return "\n\n".join(parts)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Leave-one-out of the third member on photographs in folders by subspecies."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="holds a folder for a subspecies")
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONE, help="feature network")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--cache", type=Path, default=REPOSITORY / CACHE_DIR, help="where features are kept"
    )
    return parser.parse_args()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parse_arguments()
    try:
        paths, names = find_photographs(options.folder)
        features, failures = extract_features(
            *(paths, options.backbone, choose_device(options.device)),
            *(BATCH_SIZE, WORKERS, options.cache),
        )
        if failures:
            first = min(failures)
            raise ValueError(f"{paths[first]} cannot be used ({failures[first]}); remove it")
        print(make_report(features, np.array(names), ThirdMember.fit(options.backbone)))
    except (OSError, ValueError) as error:
        print(f"real_photos: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
