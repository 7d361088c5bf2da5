"""The figures of a report, each in one place: its formula and its words.

To add one, write a `Figure` and add it to FIGURES; the page, its table at the top and figures.json
are loops over them. What it measures of each image, measure.py adds to the table of the painted
images, which goes into images.csv.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import getdoc
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm
from util.images import read_square

from quality import formulas
from quality.formulas import frechet, kid, mean_with_interval, with_interval
from quality.measure import AGAINST, CLOSE, PHOTOGRAPHED, SIDE, Comparison, Evaluation, comparisons
from quality.pixels import outlines_of, wings_of
from quality.plots import DASH, written

FEWEST = 20  # painted images, and photographs, for a figure of their distributions

Found = dict[str, Any]  # as in figures.json: a value with its interval, or several under names


@dataclass(frozen=True)
class Figure:
    """A question to a set of painted images: how it is answered, and how that is told."""

    key: str  # in figures.json, and of its section on the page
    # The page shows what it says of itself, with the numbers of figures.json; None: too few images.
    find: Callable[[Comparison, np.random.Generator], Found | None]
    fewest: int = 0  # painted images and photographs that it wants
    title: str = ""  # of its section, and in the table at the top
    meaning: str = ""  # there, too
    part: str = ""  # of what is found that has the value and its interval; "": it itself
    form: str = "{:.2f}"  # of the value and the ends
    yardstick: str = ""  # with what is found, or is found under `yardstick_of`
    yardstick_of: str = ""
    # Of the table of painted images, in a histogram; the first and the last images are shown.
    column: str = ""
    axis: str = ""
    # What the histogram shows besides, by names: values, or a number as a line.
    beside: Callable[[Evaluation], dict[str, Any]] = lambda evaluation: {}
    ends: tuple[str, str] = ("Best", "Worst")
    says: str = ""  # of an image, with its columns
    panel: str = ""  # a picture of its own beside the image and its inputs
    picture: Callable[[dict[str, Any], Evaluation], np.ndarray] | None = None  # of an image's row

    def cell(self, found: Found) -> tuple[str, str]:
        """What the table at the top says of a set: the value, and what is beside it."""
        if found[self.key] is None:
            return DASH, "too few images"
        one = found[self.key][self.part] if self.part else found[self.key]
        value, low, high = (written(one[name], self.form) for name in ("value", "low", "high"))
        ends = f"[{low} to {high}]" if low != DASH else ""
        measured = found[self.yardstick_of or self.key]
        yardstick = self.yardstick.format(**measured) if measured else ""
        return value, "; ".join(filter(None, (ends, yardstick)))

    def explanation(self, numbers: Found) -> list[str]:
        """Paragraphs."""
        return getdoc(self.find).format(**numbers, **vars(formulas), CLOSE=CLOSE).split("\n\n")


def find_figures(evaluation: Evaluation, random: np.random.Generator) -> dict[str, Found]:
    """The figures of each set of painted images."""
    sets = {}
    for one in tqdm(comparisons(evaluation), desc="figures", unit="set", disable=None):
        counts = len(one.painted.table), len(one.photos.table)
        found = {"painted": counts[0], "photographs": counts[1], "against": AGAINST[one.title]}
        for figure in FIGURES:
            enough = min(counts) >= figure.fewest
            found[figure.key] = figure.find(one, random) if enough else None
        sets[one.title] = found
    return sets


# ---- Frechet distance and KID -------------------------------------------------------------------


def find_frechet(one: Comparison, random: np.random.Generator) -> Found:
    """How far do the painted images, as a whole, lie from the photographs? By the features of
    {backbone}, so it does not compare with figures from the Inception network.

    A Fréchet distance estimates a covariance of more than a thousand features; with fewer images
    than that it is too large, the more so the fewer they are: never compare it between sets of
    other sizes. The figure at the top also flatters: the photographs in it are those that were
    painted on. The fair comparison stands beside it: one half of the photographs, against as many
    of the other half, and against as many images that were painted from that other half alone. No
    generator can be expected to come below the photographs. Hybrids should lie further away than
    non-hybrids: they are held against photographs of their parents. Only hybrids of photographed
    crosses meet their like.
    """
    sides = one.painted.features, one.photos.features
    return with_interval(partial(frechet, *sides), one.groups, random, frechet(*sides))


def find_kid(one: Comparison, random: np.random.Generator) -> Found:
    """The same question, by the same features, without the bias of few images: 0 says that nothing
    tells the two apart, and a negative value that chance made them more alike than that."""
    kernels = formulas.kernels(one.painted.features, one.photos.features)
    value = formulas.kid_of_subsets(*kernels)
    return with_interval(partial(kid, *kernels), one.groups, random, value)


def find_halves(one: Comparison, random: np.random.Generator) -> Found | None:
    sides = one.painted.features, one.photos.features
    return formulas.halves(*sides, one.sources, one.groups[1], random)


FRECHET = Figure(
    key="frechet",
    find=find_frechet,
    fewest=FEWEST,
    title="Fréchet distance",
    meaning="the lower, the more alike; photographs set the yardstick",
    form="{:.1f}",
    yardstick="{images:.0f} against as many: painted {frechet_painted:.1f}, photographs"
    " {frechet_photographs:.1f}",
    yardstick_of="halves",
)
KID = Figure(
    key="kid",
    find=find_kid,
    fewest=FEWEST,
    title="KID",
    meaning="the same question; 0: alike, however few images",
    form="{:.4f}",
    yardstick="photographs {kid_photographs:.4f}",
    yardstick_of="halves",
)
# The yardstick of both, without a place of its own.
HALVES = Figure(key="halves", find=find_halves, fewest=FEWEST)

# ---- painted or photographed? -------------------------------------------------------------------


def find_told_apart(one: Comparison, random: np.random.Generator) -> Found | None:
    """A logistic regression learns to tell painted images from photographs and is asked about
    specimens that it never saw: shown one image of each, how often does it pick out the painted
    one? Half of the time is guessing.

    Folds are drawn by photograph ({FOLDS} folds, {REPEATS} times): a painted image is learnt from
    only when both of its photographs are, and asked about only when neither is. An area near 1 says
    that all painted images share some trace. A detector that is trained on them may learn that
    trace instead of the wings, unless painted images are as common among hybrids as among
    non-hybrids. Hybrids differ from the photographs of their parents by what they are, too: the
    plain question is that of the non-hybrids.
    """
    sides = one.painted.features, one.photos.features
    found, looks = formulas.told_apart(*sides, one.sources, one.groups[1], random)
    if one.title != PHOTOGRAPHED:  # which are among the hybrids, and have been looked at
        one.evaluation.painted.table.loc[one.painted.table.index, "looks_painted"] = looks
    return found


TOLD_APART = Figure(
    key="told_apart",
    find=find_told_apart,
    fewest=FEWEST,
    title="Painted or photographed?",
    meaning="area under the ROC curve; 0.5: nobody could tell",
    column="looks_painted",
    axis="probability of being painted",
    ends=("Taken for photographs", "Most easily told"),
    says="probability of being painted {looks_painted:.2f}",
)

# ---- memorisation -------------------------------------------------------------------------------


def find_memorised(one: Comparison, random: np.random.Generator) -> Found:
    """Does the generator hand out the photographs that it was trained on? For each painted image
    the nearest photograph is looked up. Close is what lies within the distance
    ({close_distance:.2f}) that only {CLOSE} % of the photographs have to another one. A share far
    above that speaks for copies. A copy that is blurred or badly coloured lies far from its
    photograph and is not caught: look at the pictures, too.
    """
    distance = one.painted.table["nearest_distance"]
    between = one.evaluation.photos.table["between"]
    return {
        "close": mean_with_interval(distance <= one.evaluation.close, one.groups[0], random),
        "closest": float(distance.min()),
        "median": float(distance.median()),
        "median_between_photographs": float(between.median()),
        "closest_between_photographs": float(between.min()),
    }


MEMORISED = Figure(
    key="memorised",
    find=find_memorised,
    title="Close to a photograph",
    meaning=f"{CLOSE} % of the photographs are",
    part="close",
    form="{:.0%}",
    yardstick="the closest at {closest:.2f}, two photographs at {closest_between_photographs:.2f}",
    column="nearest_distance",
    axis="distance to the nearest photograph",
    beside=lambda evaluation: {
        "photographs to each other": evaluation.photos.table["between"],
        "close": evaluation.close,
    },
    ends=("Closest to a photograph", "Furthest from any photograph"),
    says="distance {nearest_distance:.2f}",
    panel="nearest photograph",
    picture=lambda row, evaluation: read_square(row["nearest_photo"], SIDE),
)

# ---- fidelity to the structure ------------------------------------------------------------------


def find_structure(one: Comparison, random: np.random.Generator) -> Found:
    """A detector, {edge_detector}, looks for edges in the painted images: the one that drew the
    edge maps, unless --detector named another. Precision: how many of those found were asked for;
    recall: how many of those asked for were found, each within two pixels; F1 joins both. The same
    detector on the structure's own photograph, at the size of the painted images, is about the best
    that can be had; on another painted image it is chance. Edges of the reference's pattern that
    were not asked for lower the precision, and in a hybrid may be wanted.
    """
    edges = one.painted.table.filter(like="edges_").rename(columns=lambda name: name[6:])
    found = {
        name: mean_with_interval(edges[name], one.groups[0], random)
        for name in ("f1", "precision", "recall")
    }
    return found | edges[["f1_of_photograph", "f1_of_another"]].mean().to_dict()


def draw_edges(row: dict[str, Any], evaluation: Evaluation) -> np.ndarray:
    edges = 255 - evaluation.detect(read_square(row["path"], SIDE)[None])[0]
    return np.repeat(edges[..., None], 3, axis=2)


STRUCTURE = Figure(
    key="structure",
    find=find_structure,
    title="Edges",
    meaning="F1 of those asked for; 1: all there and no others",
    part="f1",
    yardstick="precision {precision[value]:.2f}, recall {recall[value]:.2f}; F1 in the photographs"
    " {f1_of_photograph:.2f}, in another painted image {f1_of_another:.2f}",
    column="edges_f1",
    axis="F1 of the edges",
    beside=lambda evaluation: {
        "mean in another image": evaluation.painted.table["edges_f1_of_another"].mean(),
        "mean in photographs": evaluation.painted.table["edges_f1_of_photograph"].mean(),
    },
    ends=("Worst", "Best"),
    says="F1 {edges_f1:.2f}, precision {edges_precision:.2f}, recall {edges_recall:.2f}",
    panel="edges found",
    picture=draw_edges,
)

# ---- fidelity to the reference ------------------------------------------------------------------


def find_appearance(one: Comparison, random: np.random.Generator) -> Found:
    """How far the colours inside the wings are from the reference's: the earth mover's distance of
    each channel of CIE Lab. Where on a wing a colour lies does not matter. Before painting, a
    structure's own photograph was as far from the reference as the blue histogram shows. Painting
    with --inherit 0.5 is meant to go half of the way.

    The wings are what differs from the ground; an outline shows what was looked at in the painted
    image. Where outlines are wrong, these figures are.
    """
    table = one.painted.table
    return {
        "distance": mean_with_interval(table["colour_distance"], one.groups[0], random),
        "distance_before": table["colour_distance_before"].mean(),
    }


def outline_wings(row: dict[str, Any], evaluation: Evaluation) -> np.ndarray:
    painted, photo = (read_square(row[column], SIDE) for column in ("path", "structure_photo"))
    return cv2.drawContours(painted, outlines_of(wings_of(photo)), -1, (255, 0, 255), 1)


APPEARANCE = Figure(
    key="appearance",
    find=find_appearance,
    title="Colours",
    meaning="distance from the reference's in CIE Lab; 2 can just be seen",
    part="distance",
    form="{:.1f}",
    yardstick="before painting {distance_before:.1f}",
    column="colour_distance",
    axis="distance from the reference's colours",
    beside=lambda evaluation: {
        "their structures before painting": evaluation.painted.table["colour_distance_before"]
    },
    says="{colour_distance:.1f} from the reference's colours, where its structure was"
    " {colour_distance_before:.1f} from them",
    panel="wings outlined",
    picture=outline_wings,
)

# In the order in which they draw at random; on the page the plainest question leads.
FIGURES = [FRECHET, KID, HALVES, TOLD_APART, MEMORISED, STRUCTURE, APPEARANCE]
ON_PAGE = [TOLD_APART, FRECHET, KID, MEMORISED, STRUCTURE, APPEARANCE]
