"""Looks at every image once: its features, its colours, its edges."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from tqdm import tqdm
from util.errors import InputError
from util.files import ImageError
from util.images import read_square

from quality.backbone import Extractor
from quality.fidelity import (
    SIDE,
    colour_distance,
    colours_of,
    edge_agreement,
    is_edge,
    wings_of,
)
from quality.inputs import Dataset, Key, Painting

BATCH = 16  # images that the network sees at once

Item = TypeVar("Item")
Detector = Callable[[np.ndarray], np.ndarray]  # photos (n, h, w, 3) uint8 -> edges (n, h, w) uint8


@dataclass(frozen=True)
class Photos:
    """The photographs of a data set that could be read."""

    keys: list[Key]
    features: np.ndarray  # (m, d)
    colours: np.ndarray  # (m, LEVELS, 3) inside the wings
    wings: list[bytes]  # packed masks, SIDE x SIDE

    def places(self) -> dict[Key, int]:
        return {key: place for place, key in enumerate(self.keys)}

    def mask(self, place: int) -> np.ndarray:
        bits = np.unpackbits(np.frombuffer(self.wings[place], np.uint8))
        return bits.reshape(SIDE, SIDE).astype(bool)


@dataclass(frozen=True)
class Painted:
    """The painted images that could be read, and what was measured of each."""

    paintings: list[Painting]
    features: np.ndarray  # (n, d)
    edges: np.ndarray  # (n, 3) F1, precision and recall of its edges; NaN without a detector
    photo_edges: np.ndarray  # (n,) F1 of the edges in the structure's photograph
    other_edges: np.ndarray  # (n,) F1 of the edges in a painted image of another structure
    colours: np.ndarray  # (n,) distance from the reference's
    kept_colours: np.ndarray  # (n,) distance from those of the structure's photograph
    given_colours: np.ndarray  # (n,) distance of these two from each other


def readable(
    items: Sequence[Item],
    read: Callable[[Item], list[np.ndarray]],  # raises ImageError
    title: str,
    problems: list[str],
) -> Iterator[list[tuple[Item, list[np.ndarray]]]]:
    """Batches of `items` with their images; one that cannot be read is noted in `problems`."""

    def attempt(item: Item) -> list[np.ndarray] | ImageError:
        try:
            return read(item)
        except ImageError as error:
            return error

    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(items), desc=title, unit="image", disable=None) as bar,
    ):
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            whole = []
            for item, images in zip(batch, pool.map(attempt, batch), strict=True):
                if isinstance(images, ImageError):
                    problems.append(f"{images}: left out")
                else:
                    whole.append((item, images))
            if whole:
                yield whole
            bar.update(len(batch))


def measure_photos(dataset: Dataset, extract: Extractor, problems: list[str]) -> Photos:
    """What is measured of the photographs; unreadable ones are noted in `problems`.

    Raises InputError when less than two can be read.
    """

    def read(key: Key) -> list[np.ndarray]:
        return [read_square(dataset.photos[key], SIDE)]

    keys, features, colours, wings = [], [], [], []
    for batch in readable(list(dataset.photos), read, "photographs", problems):
        features.append(extract([image for _, [image] in batch]))
        for key, [image] in batch:
            mask = wings_of(image)
            keys.append(key)
            colours.append(colours_of(image, mask))
            wings.append(np.packbits(mask).tobytes())
    if len(keys) < 2:
        raise InputError(
            f"{dataset.folder}: {len(keys)} of its {len(dataset.photos)} photographs can be read;"
            " two at least are needed to compare with"
        )
    return Photos(keys, np.concatenate(features), np.stack(colours), wings)


def measure_paintings(
    paintings: list[Painting],  # in random order: each is compared with the one before, too
    dataset: Dataset,
    photos: Photos,
    extract: Extractor,
    detect: Detector | None,  # of edges; without one, nothing is said of them
    problems: list[str],
) -> Painted:
    """What is measured of the painted images; those that cannot be are noted in `problems`.

    Raises InputError when none can be.
    """
    places = photos.places()
    usable = []
    for painting in paintings:
        unread = {painting.structure, painting.reference} - places.keys()
        if unread:
            photo = dataset.photos[unread.pop()]
            problems.append(f"{painting.path}: left out, {photo} cannot be read")
        else:
            usable.append(painting)

    def read(painting: Painting) -> list[np.ndarray]:
        structure = painting.structure
        files = painting.path, dataset.photos[structure], dataset.edges[structure]
        return [read_square(path, SIDE) for path in files]

    kept, features, edges, colours = [], [], [], []
    before: tuple[Key, np.ndarray] | None = None  # the last one's structure, and the edges in it
    for batch in readable(usable, read, "painted images", problems):
        images, photographs, maps = zip(*(images for _, images in batch), strict=True)
        features.append(extract(list(images)))
        if detect:
            found, photographed = detect(np.stack(images)), detect(np.stack(photographs))
        for number, (painting, _) in enumerate(batch):
            structure, reference = places[painting.structure], places[painting.reference]
            kept.append(painting)
            own = colours_of(images[number], photos.mask(structure))
            first, second = photos.colours[structure], photos.colours[reference]
            pairs = ((own, second), (own, first), (first, second))
            colours.append([colour_distance(*pair) for pair in pairs])
            if not detect:
                continue
            asked = is_edge(maps[number][..., 0])
            there = is_edge(255 - found[number])
            elsewhere = np.nan
            if before and before[0] != painting.structure:
                elsewhere = edge_agreement(asked, before[1])[0]
            in_photo = edge_agreement(asked, is_edge(255 - photographed[number]))[0]
            edges.append([*edge_agreement(asked, there), in_photo, elsewhere])
            before = painting.structure, there
    if not kept:
        raise InputError(f"no painted image can be evaluated; the last problem: {problems[-1]}")
    edges = np.array(edges) if detect else np.full((len(kept), 5), np.nan)
    return Painted(
        kept, np.concatenate(features), edges[:, :3], *edges[:, 3:].T, *np.array(colours).T
    )
