"""The challenge's score of a predictions.txt, against one of the challenge's reference files:

python scripts/score_predictions.py --predictions predictions.txt --reference ref_val.csv
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import submission  # noqa: F401  puts the submission folder on the path
import numpy as np
import pandas as pd
from data_utils import but_known, check_cells, check_once, read_cells, specimen_keys
from files import atomic
from listing import read_text
from metrics import Counts, interval, pr_auc, resample, roc_auc, threshold_at_tnr
from specimens import join

DECIMALS = 4  # of a score in predictions.txt
MEMBERS = ("sgd", "linear", "subspecies")  # in a details.csv; model.py, which names them, is slow
# A line of predictions.txt with a decimal comma, or with other than a comma between its cells.
OTHER_COUNTRIES = re.compile(r".*?(,\s*[01],\d+|[;\t]\s*[01]([.,]\d+)?)\s*")
CROSS = "subspecies_ref"  # column of a reference file: a subspecies, or `mother x father`

# The challenge's own names, in its order, and of which rows they are; A is all of species A.
NUMBERS = {
    "A_score_major_recall": "major",
    "A_score_minor_recall": "minor",
    "A_PRC_AUC": "A",
    "A_PRC_AUC_major": "major",
    "A_PRC_AUC_minor": "minor",
    "mimic_recall": "mimic",
    "mimic_PRC_AUC": "mimic",
}
RECALLS = [name for name in NUMBERS if name.endswith("recall")]
# Ours: how well the scores rank a kind's hybrids and its other rows.
ROC_AUCS = {"A_ROC_AUC_major": "major", "A_ROC_AUC_minor": "minor", "mimic_ROC_AUC": "mimic"}

INDICATORS = ("major", "minor", "mimic")
# `scores` (n,), 0/1 `labels` (n,) and `indicators` (n,) of a reference's rows: "major" (signal
# hybrids and their parents), "minor" (other species A rows) or "mimic" (species B). `counts` says
# how often each row is there: once; or (r, n) times in r resamples, which gives r results.


def row_thresholds(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray, counts: Counts = 1
) -> np.ndarray:
    """The threshold (n,) of each row, that of its species: one for all of A, one for B."""
    counts = np.broadcast_to(counts, (*np.shape(counts)[:-1], len(scores)))
    thresholds = np.empty(counts.shape)
    for species in (indicators != "mimic", indicators == "mimic"):
        found = threshold_at_tnr(scores[species], labels[species], counts[..., species])
        thresholds[..., species] = np.asarray(found)[..., None]
    return thresholds


def challenge_scores(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray, counts: Counts = 1
) -> dict[str, np.ndarray]:
    """The HDR challenge's official numbers; the last is the harmonic mean of the three recalls.

    ValueError where a group has no hybrids or a species no non-hybrids.
    """
    counts = np.broadcast_to(counts, (*np.shape(counts)[:-1], len(scores)))
    rows = {name: indicators == name for name in INDICATORS} | {"A": indicators != "mimic"}
    for name in INDICATORS:
        if not np.any(labels[rows[name]] == 1):
            raise ValueError(f"no {name} hybrids among the reference rows")
    called = scores > row_thresholds(scores, labels, indicators, counts)
    result = {}
    for key, name in NUMBERS.items():
        chosen = rows[name]
        if key in RECALLS:
            hybrids = counts * (chosen & (labels == 1))
            result[key] = (called * hybrids).sum(axis=-1) / hybrids.sum(axis=-1)
        else:
            result[key] = pr_auc(scores[chosen], labels[chosen], counts[..., chosen])
    recalls = np.stack([result[key] for key in RECALLS])
    with np.errstate(divide="ignore"):  # a recall of 0 makes it 0
        return result | {"challenge_score": len(RECALLS) / (1 / recalls).sum(axis=0)}


def with_intervals(rows: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """The official numbers of what `read_scored` gave, and ROC AUCs within each kind of rows, with
    the bounds of 95 % intervals.

    Of a bootstrap over specimens (CAMID and md5, where the reference has them), whose thresholds
    are those of each resample; draws that lack a class of a kind are left out. ValueError where
    there are none without.
    """
    scores, labels, indicators = columns_of(rows)
    kinds = {name: indicators == name for name in INDICATORS}

    def numbers(counts: np.ndarray) -> dict[str, np.ndarray]:
        areas = {
            key: roc_auc(scores[kinds[name]], labels[kinds[name]], counts[..., kinds[name]])
            for key, name in ROC_AUCS.items()
        }
        return challenge_scores(scores, labels, indicators, counts) | areas

    keys = specimen_keys(rows)
    names = keys["CAMID"].where(keys["CAMID"] != "", rows["filename"])
    counts = resample(join(names, keys["md5"]), labels)
    classes = np.stack([kind & (labels == label) for kind in kinds.values() for label in (0, 1)])
    counts = counts[(counts @ classes.T > 0).all(axis=1)]
    if not len(counts):
        known = " ".join(INDICATORS)
        raise ValueError(f"no intervals: hybrids and others of each of {known} are too few")
    drawn = numbers(counts)
    return {
        name: (float(value), *interval(drawn[name]))
        for name, value in numbers(np.ones(len(labels))).items()
    }


def cross_recalls(
    scores: np.ndarray, labels: np.ndarray, indicators: np.ndarray, crosses: np.ndarray
) -> dict[str, dict]:
    """By cross its `ssp_indicator`, how many `hybrids` there are, and their `recall`.

    `crosses` (n,) says what an image shows, such as `venus x chestertonii`; which parent was the
    mother makes no difference. The thresholds are those of `challenge_scores`.
    """
    called = scores > row_thresholds(scores, labels, indicators)
    names = np.array([" x ".join(sorted(cross.split(" x "))) for cross in crosses], dtype=object)
    found = {}
    for species in (indicators != "mimic", indicators == "mimic"):
        for name in sorted(set(names[species & (labels == 1)])):
            rows = species & (labels == 1) & (names == name)
            recall = {"hybrids": int(rows.sum()), "recall": float(called[rows].mean())}
            found[name] = {"ssp_indicator": str(indicators[rows][0])} | recall
    return found


# ---- its files ----------------------------------------------------------------------------------


def read_predictions(path: Path) -> dict[str, float]:
    """File name -> score; ValueError naming the line of anything but `filename,score`."""
    origin = "ingestion.py writes predictions.txt into its OUTPUT_DIR"
    rows: dict[int, tuple[str, float]] = {}
    lines = read_text(path, "lines of filename,score", origin).splitlines()
    for line, text in enumerate(lines, start=1):
        name, _, value = text.rpartition(",")
        try:
            score = float(value)
        except ValueError:
            score = np.nan
        elsewhere = OTHER_COUNTRIES.fullmatch(text)
        if not name or not np.isfinite(score) or elsewhere:
            hint = "; of a details.csv, say --members" if text.startswith("filename,") else ""
            if elsewhere:
                hint = " with a decimal point: a spreadsheet may have saved it its country's way"
            raise ValueError(f"{path}, line {line}: {text[:300]!r} is not filename,score{hint}")
        rows[line] = name, score
    check_once(path, pd.Series({line: name for line, (name, _) in rows.items()}))
    return dict(rows.values())


def read_details(path: Path, members: Sequence[str]) -> dict[str, float]:
    """File name -> the score that ingestion.py writes with `members`, from the details.csv of all.

    ValueError where one gave no probability.
    """
    details = read_cells(path, ["filename", *members], "ingestion.py --details writes details.csv")
    names = details["filename"]
    check_once(path, names)
    probabilities = {}
    for name in members:
        cells = details[name].str.replace(",", ".")  # as spreadsheets in many countries write it
        values = pd.to_numeric(cells, errors="coerce").to_numpy(float)
        problem = f"{{}} is no probability of {name}; score with it, or leave it out of --members"
        check_cells(path, details[name], (values >= 0) & (values <= 1), problem)
        probabilities[name] = values
    scores = np.maximum.reduce(list(probabilities.values()))  # as the model combines them
    return dict(zip(names, scores.round(DECIMALS), strict=True))


def read_reference(path: Path) -> pd.DataFrame:
    """The rows of a challenge reference CSV, hybrid_stat as 0/1 integers."""
    origin = "ref_val.csv and ref_test.csv come from the challenge"
    reference = read_cells(path, ["filename", "hybrid_stat", "ssp_indicator"], origin)
    labels, kinds = reference["hybrid_stat"], reference["ssp_indicator"]
    check_cells(path, labels, labels.isin(["0", "1"]), "hybrid_stat is {}, expected 0 or 1")
    known = " or ".join(INDICATORS)
    check_cells(path, kinds, kinds.isin(INDICATORS), f"ssp_indicator is {{}}, expected {known}")
    check_once(path, reference["filename"])
    if CROSS in reference:
        crosses = reference[CROSS].where(labels == "1", "").str.lower().str.split(" x ")
        good = crosses.map(lambda parents: len(parents) == len(set(parents))).to_numpy(bool)
        check_cells(path, reference[CROSS], good, "a hybrid is {}, expected two subspecies")
    return reference.assign(hybrid_stat=labels.astype(int)).reset_index(drop=True)


def read_scored(
    predictions_path: Path, reference_path: Path, members: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows of a reference with the `score` of a predictions file, or with `members` of a
    details.csv; ValueError where rows have no prediction.
    """
    path = predictions_path
    predictions = read_details(path, members) if members else read_predictions(path)
    reference = read_reference(reference_path)
    scores = reference["filename"].map(predictions).astype(float)
    missing = reference["filename"][scores.isna()]
    if len(missing):
        hint = but_known(missing.iloc[0], predictions)
        raise ValueError(
            f"{predictions_path}: {len(missing)} of {len(reference)} images of {reference_path} "
            f"have no prediction (first: {', '.join(missing[:3])}){hint}"
        )
    return reference.assign(score=scores)


def columns_of(rows: pd.DataFrame) -> list[np.ndarray]:
    """The scores, labels and indicators of what `read_scored` gave."""
    return [rows[name].to_numpy() for name in ("score", "hybrid_stat", "ssp_indicator")]


def score_rows(rows: pd.DataFrame, reference_path: Path) -> dict:
    """The challenge's numbers for what `read_scored` gave and, where the reference says what an
    image shows, under `crosses` each cross's recall. ValueError where the reference lacks a class.
    """
    columns = columns_of(rows)
    try:
        result = {name: float(value) for name, value in challenge_scores(*columns).items()}
    except ValueError as error:
        raise ValueError(f"{reference_path}: {error}") from error
    if CROSS in rows.columns:
        result["crosses"] = cross_recalls(*columns, rows[CROSS].to_numpy())
    return result


def call_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Each of `read_scored`'s rows with its species' `threshold`, and whether it is `called` a
    hybrid, 0 or 1.
    """
    thresholds = row_thresholds(*columns_of(rows))
    columns = ["filename", CROSS, "ssp_indicator", "hybrid_stat", "score"]
    shown = rows[[name for name in columns if name in rows]]
    return shown.assign(threshold=thresholds, called=(rows["score"] > thresholds).astype(int))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="score_predictions.py", description="Challenge scores of a predictions.txt."
    )
    add, members = parser.add_argument, {"nargs": "+", "choices": MEMBERS, "default": []}
    add("--predictions", type=Path, required=True, help="or a details.csv")
    add("--members", **members, help="whose scores to take of a details.csv, which has them all")
    add("--reference", type=Path, required=True, help="the challenge's ref_*.csv")
    add("--output", type=Path, help="also write them as JSON")
    bounds = "in the JSON, 95 %% intervals of a bootstrap over specimens, and ROC AUCs"
    add("--intervals", action="store_true", help=bounds)
    add("--calls", type=Path, help="also write for each image whether it is taken for a hybrid")
    options = parser.parse_args()
    if options.intervals and options.output is None:
        parser.error("--intervals: they stand in the JSON alone; name it with --output")
    try:
        rows = read_scored(options.predictions, options.reference, options.members)
        scores = score_rows(rows, options.reference)
        if options.calls:
            with atomic(options.calls) as temporary:
                call_rows(rows).to_csv(temporary, index=False)
        if options.output:
            with atomic(options.output) as temporary:
                sure = {"intervals": with_intervals(rows)} if options.intervals else {}
                temporary.write_text(json.dumps(scores | sure, indent=2) + "\n")
    except (OSError, ValueError) as error:
        print(f"score_predictions: {error}", file=sys.stderr)
        return 1
    crosses = scores.pop("crosses", {})
    for name, value in scores.items():
        print(f"{name:<22} {value:.4f}")
    for name, cross in crosses.items():
        print(f"{name:<28} {cross['recall']:.4f} of {cross['hybrids']} {cross['ssp_indicator']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
