"""The report on disk: index.html with its pictures, figures.json and two tables."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from util.files import atomic
from util.images import read_square, write_jpeg

from quality import figures, formulas, plots
from quality.figures import Ranking
from quality.inputs import HYBRIDS
from quality.measure import HIDDEN, SIDE, Evaluation
from quality.plots import hundredths, percent, tenths, whole

SHOWN = 4  # the best and the worst of each ranking
PICTURE = 192  # pixels of a picture's side
FOLDER = "pictures"
HERE = Path(__file__).parent

# Columns of the table of pairs, with their titles on the page and how it writes them.
PAIR_COLUMNS = {
    "painted": ("painted", whole),
    "edges_f1": ("edges, F1", hundredths),
    "colour_distance": ("colour distance", tenths),
    "colour_distance_before": ("before painting", tenths),
    "diversity": ("diversity", hundredths),
    "nearest_photograph": ("nearest photograph", hundredths),
    "close": ("close", percent),
    "looks_painted": ("looks painted", hundredths),
}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the report into `folder`; the path of its page."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    photos, table, pairs = evaluation.photos, evaluation.painted.table, pair_table(evaluation)
    numbers = {
        "backbone": evaluation.backbone,
        "edge_detector": evaluation.finder.name if evaluation.finder.detect else None,
        "painted_found": evaluation.painted_found,
        "painted": len(table),
        "photographs": len(photos.keys),
        "painted_as": evaluation.painted_as,
        "close_distance": photos.close,
        "colour_distance_within_subspecies": photos.colours_within(),
        "sets": evaluation.sets,
        "too_few": evaluation.too_few,
        "left_out": evaluation.left_out,
    }
    write_text(folder / "figures.json", json.dumps(without_nan(numbers), indent=1))
    write_text(folder / "pairs.csv", as_csv(pairs))
    write_text(folder / "images.csv", as_csv(table.drop(columns=HIDDEN).sort_values("image")))
    pictures = Pictures(evaluation, folder / FOLDER)
    templates = Environment(
        loader=FileSystemLoader([HERE, HERE.parent / "util"]),
        autoescape=True,
        extensions=["jinja2.ext.do"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = {**numbers, **vars(formulas), **vars(plots), **vars(figures)}
    page = templates.get_template("page.html").render(
        names,
        evaluation=evaluation,
        columns=PAIR_COLUMNS,
        pairs=pairs.to_dict("records"),
        ranked=pictures.ranked,
    )
    write_text(folder / "index.html", page)
    pictures.remove_older()
    return folder / "index.html"


def write_text(path: Path, text: str) -> None:
    """Write `text` as it is, but for what names of files have that is not UTF-8: `\\udcff`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def without_nan(value: object) -> object:
    """`value` with None for what is no number: JSON has no word for it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(table: pd.DataFrame) -> str:
    """Numbers with six digits, what is unknown empty."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def pair_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row for each pair of subspecies, 2 before 10."""
    painted, photos = evaluation.painted, evaluation.photos
    groups: dict[tuple[str, str], list[int]] = {}
    for place, image in enumerate(painted.images):
        groups.setdefault(image.pair, []).append(place)
    rows = []
    for pair in sorted(groups, key=lambda pair: [(len(name), name) for name in pair]):
        images, features = painted.table.loc[groups[pair]], painted.features[groups[pair]]
        distances = formulas.euclidean(features, features)
        within = formulas.mean_of_pairs(distances, np.ones(len(images)))
        rows.append(
            {
                "structure": images["structure_subspecies"].iloc[0],
                "reference": images["reference_subspecies"].iloc[0],
                "painted": len(images),
                "edges_f1": images["edges_f1"].mean(),
                "colour_distance": images["colour_distance"].mean(),
                "colour_distance_before": images["colour_distance_before"].mean(),
                "diversity": within / photos.distance_within(*pair),
                "nearest_photograph": images["nearest_distance"].median(),
                "close": (images["nearest_distance"] <= photos.close).mean(),
                "looks_painted": images["looks_painted"].mean(),
            }
        )
    return pd.DataFrame(rows)


class Pictures:
    """Pictures of the best and the worst images, each written once, as 0001.jpg and so on."""

    def __init__(self, evaluation: Evaluation, folder: Path):
        self.evaluation, self.folder = evaluation, folder
        self.written: dict[tuple[str, Path], str] = {}

    def ranked(self, ranking: Ranking) -> list[tuple[str, list[dict[str, object]]]]:
        """The images at both ends of a ranking, under their titles; none where nothing is known."""
        table = self.evaluation.painted.table
        if ranking.hybrids_first and (table["kind"] == HYBRIDS).any():
            table = table[table["kind"] == HYBRIDS]
        values = table[ranking.column].dropna() * (-1 if ranking.descending else 1)
        known = list(values.sort_values(kind="stable").index)
        shown = min(SHOWN, (len(known) + 1) // 2)
        ends = known[:shown], known[shown:][::-1][:shown]
        return [
            (title, [self.example(place, ranking) for place in places])
            for title, places in zip(ranking.ends, ends, strict=True)
            if places
        ]

    def example(self, place: int, ranking: Ranking) -> dict[str, object]:
        row = self.evaluation.painted.table.loc[place].to_dict()
        panels = [self.panel(place, name) for name in ranking.panels]
        return {**row, "says": ranking.says.format(**row), "panels": panels}

    def panel(self, place: int, name: str) -> tuple[str, str, str]:
        """Of a painted image: the address of a picture, its label, and whom it shows."""
        image, photos = self.evaluation.painted.images[place], self.evaluation.photos
        nearest = photos.keys[self.evaluation.painted.nearest[place]]
        files = self.evaluation.dataset.photos
        inputs = {
            figures.EDGES_ASKED: (self.evaluation.dataset.edges, image.structure),
            figures.REFERENCE: (files, image.reference),
            figures.STRUCTURE: (files, image.structure),
            figures.NEAREST: (files, nearest),
        }
        path, whom, change = image.path, image.path.name, None
        if name in inputs:
            there, (subspecies, specimen) = inputs[name]
            path, whom = there[subspecies, specimen], f"{specimen}, subspecies {subspecies}"
        elif name == figures.EDGES_FOUND:
            change = self.edges_found
        elif name == figures.OUTLINED:
            wings = photos.mask(photos.keys.index(image.structure))
            outlines = formulas.outlines_of(wings)
            change = lambda pixels: cv2.drawContours(pixels, outlines, -1, (255, 0, 255), 1)  # noqa: E731
        label = name
        if name == figures.NEAREST and nearest in (image.structure, image.reference):
            label += ": its structure's" if nearest == image.structure else ": its reference"
        return self.picture(path, name, change), label, f"{label}: {whom}"

    def picture(self, path: Path, name: str, change: Callable | None) -> str:
        """The address, from the page, of the image in `path`, changed as `name` says."""
        key = (name if change else "", path)
        if key not in self.written:
            pixels = read_square(path, SIDE)
            shown = Image.fromarray(change(pixels) if change else pixels)
            file = f"{len(self.written) + 1:04d}.jpg"
            small = shown.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
            write_jpeg(self.folder / file, small)
            self.written[key] = f"{FOLDER}/{file}"
        return self.written[key]

    def edges_found(self, pixels: np.ndarray) -> np.ndarray:
        strength = self.evaluation.finder.detect(pixels[None])[0]
        return np.repeat(255 - strength[..., None], 3, axis=2)

    def remove_older(self) -> None:
        """Remove what an earlier report left beyond the pictures of this one."""
        for path in self.folder.glob("*.jpg"):
            if re.fullmatch(r"\d{4}", path.stem) and int(path.stem) > len(self.written):
                path.unlink()
