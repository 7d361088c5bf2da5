"""What the page draws, as one object of plain numbers and texts: data.js."""

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from cutout import CONFIDENT, find_specimen, is_cutout, mask_of_cutout
from features import fit_square, most_similar, outside_share, places_pca, places_tsne
from gallery import Photograph
from PIL import Image
from training_index import TrainingIndex

MAPS = 200  # photographs with a heat map, the first by score
WARN_ABOVE = 0.2  # of the evidence outside the specimen
MASK_SIDE = 96  # pixels of the picture in which the specimen is found: six a patch, at the least
MASK_FITTED = 2000  # of its pixels tell the colour of the paper: masks are the same as by all
DRAWN = 127  # the strongest patch of a heat map, in the numbers that the page draws
DECIMALS = 6  # of a score


@dataclass(frozen=True)
class Setting:
    """How the photographs were scored; empty and None without a model."""

    backbone: str = ""
    members: tuple[str, ...] = ()
    preprocess: str = ""
    threshold: float | None = None
    no_training: str = ""  # why there are no training images to show
    all_maps: bool = False
    tsne: bool = False


def report_data(
    photographs: Sequence[Photograph],
    folder: Path,
    setting: Setting,
    index: TrainingIndex | None,
    reference: dict | None,
) -> dict:
    """The object of data.js for photographs sorted by score; links start at `folder`."""
    maps = heat_maps(photographs if setting.all_maps else photographs[:MAPS])
    has_features = len(photographs) > 1 and photographs[0].picture.feature is not None
    data = {
        "backbone": setting.backbone,
        "memberNames": list(setting.members),
        "preprocess": setting.preprocess,
        "threshold": setting.threshold,
        "warnAbove": WARN_ABOVE,
        "drawn": DRAWN,
        "noTraining": setting.no_training,
        "photographs": columns(photographs, folder, setting.members),
        "maps": maps,
        "training": index and training_columns(index),
        "similar": index and similar_photographs(photographs, index),
        "featureMap": feature_map(photographs, index, setting.tsne) if has_features else None,
        "reference": None,
    }
    if reference is not None:
        rest = {name: value for name, value in reference.items() if name not in ("labels", "shows")}
        data["reference"] = rest
        names = [photograph.name for photograph in photographs]
        data["photographs"]["label"] = [reference["labels"].get(name) for name in names]
        data["photographs"]["shows"] = [reference["shows"].get(name, "") for name in names]
    return data


def javascript(data: dict) -> str:
    """`data` as a program for a page: no text in it can end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return "const REPORT = " + text.replace("</", "<\\/") + ";\n"


def columns(photographs: Sequence[Photograph], folder: Path, members: Sequence[str]) -> dict:
    parents = [photograph.parents for photograph in photographs]
    folder = folder.resolve()
    places = {path: path.resolve() for path in {some.path.parent for some in photographs}}
    return {
        "name": [photograph.name for photograph in photographs],
        "link": [
            link_from(folder, places[some.path.parent] / some.path.name) for some in photographs
        ],
        "score": [round(photograph.score, DECIMALS) for photograph in photographs],
        "members": {
            member: [round(photograph.members[member], DECIMALS) for photograph in photographs]
            for member in members
        },
        "parents": [
            some and [some.first, some.second, round(some.share, 2), round(some.certainty, 3)]
            for some in parents
        ],
        "parentsText": ["" if some is None else str(some) for some in parents],
    }


def link_from(folder: Path, path: Path) -> str:
    """The address of the file `path` as seen from a page in `folder`; both are resolved."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def heat_maps(photographs: Sequence[Photograph]) -> list[dict | None]:
    cv2.setNumThreads(0)  # pictures this small are done before threads have met
    return [heat_map(photograph) for photograph in photographs]


def heat_map(photograph: Photograph) -> dict | None:
    """The evidence in whole numbers of -DRAWN to DRAWN, base64 by rows; `peak` is the largest in
    log-odds. `outside` is the share beside the specimen, null where none is found. None without
    evidence.
    """
    if photograph.picture.evidence is None:
        return None
    evidence = photograph.picture.evidence.astype(np.float64)
    peak = max(float(np.abs(evidence).max()), 1e-12)
    numbers = (evidence * (DRAWN / peak)).round().astype(np.int8)
    mask = specimen_mask(photograph.picture.thumbnail)
    outside = None if mask is None else outside_share(evidence, mask)
    return {
        "rows": evidence.shape[0],
        "columns": evidence.shape[1],
        "values": base64.b64encode(numbers.tobytes()).decode(),
        "peak": float(f"{peak:.4g}"),
        "outside": None if outside is None else round(outside, 3),
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


def training_columns(index: TrainingIndex) -> dict:
    return {
        "name": index.names.tolist(),
        "group": index.groups.tolist(),
        "hybrid": index.hybrid.astype(int).tolist(),
        "painted": index.painted.astype(int).tolist(),
    }


def similar_photographs(
    photographs: Sequence[Photograph], index: TrainingIndex
) -> list[list[int | None] | None]:
    """For each photograph with parents, of each parent the most similar training photograph."""
    found: list[list[int | None] | None] = [
        None if photograph.parents is None else [None, None] for photograph in photographs
    ]
    named = [
        (row, side, name)
        for row, photograph in enumerate(photographs)
        if photograph.parents is not None
        for side, name in enumerate((photograph.parents.first, photograph.parents.second))
    ]
    photographed = ~index.hybrid & ~index.painted
    for name in {name for _, _, name in named}:
        among = np.flatnonzero(photographed & (index.groups == name))
        places = [(row, side) for row, side, other in named if other == name]
        if len(among):
            features = np.stack([photographs[row].picture.feature for row, _ in places])
            nearest = among[most_similar(features, index.features[among])]
            for (row, side), place in zip(places, nearest.tolist(), strict=True):
                found[row][side] = place
    return found


def feature_map(
    photographs: Sequence[Photograph], index: TrainingIndex | None, tsne: bool
) -> dict[str, object]:
    """Where photographs and training images lie among their features, from 0 to 1.

    The principal axes are those of the training's photographs, where they are known.
    """
    features = np.stack([photograph.picture.feature for photograph in photographs])
    together = features if index is None else np.concatenate([index.features, features])
    if tsne:
        places, shares = places_tsne(together), []
    else:
        fitted_to = features if index is None else index.features[~index.painted]
        places, shares = places_pca(together, fitted_to if len(fitted_to) > 2 else together)
    square = np.where(np.isfinite(places), fit_square(places).round(4), -1).tolist()
    return {
        "how": "t-SNE" if tsne else "PCA",
        "shares": [round(float(share), 3) for share in shares],
        "training": square[: len(square) - len(photographs)],
        "photographs": square[len(square) - len(photographs) :],
    }
