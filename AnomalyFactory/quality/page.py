"""The page of a generation report."""

from urllib.parse import quote

from dominate import document, tags
from dominate.util import raw, text

from quality.examples import Example, Ranking
from quality.report import Report
from quality.sections import WRITERS
from quality.style import SCRIPT, STYLE
from quality.summary import in_short

TITLE = "How good are the painted images?"
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

# The two ends of each ranking.
ENDS = {
    "told_apart": ("Taken for photographs", "Most easily told"),
    "memorised": ("Closest to a photograph", "Furthest from any photograph"),
    "structure": ("Best", "Worst"),
    "appearance": ("Best", "Worst"),
}


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
            tags.h2(SECTIONS["short"], id="short")
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
