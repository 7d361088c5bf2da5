"""Looks at every image once, at its features, the colours of its wings and its edges; and sets out
which painted images are held against which photographs."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm
from util.errors import InputError
from util.files import ImageError
from util.images import read_square

from quality.backbone import Extractor
from quality.inputs import HYBRIDS, NON_HYBRIDS, Dataset, Detector
from quality.pixels import colour_distance, colours_of, edge_agreement, is_edge, wings_of

BATCH = 16  # images that the network sees at once
SIDE = 256  # pixels, of all images that are compared here
CLOSE = 5  # per cent of the photographs have another one as close as what is called close

# Columns that images.csv does not have: paths, and what only figures are made of.
HIDDEN = ["path", "kind", "edge_map", "structure_photo", "reference_photo", "nearest_photo"]
HIDDEN += ["edges_f1_of_another"]

PHOTOGRAPHED = "hybrids of photographed crosses"
AGAINST = {  # sets of painted images, and what they are held against
    NON_HYBRIDS: "photographs of the same subspecies",
    HYBRIDS: "photographs of the parents' subspecies, which are no hybrids",
    PHOTOGRAPHED: "photographs of hybrids of the same cross",
}


class Images(NamedTuple):
    """Photographs or painted images: a row of a table and of the features (n, d) each."""

    table: pd.DataFrame
    features: np.ndarray


class Evaluation(NamedTuple):
    """What there is to judge. Columns of photographs, by their paths: subspecies, name, colours
    (`pixels.colours_of` the wings), between (the distance of the features to the nearest other
    one). Those of painted images: HIDDEN, and what images.csv has."""

    photos: Images
    painted: Images
    detect: Detector

    @property
    def close(self) -> float:
        """The distance that CLOSE per cent of the photographs have to another one at most."""
        return float(np.percentile(self.photos.table["between"], CLOSE))

    def colours_within(self) -> float:
        """The mean colour distance of each photograph from the next one of its subspecies."""
        groups = self.photos.table.groupby("subspecies")["colours"]
        distances = [colour_distance(*two) for _, colours in groups for two in pairwise(colours)]
        return float(np.mean(distances)) if distances else float("nan")


class Comparison(NamedTuple):
    """A set of painted images and the photographs that they are held against."""

    title: str  # of AGAINST
    painted: Images
    photos: Images
    evaluation: Evaluation
    sources: pd.DataFrame  # structure and reference of each painted image, paths, (n, 2)
    groups: list[Sequence[Path]]  # photographs with which the images of each side are drawn


def comparisons(evaluation: Evaluation) -> Iterator[Comparison]:
    """Non-hybrids and hybrids, each beside the photographs of their subspecies; and the hybrids of
    which there are photographs, beside these. Empty sets are left out."""
    table, names = evaluation.painted.table, evaluation.photos.table["subspecies"]
    pairs = table[["structure_subspecies", "reference_subspecies"]].apply(frozenset, axis=1)
    photographed = set().union(*map(crosses, names))
    for title in AGAINST:
        of_cross = title == PHOTOGRAPHED
        chosen = pairs.isin(photographed) if of_cross else table["kind"] == title
        there = set(pairs[chosen])
        parents = set().union(*there)
        like = [bool(crosses(name) & there) if of_cross else name in parents for name in names]
        painted, photos = (
            Images(side.table[rows], side.features[rows])
            for side, rows in ((evaluation.painted, chosen), (evaluation.photos, np.array(like)))
        )
        if there:
            sources = painted.table[["structure_photo", "reference_photo"]]
            groups = [sources["structure_photo"], photos.table.index]
            yield Comparison(title, painted, photos, evaluation, sources, groups)


def crosses(subspecies: str) -> set[frozenset[str]]:
    """The pairs of subspecies that a folder of photographed hybrids, such as 8_9, is of."""
    parts = subspecies.split("_")
    sides = (("_".join(parts[:cut]), "_".join(parts[cut:])) for cut in range(1, len(parts)))
    return {frozenset(pair) for pair in sides if pair[0] != pair[1]}


# ---- looking ------------------------------------------------------------------------------------


def look_at(
    rows: pd.DataFrame,
    files: list[str],  # columns of paths, that of the image itself first
    see: Callable[..., list[dict]],  # what it says of rows and their images (n, SIDE, SIDE, 3)
    extract: Extractor,
    problems: list[str],
) -> Images:
    """The images in `rows` whose files can be read, with their features and, as further columns,
    what `see` says of BATCH at a time; the others are noted in `problems`."""

    def read(paths: tuple[Path, ...]) -> list[np.ndarray] | ImageError:
        try:
            return [read_square(path, SIDE) for path in paths]
        except ImageError as error:
            return error

    kept, features, seen = [rows[:0]], [], []
    with ThreadPoolExecutor() as pool:
        for start in tqdm(range(0, len(rows), BATCH), desc="images", disable=None):
            batch = rows[start : start + BATCH]
            found = list(pool.map(read, batch[files].itertuples(index=False)))
            errors = [images if isinstance(images, ImageError) else None for images in found]
            problems += [f"{error}: left out" for error in errors if error]
            if None in errors:
                whole = [error is None for error in errors]
                images = list(map(np.stack, zip(*compress(found, whole), strict=True)))
                kept.append(batch[whole])
                features.append(extract(images[0]))
                seen += see(kept[-1], *images)
    table = pd.concat(kept, ignore_index=True).join(pd.DataFrame(seen))
    return Images(table, np.concatenate(features) if features else np.empty((0, 0)))


def measure_photos(dataset: Dataset, extract: Extractor, problems: list[str]) -> Images:
    """The photographs that can be read; the others are noted in `problems`.

    Raises InputError when less than two can be read.
    """

    def see(_: pd.DataFrame, images: np.ndarray) -> list[dict[str, object]]:
        return [{"colours": colours_of(image, wings_of(image))} for image in images]

    rows = [(path, *key) for key, path in dataset.photos.items()]
    rows = pd.DataFrame(rows, columns=["path", "subspecies", "name"])
    photos = look_at(rows, ["path"], see, extract, problems)
    if len(photos.table) < 2:
        raise InputError(
            f"{dataset.folder}: {len(photos.table)} of its {len(rows)} photographs can be"
            " read; two at least are needed to compare with"
        )
    between = NearestNeighbors(n_neighbors=1).fit(photos.features.astype(float)).kneighbors()[0]
    return Images(photos.table.assign(between=between).set_index("path"), photos.features)


def measure_painted(
    rows: pd.DataFrame,  # in random order: each is compared with the one before, too
    photos: Images,
    extract: Extractor,
    detect: Detector,
    problems: list[str],
) -> Images:
    """The painted images that can be read; the others are noted in `problems`.

    Raises InputError when none can be.
    """
    before = None, None  # the last image's structure, and the edges in it

    def see(
        batch: pd.DataFrame, painted: np.ndarray, photographs: np.ndarray, maps: np.ndarray
    ) -> list[dict[str, float]]:
        nonlocal before
        seen, asked = [], is_edge(maps[..., 0])
        found, in_photos = (is_edge(255 - detect(images)) for images in (painted, photographs))
        for n, row in enumerate(batch.itertuples()):
            f1, precision, recall = edge_agreement(asked[n], found[n])
            other, edges = before
            another = edges is not None and other != row.structure_photo
            before = row.structure_photo, found[n]
            own = colours_of(painted[n], wings_of(photographs[n]))
            structure, reference = colours[[row.structure_photo, row.reference_photo]]
            columns = {
                "edges_f1": f1,
                "edges_precision": precision,
                "edges_recall": recall,
                "edges_f1_of_photograph": edge_agreement(asked[n], in_photos[n])[0],
                "edges_f1_of_another": edge_agreement(asked[n], edges)[0] if another else np.nan,
                "colour_distance": colour_distance(own, reference),
                "colour_distance_before": colour_distance(structure, reference),
            }
            seen.append(columns)
        return seen

    colours = photos.table["colours"]
    known = rows[["structure_photo", "reference_photo"]].isin(photos.table.index).all(axis=1)
    lost = "left out, a photograph that it was painted from cannot be read"
    problems += [f"{path}: {lost}" for path in rows["path"][~known]]
    files = ["path", "structure_photo", "edge_map"]
    painted = look_at(rows[known], files, see, extract, problems)
    if painted.table.empty:
        raise InputError(f"no painted image can be evaluated; the last problem: {problems[-1]}")
    nearest = NearestNeighbors(n_neighbors=1).fit(photos.features.astype(float))
    distances, places = nearest.kneighbors(painted.features.astype(float))
    there = photos.table.iloc[places[:, 0]]
    table = painted.table.assign(
        nearest_photo=there.index,
        nearest_photograph=(there["subspecies"] + "/" + there["name"]).to_numpy(),
        nearest_distance=distances[:, 0],
        looks_painted=np.nan,  # until a classifier says
    )
    return Images(table, painted.features)
