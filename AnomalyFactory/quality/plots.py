"""What the eye sees of figures: numbers as text, and histograms."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from util.files import atomic

BINS = 24
DASH = "\N{EN DASH}"


def written(value: float, form: str) -> str:
    """A number in a `form` such as {:.2f}; DASH for what is none."""
    return form.format(value) if math.isfinite(value) else DASH


def histogram(path: Path, title: str, series: Mapping[str, np.ndarray | float]) -> str:
    """Histograms of `series` over each other, each in per cent of its own number, as a picture in
    `path`; a single number is a line. Says in words what it shows."""
    canvas = Canvas(figsize=(6.1, 3.5), layout="constrained")
    axes = canvas.subplots()
    every = np.concatenate([np.atleast_1d(values) for values in series.values()])
    edges = np.histogram_bin_edges(every[np.isfinite(every)], BINS)
    styles = itertools.cycle(("--", ":"))
    for name, values in series.items():
        if np.ndim(values):
            shares = 100 * np.histogram(values, edges)[0] / len(values)
            axes.stairs(shares, edges, fill=True, alpha=0.4, label=name)
        elif math.isfinite(values):
            axes.axvline(values, color="grey", ls=next(styles), label=f"{name}: {values:.2f}")
    axes.set(xlim=(edges[0], edges[-1]), xlabel=title, ylabel="% of the images")
    axes.legend()
    with atomic(path) as temporary:
        canvas.savefig(temporary, dpi=160)
    known = {name: np.atleast_1d(values) for name, values in series.items()}
    middles = ", ".join(
        f"{name} {np.median(values[np.isfinite(values)]):.2f}"
        for name, values in known.items()
        if np.isfinite(values).any()
    )
    return f"Histogram: {title}; medians: {middles}"
