"""What the eye sees of figures: numbers as text, and plots as inline SVG in the page's own colours,
which differ in light, in dark and in print."""

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from quality.formulas import principal_places
from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.measure import Evaluation

WIDTH, HEIGHT = 440, 250  # of a drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44  # margins
STEP = 40  # height of a row
MOST_DOTS = 1500  # of each series on the map
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
BINS = 24

# Text stays text, whose font is the page's; equal drawings are equal.
LOOK = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 13}
styled = matplotlib.rc_context(LOOK)
# Stand-ins for the colours that the style sheet names.
INKS = {
    name: f"#00ff{number:02x}"
    for number, name in enumerate(("painted", "photo", "other", "text", "soft", "line"), 1)
}
KIND_LOOKS = {NON_HYBRIDS: "painted", HYBRIDS: "other"}  # in all plots

Drawing = tuple[str, Markup]  # with its caption
Bar = tuple[str, str, float, float, float]  # name, look, value, low, high


@dataclass(frozen=True)
class Series:
    """Values under one name; `look` is a colour of the style sheet: painted, photo or other."""

    name: str
    look: str
    values: np.ndarray

    @property
    def ink(self) -> Markup:
        """Its name in its colour, for a caption."""
        return Markup('<span class="{}-ink">{}</span>').format(self.look, self.name)


# ---- numbers as text ---------------------------------------------------------------------------


def written(digits: int, factor: float = 1, unit: str = "") -> Callable[[float], str]:
    """How the page writes a number, and what is none."""

    def write(value: float) -> str:
        if not math.isfinite(value):
            return DASH
        text = f"{round(factor * value, digits) + 0.0:.{digits}f}{unit}"  # + 0: no minus before 0
        return text.replace("-", MINUS)

    return write


whole, tenths, hundredths = written(0), written(1), written(2)
percent, per_thousand = written(0, 100, " %"), written(2, 1000)


def spread(found: dict[str, float], write: Callable[[float], str]) -> str:
    """`[low to high]` of a figure; nothing where it has no interval."""
    known = math.isfinite(found["low"])
    return f"[{write(found['low'])} to {write(found['high'])}]" if known else ""


# ---- of an evaluation ---------------------------------------------------------------------------


def by_kind(evaluation: Evaluation, values: Sequence) -> list[Series]:
    """The finite `values` (n, ...) of the painted non-hybrids and of the hybrids."""
    kinds, values = evaluation.painted.table["kind"], np.array(values)
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    series = [
        Series(f"painted {kind}", look, values[(kinds == kind) & finite])
        for kind, look in KIND_LOOKS.items()
    ]
    return [one for one in series if len(one.values)]


def inks(series: Iterable[Series]) -> Markup:
    return Markup(", ").join(one.ink for one in series)


def bars_of(evaluation: Evaluation, key: str) -> list[Bar]:
    """A row of an interval plot for each set that has a figure."""
    return [
        (
            title,
            KIND_LOOKS.get(title, "other"),
            *(found[key][end] for end in ("value", "low", "high")),
        )
        for title, found in evaluation.sets.items()
        if found[key]
    ]


def map_plot(evaluation: Evaluation) -> Drawing:
    """All images on the two main directions of their features."""
    photos, painted = evaluation.photos, evaluation.painted
    places, shares = principal_places(np.concatenate([photos.features, painted.features]))
    split = len(photos.keys)
    series = [Series("photographs", "photo", places[:split]), *by_kind(evaluation, places[split:])]
    names = {"photographs": [f"{name}, subspecies {group}" for group, name in photos.keys]}
    for kind, rows in painted.table.groupby("kind"):
        names[f"painted {kind}"] = list(rows["image"])
    shown = [
        (Series(one.name, one.look, one.values[:MOST_DOTS]), names[one.name][:MOST_DOTS])
        for one in series
    ]
    first, second = (f"main direction, {share:.0%} of the variance" for share in shares)
    caption = inks(series) + (
        ", on the two main directions of their features. Painted images should lie among the"
        " photographs, or, hybrids, between two of their clouds. The name of a dot shows when the"
        " pointer rests on it."
    )
    return scatter(shown, (f"first {first}", f"second {second}")), caption


# ---- the drawing --------------------------------------------------------------------------------


@styled
def histograms(
    series: Sequence[Series], title: str, caption: str, marks: dict[str, float] | None = None
) -> list[Drawing]:
    """Histograms over each other, where there are any, each in shares of its own number, with named
    `marks`; their names stand before the caption."""
    if not series:
        return []
    marks = {name: value for name, value in (marks or {}).items() if np.isfinite(value)}
    top = TOP + 16 * len(marks)
    axes = drawing(HEIGHT, top)
    low, high = span([*np.concatenate([one.values for one in series]), *marks.values()])
    edges, highest = np.linspace(low, high, BINS + 1), 0.0
    for one in series:
        shares = 100 * np.histogram(one.values, edges)[0] / len(one.values)
        highest = max(highest, *shares)
        axes.stairs(shares, edges, fill=True, color=INKS[one.look], alpha=0.28)
        axes.stairs(shares, edges, color=INKS[one.look], lw=2, clip_on=False)
    axes.set(xlim=(low, high), ylim=(0, highest), xlabel=title)
    for row, (name, value) in enumerate(marks.items(), 1):
        height = highest * (1 + 16 * row / (HEIGHT - BOTTOM - top))
        axes.plot([value, value], [0, height], color=INKS["text"], lw=1, ls="--", clip_on=False)
        side, shift = ("right", -1) if value > (low + high) / 2 else ("left", 1)
        axes.text(value + shift * 0.012 * (high - low), height, name, ha=side, va="top")
    axes.yaxis.set(major_locator=rounded(4), major_formatter=numbers(" %"))
    return [(svg(axes, f"Histogram: {title}"), inks(series) + caption)]


@styled
def intervals(
    bars: Sequence[Bar],
    title: str,
    caption: str | Markup,
    ends: tuple[float, float] | None = None,  # of the scale; default: those of the values
) -> list[Drawing]:
    """A row for each value, where there are any, with a bar from low to high."""
    if not bars:
        return []
    axes = drawing(TOP + STEP * len(bars) + BOTTOM - 4, TOP, RIGHT + 8, RIGHT + 8)
    low, high = ends or span([0, *(value for bar in bars for value in bar[2:])])
    axes.set(xlim=(low, high), ylim=(STEP * len(bars), 0), xlabel=title, yticks=[])
    for row, (name, look, value, start, end) in enumerate(bars):
        y, ink = STEP * row + 28, INKS[look]
        axes.text(low, y - 14, name)
        axes.plot([low, high], [y, y], color=INKS["line"], lw=2)
        axes.plot([start, end], [y, y], color=ink, lw=5, alpha=0.45, solid_capstyle="round")
        dots(axes, [value], [y], look, 5.5)
    said = "; ".join(f"{bar[0]} {bar[2]:.3g}" for bar in bars)
    return [(svg(axes, f"{title}: {said}"), Markup(caption))]


@styled
def scatter(series: Sequence[tuple[Series, Sequence[str]]], titles: tuple[str, str]) -> str:
    """Points of (n, 2) values, each with a name that appears under the pointer."""
    axes = drawing(WIDTH, TOP, LEFT - 20)
    points = np.concatenate([one.values for one, _ in series])
    axes.set(xlim=span(points[:, 0]), ylim=span(points[:, 1]), xlabel=titles[0], ylabel=titles[1])
    axes.set(xticks=[], yticks=[])
    axes.xaxis.labelpad = 18
    axes.spines["bottom"].set_visible(False)
    for one, _ in series:
        dots(axes, *one.values.T, one.look, 3.2)
    text = "Map of all images by their features; every figure of it stands in the text"
    return svg(axes, text, [name for _, names in series for name in names])


def dots(axes: Axes, x: Sequence[float], y: Sequence[float], look: str, radius: float) -> None:
    """Filled dots, or rings where the look is "other"."""
    ink, ring = INKS[look], look == "other"
    edge = {"mec": ink, "mew": 1.5} if ring else {"mec": "none"}
    shade = matplotlib.colors.to_rgba(ink, 0.15 if ring else 0.75)
    axes.plot(x, y, "o", ms=2 * radius, mfc=shade, clip_on=False, **edge)


def span(values: Iterable[float]) -> tuple[float, float]:
    """The least and the largest of the finite values; never equal."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def drawing(height: float, top: float, left: float = LEFT, right: float = RIGHT) -> Axes:
    """Axes on an empty drawing, in units of its pixels, with a horizontal axis alone."""
    canvas = Canvas(figsize=(WIDTH / 72, height / 72))
    size = (WIDTH - left - right, height - top - BOTTOM)
    axes = canvas.add_axes((left / WIDTH, BOTTOM / height, size[0] / WIDTH, size[1] / height))
    axes.set_facecolor("none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(INKS["soft"])
    axes.tick_params(color=INKS["soft"], labelsize=13)
    axes.xaxis.set(major_locator=rounded(5), major_formatter=numbers())
    return axes


def rounded(most: int) -> MaxNLocator:
    return MaxNLocator(most, steps=[1, 2, 5, 10])


def numbers(unit: str = "") -> FuncFormatter:
    """Four digits, with a minus that is one, and none before zero."""
    return FuncFormatter(lambda value, _: f"{value + 0.0:.4g}{unit}".replace("-", MINUS))


def svg(axes: Axes, text: str, names: Sequence[str] = ()) -> str:
    """The drawing; `text` says what it shows to those who cannot see it, `names` are its dots'."""
    file = io.StringIO()
    about = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    axes.figure.savefig(file, format="svg", transparent=True, metadata=about)
    drawn = re.sub(r"<defs>\s*<style.*?</defs>", "", file.getvalue(), flags=re.DOTALL)
    drawn = re.sub(r'font-[^;"]*(; |(?="))', "", drawn)
    drawn = re.sub(r' id="[a-z]+_[0-9_]+"', "", drawn)  # a page has several drawings
    for name, ink in INKS.items():
        drawn = drawn.replace(ink, f"var(--{name})")
    if names:
        titles = (f"<title>{escape(name)}</title>" for name in names)
        drawn = re.sub("(<use [^>]*)/>", lambda use: f"{use[1]}>{next(titles)}</use>", drawn)
    head = f'<svg class="plot" role="img" aria-label="{escape(text)}"'
    return head + drawn[drawn.index(" viewBox=") :]
