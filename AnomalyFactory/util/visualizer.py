"""What a training records of itself: the loss log, its plot, and samples with their page."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from util.files import atomic
from util.images import as_pixels
from util.pages import Row, write_page, write_strip

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
        folder.mkdir(parents=True, exist_ok=True)
        # Rows past the resume point will be written again.
        rows = rows_until(self.csv, images) if images and self.csv.is_file() else pd.DataFrame()
        with atomic(self.csv) as temporary:
            temporary.write_text("" if rows.empty else rows.to_csv(index=False))

    def add(self, row: dict[str, int | float]) -> None:
        texts = {key: f"{value:.6g}" for key, value in row.items()} | {"images": str(row["images"])}
        try:
            with self.csv.open("a") as file:
                if not file.tell():
                    print(*texts, sep=",", file=file)
                print(*texts.values(), sep=",", file=file)
        except OSError as error:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, str(self.csv)) from error

    def read(self) -> pd.DataFrame:
        """Its rows by the images seen; empty before the first, and where it was taken away."""
        there = self.csv.is_file() and self.csv.stat().st_size > 0
        return pd.read_csv(self.csv, index_col="images") if there else pd.DataFrame()

    def draw(self) -> None:
        log = self.read()
        if log.empty:
            return
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        every = math.ceil(len(log) / POINTS)
        panels = {"G_": "Generator", "D_": "Discriminator"}
        for axes, prefix in zip(figure.subplots(2, sharex=True), panels, strict=True):
            for name in log.columns[log.columns.str.startswith(prefix)]:
                (line,) = axes.plot(running_mean(log[name])[::every], label=name, lw=1.8)
                axes.plot(log[name][::every], color=line.get_color(), lw=0.6, alpha=0.4)
            axes.set(title=panels[prefix], ylabel="loss", yscale="log")
            axes.legend(loc="upper right")
            axes.grid(alpha=0.3)
        axes.set(xlabel="images")
        with atomic(self.plot) as temporary:
            figure.savefig(temporary, dpi=160)


def running_mean(values: pd.Series) -> pd.Series:
    """The mean of each of n values and those around it, n / 20 of all; fewer at the ends."""
    return values.rolling(len(values) // 40 * 2 + 1, center=True, min_periods=1).mean()


def rows_until(path: Path, images: int) -> pd.DataFrame:
    """The whole rows of the log in `path` up to `images`, as texts."""
    try:
        damaged = {"quoting": csv.QUOTE_NONE, "on_bad_lines": "skip", "encoding_errors": "replace"}
        rows = pd.read_csv(path, dtype=str, **damaged)
        numbers = rows.apply(pd.to_numeric, errors="coerce")
        return rows[numbers.notna().all(axis=1) & (numbers["images"] <= images)]
    except (pd.errors.EmptyDataError, KeyError):  # not even its head is whole
        return pd.DataFrame()


class SamplePage:
    """`samples.html`: a strip of panels each time, the newest first. The page shows the last ones;
    the strips of all stay in `samples/`."""

    def __init__(self, folder: Path, name: str, images: int):
        """Continue the page in `folder` after `images` images; start a new one at 0."""
        self.page, self.strips, self.name = folder / "samples.html", folder / "samples", name
        self.all: list[Row] = []  # the oldest first; listing the folder would take ever longer
        for path in sorted(self.strips.glob("*.jpg")):
            match = STRIP.fullmatch(path.name)
            if match and int(match["images"]) > images:
                path.unlink()
            elif match:
                self.all.append(sample_row(int(match["epoch"]), int(match["images"])))

    def add(self, epoch: int, images: int, panels: dict[str, torch.Tensor]) -> None:
        """Add the first image of each batch in `panels`, by PANELS, and rewrite the page."""
        self.strips.mkdir(parents=True, exist_ok=True)
        row = sample_row(epoch, images)
        pictures = [as_pixels(panels[name][0]).cpu().numpy() for name in PANELS]
        write_strip(self.page.parent / row.strip, pictures)
        self.all.append(row)
        title = f"{self.name}: samples of its training"
        write_page(self.page, title, PANELS, self.all[: -SHOWN - 1 : -1])

    def spread(self, count: int) -> list[Row]:
        """At most `count` rows, evenly spread from the first strip to the last."""
        places = np.linspace(0, len(self.all) - 1, min(count, len(self.all)))
        return [self.all[round(place)] for place in places]


def sample_row(epoch: int, images: int) -> Row:
    """What pages say of the strip of a sample."""
    strip = f"samples/epoch{epoch:05d}_images{images:09d}.jpg"
    before = (epoch - 1) // GROUPED * GROUPED
    group = f"epochs {before + 1} to {before + GROUPED}"
    return Row(strip, strip, f"epoch {epoch}, {images:,} images", group)
