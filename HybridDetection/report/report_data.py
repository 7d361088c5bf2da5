"""What the page draws, as one object of plain numbers and texts, data.js; what a reference says."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from cutout import CONFIDENT, find_specimen, is_cutout, mask_of_cutout
from evaluation import CROSS, read_scored, score_rows
from metrics import cumulated, pr_auc, roc_auc, wilson
from PIL import Image
from subspecies_member import Parents
from training_index import TrainingIndex

WARN_ABOVE = 0.2  # of the evidence outside the specimen
MASK_SIDE = 96  # pixels of the picture in which the specimen is found: six a patch, at the least
MASK_FITTED = 2000  # of its pixels tell the colour of the paper: masks are the same as by all
DRAWN = 127  # the strongest patch of a heat map, in the numbers that the page draws
DECIMALS = 6  # of a member's probability


@dataclass(frozen=True)
class Photograph:
    """A row of the report."""

    name: str  # as in predictions.txt
    path: Path
    score: float
    thumbnail: bytes  # JPEG
    members: dict[str, float]  # the probability of each that took part
    parents: Parents | None
    feature: np.ndarray | None  # (feature_size,) float16 of the backbone
    evidence: np.ndarray | None  # (h, w) float16: what each patch adds to the log-odds
    wings: bytes | None  # JPEG of both sides as the third member sees them
    wing_evidence: np.ndarray | None  # likewise, over that


def report_data(
    photographs: Sequence[Photograph],
    folder: Path,
    setting: dict,
    index: TrainingIndex | None,
    reference: dict | None,
) -> dict:
    """The object of data.js for photographs sorted by score; links start at `folder`.

    `setting` says how they were scored: backbone, memberNames, preprocess, threshold (None where
    none is known), and noTraining, why there are no training images to show.
    """
    data = setting | {
        "warnAbove": WARN_ABOVE,
        "drawn": DRAWN,
        "photographs": columns(photographs, folder, setting["memberNames"]),
        "maps": [heat_map(photograph) for photograph in photographs],
        "wingMaps": [numbers_of(some.wing_evidence) for some in photographs],
        "wings": any(some.wings for some in photographs),
        "training": index and index.names.tolist(),
        "similar": index and similar_photographs(photographs, index),
        "reference": None,
    }
    if reference is not None:
        rest = dict(reference)
        labels, shows = rest.pop("labels"), rest.pop("shows")
        data["reference"] = rest
        data["photographs"]["label"] = [labels.get(some.name) for some in photographs]
        data["photographs"]["shows"] = [shows.get(some.name, "") for some in photographs]
    return data


def columns(photographs: Sequence[Photograph], folder: Path, members: Sequence[str]) -> dict:
    parents = [some.parents for some in photographs]
    return {
        "name": [some.name for some in photographs],
        "link": [link_from(folder, some.path) for some in photographs],
        "bytes": [some.path.stat().st_size for some in photographs],
        "score": [some.score for some in photographs],
        "members": {
            name: [round(some.members[name], DECIMALS) for some in photographs] for name in members
        },
        "parents": [
            pair and [pair.first, pair.second, round(pair.share, 2), round(pair.certainty, 3)]
            for pair in parents
        ],
        "parentsText": ["" if pair is None else str(pair) for pair in parents],
    }


def link_from(folder: Path, path: Path) -> str:
    """The address of the file `path` as seen from a page in `folder`."""
    place = path.parent.resolve() / path.name
    return quote(Path(os.path.relpath(place, folder.resolve())).as_posix())


def heat_map(photograph: Photograph) -> dict | None:
    """The evidence as `numbers_of` has it; `outside` is the share beside the specimen, null where
    none is found.
    """
    if photograph.evidence is None:
        return None
    mask = specimen_mask(photograph.thumbnail)
    outside = None if mask is None else outside_share(photograph.evidence.astype(float), mask)
    outside = None if outside is None else round(outside, 3)
    return numbers_of(photograph.evidence) | {"outside": outside}


def numbers_of(evidence: np.ndarray | None) -> dict | None:
    """A map in whole numbers of -DRAWN to DRAWN, base64 by rows; `peak` is the largest."""
    if evidence is None:
        return None
    evidence = evidence.astype(np.float64)
    peak = max(float(np.abs(evidence).max()), 1e-12)
    numbers = (evidence * (DRAWN / peak)).round().astype(np.int8)
    return {
        "rows": evidence.shape[0],
        "columns": evidence.shape[1],
        "values": base64.b64encode(numbers.tobytes()).decode(),
        "peak": float(f"{peak:.4g}"),
    }


def specimen_mask(picture: bytes) -> np.ndarray | None:
    """The specimen in a JPEG, (height, width) bool in a smaller one; None without confidence."""
    with Image.open(io.BytesIO(picture)) as thumbnail:
        thumbnail.thumbnail((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX, reducing_gap=1)
        rgb = np.asarray(thumbnail.convert("RGB"))
    if is_cutout(rgb):
        return mask_of_cutout(rgb)
    found = find_specimen(rgb, MASK_FITTED)
    return found.mask if found.confidence >= CONFIDENT else None


def outside_share(evidence: np.ndarray, mask: np.ndarray) -> float | None:
    """The share of the evidence (h, w), for or against, in patches that the specimen misses.

    `mask` (height, width) bool is the specimen, in the same picture. A patch that the mask only
    touches is part of the specimen. None where there is no evidence at all.
    """
    strength = np.abs(evidence.astype(np.float64))
    reached = cells_reached(mask, *evidence.shape)
    total = strength.sum()
    return float(strength[~reached].sum() / total) if total > 0 else None


def cells_reached(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """Which cells of an h x w grid over a mask (height, width) hold some of it, (h, w) bool."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    reached = np.zeros((h, w), bool)
    reached[rows * h // height, columns * w // width] = True
    return reached


def unit(features: np.ndarray) -> np.ndarray:
    """(n, d) features as vectors of length 1, float32: products of two are their cosines."""
    rows = features.astype(np.float32)  # squares overflow in half precision
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def similar_photographs(
    photographs: Sequence[Photograph], index: TrainingIndex
) -> list[list[int | None] | None]:
    """For each photograph with parents, of each parent the most similar training photograph."""
    looks = unit(index.features)

    def nearest(photograph: Photograph, parent: str) -> int | None:
        places = np.flatnonzero(index.groups == parent)
        if not len(places) or photograph.feature is None:
            return None
        alike = looks[places] @ unit(photograph.feature[None])[0]
        return int(places[alike.argmax()])

    return [
        some.parents and [nearest(some, name) for name in (some.parents.first, some.parents.second)]
        for some in photographs
    ]


# ---- a reference ---------------------------------------------------------------------------------

CURVE_POINTS = 400  # of a curve, at the most

MEANINGS = {
    "challenge_score": "challenge score: harmonic mean of the three recalls",
    "A_score_major_recall": "recall of signal hybrids",
    "A_score_minor_recall": "recall of the other hybrids of species A",
    "mimic_recall": "recall of hybrids of species B (mimics)",
    "A_PRC_AUC": "PR AUC of species A",
    "A_PRC_AUC_major": "PR AUC of the signal rows",
    "A_PRC_AUC_minor": "PR AUC of the other rows of species A",
    "mimic_PRC_AUC": "PR AUC of species B (mimics)",
}
INDICATORS = {"major": "signal", "minor": "non-signal", "mimic": "mimic"}


def reference_data(predictions: Path, reference: Path) -> dict:
    """What the page shows of a reference file, by the rules of score_predictions.py.

    `labels` and `shows` are by file name. Raises what read_scored and score_rows raise.
    """
    table = read_scored(predictions, reference)
    result = score_rows(table, reference)
    names, labels = table["filename"].tolist(), table["hybrid_stat"].to_numpy()
    shown = table[CROSS].tolist() if CROSS in table.columns else [""] * len(names)
    return {
        "labels": dict(zip(names, labels.tolist(), strict=True)),
        "shows": dict(zip(names, shown, strict=True)),
        "official": [[text, result[name]] for name, text in MEANINGS.items()],
        "crosses": [cross_row(name, cross) for name, cross in result.get("crosses", {}).items()],
        **curves(table["score"].to_numpy(), labels),
    }


def cross_row(name: str, cross: dict) -> list:
    count = cross["hybrids"]
    found = round(cross["recall"] * count)
    return [name, INDICATORS[cross["ssp_indicator"]], found, count, *wilson(found, count)]


def curves(scores: np.ndarray, labels: np.ndarray) -> dict:
    """ROC as (false positive rate, recall), precision-recall as (recall, precision), and areas."""
    hybrids, others = cumulated(scores, labels, 1)
    recall, false = hybrids / hybrids[-1], others / others[-1]
    precision = hybrids / (hybrids + others)
    kept = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).round().astype(int))
    roc = np.concatenate([[[0.0, 0.0]], np.stack([false, recall], axis=1)[kept]])
    return {
        "roc": roc.round(4).tolist(),
        "precision_recall": np.stack([recall, precision], axis=1)[kept].round(4).tolist(),
        "roc_auc": float(roc_auc(scores, labels)),
        "pr_auc": float(pr_auc(scores, labels)),
    }
