"""The report on disk: index.html with its pictures, figures.json and two tables."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from util.images import read_square, write_jpeg
from util.pages import TEMPLATES, write_text

from quality import figures, formulas, plots
from quality.figures import Ranking
from quality.inputs import HYBRIDS
from quality.measure import HIDDEN, SIDE, Evaluation
from quality.plots import hundredths, percent, tenths, whole

SHOWN = 4  # the best and the worst of each ranking
PICTURE = 192  # pixels of a picture's side
FOLDER = "pictures"

# Columns of the table of pairs: of which column of the images, how joined; on the page, the title
# and how it is written.
PAIR_COLUMNS = {
    "painted": ("image", "size", "painted", whole),
    "edges_f1": ("edges_f1", "mean", "edges, F1", hundredths),
    "colour_distance": ("colour_distance", "mean", "colour distance", tenths),
    "colour_distance_before": ("colour_distance_before", "mean", "before painting", tenths),
    "nearest_photograph": ("nearest_distance", "median", "nearest photograph", hundredths),
    "close": ("close", "mean", "close", percent),
    "looks_painted": ("looks_painted", "mean", "looks painted", hundredths),
}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the report into `folder`; the path of its page."""
    photos, table, pairs = evaluation.photos, evaluation.painted.table, pair_table(evaluation)
    numbers = {
        "backbone": evaluation.backbone,
        "edge_detector": evaluation.detector[0],
        "painted_found": evaluation.painted_found,
        "painted": len(table),
        "photographs": len(photos.keys),
        "close_distance": photos.close,
        "colour_distance_within_subspecies": photos.colours_within(),
        "sets": evaluation.sets,
        "left_out": evaluation.left_out,
    }
    pictures = Pictures(evaluation, folder / FOLDER)
    write_text(folder / "figures.json", json.dumps(without_nan(numbers), indent=1))
    images = table.drop(columns=HIDDEN).sort_values("image")
    for name, rows in {"pairs": pairs, "images": images}.items():
        text = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(folder / f"{name}.csv", text)
    page = TEMPLATES.get_template("quality/page.html").render(
        {**numbers, "formulas": formulas, "plots": plots, "figures": figures},
        evaluation=evaluation,
        # The plainest question leads.
        on_page=sorted(figures.FIGURES, key=lambda figure: figure.key != "told_apart"),
        columns=PAIR_COLUMNS,
        pairs=pairs.to_dict("records"),
        ranked=pictures.ranked,
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def without_nan(value: object) -> object:
    """`value` with None for what is no number: JSON has no word for it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pair_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row for each pair of subspecies, 2 before 10."""
    table = evaluation.painted.table.assign(
        close=evaluation.painted.table["nearest_distance"] <= evaluation.photos.close
    )
    subspecies = {"structure_subspecies": "structure", "reference_subspecies": "reference"}
    means = {name: column[:2] for name, column in PAIR_COLUMNS.items()}
    pairs = table.groupby(list(subspecies)).agg(**means)
    order = sorted(pairs.index, key=lambda pair: [(len(name), name) for name in pair])
    return pairs.loc[order].reset_index().rename(columns=subspecies)


class Pictures:
    """Pictures of the best and the worst images, each written once, as 0001.jpg and so on, in the
    place of those of an earlier report."""

    def __init__(self, evaluation: Evaluation, folder: Path):
        self.evaluation, self.folder = evaluation, folder
        self.written: dict[tuple[Path, str], str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("[0-9][0-9][0-9][0-9].jpg"):
            path.unlink()

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
        """Of a painted image: the address of a picture, its name, and whom it shows."""
        painted, data = self.evaluation.painted, self.evaluation.dataset
        image = painted.images[place]
        nearest = self.evaluation.photos.keys[painted.table.at[place, "nearest"]]
        files, key = {
            figures.EDGES_ASKED: (data.edges, image.structure),
            figures.REFERENCE: (data.photos, image.reference),
            figures.STRUCTURE: (data.photos, image.structure),
            figures.NEAREST: (data.photos, nearest),
        }.get(name, ({}, None))
        path = files[key] if key else image.path
        whom = f"{key[1]}, subspecies {key[0]}" if key else path.name
        change = name if name in (figures.EDGES_FOUND, figures.OUTLINED) else ""
        if (path, change) not in self.written:
            pixels = read_square(path, SIDE)
            if name == figures.EDGES_FOUND:
                strength = self.evaluation.detector[1](pixels[None])[0]
                pixels = np.repeat(255 - strength[..., None], 3, axis=2)
            elif name == figures.OUTLINED:
                wings = formulas.wings_of(read_square(data.photos[image.structure], SIDE))
                cv2.drawContours(pixels, formulas.outlines_of(wings), -1, (255, 0, 255), 1)
            small = Image.fromarray(pixels).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
            file = f"{len(self.written) + 1:04d}.jpg"
            write_jpeg(self.folder / file, small)
            self.written[path, change] = f"{FOLDER}/{file}"
        return self.written[path, change], name, f"{name}: {whom}"
