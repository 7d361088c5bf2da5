"""The report on disk: index.html with its pictures, figures.json and two tables."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from util.images import read_square
from util.pages import PANEL, TEMPLATES, write_strip, write_text

from quality import formulas
from quality.figures import FEWEST, ON_PAGE, Figure
from quality.measure import HIDDEN, PHOTOGRAPHED, SIDE, Evaluation
from quality.plots import DASH, histogram, written

SHOWN = 4  # the first and the last images by a column
PANELS = {  # pictures of a painted image, and the column with each one's file
    "edge map asked for": "edge_map",
    "structure's photograph": "structure_photo",
    "reference": "reference_photo",
    "painted": "path",
}

# Columns of the table of pairs: of which column of the images, how joined; on the page, the title
# and how it is written.
PAIR_COLUMNS = {
    "painted": ("image", "size", "painted", "{:.0f}"),
    "edges_f1": ("edges_f1", "mean", "edges, F1", "{:.2f}"),
    "colour_distance": ("colour_distance", "mean", "colour distance", "{:.1f}"),
    "colour_distance_before": ("colour_distance_before", "mean", "before painting", "{:.1f}"),
    "nearest_photograph": ("nearest_distance", "median", "nearest photograph", "{:.2f}"),
    "close": ("close", "mean", "close", "{:.0%}"),
    "looks_painted": ("looks_painted", "mean", "looks painted", "{:.2f}"),
}


def write_report(evaluation: Evaluation, numbers: dict[str, Any], folder: Path) -> Path:
    """Write the report into `folder`, with `numbers` as figures.json; the path of its page."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    write_text(folder / "figures.json", json.dumps(without_nan(numbers), indent=1))
    pairs, images = pair_table(evaluation), evaluation.painted.table.drop(columns=HIDDEN)
    for name, rows in {"pairs": pairs, "images": images.sort_values("image")}.items():
        text = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(folder / f"{name}.csv", text)
    page = TEMPLATES.get_template("quality/page.html").render(
        **numbers,
        **{name: value for name, value in vars(formulas).items() if name.isupper()},
        **{"FEWEST": FEWEST, "PHOTOGRAPHED": PHOTOGRAPHED, "DASH": DASH, "written": written},
        numbers=numbers,
        panel=PANEL,
        on_page=ON_PAGE,
        examples={
            figure.key: write_pictures(figure, evaluation, folder / "pictures")
            for figure in ON_PAGE
            if figure.column
        },
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


def write_pictures(
    figure: Figure, evaluation: Evaluation, folder: Path
) -> tuple[str, dict[str, list[tuple[dict[str, Any], str, list[str], str]]]]:
    """Write the histogram of a figure's column, KEY.png, and strips of the first and of the last
    painted images by it, KEY_0.jpg and so on. What the histogram shows, in words; and the strips,
    by the title of either end: row, what is said, the names of the panels, the strip's file.
    Nothing where no image has a value."""
    known = evaluation.painted.table.dropna(subset=figure.column)
    if known.empty:
        return "", {}
    series = dict(figure.beside(evaluation))
    for kind, rows in known.groupby("kind", sort=False):
        series[f"painted {kind}"] = rows[figure.column]
    words = histogram(folder / f"{figure.key}.png", figure.axis, series)
    rows = known.sort_values(figure.column, kind="stable").to_dict("records")
    shown = min(SHOWN, (len(rows) + 1) // 2)
    first, last = figure.ends
    ends = [(first, row) for row in rows[:shown]]
    ends += [(last, row) for row in rows[shown:][::-1][:shown]]
    examples: dict[str, list] = {}
    for place, (title, row) in enumerate(ends):
        panels = {name: read_square(row[column], SIDE) for name, column in PANELS.items()}
        if figure.panel:
            panels[figure.panel] = figure.picture(row, evaluation)
        strip = f"{figure.key}_{place}.jpg"
        write_strip(folder / strip, list(panels.values()))
        says = figure.says.format(**row)
        examples.setdefault(title, []).append((row, says, list(panels), strip))
    return words, examples
