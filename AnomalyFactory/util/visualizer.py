"""What a training records of itself: the loss log, its plot, and samples with their page."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from matplotlib.figure import Figure

from util.files import atomic
from util.html import Row, write_page, write_strip
from util.images import to_pixels

POINTS = 2000  # of a curve: more cannot be told apart
SHOWN = 500  # samples on the page
PANELS = ("edges", "reference", "result", "target", "mask")  # of a sample, from left to right
GROUPED = 100  # epochs that the page's filter takes together
STRIP = re.compile(r"epoch(?P<epoch>\d{5,})_images(?P<images>\d{9,})\.jpg")


class LossLog:
    """`loss_log.csv`, one row a report; `loss_log.png` draws it."""

    def __init__(self, folder: Path, images: int):
        """Continue the log in `folder` after `images` images; start a new one at 0."""
        self.csv, self.plot = folder / "loss_log.csv", folder / "loss_log.png"
        # Rows past the resume point will be written again.
        self.rows = rows_until(self.csv, images) if images and self.csv.is_file() else []
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(self.csv) as temporary, temporary.open("w", newline="") as file:
            write_rows(file, self.rows, header=True)

    def add(self, row: dict[str, int | float]) -> None:
        texts = {key: f"{value:.6g}" for key, value in row.items()}
        texts["images"] = str(row["images"])
        try:
            with self.csv.open("a", newline="") as file:
                write_rows(file, [texts], header=not self.rows)
        except OSError as error:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, str(self.csv)) from error
        self.rows.append(texts)

    def draw(self) -> None:
        if not self.rows:
            return
        rows = list(self.rows)  # the training goes on beside
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        every = math.ceil(len(rows) / POINTS)
        images = [int(row["images"]) for row in rows[::every]]
        panels = {"G_": "Generator", "D_": "Discriminator"}
        for axes, (prefix, title) in zip(
            figure.subplots(2, sharex=True), panels.items(), strict=True
        ):
            for name in self.names():
                if name.startswith(prefix):
                    values = [float(row[name]) for row in rows]
                    (line,) = axes.plot(images, running_mean(values)[::every], label=name, lw=1.8)
                    axes.plot(images, values[::every], color=line.get_color(), lw=0.6, alpha=0.4)
            axes.set(title=title, ylabel="loss", yscale="log")
            if axes.lines:
                axes.legend(loc="upper right")
            axes.grid(alpha=0.3)
        axes.set(xlabel="images")
        with atomic(self.plot) as temporary:
            figure.savefig(temporary, dpi=160)

    def names(self) -> list[str]:
        """The losses in the log."""
        return [name for name in self.rows[0] if name.startswith(("G_", "D_"))] if self.rows else []


def running_mean(values: Sequence[float]) -> np.ndarray:
    """The mean (n,) of each value and those around it, a twentieth of all n; fewer at the ends."""
    half = len(values) // 40
    sums = np.cumsum([0.0, *values])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def write_rows(file: TextIO, rows: list[dict[str, str]], header: bool) -> None:
    if rows:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)


def rows_until(path: Path, images: int) -> list[dict[str, str]]:
    """The rows of the log in `path` up to `images`; one that was cut short ends them."""
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        try:
            for row in csv.DictReader(file):
                numbers = {name: float(value) for name, value in row.items()}
                if numbers["images"] > images:
                    break
                rows.append(row)
        except (csv.Error, KeyError, TypeError, ValueError):
            pass
    return rows


class SamplePage:
    """`samples.html`: a strip of panels each time, the newest first. The page shows the last ones;
    the strips of all stay in `samples/`."""

    def __init__(self, folder: Path, name: str, images: int):
        """Continue the page in `folder` after `images` images; start a new one at 0."""
        self.page, self.strips, self.name = folder / "samples.html", folder / "samples", name
        self.all: list[Path] = []  # the oldest first; listing the folder would take ever longer
        for path in sorted(path for path in self.strips.glob("*.jpg") if parts_of(path)):
            if parts_of(path)[1] > images:
                path.unlink()
            else:
                self.all.append(path)

    def add(self, epoch: int, images: int, panels: dict[str, torch.Tensor]) -> None:
        """Add the first image of each batch in `panels`, by PANELS, and rewrite the page."""
        self.strips.mkdir(parents=True, exist_ok=True)
        strip = self.strips / f"epoch{epoch:05d}_images{images:09d}.jpg"
        write_strip(strip, [to_pixels(panels[name][0]) for name in PANELS])
        self.all.append(strip)
        rows = [self.row(path) for path in reversed(self.all[-SHOWN:])]
        write_page(self.page, f"{self.name}: samples of its training", PANELS, rows)

    def row(self, path: Path) -> Row:
        """What pages say of the strip in `path`."""
        link = f"{self.strips.name}/{path.name}"
        epoch, images = parts_of(path)
        before = (epoch - 1) // GROUPED * GROUPED
        group = f"epochs {before + 1} to {before + GROUPED}"
        return Row(link, link, f"epoch {epoch}, {images:,} images", group)

    def spread(self, count: int) -> list[Row]:
        """At most `count` rows, evenly spread from the first strip to the last."""
        if len(self.all) <= count:
            return [self.row(path) for path in self.all]
        step = (len(self.all) - 1) / (count - 1)
        return [self.row(self.all[round(step * place)]) for place in range(count)]


def parts_of(strip: Path) -> tuple[int, int] | None:
    """The epoch in which a training wrote `strip`, and how many images it had seen; None where the
    file is no strip of a training.
    """
    match = STRIP.fullmatch(strip.name)
    return (int(match["epoch"]), int(match["images"])) if match else None
