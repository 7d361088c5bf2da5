"""What the eye sees of figures: numbers as text, and plots as inline SVG in the page's own colours,
which differ in light, in dark and in print."""

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator
from sklearn.decomposition import PCA

from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.measure import Evaluation

WIDTH, HEIGHT = 440, 250  # of a drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44  # margins
MOST_DOTS = 1500  # of each series on the map
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
BINS = 24
STEPS = [1, 2, 5, 10]  # of a scale

# Text stays text, whose font is the page's; equal drawings are equal.
LOOK = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 13}
styled = matplotlib.rc_context(LOOK)
# Stand-ins for the colours that the style sheet names.
INKS = {
    name: f"#00ff{number:02x}"
    for number, name in enumerate(("painted", "photo", "other", "text", "soft"), 1)
}

Drawing = tuple[str, Markup]  # with its caption


@dataclass(frozen=True)
class Series:
    """Values under one name; `look` is a colour of the style sheet: painted, photo or other."""

    name: str
    look: str
    values: np.ndarray


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


# ---- plots --------------------------------------------------------------------------------------


def by_kind(evaluation: Evaluation, values: Sequence) -> list[Series]:
    """The finite `values` (n, ...) of the painted non-hybrids and of the hybrids."""
    kinds, values = evaluation.painted.table["kind"], np.array(values)
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return [
        Series(f"painted {kind}", look, values[wanted])
        for kind, look in {NON_HYBRIDS: "painted", HYBRIDS: "other"}.items()
        if (wanted := (kinds == kind) & finite).any()
    ]


def inks(series: Iterable[Series]) -> Markup:
    """Their names in their colours, for a caption."""
    ink = Markup('<span class="{}-ink">{}</span>')
    return Markup(", ").join(ink.format(one.look, one.name) for one in series)


@styled
def histograms(
    series: Sequence[Series], title: str, caption: str, marks: Mapping[str, float] = {}
) -> list[Drawing]:
    """Histograms over each other, where there are any, each in shares of its own number, with named
    `marks`; their names stand before the caption."""
    if not series:
        return []
    marks = {name: value for name, value in marks.items() if np.isfinite(value)}
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
    axes.yaxis.set(major_locator=MaxNLocator(4, steps=STEPS), major_formatter=numbers(" %"))
    return [(svg(axes, f"Histogram: {title}"), inks(series) + caption)]


@styled
def map_plot(evaluation: Evaluation) -> Drawing:
    """All images on the two main directions of their features (Pearson 1901); rings are hybrids."""
    photos, painted = evaluation.photos, evaluation.painted
    directions = PCA(2, svd_solver="full")
    features = np.concatenate([photos.features, painted.features]).astype(float)
    places, split = directions.fit_transform(features), len(photos.keys)
    shares = directions.explained_variance_ratio_
    series = [Series("photographs", "photo", places[:split]), *by_kind(evaluation, places[split:])]
    names = {"photographs": [f"{name}, subspecies {group}" for group, name in photos.keys]}
    for kind, rows in painted.table.groupby("kind"):
        names[f"painted {kind}"] = list(rows["image"])
    axes = drawing(WIDTH, TOP, LEFT - 20)
    first, second = (f"main direction, {share:.0%} of the variance" for share in shares)
    axes.set(xlabel=f"first {first}", ylabel=f"second {second}", xticks=[], yticks=[])
    axes.xaxis.labelpad = 18
    axes.spines["bottom"].set_visible(False)
    shown = [one.values[:MOST_DOTS] for one in series]
    axes.set(xlim=span(np.concatenate(shown)[:, 0]), ylim=span(np.concatenate(shown)[:, 1]))
    for one, values in zip(series, shown, strict=True):
        ink, ring = INKS[one.look], one.look == "other"
        edge = {"mec": ink, "mew": 1.5} if ring else {"mec": "none"}
        shade = matplotlib.colors.to_rgba(ink, 0.15 if ring else 0.75)
        axes.plot(*values.T, "o", ms=6.4, mfc=shade, clip_on=False, **edge)
    text = "Map of all images by their features; every figure of it stands in the text"
    caption = inks(series) + (
        ", on the two main directions of their features. Painted images should lie among the"
        " photographs, or, hybrids, between two of their clouds. The name of a dot shows when the"
        " pointer rests on it."
    )
    dots = [name for one in series for name in names[one.name][:MOST_DOTS]]
    return svg(axes, text, dots), caption


def span(values: Iterable[float]) -> tuple[float, float]:
    """The least and the largest of the finite values; never equal."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def drawing(height: float, top: float, left: float = LEFT) -> Axes:
    """Axes on an empty drawing, in units of its pixels, with a horizontal axis alone."""
    canvas = Canvas(figsize=(WIDTH / 72, height / 72))
    size = (WIDTH - left - RIGHT, height - top - BOTTOM)
    axes = canvas.add_axes((left / WIDTH, BOTTOM / height, size[0] / WIDTH, size[1] / height))
    axes.set_facecolor("none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(INKS["soft"])
    axes.tick_params(color=INKS["soft"], labelsize=13)
    axes.xaxis.set(major_locator=MaxNLocator(5, steps=STEPS), major_formatter=numbers())
    return axes


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
