"""What is written of an evaluation: tables by kind of image and by subspecies, and plots."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plots
from data_utils import group_names
from dataset import Rows
from files import atomic
from metrics import METRICS, evaluate, interval, resample, roc_auc, threshold_at_tnr

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
    """Held-out images of one kind."""

    kind: str  # photographs, painted or all
    rows: Rows
    scores: dict[str, np.ndarray]  # by classifier, (n,) each

    def part(self, kind: str, chosen: np.ndarray) -> "HeldOut":
        scores = {name: values[chosen] for name, values in self.scores.items()}
        return HeldOut(kind, self.rows.take(chosen), scores)


def held_out_threshold(held_out: HeldOut | None) -> float:
    """The ensemble's score that 95 % of the held-out photographs of non-hybrids do not pass.

    NaN where there are no such photographs, or where no member knew the subspecies.
    """
    if held_out is None or "subspecies" not in held_out.scores:
        return np.nan
    rows = ~held_out.rows.painted & (held_out.rows.labels == 0)
    scores, labels = held_out.scores["ensemble"][rows], held_out.rows.labels[rows]
    return float(threshold_at_tnr(scores, labels)) if rows.any() else np.nan


def warn_of_third(held_out: HeldOut) -> None:
    """Log it where the member that knows the subspecies makes the score of photographs worse."""
    photographs = held_out.part("photographs", ~held_out.rows.painted)
    labels, scores = photographs.rows.labels, photographs.scores
    if "published" in scores and 0 < labels.sum() < len(labels):
        without, by_all = (roc_auc(scores[name], labels) for name in ("published", "ensemble"))
        if by_all < without:
            log.warning(
                "the third member lowers the ROC AUC of %d held-out photographs from %.3f to %.3f: "
                "chance, or a subspecies of few photographs; ingestion.py --members sgd linear "
                "leaves it out",
                *(len(labels), without, by_all),
            )


def write_evaluation(folder: Path, title: str, held_out: HeldOut) -> None:
    """Write and log the results, recalls, scores and plots of all `held_out` images.

    A kind without hybrids or without non-hybrids is not scored, which is logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, painted = held_out.rows.table, held_out.rows.painted
    columns = table[["filename", "hybrid_stat"]].assign(
        images=np.where(painted, "painted", "photographs"),
        group=group_names(table),
        **held_out.scores,
    )
    write_csv(columns, folder / SCORES_FILE)

    kinds = [held_out.part("photographs", ~painted), held_out.part("painted", painted)]
    kinds = [kind for kind in kinds if len(kind.rows)]
    kinds += [held_out] if len(kinds) > 1 else []
    scored = []
    for kind in kinds:
        hybrids, count = kind.rows.labels.sum(), len(kind.rows)
        if 0 < hybrids < count:
            scored.append(kind)
        else:
            wanted = "not scored, %d hybrids among %d images; both classes are needed"
            log.warning(f"%s, %s: {wanted}", title, kind.kind, hybrids, count)
    if not scored:
        return
    resamples = [resample(kind.rows.groups[:, 0], kind.rows.labels) for kind in scored]
    results = pd.concat(map(result_table, scored, resamples))
    recalls = pd.concat(map(recall_table, scored, resamples))
    write_csv(results, folder / RESULTS_FILE)
    write_csv(recalls, folder / RECALLS_FILE)
    log.info("%s, with 95 %% intervals:\n%s", title, readable(results, METRICS))
    first = recalls[(recalls["classifier"] == "ensemble") & (recalls["images"] == scored[0].kind)]
    rightly = readable(first, ["recall"])
    log.info("%s, share called rightly by the ensemble:\n%s", title, rightly)
    for name, plot in PLOT_FILES.items():
        plot({kind.kind: (kind.scores, kind.rows.labels) for kind in scored}, folder / name)


def remove_evaluation(folder: Path) -> None:
    """Remove what `write_evaluation` wrote for other classifiers than the present ones."""
    for name in (RESULTS_FILE, RECALLS_FILE, SCORES_FILE, *PLOT_FILES):
        (folder / name).unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")


def result_table(kind: HeldOut, counts: np.ndarray) -> pd.DataFrame:
    """METRICS of each classifier, with intervals from a bootstrap's resamples, `counts` (r, n)."""
    labels, rows = kind.rows.labels, []
    for classifier, scores in kind.scores.items():
        values, resampled = evaluate(scores, labels), evaluate(scores, labels, counts)
        row = {"images": kind.kind, "classifier": classifier}
        row |= {"rows": len(labels), "hybrids": int(labels.sum())}
        for metric in METRICS:
            row |= with_interval(metric, values[metric], resampled[metric])
        rows.append(row)
    return pd.DataFrame(rows)


def recall_table(kind: HeldOut, counts: np.ndarray) -> pd.DataFrame:
    """For each subspecies and cross, the share of its images that each classifier calls rightly.

    A hybrid scores above the threshold that the kind's non-hybrids set, a non-hybrid does not.
    """
    table, labels = kind.rows.table, kind.rows.labels
    keys = list(zip(table["hybrid_stat"], group_names(table), strict=True))
    groups = sorted(set(keys))
    members = np.array([[key == group for group in groups] for key in keys])
    sizes = counts @ members
    rows = []
    for classifier, scores in kind.scores.items():
        right = (scores > threshold_at_tnr(scores, labels)) == labels
        thresholds = threshold_at_tnr(scores, labels, counts)
        found = (counts * ((scores > thresholds[:, None]) == labels)) @ members
        for number, (status, group) in enumerate(groups):
            mine, drawn = members[:, number], sizes[:, number] > 0
            row = {"images": kind.kind, "hybrid_stat": status, "group": group}
            row |= {"rows": int(mine.sum()), "classifier": classifier}
            resampled = found[drawn, number] / sizes[drawn, number]
            rows.append(row | with_interval("recall", right[mine].mean(), resampled))
    return pd.DataFrame(rows)


def with_interval(name: str, value: float, resampled: np.ndarray) -> dict[str, float]:
    low, high = interval(resampled)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def readable(table: pd.DataFrame, columns: list[str]) -> str:
    """`table` as text for the log, with its interval behind each of `columns`."""
    for name in columns:
        bounds = [name, f"{name}_low", f"{name}_high"]
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*row) for row in table[bounds].values]
        table = table.drop(columns=bounds).assign(**{name: cells})
    return table.to_string(index=False)
