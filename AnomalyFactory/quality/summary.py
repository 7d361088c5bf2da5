"""The table at the top of the page: every figure of every set, with its interval and yardstick."""

import math
from collections.abc import Callable

from dominate import tags

from quality.figures import CLOSE, PHOTOGRAPHED, Figure
from quality.report import Report
from quality.resample import DRAWS, LEVEL

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

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
    say_it(report)
    with tags.table(cls="short"):
        with tags.thead(), tags.tr():
            tags.td()
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
    notes = [f"In brackets: {LEVEL} % bootstrap intervals over source photographs ({DRAWS} draws)."]
    for title, found in report.figures.items():
        notes.append(f"{title.capitalize()} are held against {found['against']}.")
    if PHOTOGRAPHED in report.figures:
        notes.append("These last are among the hybrids, too.")
    tags.p(tags.small(" ".join(notes)))


def spread(figure: Figure, form: Callable[[float], str]) -> str:
    """`[low to high]` of a figure; nothing where it has no interval."""
    if not math.isfinite(figure["low"]):
        return ""
    return f"[{form(figure['low'])} to {form(figure['high'])}]"


def together(*parts: str) -> str:
    """What there is of an interval and a yardstick."""
    return "; ".join(filter(None, parts))


def hundredths(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else DASH


def tenths(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    return f"{100 * value:.0f} %".replace("-", MINUS) if math.isfinite(value) else DASH


def per_thousand(value: float) -> str:
    return f"{1000 * value:.2f}".replace("-", MINUS)


MISSING = (DASH, "too few images")


def told_apart_cell(found: Figure) -> tuple[str, str]:
    figure = found["told_apart"]
    return (hundredths(figure["value"]), spread(figure, hundredths)) if figure else MISSING


def frechet_cell(found: Figure) -> tuple[str, str]:
    figure, halves = found["frechet"], found["halves"]
    if not figure:
        return MISSING
    yardstick = ""
    if halves:
        yardstick = (
            f"{halves['images']:.0f} against {halves['images']:.0f}: painted"
            f" {tenths(halves['frechet_painted'])}, photographs"
            f" {tenths(halves['frechet_photographs'])}"
        )
    return tenths(figure["value"]), together(spread(figure, tenths), yardstick)


def kid_cell(found: Figure) -> tuple[str, str]:
    figure, halves = found["kid"], found["halves"]
    if not figure:
        return MISSING
    yardstick = f"photographs {per_thousand(halves['kid_photographs'])}" if halves else ""
    return per_thousand(figure["value"]), together(spread(figure, per_thousand), yardstick)


def diversity_cell(found: Figure) -> tuple[str, str]:
    figure = found["diversity"]
    return (hundredths(figure["value"]), spread(figure, hundredths)) if figure else MISSING


def memorised_cell(found: Figure) -> tuple[str, str]:
    figure = found["memorised"]["close"]
    return percent(figure["value"]), spread(figure, percent)


def structure_cell(found: Figure) -> tuple[str, str]:
    figure = found["structure"]
    if not figure:
        return DASH, "not looked for"
    yardstick = (
        f"in the photographs {hundredths(figure['f1_of_photograph'])}, in another painted image"
        f" {hundredths(figure['f1_of_another'])}"
    )
    f1 = figure["f1"]
    return hundredths(f1["value"]), together(spread(f1, hundredths), yardstick)


def appearance_cell(found: Figure) -> tuple[str, str]:
    figure = found["appearance"]
    distance = figure["distance"]
    before = f"before painting {tenths(figure['distance_before'])}"
    return tenths(distance["value"]), together(spread(distance, tenths), before)


CELLS: dict[str, Callable[[Figure], tuple[str, str]]] = {
    "told_apart": told_apart_cell,
    "frechet": frechet_cell,
    "kid": kid_cell,
    "diversity": diversity_cell,
    "memorised": memorised_cell,
    "structure": structure_cell,
    "appearance": appearance_cell,
}


def say_it(report: Report) -> None:
    """The two figures of all in plain words."""
    picked, further = [], []
    for title, found in report.figures.items():
        told, halves = found["told_apart"], found["halves"]
        if told:
            picked.append(f"{100 * told['value']:.0f} times of 100 for {title}")
        if halves and halves["frechet_photographs"] > 0:
            ratio = halves["frechet_painted"] / halves["frechet_photographs"]
            further.append(f"{ratio:.1f} for {title}")
    if picked:
        tags.p(
            "Of a painted and a photographed image, a classifier that does not know the specimens"
            f" picks out the painted one {', '.join(picked)}. Guessing would be 50 times."
        )
    if further:
        tags.p(
            "The Fréchet distance of painted images from photographs is, at equal numbers, so many"
            f" times that between photographs: {', '.join(further)}."
        )
