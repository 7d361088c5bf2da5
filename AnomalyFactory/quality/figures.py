"""The figures of a report. To add one, say in a `Figure` how it is found and told, and add it to
FIGURES: the page, its table at the top and figures.json are loops over them. What it measures of
each image, measure.py adds to the table of the painted images, which goes into images.csv."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from quality import formulas, plots
from quality.formulas import frechet, kid, mean_with_interval, with_interval
from quality.measure import CLOSE, PHOTOGRAPHED, Comparison, Evaluation, comparisons
from quality.plots import DASH, Drawing, Series, by_kind, histograms, hundredths, percent, tenths

FEWEST = 20  # painted images, and photographs, for a figure of their distributions
HALVINGS = 10  # of the photographs, at random; the yardstick is the mean over them

Found = dict[str, Any]  # as in figures.json: a value with its interval, or several under names


@dataclass(frozen=True)
class Ranking:
    """The best and the worst painted images by a column of the table, the smallest first."""

    column: str
    says: str  # of an image, with its columns
    panels: tuple[str, ...]  # pictures of it that are shown
    ends: tuple[str, str] = ("Best", "Worst")
    descending: bool = False
    hybrids_first: bool = False  # whether only they are shown where there are any


@dataclass(frozen=True)
class Figure:
    """A question to a set of painted images: how it is answered, and how that is told."""

    key: str  # in figures.json, and of its section
    value: Callable[[Comparison, np.random.Generator], Found | None]  # None: too few images
    part: str = ""  # of what is found that has the value and its interval; "": it itself
    # In the table at the top of the page; without a title it is not there.
    title: str = ""
    meaning: str = ""
    write: Callable[[float], str] = hundredths  # how the value and the ends are written
    yardstick: Callable[[Found], str] = lambda found: ""  # of all that is found in a set
    fewest: int = 0  # painted images and photographs that it wants
    # In its section; without a heading it is told in another one. page.html may explain it, too.
    heading: str = ""
    plot: Callable[[Evaluation], list[Drawing]] = lambda evaluation: []
    ranking: Ranking | None = None


def find_figures(evaluation: Evaluation, random: np.random.Generator) -> None:
    """Add the figures of each set to the evaluation."""
    evaluation.painted.table["looks_painted"] = np.nan  # until a classifier says
    for one in tqdm(comparisons(evaluation), desc="figures", unit="set", disable=None):
        counts = len(one.table), len(one.photo_keys)
        found = {"painted": counts[0], "photographs": counts[1], "against": one.against}
        for figure in FIGURES:
            enough = min(counts) >= figure.fewest
            found[figure.key] = figure.value(one, random) if enough else None
        evaluation.sets[one.title] = found


def cell(figure: Figure, found: Found) -> tuple[str, str]:
    """What the table at the top says of a figure in a set: the value, and what is beside it."""
    there, write = found[figure.key], figure.write
    if there is None:
        return DASH, "too few images"
    there = there[figure.part] if figure.part else there
    beside = spread(there, write), figure.yardstick(found)
    return write(there["value"]), "; ".join(filter(None, beside))


def spread(found: dict[str, float], write: Callable[[float], str]) -> str:
    """`[low to high]` of a figure; nothing where it has no interval."""
    known = np.isfinite(found["low"])
    return f"[{write(found['low'])} to {write(found['high'])}]" if known else ""


# ---- how each is found --------------------------------------------------------------------------


def find_frechet(one: Comparison, random: np.random.Generator) -> Found:
    sides, groups = (one.features, one.photo_features), [one.structures, one.photo_keys]
    return with_interval(partial(frechet, *sides), groups, random, frechet(*sides))


def find_kid(one: Comparison, random: np.random.Generator) -> Found:
    kernels = formulas.kernels(one.features, one.photo_features)
    groups, value = [one.structures, one.photo_keys], formulas.kid_of_subsets(*kernels)
    return with_interval(partial(kid, *kernels), groups, random, value)


def find_halves(one: Comparison, random: np.random.Generator) -> Found | None:
    """Equal numbers against one half of the photographs: the other half, and what was painted
    from the other half alone. None where a half has too few."""
    sources, keys, photos = one.sources, one.photo_keys, one.photo_features
    everyone = list(dict.fromkeys([*keys, *(key for pair in sources for key in pair)]))
    rows = []
    for _ in range(HALVINGS):
        order = random.permutation(len(everyone))
        first = {everyone[place] for place in order[: len(order) // 2]}
        own, other, new = (
            random.permutation(np.flatnonzero(chosen))
            for chosen in (
                [key in first for key in keys],
                [key not in first for key in keys],
                [first.issuperset(pair) for pair in sources],
            )
        )
        size = min(len(own), len(other), len(new))
        if size < FEWEST // 2:
            continue
        against, ones = photos[other[:size]], np.ones(size)
        row = [size]
        for side in (one.features[new[:size]], photos[own[:size]]):
            kernels = formulas.kernels(side, against)
            row += [frechet(side, against), kid(*kernels, ones, ones)]
        rows.append(row)
    names = ("images", "frechet_painted", "kid_painted", "frechet_photographs", "kid_photographs")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) if rows else None


def find_told_apart(one: Comparison, random: np.random.Generator) -> Found | None:
    """How well a classifier tells; how painted each image looks to it goes into the table."""
    sides = one.features, one.photo_features
    found, looks = formulas.told_apart(*sides, one.sources, one.photo_keys, random)
    if one.title != PHOTOGRAPHED:  # which are among the hybrids, and have been looked at
        one.evaluation.painted.table.loc[one.table.index, "looks_painted"] = looks
    return found


def find_memorised(one: Comparison, random: np.random.Generator) -> Found:
    """How near painted images lie to photographs that the generator was trained on."""
    photos, distance = one.evaluation.photos, one.table["nearest_distance"]
    return {
        "close": mean_with_interval(distance <= photos.close, one.structures, random),
        "closest": float(distance.min()),
        "median": float(distance.median()),
        "median_between_photographs": float(np.median(photos.between)),
        "closest_between_photographs": float(photos.between.min()),
    }


def find_structure(one: Comparison, random: np.random.Generator) -> Found:
    """Edges found against edges asked for."""
    found = {
        name: mean_with_interval(one.table[f"edges_{name}"], one.structures, random)
        for name in ("f1", "precision", "recall")
    }
    others = ("f1_of_photograph", "f1_of_another")
    return found | {name: one.table[f"edges_{name}"].mean() for name in others}


def find_appearance(one: Comparison, random: np.random.Generator) -> Found:
    """Colours inside the wings against the reference's."""
    distances = list(one.table["colour_distance"])
    return {
        "distance": mean_with_interval(distances, one.structures, random),
        "distance_before": one.table["colour_distance_before"].mean(),
    }


# ---- how each is told ---------------------------------------------------------------------------

# Pictures of a painted image that the page can show.
EDGES_ASKED, REFERENCE, STRUCTURE = "edge map asked for", "reference", "structure's photograph"
PAINTED, OUTLINED, EDGES_FOUND = "painted", "painted, wings outlined", "edges found"
NEAREST = "nearest photograph"
INPUTS = (EDGES_ASKED, REFERENCE, STRUCTURE)


def draw_looks(evaluation: Evaluation) -> list[Drawing]:
    looks = by_kind(evaluation, "looks_painted")
    return histograms(looks, "probability of being painted", ", by how painted they look.")


def draw_distances(evaluation: Evaluation) -> list[Drawing]:
    photos = evaluation.photos
    between = Series("photographs to each other", "photo", photos.between)
    series = [between, *by_kind(evaluation, "nearest_distance")]
    caption, marks = ". What lies left of the line is called close.", {"close": photos.close}
    return histograms(series, "distance to the nearest photograph", caption, marks)


def draw_edges(evaluation: Evaluation) -> list[Drawing]:
    table = evaluation.painted.table
    names = {"another image": "edges_f1_of_another", "photographs": "edges_f1_of_photograph"}
    marks = {name: table[column].mean() for name, column in names.items()}
    caption = ". Lines: the means in another image, and in photographs."
    return histograms(by_kind(evaluation, "edges_f1"), "F1 of the edges", caption, marks)


def draw_colours(evaluation: Evaluation) -> list[Drawing]:
    marks = {"one subspecies": evaluation.photos.colours_within()}
    sides = (by_kind(evaluation, f"colour_distance{side}") for side in ("_before", ""))
    return [
        drawing
        for before, after in zip(*sides, strict=True)
        for drawing in histograms(
            [Series("their structures before painting", "photo", before.values), after],
            "distance from the reference's colours",
            ".",
            marks,
        )
    ]


FIGURES = [  # in the order in which they draw at random
    Figure(
        key="frechet",
        value=find_frechet,
        title="Fréchet distance",
        meaning="the lower, the more alike; photographs set the yardstick",
        write=tenths,
        yardstick=lambda found: (
            found["halves"]
            and f"{found['halves']['images']:.0f} against as many: painted"
            f" {tenths(found['halves']['frechet_painted'])}, photographs"
            f" {tenths(found['halves']['frechet_photographs'])}"
        ),
        fewest=FEWEST,
        heading="Fréchet distance and KID",
    ),
    Figure(
        key="kid",
        value=find_kid,
        title="KID \N{MULTIPLICATION SIGN} 1000",
        meaning="the same question; 0: alike, however few images",
        write=plots.per_thousand,
        yardstick=lambda found: (
            found["halves"]
            and f"photographs {plots.per_thousand(found['halves']['kid_photographs'])}"
        ),
        fewest=FEWEST,
    ),
    Figure(key="halves", value=find_halves, fewest=FEWEST),  # the yardstick of both
    Figure(
        key="told_apart",
        value=find_told_apart,
        title="Painted or photographed?",
        meaning="area under the ROC curve; 0.5: nobody could tell",
        fewest=FEWEST,
        heading="Painted or photographed?",
        plot=draw_looks,
        ranking=Ranking(
            column="looks_painted",
            says="probability of being painted {looks_painted:.2f}",
            panels=(*INPUTS, PAINTED),
            ends=("Taken for photographs", "Most easily told"),
        ),
    ),
    Figure(
        key="memorised",
        value=find_memorised,
        part="close",
        title="Close to a training photograph",
        meaning=f"{CLOSE} % of the photographs are",
        write=percent,
        heading="Memorisation",
        plot=draw_distances,
        ranking=Ranking(
            column="nearest_distance",
            says="distance {nearest_distance:.2f}",
            panels=(*INPUTS, PAINTED, NEAREST),
            ends=("Closest to a photograph", "Furthest from any photograph"),
        ),
    ),
    Figure(
        key="structure",
        value=find_structure,
        part="f1",
        title="Edges as asked for",
        meaning="F1 of edges found; 1: all there and no others",
        yardstick=lambda found: (
            f"in the photographs {hundredths(found['structure']['f1_of_photograph'])}, in another"
            f" painted image {hundredths(found['structure']['f1_of_another'])}"
        ),
        heading="Edges",
        plot=draw_edges,
        ranking=Ranking(
            column="edges_f1",
            descending=True,
            says="F1 {edges_f1:.2f}, precision {edges_precision:.2f}, recall {edges_recall:.2f}",
            panels=(*INPUTS, PAINTED, EDGES_FOUND),
        ),
    ),
    Figure(
        key="appearance",
        value=find_appearance,
        part="distance",
        title="Colours of the reference",
        meaning="distance in CIE Lab; 2 can just be seen",
        write=tenths,
        yardstick=lambda found: f"before painting {tenths(found['appearance']['distance_before'])}",
        heading="Colours",
        plot=draw_colours,
        ranking=Ranking(
            column="colour_distance",
            hybrids_first=True,
            says="{colour_distance:.1f} from the reference's colours, where its structure was"
            " {colour_distance_before:.1f} from them",
            panels=(*INPUTS, OUTLINED),
        ),
    ),
]
