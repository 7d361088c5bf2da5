"""The best and the worst painted images, with their inputs, as pictures of the page."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from util.images import read_square, write_jpeg

from quality.fidelity import SIDE, outlined
from quality.inputs import HYBRIDS
from quality.report import Report

SHOWN = 4  # the best and the worst of each ranking
PICTURE = 192  # pixels of a picture's side
FOLDER = "pictures"

# What is shown of a painted image.
EDGES, REFERENCE, STRUCTURE = "edge map asked for", "reference", "structure's photograph"
PAINTED, FOUND, OUTLINED = "painted", "edges found", "painted, wings outlined"
NEAREST = "nearest photograph"

Change = Callable[[np.ndarray], np.ndarray]  # of uint8 RGB images


@dataclass(frozen=True)
class Panel:
    source: str  # relative to the page
    label: str
    text: str  # for those who cannot see it


@dataclass(frozen=True)
class Example:
    name: str
    pair: tuple[str, str]
    value: str  # what it is ranked by, in words
    panels: list[Panel]


@dataclass(frozen=True)
class Ranking:
    best: list[Example]
    worst: list[Example]


class Gallery:
    """The pictures of a page, each written once, as FOLDER/0001.jpg and so on."""

    def __init__(self, report: Report, folder: Path):
        self.report, self.folder = report, folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.written: dict[tuple[str, Path], str] = {}
        self.places = report.photos.places()

    def picture(self, path: Path, change: Change | None, name: str) -> str:
        """The address, from the page, of the image in `path`, changed as `name` says."""
        key = (name if change else "", path)
        if key not in self.written:
            image = read_square(path, SIDE)
            shown = Image.fromarray(change(image) if change else image)
            file = f"{len(self.written) + 1:04d}.jpg"
            small = shown.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
            write_jpeg(self.folder / file, small)
            self.written[key] = f"{FOLDER}/{file}"
        return self.written[key]

    def panel(self, place: int, name: str) -> Panel:
        """The panel `name` of the painted image at `place`."""
        report = self.report
        painting, photos = report.painted.paintings[place], report.dataset.photos
        structure, reference = painting.structure, painting.reference
        nearest = report.photos.keys[report.nearest.place[place]]
        path, whose, change = {
            EDGES: (report.dataset.edges[structure], structure, None),
            REFERENCE: (photos[reference], reference, None),
            STRUCTURE: (photos[structure], structure, None),
            NEAREST: (photos[nearest], nearest, None),
            PAINTED: (painting.path, None, None),
            FOUND: (painting.path, None, self.edges_found),
            OUTLINED: (
                painting.path,
                None,
                lambda image: outlined(image, report.photos.mask(self.places[structure])),
            ),
        }[name]
        label = name
        if name == NEAREST and nearest == structure:
            label = "nearest photograph: its structure's"
        elif name == NEAREST and nearest == reference:
            label = "nearest photograph: its reference"
        text = painting.name if whose is None else f"{whose[1]}, subspecies {whose[0]}"
        return Panel(self.picture(path, change, name), label, f"{label}: {text}")

    def edges_found(self, image: np.ndarray) -> np.ndarray:
        strength = self.report.finder.detect(image[None])[0]
        return np.repeat(255 - strength[..., None], 3, axis=2)

    def ranking(
        self,
        values: np.ndarray,  # (n,) of each painted image; the best are the smallest
        say: Callable[[int], str],  # what stands below the image at a place
        panels: Sequence[str],
    ) -> Ranking | None:
        """The images with the smallest and the largest of the finite values; None without any."""
        order = np.argsort(values, kind="stable").tolist()
        known = [place for place in order if np.isfinite(values[place])]
        if not known:
            return None
        shown = min(SHOWN, (len(known) + 1) // 2)
        ends = known[:shown], known[shown:][::-1][:shown]
        best, worst = ([self.example(place, say, panels) for place in end] for end in ends)
        return Ranking(best, worst)

    def example(self, place: int, say: Callable[[int], str], panels: Sequence[str]) -> Example:
        painting = self.report.painted.paintings[place]
        shown = [self.panel(place, name) for name in panels]
        return Example(painting.name, painting.pair, say(place), shown)

    def remove_older(self) -> None:
        """Remove what an earlier report left beyond the pictures of this one."""
        for path in self.folder.glob("*.jpg"):
            if re.fullmatch(r"\d{4}", path.stem) and int(path.stem) > len(self.written):
                path.unlink()


def rankings(report: Report, gallery: Gallery) -> dict[str, Ranking | None]:
    """The best and the worst by each measure that the page has a section for."""
    painted, nearest, looks = report.painted, report.nearest, report.looks
    inputs = (EDGES, REFERENCE, STRUCTURE)
    hybrid = np.array([painting.kind == HYBRIDS for painting in painted.paintings])
    colours = np.where(hybrid, painted.colours, np.nan) if hybrid.any() else painted.colours
    return {
        "told_apart": gallery.ranking(
            looks,
            lambda place: f"probability of being painted {looks[place]:.2f}",
            (*inputs, PAINTED),
        ),
        "structure": gallery.ranking(
            -painted.edges[:, 0],
            lambda place: "F1 {:.2f}, precision {:.2f}, recall {:.2f}".format(
                *painted.edges[place]
            ),
            (*inputs, PAINTED, FOUND),
        ),
        "appearance": gallery.ranking(
            colours,
            lambda place: (
                f"{painted.colours[place]:.1f} from the reference's colours, where its structure"
                f" was {painted.given_colours[place]:.1f} from them"
            ),
            (*inputs, OUTLINED),
        ),
        "memorised": gallery.ranking(
            nearest.distance,
            lambda place: f"distance {nearest.distance[place]:.2f}",
            (*inputs, PAINTED, NEAREST),
        ),
    }
