"""Looks at every image once, at its features, the colours of its wings and its edges; and sets out
which painted images are held against which photographs."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm
from util.errors import InputError
from util.files import ImageError
from util.images import read_square

from quality import formulas
from quality.backbone import Extractor
from quality.inputs import HYBRIDS, NON_HYBRIDS, Dataset, Detector, Key, PaintedImage, crosses

BATCH = 16  # images that the network sees at once
PHOTOGRAPHED = "hybrids of photographed crosses"
SIDE = 256  # pixels, of all images that are compared here

CLOSE = 5  # per cent of the photographs have another one as close as what is called close

# Columns of the table that images.csv does not have; `nearest` is a photograph's place.
HIDDEN = ["kind", "nearest", "edges_f1_of_another"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Photos:
    """The photographs of a data set that could be read."""

    keys: list[Key]
    features: np.ndarray  # (m, d)
    colours: dict[Key, np.ndarray]  # (LEVELS, 3) each, inside the wings
    between: np.ndarray  # (m,) distance of the features to the nearest other photograph

    @property
    def close(self) -> float:
        """The distance that CLOSE per cent of the photographs have to another one at most."""
        return float(np.percentile(self.between, CLOSE))

    def colours_within(self) -> float:
        """The mean colour distance of each photograph from the next one of its subspecies."""
        pairs = [pair for pair in pairwise(self.keys) if pair[0][0] == pair[1][0]]
        distances = [formulas.colour_distance(*map(self.colours.get, pair)) for pair in pairs]
        return float(np.mean(distances)) if distances else float("nan")


@dataclass(frozen=True)
class Painted:
    """The painted images that could be read, and what is known of each."""

    images: list[PaintedImage]
    features: np.ndarray  # (n, d)
    table: pd.DataFrame  # a row for each image: the columns of images.csv, and HIDDEN ones


@dataclass(frozen=True)
class Evaluation:
    """What there is to judge, and what is found."""

    dataset: Dataset
    photos: Photos
    painted: Painted
    detector: tuple[str, Detector]  # of edges: its name, and it
    backbone: str
    painted_found: int  # of which those in `painted` were drawn
    left_out: list[str]  # images, and why
    sets: dict[str, dict] = field(default_factory=dict)  # the figures of each `Comparison`


@dataclass(frozen=True)
class Comparison:
    """A set of painted images and the photographs that they are held against."""

    title: str
    against: str  # what the photographs are
    table: pd.DataFrame  # the rows of these painted images, by their places among all
    features: np.ndarray  # (n, d)
    sources: list[tuple[Key, Key]]  # structure and reference of each
    photo_keys: list[Key]
    photo_features: np.ndarray  # (m, d)
    evaluation: Evaluation

    @property
    def structures(self) -> list[Key]:
        return [structure for structure, _ in self.sources]


def comparisons(evaluation: Evaluation) -> Iterator[Comparison]:
    """Non-hybrids and hybrids, each beside the photographs of their subspecies; and the hybrids of
    which there are photographs, beside these. Empty sets are left out."""
    photos, painted = evaluation.photos, evaluation.painted
    names = [key[0] for key in photos.keys]
    photographed = set().union(*map(crosses, names))
    pairs = [frozenset(image.pair) for image in painted.images]
    for title, against in (
        (NON_HYBRIDS, "photographs of the same subspecies"),
        (HYBRIDS, "photographs of the parents' subspecies, which are no hybrids"),
        (PHOTOGRAPHED, "photographs of hybrids of the same cross"),
    ):
        of_cross = title == PHOTOGRAPHED
        seen = [len(pair) == 2 and pair in photographed for pair in pairs]
        rows = painted.table[seen if of_cross else painted.table["kind"] == title]
        if rows.empty:
            continue
        there = {pairs[place] for place in rows.index}
        parents = set().union(*there)
        like = [bool(crosses(name) & there) if of_cross else name in parents for name in names]
        beside = np.flatnonzero(like)
        images = [painted.images[place] for place in rows.index]
        yield Comparison(
            title=title,
            against=against,
            table=rows,
            features=painted.features[rows.index],
            sources=[image.sources for image in images],
            photo_keys=[photos.keys[place] for place in beside],
            photo_features=photos.features[beside],
            evaluation=evaluation,
        )


def measure_photos(dataset: Dataset, extract: Extractor, problems: list[str]) -> Photos:
    """What is measured of the photographs; unreadable ones are noted in `problems`.

    Raises InputError when less than two can be read.
    """
    features, colours = [], {}
    for batch in readable(list(dataset.photos), lambda key: [dataset.photos[key]], problems):
        features.append(extract([image for _, [image] in batch]))
        for key, [image] in batch:
            colours[key] = formulas.colours_of(image, formulas.wings_of(image))
    if len(colours) < 2:
        raise InputError(
            f"{dataset.folder}: {len(colours)} of its {len(dataset.photos)} photographs can be"
            " read; two at least are needed to compare with"
        )
    features = np.concatenate(features)
    distances = formulas.euclidean(features, features)
    np.fill_diagonal(distances, np.inf)
    return Photos(list(colours), features, colours, distances.min(axis=1))


def measure_painted(
    images: list[PaintedImage],  # in random order: each is compared with the one before, too
    dataset: Dataset,
    photos: Photos,
    extract: Extractor,
    detect: Detector,
    problems: list[str],
) -> Painted:
    """What is measured of the painted images; those that cannot be are noted in `problems`.

    Raises InputError when none can be.
    """

    def files(image: PaintedImage) -> list[Path]:
        for key in image.sources:
            if key not in photos.colours:
                raise ImageError(f"{image.path}: {dataset.photos[key]} cannot be read")
        return [image.path, dataset.photos[image.structure], dataset.edges[image.structure]]

    kept, features, rows = [], [], []
    before: tuple[Key, np.ndarray] | None = None  # the last one's structure, and the edges in it
    for batch in readable(images, files, problems):
        painted, photographs, maps = map(np.stack, zip(*(read for _, read in batch), strict=True))
        features.append(extract(list(painted)))
        kept += [image for image, _ in batch]
        found, in_photos = (formulas.is_edge(255 - detect(all)) for all in (painted, photographs))
        for number, (image, _) in enumerate(batch):
            asked, of_another = formulas.is_edge(maps[number][..., 0]), np.nan
            if before and before[0] != image.structure:
                of_another = formulas.edge_agreement(asked, before[1])[0]
            before = image.structure, found[number]
            f1, precision, recall = formulas.edge_agreement(asked, found[number])
            own = formulas.colours_of(painted[number], formulas.wings_of(photographs[number]))
            first, second = (photos.colours[key] for key in image.sources)
            rows.append(
                {
                    "image": shown(image.path.name),
                    "structure_subspecies": shown(image.structure[0]),
                    "structure": shown(image.structure[1]),
                    "reference_subspecies": shown(image.reference[0]),
                    "reference": shown(image.reference[1]),
                    "edges_f1": f1,
                    "edges_precision": precision,
                    "edges_recall": recall,
                    "edges_f1_of_photograph": formulas.edge_agreement(asked, in_photos[number])[0],
                    "edges_f1_of_another": of_another,
                    "colour_distance": formulas.colour_distance(own, second),
                    "colour_distance_before": formulas.colour_distance(first, second),
                    "kind": image.kind,
                }
            )
    if not kept:
        raise InputError(f"no painted image can be evaluated; the last problem: {problems[-1]}")
    features, table = np.concatenate(features), pd.DataFrame(rows)
    distances = formulas.euclidean(features, photos.features)
    table["nearest"] = distances.argmin(axis=1)
    names = [shown("/".join(key)) for key in photos.keys]
    table["nearest_photograph"] = [names[place] for place in table["nearest"]]
    table["nearest_distance"] = distances.min(axis=1)
    return Painted(kept, features, table)


def shown(name: str) -> str:
    """The name of a file as tables have it: without what is no UTF-8, and \\r, which ends a row."""
    return name.replace("\r", "\\r").encode("utf-8", "backslashreplace").decode("utf-8")


def readable(
    items: Sequence[Item], files: Callable[[Item], list[Path]], problems: list[str]
) -> Iterator[list[tuple[Item, list[np.ndarray]]]]:
    """Batches of `items` with the images in their `files`; one that cannot be read is noted in
    `problems`."""

    def read(item: Item) -> list[np.ndarray] | ImageError:
        try:
            return [read_square(path, SIDE) for path in files(item)]
        except ImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for start in tqdm(range(0, len(items), BATCH), desc="images", disable=None):
            batch = items[start : start + BATCH]
            found = list(zip(batch, pool.map(read, batch), strict=True))
            problems += [
                f"{error}: left out" for _, error in found if isinstance(error, ImageError)
            ]
            if whole := [pair for pair in found if not isinstance(pair[1], ImageError)]:
                yield whole
