"""What a training shows of itself: the loss log, its plot, and a page of samples."""

import csv
import math
import re
from pathlib import Path

import torch
from matplotlib.figure import Figure

from util.files import atomic
from util.html import Row, write_page, write_strip
from util.images import to_pixels

POINTS = 2000  # of a curve: more cannot be told apart
SHOWN = 500  # samples on the page
GROUPED = 100  # epochs that the page's filter takes together
STRIP = re.compile(r"epoch(?P<epoch>\d{5,})_images(?P<images>\d{9,})\.jpg")


class LossLog:
    """`loss_log.csv`, one row a report; `loss_log.png` draws it."""

    def __init__(self, folder: Path, images: int):
        """Continue the log in `folder` after `images` images; start a new one at 0."""
        self.csv, self.plot = folder / "loss_log.csv", folder / "loss_log.png"
        self.rows = []
        if images and self.csv.exists():
            # Rows past the resume point will be written again.
            self.rows = [row for row in whole_rows(self.csv) if int(row["images"]) <= images]
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(self.csv) as temporary, temporary.open("w", newline="") as file:
            if self.rows:
                writer = csv.DictWriter(file, self.rows[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)

    def add(self, row: dict[str, int | float]) -> None:
        texts = {key: f"{value:.6g}" for key, value in row.items()}
        texts["images"] = str(row["images"])
        with self.csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, texts, lineterminator="\n")
            if not self.rows:
                writer.writeheader()
            writer.writerow(texts)
        self.rows.append(texts)

    def draw(self) -> None:
        if not self.rows:
            return
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        rows = self.rows[:: math.ceil(len(self.rows) / POINTS)]
        images = [int(row["images"]) for row in rows]
        for name in rows[0]:
            if name.startswith(("G_", "D_")):
                axes.plot(images, [float(row[name]) for row in rows], label=name, lw=1)
        axes.set(xlabel="images", ylabel="loss", yscale="log")
        axes.legend()
        axes.grid(alpha=0.3)
        with atomic(self.plot) as temporary:
            figure.savefig(temporary, dpi=120)


def whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of the log in `path` up to the first that a loss of power has spoilt."""
    text = path.read_text(encoding="utf-8", errors="replace")
    header, *lines = [line.split(",") for line in text[: text.rfind("\n") + 1].split("\n")]
    if header[:1] != ["images"] or len(set(header)) < len(header):
        return []
    rows = []
    for values in lines:
        if len(values) != len(header) or not values[0].isdecimal():
            break
        if not all(map(is_number, values)):
            break
        rows.append(dict(zip(header, values, strict=True)))
    return rows


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class SamplePage:
    """`samples.html`: a strip of panels each time, the newest first. The page shows the last ones;
    the strips of all stay in `samples/`."""

    def __init__(self, folder: Path, name: str, images: int):
        """Continue the page in `folder` after `images` images; start a new one at 0."""
        self.page, self.strips, self.name = folder / "samples.html", folder / "samples", name
        self.newest = []  # at most SHOWN of them, the newest first
        found = [path for path in self.strips.glob("*.jpg") if STRIP.fullmatch(path.name)]
        for path in sorted(found, reverse=True):
            if int(STRIP.fullmatch(path.name)["images"]) > images:
                path.unlink()
            elif len(self.newest) < SHOWN:
                self.newest.append(path)

    def add(self, epoch: int, images: int, panels: dict[str, torch.Tensor]) -> None:
        """Add the first image of each named batch in `panels`, and rewrite the page."""
        self.strips.mkdir(parents=True, exist_ok=True)
        strip = self.strips / f"epoch{epoch:05d}_images{images:09d}.jpg"
        write_strip(strip, [to_pixels(batch[0]) for batch in panels.values()])
        self.newest = [strip, *self.newest][:SHOWN]  # listing the folder would take ever longer
        rows = []
        for path in self.newest:
            link = f"{self.strips.name}/{path.name}"
            epoch, images = map(int, STRIP.fullmatch(path.name).groups())
            caption = f"epoch {epoch}, {images:,} images"
            before = (epoch - 1) // GROUPED * GROUPED
            group = f"epochs {before + 1} to {before + GROUPED}"
            rows.append(Row(link, link, caption, group))
        write_page(self.page, f"{self.name} in training", list(panels), rows)
