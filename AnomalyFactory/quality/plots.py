"""The plots of a generation report: what is drawn in each section, with its caption."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from dominate import tags
from dominate.util import text

from quality.distances import principal_places
from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.report import Report
from quality.svg import Series, histograms, intervals, scatter, span

LOOKS = {NON_HYBRIDS: "painted", HYBRIDS: "other"}  # of the kinds, in all plots
PHOTOS = "photo"
MOST_DOTS = 1500  # of each series on the map

Row = tuple[str, str, float, float, float]  # name, look, value, low, high


@contextmanager
def captioned(*parts: str | Series) -> Iterator[None]:
    """A figure for what is drawn in the block; in its caption a series stands in its colour."""
    with tags.figure():
        yield
        with tags.figcaption():
            for part in parts:
                if isinstance(part, Series):
                    tags.span(part.name, cls=f"{part.look}-ink")
                else:
                    text(part)


def joined(series: list[Series]) -> list[str | Series]:
    """The series with commas between them, for a caption."""
    return [part for one in series for part in (", ", one)][1:]


def by_kind(report: Report, values: np.ndarray) -> list[Series]:
    """The finite `values` (n, ...) of the painted non-hybrids and of the hybrids."""
    kinds = np.array([painting.kind for painting in report.painted.paintings])
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    series = [
        Series(f"painted {kind}", look, values[(kinds == kind) & finite])
        for kind, look in LOOKS.items()
    ]
    return [one for one in series if len(one.values)]


def rows_of(report: Report, name: str) -> list[Row]:
    """A row of an interval plot for each set that has the figure `name`."""
    return [
        (
            title,
            LOOKS.get(title, "other"),
            *(found[name][end] for end in ("value", "low", "high")),
        )
        for title, found in report.figures.items()
        if found[name]
    ]


def read_out(rows: list[Row]) -> str:
    """Rows in words, for those who cannot see them."""
    return "; ".join(f"{name} {value:.3g}" for name, _, value, _, _ in rows)


def told_apart_plot(report: Report) -> None:
    if rows := rows_of(report, "told_apart"):
        with captioned("0.5: nobody could tell; 1: told every time. The bars are intervals."):
            says = f"Areas under the ROC curve: {read_out(rows)}"
            low, _ = span([0.4, *(value for row in rows for value in row[2:])])
            intervals(rows, "area under the ROC curve", says, (low, 1))
    looks = by_kind(report, report.looks)
    if looks:
        with captioned(*joined(looks), ", by how painted they look."):
            says = "Histogram of the probability of being painted that the classifier gives"
            histograms(looks, "probability of being painted", says, {})


def frechet_plot(report: Report) -> None:
    rows = []
    for title, found in report.figures.items():
        halves = found["halves"]
        if halves:
            size = f"{halves['images']:.0f} against {halves['images']:.0f}"
            painted, photographs = halves["frechet_painted"], halves["frechet_photographs"]
            rows.append((f"{title}: painted, {size}", LOOKS.get(title, "other"), painted))
            rows.append((f"{title}: photographs, {size}", PHOTOS, photographs))
    if rows:
        rows = [(*row, np.nan, np.nan) for row in rows]
        photographs = Series("Photographs", PHOTOS, np.array([]))
        with captioned(
            photographs,
            " against other photographs are the yardstick: no generator can be expected to come"
            " below. The scale begins at 0.",
        ):
            says = f"Fréchet distances at equal numbers: {read_out(rows)}"
            intervals(rows, "Fréchet distance at equal numbers", says)


def feature_map(report: Report) -> None:
    """All images on the two main directions of their features."""
    features = [report.photos.features, report.painted.features]
    places, shares = principal_places(np.concatenate(features))
    split = len(report.photos.keys)
    photos = Series("photographs", PHOTOS, places[:split])
    series = [photos, *by_kind(report, places[split:])]
    names = {
        f"painted {kind}": [p.name for p in report.painted.paintings if p.kind == kind]
        for kind in LOOKS
    }
    names["photographs"] = [
        f"{name}, subspecies {subspecies}" for subspecies, name in report.photos.keys
    ]
    shown = [Series(one.name, one.look, one.values[:MOST_DOTS]) for one in series]
    titles = [
        f"{order} main direction, {share:.0%} of the variance"
        for order, share in zip(("first", "second"), shares, strict=True)
    ]
    with captioned(
        *joined(shown),
        ", on the two main directions of their features. Painted images should lie among the"
        " photographs, or, hybrids, between two of their clouds. The name of a dot shows when the"
        " pointer rests on it.",
    ):
        says = "Map of all images by their features; every figure of it stands in the text"
        scatter([(one, names[one.name][:MOST_DOTS]) for one in shown], says, titles)


def diversity_plot(report: Report) -> None:
    if rows := rows_of(report, "diversity"):
        with captioned("1: as varied as photographs of one subspecies. The bars are intervals."):
            says = f"Diversity: {read_out(rows)}"
            intervals(rows, "diversity, as a share of the photographs'", says)


def memorised_plot(report: Report) -> None:
    nearest = report.nearest
    photos = Series("photographs to each other", PHOTOS, nearest.between)
    series = [photos, *by_kind(report, nearest.distance)]
    with captioned(*joined(series), ". What lies left of the line is called close."):
        says = "Histogram of the distances to the nearest photograph"
        histograms(series, "distance to the nearest photograph", says, {"close": nearest.close})


def structure_plot(report: Report) -> None:
    series = by_kind(report, report.painted.edges[:, 0])
    marks = {}
    for name, values in (
        ("another image", report.painted.other_edges),
        ("photographs", report.painted.photo_edges),
    ):
        if np.isfinite(values).any():
            marks[name] = float(np.nanmean(values))
    with captioned(*joined(series), ". Lines: the means in another image, and in photographs."):
        histograms(series, "F1 of the edges", "Histogram of the edges' F1", marks)


def appearance_plot(report: Report) -> None:
    painted = report.painted
    after = by_kind(report, painted.colours)
    before = by_kind(report, painted.given_colours)
    for one, earlier in zip(after, before, strict=True):
        earlier = Series("their structures before painting", PHOTOS, earlier.values)
        with captioned(one, ", ", earlier, "."):
            says = f"Histogram of the colour distances of {one.name} from their references"
            marks = {"one subspecies": report.colours_within}
            marks = marks if np.isfinite(report.colours_within) else {}
            histograms([earlier, one], "distance from the reference's colours", says, marks)
