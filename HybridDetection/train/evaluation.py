"""How well scores tell hybrids from the rest, on any set and by the challenge's rules.

As a program it scores a predictions.txt against one of the challenge's reference files:
    python evaluation.py --predictions predictions.txt --reference ref_val.csv
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import submission  # noqa: F401  puts the submission folder on the path
import numpy as np
import pandas as pd
from data_utils import read_cells, read_text
from files import atomic
from model import MEMBER_FILES, combine

TARGET_TNR = 0.95
METRICS = ["tpr_at_tnr95", "threshold", "pr_auc", "roc_auc", "f1", "accuracy"]
RESAMPLES = 1000
SEED = 42
DECIMALS = 4  # of a score in predictions.txt
CROSS = "subspecies_ref"  # column of a reference file: a subspecies, or `mother x father`

# The challenge's own names, by group of rows; A is all of species A.
RECALLS = {
    "major": "A_score_major_recall",
    "minor": "A_score_minor_recall",
    "mimic": "mimic_recall",
}
AREAS = {
    "A": "A_PRC_AUC",
    "major": "A_PRC_AUC_major",
    "minor": "A_PRC_AUC_minor",
    "mimic": "mimic_PRC_AUC",
}

# In the functions down to `evaluate`, `scores` (n,) belong to rows with 0/1 `labels` (n,). `counts`
# says how often each row is there: once; or (r, n) times in r resamples, which gives r results.


def threshold_at_tnr(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | float = 1, tnr: float = TARGET_TNR
) -> np.ndarray:
    """The smallest score t such that at least `tnr` of the non-hybrids score <= t.

    ValueError without non-hybrids.
    """
    if np.all(labels == 1):
        raise ValueError("no non-hybrids, so no threshold")
    order = np.argsort(scores)
    at_or_below = np.cumsum((counts * (1 - labels))[..., order], axis=-1)
    share = at_or_below / at_or_below[..., -1:]
    return scores[order[np.argmax(share >= tnr, axis=-1)]]


def recall_above(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """The share of the hybrids that score above `threshold`."""
    return float(np.mean(scores[labels == 1] > threshold))


def cumulated(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """How many hybrids and how many others score at least t, for each score t, highest first."""
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    return tuple(
        np.cumsum((counts * members)[..., order], axis=-1)[..., last]
        for members in (labels, 1 - labels)
    )


def pr_auc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | float = 1) -> np.ndarray:
    """Average precision: the mean precision at the score of each hybrid."""
    hybrids, others = cumulated(scores, labels, counts)
    precision = hybrids / np.maximum(hybrids + others, 1)
    return (precision * np.diff(hybrids, prepend=0)).sum(axis=-1) / hybrids[..., -1]


def roc_auc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | float = 1) -> np.ndarray:
    """The chance that a hybrid scores above a non-hybrid; equal scores count half."""
    hybrids, others = cumulated(scores, labels, counts)
    above = hybrids - np.diff(hybrids, prepend=0) / 2
    pairs = hybrids[..., -1] * others[..., -1]
    return (above * np.diff(others, prepend=0)).sum(axis=-1) / pairs


def evaluate(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray | float = 1
) -> dict[str, np.ndarray]:
    """METRICS, each a number or (r,); both classes must be there.

    As published, F1 and accuracy are those of the calls at a TNR of 95 %: hybrid above the
    threshold.
    """
    threshold = threshold_at_tnr(scores, labels, counts)
    called = scores > threshold[..., None]
    true = (counts * labels * called).sum(axis=-1)
    false = (counts * (1 - labels) * called).sum(axis=-1)
    hybrids = (counts * labels).sum(axis=-1)
    others = (counts * (1 - labels)).sum(axis=-1)
    return {
        "tpr_at_tnr95": true / hybrids,
        "threshold": threshold,
        "pr_auc": pr_auc(scores, labels, counts),
        "roc_auc": roc_auc(scores, labels, counts),
        "f1": 2 * true / (true + false + hybrids),
        "accuracy": (true + others - false) / (hybrids + others),
    }


def resample(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts (r, n) for a bootstrap over rows that come in `groups` (n,), always the same.

    Groups are drawn with replacement, whole: images of one structure rise and fall together. The
    references of painted images are taken as they are. Draws without one of the classes are left
    out.
    """
    _, members = np.unique(groups, return_inverse=True)
    size = members.max() + 1
    drawn = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), RESAMPLES)
    counts = drawn[:, members]
    return counts[(counts @ labels > 0) & (counts @ (1 - labels) > 0)]


def interval(values: np.ndarray) -> tuple[float, float]:
    """The bounds of the middle 95 % of a bootstrap's `values` (r,)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `n` (Wilson 1927)."""
    z = 1.959964
    middle = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (right * (n - right) / n + z * z / 4) ** 0.5
    return middle - half, middle + half


def challenge_scores(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray
) -> dict[str, float]:
    """The HDR challenge's official numbers.

    `scores` (n,), 0/1 `labels` (n,) and `indicators` (n,): "major" (signal hybrids and their
    parents), "minor" (other species A rows) or "mimic" (species B). Species A has one threshold.
    The challenge score is the harmonic mean of the three recalls. ValueError where a group has
    no hybrids or a species no non-hybrids.
    """
    unknown = set(indicators) - set(RECALLS)
    if unknown:
        raise ValueError(f"unknown ssp_indicator {sorted(unknown)}; known: {', '.join(RECALLS)}")
    rows = challenge_rows(indicators)
    for name in RECALLS:
        if not np.any(labels[rows[name]] == 1):
            raise ValueError(f"no {name} hybrids among the reference rows")

    def recall(name: str, threshold: float) -> float:
        return recall_above(scores[rows[name]], labels[rows[name]], threshold)

    def area(name: str) -> float:
        return float(pr_auc(scores[rows[name]], labels[rows[name]]))

    threshold_a = threshold_at_tnr(scores[rows["A"]], labels[rows["A"]])
    threshold_b = threshold_at_tnr(scores[rows["mimic"]], labels[rows["mimic"]])
    recalls = [
        recall("major", threshold_a),
        recall("minor", threshold_a),
        recall("mimic", threshold_b),
    ]
    return {
        "A_score_major_recall": recalls[0],
        "A_score_minor_recall": recalls[1],
        "A_PRC_AUC": area("A"),
        "A_PRC_AUC_major": area("major"),
        "A_PRC_AUC_minor": area("minor"),
        "mimic_recall": recalls[2],
        "mimic_PRC_AUC": area("mimic"),
        "challenge_score": harmonic_mean(recalls),
    }


def challenge_rows(indicators: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows (n,) are major, minor, mimic, and of species A."""
    rows = {name: indicators == name for name in RECALLS}
    return rows | {"A": ~rows["mimic"]}


def harmonic_mean(recalls: Sequence[float]) -> float:
    return len(recalls) / sum(1 / recall for recall in recalls) if all(recalls) else 0.0


def pr_auc_moves(scores: np.ndarray, labels: np.ndarray) -> float:
    """The furthest that one hybrid moves `pr_auc`, scored above everything or below.

    Above, it has the precision 1, and raises the precision at each score above its own by one
    hybrid. Below, it has that of all rows, and lowers the precision at its own score and at each
    below it.
    """
    hybrids, others = cumulated(scores, labels, 1)
    here = np.diff(hybrids, prepend=0)  # hybrids of each score, highest first
    now, more, less = (
        np.maximum(hybrids + extra, 0) / np.maximum(hybrids + extra + others, 1)
        for extra in (0, 1, -1)
    )
    gained = np.cumsum(here * (more - now)) - here * (more - now)  # at the scores above
    lost = np.cumsum((here * (less - now))[::-1])[::-1] - (less - now)  # without its own
    raised = gained + 1 - now
    lowered = lost + hybrids[-1] / len(scores) - now
    furthest = np.maximum(np.abs(raised), np.abs(lowered))[here > 0].max()
    return float(furthest / hybrids[-1])


def one_hybrid_moves(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray
) -> dict[str, float]:
    """How far one hybrid can move each of the challenge's numbers: the furthest over all hybrids,
    each in turn scored above and below everything.

    Thresholds are those of the non-hybrids, and stay.
    """
    now = challenge_scores(scores, labels, indicators)
    rows = challenge_rows(indicators)
    moves = dict.fromkeys(now, 0.0)
    for name, area in AREAS.items():
        moves[area] = pr_auc_moves(scores[rows[name]], labels[rows[name]])
    for name, recall in RECALLS.items():
        hybrids = int((labels[rows[name]] == 1).sum())
        found = round(now[recall] * hybrids)
        for moved in {max(found - 1, 0) / hybrids, min(found + 1, hybrids) / hybrids}:
            recalls = [now[other] if other != recall else moved for other in RECALLS.values()]
            challenge_score = harmonic_mean(recalls)
            moves[recall] = max(moves[recall], abs(moved - now[recall]))
            moves["challenge_score"] = max(
                moves["challenge_score"], abs(challenge_score - now["challenge_score"])
            )
    return moves


def cross_recalls(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray, crosses: np.ndarray
) -> dict[str, dict]:
    """By cross its `ssp_indicator`, how many `hybrids` there are, and their `recall`.

    `crosses` (n,) says what an image shows, such as `venus x chestertonii`; which parent was the
    mother makes no difference. The thresholds are those of `challenge_scores`.
    """
    names = np.array([" x ".join(sorted(cross.split(" x "))) for cross in crosses], dtype=object)
    found = {}
    for species in (indicators != "mimic", indicators == "mimic"):
        threshold = threshold_at_tnr(scores[species], labels[species])
        for name in sorted(set(names[species & (labels == 1)])):
            rows = species & (labels == 1) & (names == name)
            found[name] = {
                "ssp_indicator": str(indicators[rows][0]),
                "hybrids": int(rows.sum()),
                "recall": recall_above(scores[rows], labels[rows], threshold),
            }
    return found


def read_predictions(path: Path) -> dict[str, float]:
    """File name -> score; ValueError naming the line of anything but `filename,score`."""
    try:
        lines = read_text(path, "lines of filename,score").splitlines()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: no such file; ingestion.py writes predictions.txt into its OUTPUT_DIR"
        ) from error
    predictions: dict[str, float] = {}
    for line, text in enumerate(lines, start=1):
        name, _, value = text.rpartition(",")
        try:
            score = float(value)
        except ValueError:
            score = np.nan
        if not name or not np.isfinite(score):
            hint = "; of a details.csv, say --members" if text.startswith("filename,") else ""
            raise ValueError(f"{path}, line {line}: {text[:300]!r} is not filename,score{hint}")
        if name in predictions:
            raise ValueError(f"{path}, line {line}: {name} is scored twice")
        predictions[name] = score
    return predictions


def read_details(path: Path, members: Sequence[str]) -> dict[str, float]:
    """File name -> the score that ingestion.py writes with `members`, from the details.csv of all.

    ValueError where one gave no probability.
    """
    try:
        details = read_cells(path, ["filename", *members])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: no such file; ingestion.py --details writes details.csv"
        ) from error
    twice = details["filename"].duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise ValueError(
            f"{path}, line {details.index[row]}: {details['filename'].iloc[row]} is scored twice"
        )
    probabilities = {}
    for name in members:
        values = pd.to_numeric(details[name], errors="coerce").to_numpy(float)
        good = (values >= 0) & (values <= 1)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"{path}, line {details.index[row]}: {details[name].iloc[row]!r} is no "
                f"probability of {name}; score with that member, or leave it out of --members"
            )
        probabilities[name] = values
    return dict(zip(details["filename"], combine(probabilities).round(DECIMALS), strict=True))


def read_reference(path: Path) -> pd.DataFrame:
    """The rows of a challenge reference CSV, hybrid_stat as 0/1 integers."""
    try:
        reference = read_cells(path, ["filename", "hybrid_stat", "ssp_indicator"])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: no such file; ref_val.csv and ref_test.csv come from the challenge, and "
            "scripts/quickstart.sh draws a set with a ref_test.csv: quickstart/*/demo/ref_test.csv"
        ) from error
    odd = ~reference["hybrid_stat"].isin(["0", "1"])
    if odd.any():
        row = int(np.argmax(odd))
        value = reference["hybrid_stat"].iloc[row]
        raise ValueError(
            f"{path}, line {reference.index[row]}: hybrid_stat is {value!r}, expected 0 or 1"
        )
    labels = reference["hybrid_stat"].astype(int)
    return reference.assign(hybrid_stat=labels).reset_index(drop=True)


def read_scored(
    predictions_path: Path, reference_path: Path, members: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows of a reference with the `score` of a predictions file, or with `members` of a
    details.csv; ValueError where rows have no prediction.
    """
    if members:
        predictions = read_details(predictions_path, members)
    else:
        predictions = read_predictions(predictions_path)
    reference = read_reference(reference_path)
    names = reference["filename"]
    missing = [name for name in names if name not in predictions]
    if missing:
        raise ValueError(
            f"{predictions_path}: {len(missing)} of {len(names)} images of {reference_path} have "
            f"no prediction (first: {', '.join(missing[:3])})"
        )
    return reference.assign(score=names.map(predictions).astype(float))


def score_rows(rows: pd.DataFrame, reference_path: Path) -> dict:
    """The challenge's numbers for what `read_scored` gave.

    With them, under `one_hybrid`, how far one hybrid can move each; and under `crosses`, where the
    reference says what an image shows, the recall of each cross. ValueError, which names the
    reference, where it lacks a class.
    """
    columns = [rows[name].to_numpy() for name in ("score", "hybrid_stat", "ssp_indicator")]
    try:
        result = {**challenge_scores(*columns), "one_hybrid": one_hybrid_moves(*columns)}
    except ValueError as error:
        raise ValueError(f"{reference_path}: {error}") from error
    if CROSS in rows.columns:
        result["crosses"] = cross_recalls(*columns, rows[CROSS].to_numpy())
    return result


def call_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` of `read_scored` with each one's `threshold`, that of its species, and 0/1 `called`:
    whether it is taken for a hybrid.
    """
    thresholds = np.empty(len(rows))
    mimic = (rows["ssp_indicator"] == "mimic").to_numpy()
    scores, labels = rows["score"].to_numpy(), rows["hybrid_stat"].to_numpy()
    for species in (mimic, ~mimic):
        thresholds[species] = threshold_at_tnr(scores[species], labels[species])
    shows = [CROSS] if CROSS in rows.columns else []
    columns = ["filename", *shows, "ssp_indicator", "hybrid_stat", "score"]
    return rows[columns].assign(threshold=thresholds, called=(scores > thresholds).astype(int))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="score_predictions.py", description="Challenge scores of a predictions.txt."
    )
    parser.add_argument("--predictions", type=Path, required=True, help="or a details.csv")
    parser.add_argument(
        "--members",
        nargs="+",
        choices=MEMBER_FILES,
        default=[],
        help="whose score to take of a details.csv, in which all have their probability",
    )
    parser.add_argument("--reference", type=Path, required=True, help="the challenge's ref_*.csv")
    parser.add_argument("--output", type=Path, help="also write them as JSON")
    parser.add_argument(
        "--calls", type=Path, help="also write, for each image, whether it is taken for a hybrid"
    )
    options = parser.parse_args()
    try:
        rows = read_scored(options.predictions, options.reference, options.members)
        scores = score_rows(rows, options.reference)
        if options.calls:
            with atomic(options.calls) as temporary:
                call_rows(rows).to_csv(temporary, index=False)
        if options.output:
            with atomic(options.output) as temporary:
                temporary.write_text(json.dumps(scores, indent=2) + "\n")
    except (OSError, ValueError) as error:
        print(f"score_predictions: {error}", file=sys.stderr)
        return 1
    moves, crosses = scores.pop("one_hybrid"), scores.pop("crosses", {})
    print(f"{'':<22} score   one hybrid moves it by up to")
    for name, value in scores.items():
        print(f"{name:<22} {value:.4f}  {moves[name]:.4f}")
    for name, cross in crosses.items():
        print(f"{name:<28} {cross['recall']:.4f} of {cross['hybrids']} {cross['ssp_indicator']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
