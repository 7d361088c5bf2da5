"""The tables and plots of an evaluation: by kind of image, and by subspecies and cross."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plots
from evaluation import METRICS, evaluate, interval, resample, threshold_at_tnr
from files import atomic
from painted import is_painted

RESULTS_FILE = "classifier_evaluation_results.csv"
RECALLS_FILE = "classifier_recalls.csv"
SCORES_FILE = "classifier_scores.csv"
PLOT_FILES = {
    "score_histograms.png": plots.plot_histograms,
    "roc.png": plots.plot_roc,
    "precision_recall.png": plots.plot_precision_recall,
}

log = logging.getLogger("training")


@dataclass(frozen=True)
class HeldOut:
    """Held-out images of one kind: photographs, painted or all."""

    kind: str
    table: pd.DataFrame  # n rows of the classifier's CSV, with `label`
    groups: np.ndarray  # (n,) names; images of one group are resampled together
    scores: dict[str, np.ndarray]  # by classifier, (n,) each

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    def part(self, kind: str, rows: np.ndarray) -> "HeldOut":
        scores = {name: values[rows] for name, values in self.scores.items()}
        return HeldOut(kind, self.table[rows], self.groups[rows], scores)

    def can_be_scored(self) -> bool:
        return len(np.unique(self.labels)) == 2


def write_evaluation(folder: Path, title: str, held_out: HeldOut) -> None:
    """Write and log the results, recalls, scores and plots of all `held_out` images.

    A kind without hybrids or without non-hybrids is not scored, which is logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    painted = is_painted(held_out.table)
    columns = held_out.table[["filename", "hybrid_stat"]].assign(
        images=np.where(painted, "painted", "photographs"),
        group=group_names(held_out.table),
        **held_out.scores,
    )
    write_csv(columns, folder / SCORES_FILE)

    kinds = [held_out.part("photographs", ~painted), held_out.part("painted", painted)]
    kinds = [kind for kind in kinds if len(kind.table)]
    kinds += [held_out] if len(kinds) > 1 else []
    for kind in kinds:
        if not kind.can_be_scored():
            log.warning(
                "%s, %s: not scored, %d hybrids among %d images; both classes are needed",
                *(title, kind.kind, kind.labels.sum(), len(kind.labels)),
            )
    scored = [kind for kind in kinds if kind.can_be_scored()]
    if not scored:
        return
    resamples = [resample(kind.groups, kind.labels) for kind in scored]
    results = pd.concat(map(result_table, scored, resamples))
    recalls = pd.concat(map(recall_table, scored, resamples))
    write_csv(results, folder / RESULTS_FILE)
    write_csv(recalls, folder / RECALLS_FILE)
    log.info("%s, with 95 %% intervals:\n%s", title, readable(results, METRICS))
    first = recalls[(recalls["classifier"] == "ensemble") & (recalls["images"] == scored[0].kind)]
    log.info(
        "%s, share called rightly by the ensemble (%s has the others):\n%s",
        *(title, folder / RECALLS_FILE, readable(first, ["recall"])),
    )
    for name, plot in PLOT_FILES.items():
        plot({kind.kind: (kind.scores, kind.labels) for kind in scored}, folder / name)


def remove_evaluation(folder: Path) -> None:
    """Remove what `write_evaluation` wrote for other classifiers than the present ones."""
    for name in (RESULTS_FILE, RECALLS_FILE, SCORES_FILE, *PLOT_FILES):
        (folder / name).unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")


def result_table(kind: HeldOut, counts: np.ndarray) -> pd.DataFrame:
    """METRICS of each classifier, each with the bounds `_low` and `_high` of its interval.

    `counts` (r, n) are a bootstrap's resamples of the images.
    """
    rows = []
    for classifier, scores in kind.scores.items():
        values = evaluate(scores, kind.labels)
        resampled = evaluate(scores, kind.labels, counts)
        row = {
            "images": kind.kind,
            "classifier": classifier,
            "rows": len(scores),
            "hybrids": int(kind.labels.sum()),
        }
        for metric in METRICS:
            row |= with_interval(metric, values[metric], resampled[metric])
        rows.append(row)
    return pd.DataFrame(rows)


def recall_table(kind: HeldOut, counts: np.ndarray) -> pd.DataFrame:
    """For each subspecies and cross, the share of its images that each classifier calls rightly.

    A hybrid scores above the threshold that the kind's non-hybrids set, a non-hybrid does not.
    """
    keys = list(zip(kind.table["hybrid_stat"], group_names(kind.table), strict=True))
    groups = sorted(set(keys))
    members = np.array([[key == group for group in groups] for key in keys])
    sizes = counts @ members
    rows = []
    for classifier, scores in kind.scores.items():
        right = (scores > threshold_at_tnr(scores, kind.labels)) == kind.labels
        thresholds = threshold_at_tnr(scores, kind.labels, counts)
        found = (counts * ((scores > thresholds[:, None]) == kind.labels)) @ members
        for number, (status, group) in enumerate(groups):
            drawn = sizes[:, number] > 0
            row = {
                "images": kind.kind,
                "hybrid_stat": status,
                "group": group,
                "rows": int(members[:, number].sum()),
                "classifier": classifier,
            }
            resampled = found[drawn, number] / sizes[drawn, number]
            rows.append(row | with_interval("recall", right[members[:, number]].mean(), resampled))
    return pd.DataFrame(rows)


def with_interval(name: str, value: float, resampled: np.ndarray) -> dict[str, float]:
    low, high = interval(resampled)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def group_names(table: pd.DataFrame) -> pd.Series:
    """The subspecies of each row, such as `8`, or its cross, such as `8 x 9` both ways round."""

    def name(subspecies: str, parent_1: str, parent_2: str) -> str:
        parents = {plain(parent_1), plain(parent_2)}
        if "" in parents:
            return plain(subspecies) or "not said"
        return " x ".join(sorted(parents, key=lambda parent: (len(parent), parent)))

    columns = ("subspecies", "parent_subspecies_1", "parent_subspecies_2")
    names = [name(*cells) for cells in zip(*(table[column] for column in columns), strict=True)]
    return pd.Series(names, table.index, dtype=str)


def plain(subspecies: str) -> str:
    """`8` of `8.0`, as the challenge's CSV writes it."""
    return subspecies.strip().removesuffix(".0")


def readable(table: pd.DataFrame, columns: list[str]) -> str:
    """`table` as text for the log, with its interval behind each of `columns`."""
    cells = {
        name: [
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in zip(
                table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True
            )
        ]
        for name in columns
    }
    bounds = [f"{name}_{bound}" for name in columns for bound in ("low", "high")]
    return table.drop(columns=bounds).assign(**cells).to_string(index=False)
