"""Plots as inline SVG, whose colours follow the page's: readable in light, in dark and in print."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dominate import svg

WIDTH, HEIGHT = 440, 250  # of the drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44  # margins
BINS = 24


@dataclass(frozen=True)
class Series:
    """Values under one name; `look` is a class of the page's style: painted, photo, other."""

    name: str
    look: str
    values: np.ndarray


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(float(self.start + share * (self.end - self.start)), 1)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the scale, 1, 2 or 5 times a power of ten apart."""
        span = self.high - self.low
        power = 10.0 ** np.floor(np.log10(span / most))
        step = next(step * power for step in (1, 2, 5, 10) if span / (step * power) <= most)
        first = np.ceil(self.low / step - 1e-9)
        last = np.floor(self.high / step + 1e-9)
        return [float(number * step) for number in np.arange(first, last + 1)]


def span(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest of the finite values; never equal."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def drawing(text: str, height: int = HEIGHT):
    """An empty drawing; `text` says to those who cannot see it what it shows."""
    return svg.svg(viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=text, cls="plot")


def label(text: str, x: float, y: float, anchor: str = "middle", **more: object) -> None:
    svg.text(text, x=x, y=y, text_anchor=anchor, **more)


def number(value: float) -> str:
    return f"{value + 0.0:.4g}".replace("-", "\N{MINUS SIGN}")  # + 0: no minus before zero


def horizontal_axis(axis: Axis, y: float, title: str) -> None:
    svg.line(x1=axis.start, x2=axis.end, y1=y, y2=y, cls="axis")
    for tick in axis.ticks():
        svg.line(x1=axis(tick), x2=axis(tick), y1=y, y2=y + 4, cls="axis")
        label(number(tick), axis(tick), y + 17)
    label(title, (axis.start + axis.end) / 2, y + 36)


def histograms(series: Sequence[Series], title: str, text: str, marks: dict[str, float]):
    """Histograms over each other, each in shares of its own number, with named `marks`."""
    everything = np.concatenate([one.values[np.isfinite(one.values)] for one in series])
    low, high = span([*everything, *marks.values()])
    edges = np.linspace(low, high, BINS + 1)
    across = Axis(low, high, LEFT, WIDTH - RIGHT)
    shares = [np.histogram(one.values, edges)[0] / max(1, len(one.values)) for one in series]
    top = TOP + 16 * len(marks)
    up = Axis(0, 100 * max(max(share) for share in shares) or 1, HEIGHT - BOTTOM, top)
    with drawing(text) as picture:
        for one, share in zip(series, shares, strict=True):
            points = [f"{across(low)},{up(0)}"]
            for left, right, value in zip(edges[:-1], edges[1:], 100 * share, strict=True):
                points += [f"{across(left)},{up(value)}", f"{across(right)},{up(value)}"]
            points.append(f"{across(high)},{up(0)}")
            svg.polygon(points=" ".join(points), cls=f"area {one.look}")
        for row, (name, value) in enumerate(marks.items()):
            x, y = across(value), TOP + 16 * row
            svg.line(x1=x, x2=x, y1=y, y2=up(0), cls="mark")
            right = x > WIDTH / 2
            label(name, x + (-5 if right else 5), y + 9, "end" if right else "start")
        for tick in up.ticks(4):
            svg.line(x1=LEFT - 4, x2=LEFT, y1=up(tick), y2=up(tick), cls="axis")
            label(f"{number(tick)} %", LEFT - 7, up(tick) + 4, "end")
        horizontal_axis(across, HEIGHT - BOTTOM, title)
    return picture


def scatter(series: Sequence[tuple[Series, Sequence[str]]], text: str, titles: tuple[str, str]):
    """Points of (n, 2) values, each with a name that appears under the pointer."""
    size = WIDTH
    points = np.concatenate([one.values for one, _ in series])
    across = Axis(*span(points[:, 0]), LEFT - 20, WIDTH - RIGHT)
    up = Axis(*span(points[:, 1]), size - BOTTOM + 10, TOP)
    with drawing(text, size) as picture:
        for one, names in series:
            for (x, y), name in zip(one.values, names, strict=True):
                with svg.circle(cx=across(x), cy=up(y), r=3.2, cls=f"dot {one.look}"):
                    svg.title(name)
        label(titles[0], WIDTH / 2, size - 10)
        middle = size / 2
        label(titles[1], 14, middle, transform=f"rotate(-90 14 {middle})")
    return picture


def intervals(
    rows: Sequence[tuple[str, str, float, float, float]],  # name, look, value, low, high
    title: str,
    text: str,
    ends: tuple[float, float] | None = None,  # of the scale; default: those of the values
):
    """A row for each value, with a bar from low to high."""
    step = 40
    height = TOP + step * len(rows) + BOTTOM
    low, high = ends or span([0, *[value for row in rows for value in row[2:]]])
    across = Axis(low, high, RIGHT + 8, WIDTH - RIGHT - 8)
    with drawing(text, height) as picture:
        for place, (name, look, value, start, end) in enumerate(rows):
            y = TOP + step * place + 28
            label(name, across(low), y - 14, "start")
            svg.line(x1=across(low), x2=across(high), y1=y, y2=y, cls="guide")
            if np.isfinite(start) and np.isfinite(end):
                svg.line(x1=across(start), x2=across(end), y1=y, y2=y, cls=f"bar {look}")
            svg.circle(cx=across(value), cy=y, r=5.5, cls=f"dot {look}")
        horizontal_axis(across, height - BOTTOM + 4, title)
    return picture
