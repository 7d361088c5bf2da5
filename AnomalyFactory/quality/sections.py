"""The sections of the page: what each figure means, its plots, and what to mind."""

import math
from collections.abc import Callable

from dominate import tags
from dominate.util import text

from quality.figures import CLOSE, FEWEST, HALVINGS
from quality.inputs import HYBRIDS, NON_HYBRIDS
from quality.plots import (
    appearance_plot,
    diversity_plot,
    feature_map,
    frechet_plot,
    memorised_plot,
    structure_plot,
    told_apart_plot,
)
from quality.report import Report
from quality.summary import DASH, hundredths, percent, spread, tenths
from quality.told_apart import FOLDS, REPEATS


def told_apart_section(report: Report) -> None:
    tags.p(
        "A logistic regression learns to tell painted images from photographs and is asked about"
        " specimens that it never saw: shown one image of each, how often does it pick out the"
        " painted one? Half of the time is guessing."
    )
    tags.p(
        f"Folds are drawn by photograph ({FOLDS} folds, {REPEATS} times): a painted image is learnt"
        " from only when both of its photographs are, and asked about only when neither is. An area"
        " near 1 says that all painted images share some trace. A detector that is trained on them"
        " may learn that trace instead of the wings, unless painted images are as common among"
        " hybrids as among non-hybrids. Hybrids differ from the photographs of their parents by"
        " what they are, too: the plain question is that of the non-hybrids."
    )
    with tags.div(cls="plots"):
        told_apart_plot(report)


def frechet_section(report: Report) -> None:
    tags.p(
        "Both ask how far the painted images, as a whole, lie from the photographs."
        " torchmetrics computes them on the features of "
        f"{report.backbone}, so they do not compare with figures from the Inception network."
    )
    size = report.photos.features.shape[1]
    with tags.p(cls="note"):
        text(
            "Mind the numbers of images. A Fréchet distance estimates a covariance of"
            f" {size:,} features; with fewer images than that it is too large, and the more so the"
            " fewer they are. So never compare it between sets of other sizes. The figure at the"
            " top also flatters: the photographs in it are those that were painted on. The fair"
            " comparison is the plot: one half of the photographs, against as many of the other"
            " half, and against as many images that were painted from that other half alone. KID"
            " has no such bias of numbers. Hybrids should lie further away than non-hybrids: the"
            " photographs that they are held against are of their parents. Only hybrids of"
            " photographed crosses meet their like."
        )
    with tags.div(cls="plots"):
        frechet_plot(report)
        feature_map(report)


def diversity_section(report: Report) -> None:
    tags.p(
        "Mean distance between two painted images of one pair of subspecies, divided by that"
        " between two photographs of one of these subspecies. Well below 1, the generator paints"
        " the same image again and again; above 1, it scatters more than nature does, or its"
        " structures differ more than one subspecies' would. Each pair's own value stands in the"
        " table below."
    )
    with tags.div(cls="plots"):
        diversity_plot(report)


def memorised_section(report: Report) -> None:
    close = report.nearest.close
    tags.p(
        "Does the generator hand out the photographs that it was trained on? For each painted"
        " image the nearest photograph is looked up. Close is what lies within the distance"
        f" ({hundredths(close)}) that only {CLOSE} % of the photographs have to another photograph."
        " A share far above that speaks for copies. A copy that is blurred or badly coloured lies"
        " far from its photograph and is not caught: look at the pictures, too."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["memorised"]
            tags.li(
                f"{title.capitalize()}: the nearest photograph is that of the structure in"
                f" {percent(figure['nearest_is_structure'])} and the reference in"
                f" {percent(figure['nearest_is_reference'])} of the images; the closest lies at"
                f" {hundredths(figure['closest'])}, where two photographs lie at"
                f" {hundredths(figure['closest_between_photographs'])} at least."
            )
    with tags.div(cls="plots"):
        memorised_plot(report)


def structure_section(report: Report) -> None:
    if not report.finder.detect:
        tags.p(f"Not measured: {report.finder.reason}.", cls="note")
        return
    tags.p(
        f"A detector, {report.finder.name}, looks for edges in the painted images: the one that"
        " drew the edge maps, unless --detector named another. Precision: how many of those found"
        " were asked for; recall: how many of those asked for were found, each within two pixels;"
        " F1 joins both. The same detector on the structure's own photograph, at the size of the"
        " painted images, is about the best that can be had; on another painted image it is"
        " chance. Edges of the reference's pattern that were not asked for lower the precision,"
        " and in a hybrid may be wanted."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["structure"]
            precision, recall = figure["precision"], figure["recall"]
            tags.li(
                f"{title.capitalize()}: precision {hundredths(precision['value'])}"
                f" {spread(precision, hundredths)}, recall {hundredths(recall['value'])}"
                f" {spread(recall, hundredths)}."
            )
    with tags.div(cls="plots"):
        structure_plot(report)


def appearance_section(report: Report) -> None:
    tags.p(
        "How far the colours inside the wings are from the reference's: the earth mover's distance"
        " of each channel of CIE Lab. Where on a wing a colour lies does not matter. Before"
        " painting, a structure's own photograph was as far from the reference as the blue"
        " histogram shows; photographs of one subspecies are"
        f" {tenths(report.colours_within)} apart from each other. Painting with --inherit 0.5 is"
        " meant to go half of the way."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["appearance"]
            way = f", {percent(figure['way']['value'])} of the way {spread(figure['way'], percent)}"
            if title == NON_HYBRIDS:  # whose way is the chance difference of two specimens
                way = ""
            tags.li(
                f"{title.capitalize()}: from {tenths(figure['distance_before'])} to"
                f" {tenths(figure['distance']['value'])}{way}; and"
                f" {tenths(figure['distance_to_structure'])} away from the structure's own colours."
            )
    tags.p(
        "The wings are what differs from the ground; an outline shows what was looked at in the"
        " painted image. Where outlines are wrong, these figures are. The best and the worst are"
        " hybrids, where there are any: their references ask for other colours."
    )
    with tags.div(cls="plots"):
        appearance_plot(report)


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "painted": ("painted", str),
    "edges_f1": ("edges, F1", hundredths),
    "colour_distance": ("colour distance", tenths),
    "colour_distance_before": ("before painting", tenths),
    "diversity": ("diversity", hundredths),
    "nearest_photograph": ("nearest photograph", hundredths),
    "close": ("close", percent),
    "looks_painted": ("looks painted", hundredths),
}


def pairs_section(report: Report) -> None:
    tags.p(
        "Means over the painted images of each pair; medians for the nearest photograph. Looks"
        " painted: the classifier's probability, from other specimens. Press a heading to sort."
        " Few images make any of these uncertain."
    )
    with tags.div(cls="wide", tabindex="0", role="region", aria_label="table of pairs"):
        with tags.table():
            with tags.thead(), tags.tr():
                with tags.th(scope="col"):
                    tags.button("structure x reference", type="button")
                for title, _ in COLUMNS.values():
                    with tags.th(scope="col", cls="number", data_numbers="1"):
                        tags.button(title, type="button")
            with tags.tbody():
                for row in report.pairs:
                    pair = f"{row['structure']} x {row['reference']}"
                    with tags.tr():
                        tags.th(pair, scope="row", data_value=pair)
                        for key, (_, form) in COLUMNS.items():
                            pair_cell(row[key], form)


def pair_cell(value: float, form: Callable[[float], str]) -> None:
    known = math.isfinite(value)
    shown, key = (form(value), repr(value)) if known else (DASH, "")
    tags.td(shown, cls="number", data_value=key)


def method_section(report: Report) -> None:
    with tags.ul():
        tags.li(
            "All images, painted or photographed, are brought to 256 pixels a side first, as the"
            " painted ones are, and then to the network's 224."
        )
        tags.li(
            f"{HYBRIDS.capitalize()} are images whose structure and reference are of two"
            f" subspecies, {NON_HYBRIDS} those of one."
        )
        tags.li(
            "Fréchet distance and KID: torchmetrics. Their intervals, and the comparison of halves"
            f" ({HALVINGS} halvings at random), use the same formulas in a faster form."
        )
        tags.li(
            "Intervals draw photographs with replacement, each with all that was painted on it."
            " Those of Fréchet distance and KID are moved to lie around the figure, because"
            " drawing an image twice alone raises a Fréchet distance. None of them says what"
            " another training would give."
        )
        tags.li(f"Fréchet distance, KID, and the classifier, want {FEWEST} images of each kind.")
        tags.li("No learned measure of perception is used whose weights are not at hand.")
        with tags.li("Every number: "):
            for place, name in enumerate(("figures.json", "pairs.csv", "images.csv")):
                text(", " if place else "")
                tags.a(name, href=name)
    for title, lines in (
        ("Figures without enough images", report.too_few),
        ("Left out", report.left_out),
    ):
        if lines:
            tags.h3(title)
            with tags.ul():
                for line in lines:
                    tags.li(line)


WRITERS: dict[str, Callable[[Report], None]] = {
    "told_apart": told_apart_section,
    "frechet": frechet_section,
    "diversity": diversity_section,
    "memorised": memorised_section,
    "structure": structure_section,
    "appearance": appearance_section,
    "pairs": pairs_section,
    "method": method_section,
}
