"""The report on disk: index.html with its pictures, figures.json and two tables."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from util.images import read_square
from util.pages import PANEL, TEMPLATES, write_strip, write_text

from quality import formulas
from quality.figures import FEWEST, FIGURES, ON_PAGE, Figure
from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.measure import HIDDEN, PHOTOGRAPHED, SIDE, Evaluation
from quality.plots import DASH, histogram, hundredths, percent, tenths, whole

SHOWN = 4  # the first and the last images by a column
PANELS = {  # pictures of a painted image, and the column with each one's file
    "edge map asked for": "edge_map",
    "structure's photograph": "structure_photo",
    "reference": "reference_photo",
    "painted": "path",
}
INKS = {NON_HYBRIDS: "painted", HYBRIDS: "other"}

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


def write_report(evaluation: Evaluation, numbers: dict[str, Any], folder: Path) -> Path:
    """Write the report into `folder`, with `numbers` as figures.json; the path of its page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "figures.json", json.dumps(without_nan(numbers), indent=1))
    pairs, images = pair_table(evaluation), evaluation.painted.table.drop(columns=HIDDEN)
    for name, rows in {"pairs": pairs, "images": images.sort_values("image")}.items():
        text = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(folder / f"{name}.csv", text)
    page = TEMPLATES.get_template("quality/page.html").render(
        **numbers,
        **{name: value for name, value in vars(formulas).items() if name.isupper()},
        **{"FEWEST": FEWEST, "PHOTOGRAPHED": PHOTOGRAPHED, "DASH": DASH},
        numbers=numbers,
        panel=PANEL,
        on_page=ON_PAGE,
        plots={figure.key: plot(figure, evaluation) for figure in ON_PAGE if figure.column},
        examples=write_examples(evaluation, folder / "pictures"),
        columns=PAIR_COLUMNS,
        pairs=pairs.to_dict("records"),
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def without_nan(value: object) -> object:
    """`value` with None for what is no number: JSON has no word for it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pair_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row for each pair of subspecies, 2 before 10."""
    table = evaluation.painted.table
    table = table.assign(close=table["nearest_distance"] <= evaluation.close)
    subspecies = {"structure_subspecies": "structure", "reference_subspecies": "reference"}
    means = {name: column[:2] for name, column in PAIR_COLUMNS.items()}
    pairs = table.groupby(list(subspecies)).agg(**means)
    order = sorted(pairs.index, key=lambda pair: [(len(name), name) for name in pair])
    return pairs.loc[order].reset_index().rename(columns=subspecies)


def plot(figure: Figure, evaluation: Evaluation) -> tuple[str, str]:
    """The histogram of a figure's column, and its caption."""
    series = [(name, "photo", values) for name, values in figure.beside(evaluation).items()]
    known = evaluation.painted.table.dropna(subset=figure.column)
    for kind, rows in known.groupby("kind", sort=False):
        series.append((f"painted {kind}", INKS[kind], rows[figure.column]))
    return histogram(series, figure.axis, figure.marks(evaluation)) if series else ("", "")


def write_examples(evaluation: Evaluation, folder: Path) -> dict[str, dict[str, list]]:
    """The first and the last painted images by the column of each figure, under the figure's key
    and the title of the end: name, subspecies, what is said, the names of the panels and the strip
    that shows them. Strips, 0001.jpg and so on, take the place of those of an earlier report."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("[0-9][0-9][0-9][0-9].jpg"):
        path.unlink()
    examples, written = {}, 0
    for figure in (figure for figure in FIGURES if figure.column):
        known = evaluation.painted.table.dropna(subset=figure.column)
        rows = known.sort_values(figure.column, kind="stable").to_dict("records")
        shown = min(SHOWN, (len(rows) + 1) // 2)
        ends = examples[figure.key] = {}
        both = rows[:shown], rows[shown:][::-1][:shown]
        for title, some in zip(figure.ends, both, strict=True):
            for row in some:
                panels = panels_of(row, figure, evaluation)
                written += 1
                write_strip(folder / f"{written:04d}.jpg", list(panels.values()))
                says = figure.says.format(**row)
                ends.setdefault(title, []).append((row, says, list(panels), f"{written:04d}.jpg"))
    return examples


def panels_of(row: dict[str, Any], figure: Figure, evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Pictures of a painted image by their names."""
    panels = {name: read_square(row[column], SIDE) for name, column in PANELS.items()}
    if figure.panel:
        panels[figure.panel] = figure.picture(row, evaluation)
    return panels
