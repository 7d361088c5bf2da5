"""What the eye sees of figures: numbers as text, and histograms as inline SVG in the page's own
colours, which differ in light, in dark and in print."""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.measure import Evaluation

WIDTH, HEIGHT = 440, 250  # of a drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44  # margins
MARK = 16  # pixels above the bars for the name of each mark
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
BINS = 24
STEPS = [1, 2, 5, 10]  # of a scale

# Text stays text, whose font is the page's; equal drawings are equal.
LOOK = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 13}
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


def by_kind(evaluation: Evaluation, column: str) -> list[Series]:
    """The finite values in a column of the table, of the painted non-hybrids and of the hybrids."""
    table = evaluation.painted.table.dropna(subset=column)
    return [
        Series(f"painted {kind}", look, table.loc[table["kind"] == kind, column].to_numpy())
        for kind, look in {NON_HYBRIDS: "painted", HYBRIDS: "other"}.items()
        if (table["kind"] == kind).any()
    ]


@matplotlib.rc_context(LOOK)
def histograms(
    series: Sequence[Series], title: str, caption: str, marks: Mapping[str, float] = {}
) -> list[Drawing]:
    """Histograms over each other, where there are any, each in shares of its own number, with named
    `marks`; their names stand before the caption."""
    if not series:
        return []
    marks = {name: value for name, value in marks.items() if np.isfinite(value)}
    top = TOP + MARK * len(marks)
    inner = HEIGHT - top - BOTTOM
    canvas = Canvas(figsize=(WIDTH / 72, HEIGHT / 72))
    size = (WIDTH - LEFT - RIGHT) / WIDTH, inner / HEIGHT
    axes = canvas.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, *size), facecolor="none")
    everything = np.concatenate([*(one.values for one in series), [*marks.values()]])
    edges, highest = np.histogram_bin_edges(everything, BINS), 0.0
    for one in series:
        shares = 100 * np.histogram(one.values, edges)[0] / len(one.values)
        highest = max(highest, *shares)
        axes.stairs(shares, edges, fill=True, color=INKS[one.look], alpha=0.28)
        axes.stairs(shares, edges, color=INKS[one.look], lw=2, clip_on=False)
    low, high = edges[0], edges[-1]
    axes.set(xlim=(low, high), ylim=(0, highest), xlabel=title)
    for row, (name, value) in enumerate(marks.items(), 1):
        height = highest * (1 + MARK * row / inner)
        axes.plot([value, value], [0, height], color=INKS["text"], lw=1, ls="--", clip_on=False)
        side, shift = ("right", -1) if value > (low + high) / 2 else ("left", 1)
        axes.text(value + shift * 0.012 * (high - low), height, name, ha=side, va="top")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(INKS["soft"])
    axes.tick_params(color=INKS["soft"], labelsize=13)
    axes.xaxis.set(major_locator=MaxNLocator(5, steps=STEPS), major_formatter=numbers())
    axes.yaxis.set(major_locator=MaxNLocator(4, steps=STEPS), major_formatter=numbers(" %"))
    ink = Markup('<span class="{}-ink">{}</span>')
    names = Markup(", ").join(ink.format(one.look, one.name) for one in series)
    return [(svg(canvas, f"Histogram: {title}"), names + caption)]


def numbers(unit: str = "") -> FuncFormatter:
    """Four digits, with a minus that is one, and none before zero."""
    return FuncFormatter(lambda value, _: f"{value + 0.0:.4g}{unit}".replace("-", MINUS))


def svg(canvas: Canvas, text: str) -> str:
    """The drawing; `text` says what it shows to those who cannot see it."""
    file = io.StringIO()
    about = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    canvas.savefig(file, format="svg", transparent=True, metadata=about)
    drawn = re.sub(r"<defs>\s*<style.*?</defs>", "", file.getvalue(), flags=re.DOTALL)
    drawn = re.sub(r'font-[^;"]*(; |(?="))', "", drawn)
    drawn = re.sub(r' id="[a-z]+_[0-9_]+"', "", drawn)  # a page has several drawings
    for name, ink in INKS.items():
        drawn = drawn.replace(ink, f"var(--{name})")
    return f'<svg class="plot" role="img" aria-label="{text}"' + drawn[drawn.index(" viewBox=") :]
