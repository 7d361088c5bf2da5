"""What the eye sees of figures: numbers as text, and histograms as inline SVG in the page's own
colours, which differ in light, in dark and in print."""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

SIZE = 440 / 72, 250 / 72  # of a drawing; the page scales it
BINS = 24
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

# Text stays text, whose font is the page's; equal drawings are equal.
LOOK = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 13}
# Stand-ins for the colours that the style sheet names.
INKS = {name: f"#00ff{n:02x}" for n, name in enumerate(("painted", "photo", "other", "soft"), 1)}


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


@matplotlib.rc_context(LOOK)
def histogram(
    series: Sequence[tuple[str, str, np.ndarray]],  # name, of INKS, values
    title: str,
    marks: Mapping[str, float],
) -> tuple[str, Markup]:
    """Histograms over each other, each in shares of its own number, with lines at `marks`, as SVG;
    and a caption that names them all."""
    marks = {name: value for name, value in marks.items() if math.isfinite(value)}
    canvas = Canvas(figsize=SIZE, layout="constrained")
    axes = canvas.subplots()
    axes.set_facecolor("none")
    values = [*(one for _, _, one in series), list(marks.values())]
    edges = np.histogram_bin_edges(np.concatenate(values), BINS)
    for _, ink, one in series:
        shares = 100 * np.histogram(one, edges)[0] / len(one)
        axes.stairs(shares, edges, fill=True, color=INKS[ink], alpha=0.28)
        axes.stairs(shares, edges, color=INKS[ink], lw=2)
    for value in marks.values():
        axes.axvline(value, color=INKS["soft"], lw=1, ls="--")
    axes.set(xlim=(edges[0], edges[-1]), xlabel=title)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(INKS["soft"])
    axes.tick_params(color=INKS["soft"])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set(major_locator=MaxNLocator(4), major_formatter="{x:.4g} %")
    ink = Markup('<span class="{}-ink">{}</span>')
    lines = [f"{name} {hundredths(value)}" for name, value in marks.items()]
    names = Markup(", ").join(ink.format(ink_of, name) for name, ink_of, _ in series)
    return svg(canvas, f"Histogram: {title}"), names + (
        ". Lines: " * bool(lines) + ", ".join(lines)
    )


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
