"""The report on disk: index.html with its pictures, figures.json and two tables."""

import csv
import io
import json
import math
from pathlib import Path

from util.files import atomic

from quality.examples import Gallery, rankings
from quality.figures import Figure
from quality.page import render
from quality.report import Report


def write_report(report: Report, folder: Path) -> Path:
    """Write the report into `folder`; the path of its page."""
    gallery = Gallery(report, folder)
    ranked = rankings(report, gallery)
    figures = {
        "backbone": report.backbone,
        "edge_detector": report.finder.name if report.finder.detect else None,
        "painted_found": report.found,
        "painted": len(report.painted.paintings),
        "photographs": len(report.photos.keys),
        "painted_as": report.sources,
        "close_distance": report.nearest.close,
        "colour_distance_within_subspecies": report.colours_within,
        "sets": report.figures,
        "too_few": report.too_few,
        "left_out": report.left_out,
    }
    write_text(folder / "figures.json", json.dumps(without_nan(figures), indent=1))
    write_text(folder / "pairs.csv", as_csv(report.pairs))
    write_text(folder / "images.csv", as_csv(sorted(report.images, key=lambda row: row["image"])))
    page = folder / "index.html"
    write_text(page, render(report, ranked))
    gallery.remove_older()
    return page


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


def as_csv(rows: list[Figure]) -> str:
    """A table; numbers with six digits, what is unknown empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: as_cell(value) for key, value in without_nan(row).items()})
    return text.getvalue()


def as_cell(value: object) -> object:
    if isinstance(value, str):  # the csv module does not quote \r, at which readers end the row
        return value.replace("\r", "\\r")
    return f"{value:.6g}" if isinstance(value, float) else value
