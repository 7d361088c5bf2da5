"""Looks at every image once, at its features, the colours of its wings and its edges; and sets out
which painted images are held against which photographs."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from quality.inputs import HYBRIDS, NON_HYBRIDS, Dataset, Detector, Row
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
    # A folder of photographed hybrids is named by both subspecies, such as 8_9.
    crosses = names.str.split("_").map(frozenset)
    photographed = set(crosses[names.str.contains("_")])
    for title in AGAINST:
        of_cross = title == PHOTOGRAPHED
        chosen = pairs.isin(photographed) if of_cross else table["kind"] == title
        there = set(pairs[chosen])
        parents = set().union(*there)
        like = crosses.isin(there) if of_cross else names.isin(parents)
        painted, photos = (
            Images(side.table[rows], side.features[rows])
            for side, rows in ((evaluation.painted, chosen), (evaluation.photos, like))
        )
        if there:
            sources = painted.table[["structure_photo", "reference_photo"]]
            groups = [sources["structure_photo"], photos.table.index]
            yield Comparison(title, painted, photos, evaluation, sources, groups)


# ---- looking ------------------------------------------------------------------------------------


def read_batches(
    rows: Sequence[Row], files: Sequence[str], problems: list[str]
) -> Iterator[tuple[list[Row], list[np.ndarray]]]:
    """BATCH rows at a time, and the images in each of their `files`, uint8 (n, SIDE, SIDE, 3). A
    row with a file that cannot be read is left out and noted in `problems`."""

    def read(row: Row) -> list[np.ndarray] | ImageError:
        try:
            return [read_square(row[name], SIDE) for name in files]
        except ImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for start in tqdm(range(0, len(rows), BATCH), desc="images", disable=None):
            batch = rows[start : start + BATCH]
            found = list(zip(batch, pool.map(read, batch), strict=True))
            problems += [f"{error}: left out" for _, error in found if not isinstance(error, list)]
            whole = [(row, images) for row, images in found if isinstance(images, list)]
            if whole:
                kept, images = zip(*whole, strict=True)
                yield list(kept), list(map(np.stack, zip(*images, strict=True)))


def measure_photos(dataset: Dataset, extract: Extractor, problems: list[str]) -> Images:
    """The photographs that can be read; the others are noted in `problems`.

    Raises InputError when less than two can be read.
    """
    rows = [
        {"path": path, "subspecies": subspecies, "name": name}
        for (subspecies, name), path in dataset.photos.items()
    ]
    seen, features = [], []
    for batch, (images,) in read_batches(rows, ["path"], problems):
        features.append(extract(images))
        for row, image in zip(batch, images, strict=True):
            seen.append(row | {"colours": colours_of(image, wings_of(image))})
    if len(seen) < 2:
        raise InputError(
            f"{dataset.folder}: {len(seen)} of its {len(rows)} photographs can be read; two at"
            " least are needed to compare with"
        )
    found = np.concatenate(features)
    between = NearestNeighbors(n_neighbors=1).fit(found.astype(float)).kneighbors()[0]
    return Images(pd.DataFrame(seen).assign(between=between).set_index("path"), found)


def measure_painted(
    rows: Sequence[Row],  # in random order: each is compared with the one before, too
    photos: Images,
    extract: Extractor,
    detect: Detector,
    problems: list[str],
) -> Images:
    """The painted images that can be read; the others are noted in `problems`.

    Raises InputError when none can be.
    """
    colours, known = photos.table["colours"], []
    for row in rows:
        if row["structure_photo"] in colours and row["reference_photo"] in colours:
            known.append(row)
        else:
            lost = "left out, a photograph that it was painted from cannot be read"
            problems.append(f"{row['path']}: {lost}")
    seen, features, before = [], [], None
    files = ("path", "structure_photo", "edge_map")
    for batch, (painted, photographs, maps) in read_batches(known, files, problems):
        features.append(extract(painted))
        asked = is_edge(maps[..., 0])
        found, in_photos = (is_edge(255 - detect(images)) for images in (painted, photographs))
        for n, row in enumerate(batch):
            f1, precision, recall = edge_agreement(asked[n], found[n])
            f1_of_another = np.nan
            if before and before[0] != row["structure_photo"]:
                f1_of_another = edge_agreement(asked[n], before[1])[0]
            before = row["structure_photo"], found[n]
            own = colours_of(painted[n], wings_of(photographs[n]))
            structure, reference = colours[row["structure_photo"]], colours[row["reference_photo"]]
            columns = {
                "edges_f1": f1,
                "edges_precision": precision,
                "edges_recall": recall,
                "edges_f1_of_photograph": edge_agreement(asked[n], in_photos[n])[0],
                "edges_f1_of_another": f1_of_another,
                "colour_distance": colour_distance(own, reference),
                "colour_distance_before": colour_distance(structure, reference),
            }
            seen.append(row | columns)
    if not seen:
        raise InputError(f"no painted image can be evaluated; the last problem: {problems[-1]}")
    nearest = NearestNeighbors(n_neighbors=1).fit(photos.features.astype(float))
    distances, places = nearest.kneighbors(np.concatenate(features).astype(float))
    there = photos.table.iloc[places[:, 0]]
    table = pd.DataFrame(seen).assign(
        nearest_photo=there.index,
        nearest_photograph=(there["subspecies"] + "/" + there["name"]).to_numpy(),
        nearest_distance=distances[:, 0],
        looks_painted=np.nan,  # until a classifier says
    )
    return Images(table, np.concatenate(features))
