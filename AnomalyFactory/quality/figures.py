"""All figures of a generation report, as plain dictionaries that JSON takes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from quality.distances import (
    diversity,
    euclidean,
    frechet,
    frechet_and_kid,
    kernel,
    kid,
    mean_of_pairs,
    nearest_others,
)
from quality.fidelity import colour_distance
from quality.inputs import HYBRIDS, NON_HYBRIDS, Key, Painting, crosses
from quality.measure import Painted, Photos
from quality.resample import mean_with_interval, weighted_mean, with_interval
from quality.told_apart import told_apart

FEWEST = 20  # painted images, and photographs, for a figure of their distributions
HALVINGS = 10  # of the photographs, at random; the yardstick is the mean over them
CLOSE = 5  # per cent of the photographs have another one as close as what is called close
PHOTOGRAPHED = "hybrids of photographed crosses"

Figure = dict[str, object]


@dataclass(frozen=True)
class Set:
    """Painted images and the photographs that they are held against, by their places."""

    title: str
    against: str  # what the photographs are
    painted: np.ndarray
    photos: np.ndarray


def sets_of(painted: Painted, photos: Photos) -> list[Set]:
    """Non-hybrids and hybrids, each beside the photographs of their subspecies; and the hybrids of
    which there are photographs, beside these. Empty sets are left out."""
    pairs = [painting.pair for painting in painted.paintings]
    kinds = [painting.kind for painting in painted.paintings]
    subspecies = [key[0] for key in photos.keys]
    photographed = set().union(*map(crosses, subspecies))

    def places(flags: Sequence[bool]) -> np.ndarray:
        return np.flatnonzero(np.array(flags, bool))

    found = []
    for kind in (NON_HYBRIDS, HYBRIDS):
        there = places([one == kind for one in kinds])
        named = {name for place in there for name in pairs[place]}
        against = "photographs of the same subspecies"
        if kind == HYBRIDS:
            against = "photographs of the parents' subspecies, which are no hybrids"
        found.append(Set(kind, against, there, places([name in named for name in subspecies])))
    there = places([len(set(pair)) == 2 and frozenset(pair) in photographed for pair in pairs])
    named = {frozenset(pairs[place]) for place in there}
    of_them = places([bool(crosses(name) & named) for name in subspecies])
    found.append(Set(PHOTOGRAPHED, "photographs of hybrids of the same cross", there, of_them))
    return [one for one in found if len(one.painted)]


@dataclass(frozen=True)
class Nearest:
    """The photograph that looks most like each painted image, and how near photographs lie."""

    place: np.ndarray  # (n,) of that photograph
    distance: np.ndarray  # (n,)
    between: np.ndarray  # (m,) of each photograph to the nearest other one

    @property
    def close(self) -> float:
        """The distance that CLOSE per cent of the photographs have to another one at most."""
        return float(np.percentile(self.between, CLOSE))


def nearest_photographs(painted: Painted, photos: Photos) -> Nearest:
    distances = euclidean(painted.features, photos.features)
    between = nearest_others(photos.features)
    return Nearest(distances.argmin(axis=1), distances.min(axis=1), between)


def all_figures(
    painted: Painted, photos: Photos, nearest: Nearest, random: np.random.Generator
) -> tuple[dict[str, Figure], np.ndarray, list[str]]:
    """The figures of each set by its title; how painted each image looks (n,), NaN where that is
    not known; and a line for every figure that there are too few images for."""
    looks = np.full(len(painted.paintings), np.nan)
    figures, too_few = {}, []
    for one in tqdm(sets_of(painted, photos), desc="figures", unit="set", disable=None):
        paintings = [painted.paintings[place] for place in one.painted]
        structures = [painting.structure for painting in paintings]
        counts = len(one.painted), len(one.photos)
        found: Figure = dict(zip(("painted", "photographs"), counts, strict=True))
        found["against"] = one.against
        if min(counts) >= FEWEST:
            found |= distributions(one, paintings, painted, photos, random)
            found["told_apart"], seen = told_apart(
                painted.features[one.painted],
                photos.features[one.photos],
                [(painting.structure, painting.reference) for painting in paintings],
                [photos.keys[place] for place in one.photos],
                random,
            )
            if one.title != PHOTOGRAPHED:  # which are among the hybrids, and have been looked at
                looks[one.painted] = seen
            if found["halves"] is None:
                too_few.append(f"{one.title}: too few images for the yardstick of two halves")
            if found["told_apart"] is None:
                too_few.append(f"{one.title}: too few images for a fold of the classifier")
        else:
            found |= dict.fromkeys(("frechet", "kid", "halves", "told_apart"))
            too_few.append(
                f"{one.title}: {counts[0]} painted images and {counts[1]} photographs; Frechet"
                f" distance, KID and the classifier want {FEWEST} of each"
            )
        found["diversity"] = diversity_of(one, paintings, painted, photos, random)
        if found["diversity"] is None:
            too_few.append(f"{one.title}: no pair has two painted images to compare")
        found["memorised"] = memorised(one.painted, paintings, photos, nearest, random)
        found["structure"] = structure_fidelity(one.painted, structures, painted, random)
        found["appearance"] = appearance_fidelity(one.painted, paintings, painted, photos, random)
        figures[one.title] = found
    return figures, looks, too_few


def distributions(
    one: Set,
    paintings: list[Painting],
    painted: Painted,
    photos: Photos,
    random: np.random.Generator,
) -> Figure:
    """Frechet distance and KID, with intervals, and both between halves."""
    images, photographs = painted.features[one.painted], photos.features[one.photos]
    keys = [photos.keys[place] for place in one.photos]
    groups = [[painting.structure for painting in paintings], keys]
    value, kid_value = frechet_and_kid(images, photographs)
    kernels = (
        kernel(images, images),
        kernel(photographs, photographs),
        kernel(images, photographs),
    )
    return {
        "frechet": with_interval(
            lambda *weights: frechet(images, photographs, *weights), groups, random, value
        ),
        "kid": with_interval(lambda *weights: kid(*kernels, *weights), groups, random, kid_value),
        "halves": halves(images, photographs, paintings, keys, random),
    }


def halves(
    images: np.ndarray,  # (n, d) features of the paintings
    photographs: np.ndarray,  # (m, d) and of the photographs
    paintings: list[Painting],
    keys: list[Key],
    random: np.random.Generator,
) -> Figure | None:
    """Equal numbers against one half of the photographs: the other half, and what was painted
    from the other half alone. None where a half has too few."""
    sources = [(painting.structure, painting.reference) for painting in paintings]
    everyone = list(dict.fromkeys([*keys, *(key for pair in sources for key in pair)]))
    rows = []
    for _ in range(HALVINGS):
        order = random.permutation(len(everyone))
        first = {everyone[place] for place in order[: len(order) // 2]}
        own = random.permutation([place for place, key in enumerate(keys) if key in first])
        other = random.permutation([place for place, key in enumerate(keys) if key not in first])
        new = [place for place, pair in enumerate(sources) if first.issuperset(pair)]
        new = random.permutation(new)
        size = min(len(own), len(other), len(new))
        if size < FEWEST // 2:
            continue
        against = photographs[other[:size].astype(int)]
        row = [size]
        for side in (images[new[:size].astype(int)], photographs[own[:size].astype(int)]):
            ones = np.ones(size)
            kernels = kernel(side, side), kernel(against, against), kernel(side, against)
            row += [frechet(side, against), kid(*kernels, ones, ones)]
        rows.append(row)
    if not rows:
        return None
    names = ("images", "frechet_painted", "kid_painted", "frechet_photographs", "kid_photographs")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def diversity_of(
    one: Set,
    paintings: list[Painting],
    painted: Painted,
    photos: Photos,
    random: np.random.Generator,
) -> Figure | None:
    """How varied the images of a pair of subspecies are, against photographs of either; None
    where no pair has two."""
    by_pair = expected_distances([painting.pair for painting in paintings], photos)
    expected = np.array([by_pair[painting.pair] for painting in paintings])
    known = np.flatnonzero(np.isfinite(expected))
    numbers = {pair: number for number, pair in enumerate({p.pair for p in paintings})}
    pairs = np.array([numbers[paintings[place].pair] for place in known])
    features = painted.features[one.painted[known]]
    distances = euclidean(features, features)
    found = with_interval(
        lambda weights: diversity(distances, pairs, expected[known], weights),
        [[paintings[place].structure for place in known]],
        random,
    )
    return found if np.isfinite(found["value"]) else None


def expected_distances(
    pairs: Collection[tuple[str, str]], photos: Photos
) -> dict[tuple[str, str], float]:
    """For each pair of subspecies the mean of both's `distance_within`."""
    within = {name: distance_within(name, photos) for name in {n for pair in pairs for n in pair}}
    return {pair: (within[pair[0]] + within[pair[1]]) / 2 for pair in pairs}


def distance_within(subspecies: str, photos: Photos) -> float:
    """The mean distance between photographs of one subspecies; NaN where no two differ by more than
    rounding."""
    places = [place for place, key in enumerate(photos.keys) if key[0] == subspecies]
    features = photos.features[places]
    mean = mean_of_pairs(euclidean(features, features), np.ones(len(places)))
    rounding = 1e-5 * np.linalg.norm(features, axis=1).mean() if len(places) else 0.0
    return mean if mean > rounding else np.nan


def memorised(
    places: np.ndarray,
    paintings: list[Painting],
    photos: Photos,
    nearest: Nearest,
    random: np.random.Generator,
) -> Figure:
    """How near painted images lie to photographs that the generator was trained on."""
    structures = [painting.structure for painting in paintings]
    distance = nearest.distance[places]
    closest = [photos.keys[place] for place in nearest.place[places]]
    is_structure = np.array([c == p.structure for c, p in zip(closest, paintings, strict=True)])
    is_reference = np.array([c == p.reference for c, p in zip(closest, paintings, strict=True)])
    return {
        "close": mean_with_interval(distance <= nearest.close, structures, random),
        "closest": float(distance.min()),
        "median": float(np.median(distance)),
        "median_between_photographs": float(np.median(nearest.between)),
        "closest_between_photographs": float(nearest.between.min()),
        "nearest_is_structure": float(is_structure.mean()),
        "nearest_is_reference": float((is_reference & ~is_structure).mean()),
    }


def structure_fidelity(
    places: np.ndarray, structures: list[Key], painted: Painted, random: np.random.Generator
) -> Figure | None:
    """Edges found against edges asked for; None where no detector looked for them."""
    if np.isnan(painted.edges[places]).all():
        return None
    f1, precision, recall = painted.edges[places].T
    return {
        "f1": mean_with_interval(f1, structures, random),
        "precision": mean_with_interval(precision, structures, random),
        "recall": mean_with_interval(recall, structures, random),
        "f1_of_photograph": finite_mean(painted.photo_edges[places]),
        "f1_of_another": finite_mean(painted.other_edges[places]),
    }


def appearance_fidelity(
    places: np.ndarray,
    paintings: list[Painting],
    painted: Painted,
    photos: Photos,
    random: np.random.Generator,
) -> Figure:
    """Colours inside the wings against the reference's."""
    structures = [painting.structure for painting in paintings]
    left, before = painted.colours[places], painted.given_colours[places]

    def way(weights: np.ndarray) -> float:
        start = weighted_mean(before, weights)
        return 1 - weighted_mean(left, weights) / start if start > 0 else float("nan")

    return {
        "distance": mean_with_interval(left, structures, random),
        "distance_to_structure": finite_mean(painted.kept_colours[places]),
        "distance_before": finite_mean(before),
        "way": with_interval(way, [structures], random),
    }


def finite_mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def colours_within(photos: Photos) -> float:
    """The mean colour distance of each photograph from the next one of its subspecies."""
    distances = []
    for subspecies in sorted({key[0] for key in photos.keys}):
        places = [place for place, key in enumerate(photos.keys) if key[0] == subspecies]
        for one, other in pairwise(places):
            distances.append(colour_distance(photos.colours[one], photos.colours[other]))
    return float(np.mean(distances)) if distances else float("nan")
