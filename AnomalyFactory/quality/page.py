"""The page of a generation report."""

import math
from collections.abc import Callable
from urllib.parse import quote

from dominate import document, tags
from dominate.util import raw, text

from quality.examples import Example, Ranking
from quality.figures import CLOSE, FEWEST, HALVINGS, Figure
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
from quality.resample import DRAWS, LEVEL
from quality.style import SCRIPT, STYLE
from quality.told_apart import FOLDS, REPEATS

TITLE = "How good are the painted images?"
DASH = "\N{EN DASH}"


def render(report: Report, rankings: dict[str, Ranking | None]) -> str:
    """The whole page as HTML."""
    page = document(title=TITLE, lang="en")
    with page.head:
        tags.meta(charset="utf-8")
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        tags.style(raw(STYLE))
    with page:
        tags.a("To the figures", href="#short", cls="skip")
        tags.h1(TITLE)
        introduce(report)
        with tags.nav(aria_label="sections"):
            for name, title in SECTIONS.items():
                tags.a(title, href=f"#{name}")
        with tags.main():
            in_short(report)
            for name, write in WRITERS.items():
                tags.h2(SECTIONS[name], id=name)
                write(report)
                if name in rankings:
                    show_ranking(name, rankings[name])
        tags.script(raw(SCRIPT))
    return page.render(pretty=False)


def introduce(report: Report) -> None:
    painted = report.painted.paintings
    drawn = "" if len(painted) == report.found else f", of {report.found:,} drawn at random"
    tags.p(
        f"{len(painted):,} painted images{drawn}, held against the {len(report.photos.keys):,}"
        " photographs of the data set that they were painted from. What looks alike is judged by"
        f" {report.backbone}, a frozen network that has not seen either."
    )
    for line in report.sources:
        tags.p(tags.small(line), style="margin: 0")
    if report.left_out:
        with tags.p(cls="note"):
            text(f"{len(report.left_out)} files were left out, ")
            tags.a("named below", href="#method")
            text(".")


# ---- the table at the top ------------------------------------------------------------------------

ROWS: dict[str, tuple[str, str]] = {
    "told_apart": ("Painted or photographed?", "area under the ROC curve; 0.5: nobody could tell"),
    "frechet": ("Fréchet distance", "the lower, the more alike; photographs set the yardstick"),
    "kid": ("KID \N{MULTIPLICATION SIGN} 1000", "the same question; 0: alike, however few images"),
    "diversity": ("Diversity in a pair", "1: as varied as photographs; 0: all the same"),
    "memorised": ("Close to a training photograph", f"{CLOSE} % of the photographs are"),
    "structure": ("Edges as asked for", "F1 of edges found; 1: all there and no others"),
    "appearance": ("Colours of the reference", "distance in CIE Lab; 2 can just be seen"),
}


def in_short(report: Report) -> None:
    tags.h2(SECTIONS["short"], id="short")
    with tags.table(cls="short"):
        with tags.thead(), tags.tr():
            tags.th("")
            for title, found in report.figures.items():
                with tags.th(title.capitalize(), scope="col"):
                    tags.small(f"{found['painted']} painted, {found['photographs']} photographs")
        with tags.tbody():
            for key, (name, meaning) in ROWS.items():
                with tags.tr():
                    with tags.th(scope="row"):
                        tags.a(name, href=f"#{key if key != 'kid' else 'frechet'}")
                        tags.small(meaning)
                    for title, found in report.figures.items():
                        with tags.td(data_set=title):
                            value, beside = CELLS[key](found)
                            tags.strong(value)
                            tags.small(beside)
    tags.p(
        tags.small(
            f"In brackets: {LEVEL} % bootstrap intervals over source photographs ({DRAWS} draws). "
            + " ".join(
                f"{title.capitalize()} are held against {found['against']}."
                for title, found in report.figures.items()
            )
        )
    )


def spread(figure: Figure, form: Callable[[float], str]) -> str:
    """`[low to high]` of a figure; nothing where it has no interval."""
    if not math.isfinite(figure["low"]):
        return ""
    return f"[{form(figure['low'])} to {form(figure['high'])}]"


def two(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else DASH


def one(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    return f"{100 * value:.0f} %" if math.isfinite(value) else DASH


def thousandths(value: float) -> str:
    return f"{1000 * value:.2f}".replace("-", "\N{MINUS SIGN}")


MISSING = (DASH, "too few images")


def told_apart_cell(found: Figure) -> tuple[str, str]:
    figure = found["told_apart"]
    return (two(figure["value"]), spread(figure, two)) if figure else MISSING


def frechet_cell(found: Figure) -> tuple[str, str]:
    figure, halves = found["frechet"], found["halves"]
    if not figure:
        return MISSING
    beside = spread(figure, one)
    if halves:
        beside += (
            f"; {halves['images']:.0f} against {halves['images']:.0f}: painted"
            f" {one(halves['frechet_painted'])}, photographs {one(halves['frechet_photographs'])}"
        )
    return one(figure["value"]), beside


def kid_cell(found: Figure) -> tuple[str, str]:
    figure, halves = found["kid"], found["halves"]
    if not figure:
        return MISSING
    beside = spread(figure, thousandths)
    if halves:
        beside += f"; photographs {thousandths(halves['kid_photographs'])}"
    return thousandths(figure["value"]), beside


def diversity_cell(found: Figure) -> tuple[str, str]:
    figure = found["diversity"]
    return (two(figure["value"]), spread(figure, two)) if figure else MISSING


def memorised_cell(found: Figure) -> tuple[str, str]:
    figure = found["memorised"]["close"]
    return percent(figure["value"]), spread(figure, percent)


def structure_cell(found: Figure) -> tuple[str, str]:
    figure = found["structure"]
    if not figure:
        return DASH, "not looked for"
    beside = (
        f"{spread(figure['f1'], two)}; in the photographs {two(figure['f1_of_photograph'])}, in"
        f" another painted image {two(figure['f1_of_another'])}"
    )
    return two(figure["f1"]["value"]), beside


def appearance_cell(found: Figure) -> tuple[str, str]:
    figure = found["appearance"]
    distance = figure["distance"]
    before = f"{spread(distance, one)}; before painting {one(figure['distance_before'])}"
    return one(distance["value"]), before


CELLS: dict[str, Callable[[Figure], tuple[str, str]]] = {
    "told_apart": told_apart_cell,
    "frechet": frechet_cell,
    "kid": kid_cell,
    "diversity": diversity_cell,
    "memorised": memorised_cell,
    "structure": structure_cell,
    "appearance": appearance_cell,
}


# ---- sections ------------------------------------------------------------------------------------


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
        " hybrids as among non-hybrids."
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
        f" ({two(close)}) that only {CLOSE} % of the photographs have to another photograph. A"
        " share far above that speaks for copies. A copy that is blurred or badly coloured lies far"
        " from its photograph and is not caught: look at the pictures, too."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["memorised"]
            tags.li(
                f"{title.capitalize()}: the nearest photograph is that of the structure in"
                f" {percent(figure['nearest_is_structure'])} and the reference in"
                f" {percent(figure['nearest_is_reference'])} of the images; the closest lies at"
                f" {two(figure['closest'])}, where two photographs lie at"
                f" {two(figure['closest_between_photographs'])} at least."
            )
    with tags.div(cls="plots"):
        memorised_plot(report)


def structure_section(report: Report) -> None:
    if not report.finder.detect:
        tags.p(f"Not measured: {report.finder.reason}.", cls="note")
        return
    tags.p(
        f"The detector that drew the edge maps ({report.finder.name}) looks for edges in the"
        " painted images. Precision: how many of those found were asked for; recall: how many of"
        " those asked for were found, each within two pixels; F1 joins both. The same"
        " detector on the structure's own photograph, at the size of the painted images, is about"
        " the best that can be had; on another painted image it is chance. Edges of the"
        " reference's pattern that were not asked for lower the precision, and in a hybrid may be"
        " wanted."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["structure"]
            tags.li(
                f"{title.capitalize()}: precision {two(figure['precision']['value'])}"
                f" {spread(figure['precision'], two)}, recall {two(figure['recall']['value'])}"
                f" {spread(figure['recall'], two)}."
            )
    with tags.div(cls="plots"):
        structure_plot(report)


def appearance_section(report: Report) -> None:
    tags.p(
        "How far the colours inside the wings are from the reference's: the earth mover's distance"
        " of each channel of CIE Lab. Where on a wing a colour lies does not matter. Before"
        " painting, a structure's own photograph was as far from the reference as the second"
        " histogram shows; photographs of one subspecies are"
        f" {one(report.colours_within)} apart from each other. Painting with --inherit 0.5 is meant"
        " to go half of the way."
    )
    with tags.ul():
        for title, found in report.figures.items():
            figure = found["appearance"]
            tags.li(
                f"{title.capitalize()}: from {one(figure['distance_before'])} to"
                f" {one(figure['distance']['value'])}, which is {percent(figure['way']['value'])}"
                f" of the way {spread(figure['way'], percent)}; and"
                f" {one(figure['distance_to_structure'])} away from the structure's own colours."
            )
    tags.p(
        "The wings are what differs from the ground; an outline shows what was looked at in the"
        " painted image. Where outlines are wrong, these figures are."
    )
    with tags.div(cls="plots"):
        appearance_plot(report)


COLUMNS: dict[str, tuple[str, Callable[[float], str] | None]] = {
    "structure": ("structure", None),
    "reference": ("reference", None),
    "painted": ("painted", str),
    "edges_f1": ("edges, F1", two),
    "colour_distance": ("colour distance", one),
    "colour_distance_before": ("before painting", one),
    "diversity": ("diversity", two),
    "nearest_photograph": ("nearest photograph", two),
    "close": ("close", percent),
    "looks_painted": ("looks painted", two),
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
                for title, form in COLUMNS.values():
                    numbers = {"data_numbers": "1", "cls": "number"} if form else {}
                    with tags.th(scope="col", **numbers):
                        tags.button(title, type="button")
            with tags.tbody():
                for row in report.pairs:
                    with tags.tr():
                        for key, (_, form) in COLUMNS.items():
                            pair_cell(row[key], form)


def pair_cell(value: object, form: Callable[[float], str] | None) -> None:
    if form is None:
        tags.td(value, data_value=value)
    elif not math.isfinite(value):
        tags.td(DASH, cls="number", data_value="")
    else:
        tags.td(form(value), cls="number", data_value=repr(value))


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


SECTIONS = {
    "short": "In short",
    "told_apart": "Painted or photographed?",
    "frechet": "Fréchet distance and KID",
    "diversity": "Diversity",
    "memorised": "Memorisation",
    "structure": "Edges",
    "appearance": "Colours",
    "pairs": "By pair",
    "method": "Method",
}
WRITERS = {
    "told_apart": told_apart_section,
    "frechet": frechet_section,
    "diversity": diversity_section,
    "memorised": memorised_section,
    "structure": structure_section,
    "appearance": appearance_section,
    "pairs": pairs_section,
    "method": method_section,
}

# The two ends of each ranking.
ENDS = {
    "told_apart": ("Taken for photographs", "Most easily told"),
    "memorised": ("Closest to a photograph", "Furthest from any photograph"),
    "structure": ("Best", "Worst"),
    "appearance": ("Best", "Worst"),
}


def show_ranking(name: str, ranking: Ranking | None) -> None:
    if ranking is None:
        return
    for title, examples in zip(ENDS[name], (ranking.best, ranking.worst), strict=True):
        if examples:
            tags.h3(title)
            with tags.div(cls="examples"):
                for example in examples:
                    show_example(example)


def show_example(example: Example) -> None:
    with tags.figure(cls="example"):
        with tags.div(cls="panels"):
            for panel in example.panels:
                with tags.div():
                    tags.img(
                        src=quote(panel.source),
                        alt=panel.text,
                        width=192,
                        height=192,
                        loading="lazy",
                    )
                    tags.span(panel.label)
        with tags.figcaption():
            tags.strong(example.name.removesuffix(".png"))
            tags.br()
            structure, reference = example.pair
            text(f"Structure of {structure}, colours of {reference}: {example.value}.")
