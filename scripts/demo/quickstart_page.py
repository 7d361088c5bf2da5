"""The page at the end of quickstart.sh: one story, from the drawings to what was missed and why.

    PYTHONPATH=scripts python -m demo.quickstart_page --run RUN --backbone BACKBONE \\
        --preprocess cutout --kinds photographs generated --members sgd+linear sgd+linear+subspecies

writes index.html into the folder RUN, such as quickstart/scale1-seed0-scharr-cutout. With the kind
photographs alone it shows no generators. The last kind and the last members are the detector that
the story is about.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common.pages import new_page, save_page
from dominate import document, tags

from demo.evaluation import read_evaluation
from demo.misses import (
    extremes,
    how_known,
    missed_by_cross,
    what_it_looks_like,
    what_members_said,
    wrong,
)
from demo.results import GROUPS, KINDS, MEMBERS, PREPROCESSES, SCORES, read_scores, title
from demo.run import UNSAID, Call, Painting, Run, cross_of, spread, title_of

STRIPS = 8  # painted hybrids on the page, spread evenly over all
CARDS = 6  # specimens that were found, missed, or called hybrids by mistake
CUTOUTS = 3  # photographs beside what was cut out of them
GENERATORS = ("AF4hybrid", "AF4nonhybrid")
CHAPTERS = {
    "drawn": "What was drawn",
    "painted": "What was painted",
    "paintings": "How good the paintings are",
    "found": "What was found",
    "missed": "What was missed, and why",
    "more": "All pages and files",
}
STYLE = """
.summary { font-size: 1.15em; border-left: .3rem solid var(--accent); padding-left: 1rem; }
.cards { display: grid; gap: 1rem; padding: 0; list-style: none;
         grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); }
.cards li { background: var(--card); border-radius: .5rem; padding: .7rem; break-inside: avoid; }
.row { display: flex; gap: .3rem; }
.row a { flex: 1; } .row a.main { flex: 1.6; }
.row img { display: block; width: 100%; aspect-ratio: 3 / 2; object-fit: cover;
           border-radius: .25rem; }
.strip img { display: block; border-radius: .25rem; }
.cards p { margin: .4rem 0 0; overflow-wrap: anywhere; }
.cards .soft, td.soft { font-size: .9em; }
img.sheet { max-width: none; width: max(100%, 44rem); }
th.count { text-align: right; }
"""

Detector = tuple[str, str]  # the kind of training set, and members that score


@dataclass(frozen=True)
class Story:
    """What the page tells of: a run, and its detectors with their scores and calls."""

    run: Run
    backbone: str
    preprocess: str
    scores: dict[Detector, dict]  # as read_scores has them
    calls: dict[Detector, list[Call]]

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for kind, _ in self.scores))

    @property
    def last(self) -> Detector:
        return list(self.scores)[-1]

    @property
    def painted(self) -> bool:
        return "generated" in self.kinds

    def has(self, path: str) -> bool:
        """Whether the file, relative to the run, is there: a stage may have had none to write."""
        return (self.run.path / path).is_file()


def read_story(options: argparse.Namespace) -> Story:
    run = Run(options.run)
    detectors = [(kind, members) for kind in options.kinds for members in options.members]
    folder = options.run / options.backbone
    return Story(
        run=run,
        backbone=options.backbone,
        preprocess=options.preprocess,
        scores={detector: read_scores(folder, *detector) for detector in detectors},
        calls={detector: run.calls(options.backbone, *detector) for detector in detectors},
    )


def make_page(story: Story) -> document:
    page = new_page("Butterfly hybrid detection: quick start", STYLE)
    with page:
        tags.h1("Butterfly hybrid detection: quick start")
        show_summary(story)
        with tags.nav(aria_label="chapters"), tags.ol():
            for anchor, name in CHAPTERS.items():
                tags.li(tags.a(name, href=f"#{anchor}"))
        for anchor, tell in zip(
            CHAPTERS,
            (tell_drawn, tell_painted, tell_paintings, tell_found, tell_missed, tell_more),
            strict=True,
        ):
            with tags.section(id=anchor):
                tags.h2(CHAPTERS[anchor])
                tell(story)
    return page


def show_summary(story: Story) -> None:
    """The whole story in a few sentences."""
    calls, run = story.calls[story.last], story.run
    found = {
        name: [call.called for call in calls if call.hybrid and call.indicator == indicator]
        for indicator, name in GROUPS.items()
    }
    counts = [f"{sum(called)} of {len(called)} {name} hybrids" for name, called in found.items()]
    mistaken = [call.called for call in calls if not call.hybrid]
    known = " and ".join(title_of(cross) for cross in run.crosses_in_training)
    painted = f" and {len(run.paintings)} painted hybrids" if story.painted else ""
    with tags.div(cls="summary"):
        tags.p(
            f"A detector learned from {len(run.train)} drawn photographs{painted}, among them "
            f"photographs of hybrids of one cross only, {known}. On photographs that it never saw "
            f"it finds {counts[0]}, which are of that cross, {counts[1]}, which are of others, and "
            f"{counts[2]}, which are of another species. Of {len(mistaken)} non-hybrids it takes "
            f"{sum(mistaken)} for hybrids; the threshold is set so that 5 % are."
        )
        tags.p(
            f"Challenge score: {story.scores[story.last]['challenge_score']:.3f}, the harmonic "
            "mean of these three shares."
        )


def tell_drawn(story: Story) -> None:
    run, record = story.run, story.run.record
    of_crosses = {cross_of(row["subspecies_ref"]) for row in run.test}
    unseen = {cross for cross in of_crosses if len(cross) == 2} - set(run.crosses_in_training)
    tags.p(
        f"The project draws its own museum photographs, after real Heliconius butterflies and the "
        f"way their patterns are inherited: {len(run.train)} to learn from, of "
        f"{len(run.subspecies)} subspecies and one cross, and {len(run.test)} to be tested on, "
        f"with hybrids of {len(unseen)} more crosses: {', '.join(sorted(map(title_of, unseen)))}. "
        f"(Scale {record['scale']:g}, seed {record['seed']}.)"
    )
    tags.p("Each cross between its parents, as the drawings show them:")
    with scrolling("the drawn specimens"):
        tags.a(
            tags.img(
                src="demo/overview.png",
                alt="Drawn specimens of every cross, between those of its two parents",
                cls="sheet",
            ),
            href="demo/overview.png",
        )
    if story.preprocess == "cutout":
        tell_cutouts(story)


def tell_cutouts(story: Story) -> None:
    folder = "Datasets/cutouts/images"
    names = [one.filename for one in story.run.train if story.has(f"{folder}/{one.filename}")]
    if not names:
        return
    tags.p(
        "Label, ruler and ground say nothing about a hybrid, but a network could learn them. So "
        "the specimens are cut out first, and everything from here on sees them alone:"
    )
    with tags.ul(cls="cards"):
        for name in spread(names, CUTOUTS):
            with tags.li(), tags.div(cls="row"):
                picture(f"demo/train/images/{name}", f"Photograph {name}")
                picture(f"{folder}/{name}", f"The specimen of {name}, cut out")


def tell_painted(story: Story) -> None:
    run = story.run
    if not story.painted:
        tags.p("Nothing: PAINTED=0 leaves the generators out.")
        return
    tags.p(
        "A generator learns to paint a butterfly from its edges and from the colours of a "
        "reference. Given the edges of one subspecies and the colours of another, it paints a "
        f"hybrid that nobody has photographed: {len(run.paintings)} of them, of "
        f"{len(run.painted_crosses)} crosses. A second generator paints "
        f"{run.painted_non_hybrids} non-hybrids in the same way, so that the traces of painting "
        "give no hybrid away."
    )
    tags.p("From left to right: edges, reference, painted hybrid, and where it was painted.")
    with tags.ul(cls="cards wide"):
        for painting in spread(run.paintings, STRIPS):
            with tags.li(cls="strip"):
                show_painting(painting, story)
    links = [
        (f"generators/{name}/{file}.html", f"{name}: {text}")
        for name in GENERATORS
        for file, text in (("training", "how it was trained"), ("samples", "samples"))
    ]
    show_links(story, links + galleries(story))


def show_painting(painting: Painting, story: Story) -> None:
    said = f"{painting.structure} with colours of {painting.reference}"
    shown = painting.strip if story.has(painting.strip) else painting.image
    with tags.a(href=quote(painting.image)):
        tags.img(src=quote(shown), alt=f"Painted hybrid: {said}", loading="lazy")
    tags.p(said)


def galleries(story: Story) -> list[tuple[str, str]]:
    pages = sorted((story.run.path / "results").glob("*/*.html"))
    return [
        (page.relative_to(story.run.path).as_posix(), f"all images of the list {page.stem}")
        for page in pages
    ]


def tell_paintings(story: Story) -> None:
    if not story.painted:
        tags.p("There are none.")
        return
    lines = read_evaluation(story.run.path)
    if lines is None:
        tags.p("They were not judged: REPORTS=0 leaves that out.")
        return
    with tags.ul():
        for line in lines:
            tags.li(line)
    links = [("evaluation/index.html", "the report on the paintings: all figures, best and worst")]
    show_links(story, links)


def tell_found(story: Story) -> None:
    tags.p(
        "Four detectors are compared: trained with and without painted images, scoring by the "
        "published members, which learn what hybrids look like, or by all three, of which the "
        "third learns what the subspecies look like. "
        if len(story.scores) == 4
        else "The detectors: "
    )
    score_table(story.scores)
    tags.p(
        "Recall is the share of hybrids above the threshold that keeps 95 % of the non-hybrids "
        "below it. Signal hybrids are of the cross that the training photographs show, non-signal "
        "hybrids of others; mimics are of another species that looks alike. One seed says little "
        "about small differences: the last row says how far one specimen moves each number, and "
        "scripts/benchmarks/detection.py compares many seeds.",
        cls="soft",
    )
    tags.h3("Hybrids found, by cross")
    cross_table(story)
    calls = [call for call in story.calls[story.last] if call.hybrid and call.called]
    unseen = [call for call in calls if not story.run.crosses_in_training[call.cross]]
    chosen = extremes(unseen, len({call.cross for call in unseen}))[:CARDS]
    if chosen:
        tags.h3("Found, though no photograph of the cross was there to learn from")
        tags.p("The surest of each cross, between photographs of its parents.")
        show_cards(story, story.last, chosen)
    for kind in story.kinds:
        links = [
            (
                f"{story.backbone}/{kind}/training.html",
                f"the classifiers {title(KINDS, kind)}: how they were trained, and how well they "
                "do on held-out training photographs",
            ),
            (
                f"{story.backbone}/{kind}/report/index.html",
                "every photograph of the test set, ranked by score: where on the wings the "
                f"evidence lies, and which parents (trained {title(KINDS, kind)})",
            ),
        ]
        show_links(story, links)


def tell_missed(story: Story) -> None:
    """The misses of the last detector; where it has none, of the best that has some, too."""
    show_missed(story, story.last)
    if not wrong(story.calls[story.last], hybrid=True):
        others = [one for one in reversed(story.scores) if wrong(story.calls[one], hybrid=True)]
        if others:
            tags.h3("What a lesser detector misses")
            show_missed(story, others[0])
            if "subspecies" in story.last[1] and "subspecies" not in others[0][1]:
                tags.p(
                    "The published members know hybrids by those that they were shown. The third "
                    "member needs none: it knows the subspecies, and what lies between them is "
                    "likely a hybrid."
                )
    mistaken = wrong(story.calls[story.last], hybrid=False)
    tags.h3("Taken for hybrids by mistake")
    tags.p(
        f"{len(mistaken)} non-hybrids are above the threshold, which is set so that 5 % are."
        + (" Those that are furthest above:" if mistaken else "")
    )
    show_cards(story, story.last, extremes(mistaken, CARDS))


def show_missed(story: Story, detector: Detector) -> None:
    calls, run = story.calls[detector], story.run
    hybrids = sum(call.hybrid for call in calls)
    missed = wrong(calls, hybrid=True)
    if not missed:
        tags.p(f"{detector_name(detector)} misses none of the {hybrids} hybrids.")
        return
    tags.p(f"{detector_name(detector)} misses {len(missed)} of {hybrids} hybrids:")
    painted = detector[0] == "generated"
    with tags.ul():
        for name, (count, of) in missed_by_cross(calls).items():
            tags.li(f"{count} of {of} {name}: {how_known(run, cross_of(name), painted)}.")
    tags.p("The furthest below the threshold of each, between photographs of their parents:")
    show_cards(story, detector, extremes(missed, CARDS))


def detector_name(detector: Detector) -> str:
    kind, members = detector
    scoring = {"published": "the published members", "all three": "all three members"}
    by = scoring.get(title(MEMBERS, members), members)
    return f"The detector that was trained {title(KINDS, kind)} and scores by {by}"


def show_cards(story: Story, detector: Detector, calls: list[Call]) -> None:
    """Specimens with what a detector said of them, hybrids between their parents."""
    kind, members = detector
    details = story.run.details(story.backbone, kind)
    with tags.ul(cls="cards"):
        for call in calls:
            said = details.get(call.filename, UNSAID)
            with tags.li():
                with tags.div(cls="row"):
                    parents = call.shows.split(" x ") if call.hybrid else []
                    show_parents(story, parents[:1])
                    file = f"demo/test/images/{call.filename}"
                    picture(file, f"{call.shows}, photograph {call.filename}", "main")
                    show_parents(story, parents[1:])
                tags.p(tags.strong(call.shows))
                tags.p(
                    f"Score {call.score:.2f}, threshold {call.threshold:.2f} "
                    f"({what_members_said(said, members.split('+'))})",
                    cls="soft",
                )
                looks = what_it_looks_like(call, said)
                if looks and "subspecies" in members:
                    tags.p(looks[0].upper() + looks[1:], cls="soft")


def show_parents(story: Story, names: list[str]) -> None:
    for name in names:
        if name in story.run.photographs:
            picture(story.run.photographs[name][0], f"A {name}, a parent's subspecies")


def picture(file: str, text: str, kind: str = "") -> None:
    """A picture that a click shows alone."""
    with tags.a(href=quote(file), cls=kind):
        tags.img(src=quote(file), alt=text, loading="lazy")


def tell_more(story: Story) -> None:
    links = [
        ("Datasets/cutouts/doubtful.html", "cutouts that are worth a look"),
        ("demo/train.csv", "the photographs to learn from"),
        ("demo/ref_test.csv", "what the test photographs show"),
    ]
    for kind, members in story.scores:
        folder = f"{story.backbone}/{kind}"
        name = f"{title(KINDS, kind)}, {title(MEMBERS, members)}"
        links.append((f"{folder}/{members}/calls.csv", f"every score and call: {name}"))
    for kind in story.kinds:
        folder = f"{story.backbone}/{kind}"
        name = title(KINDS, kind)
        links.append((f"{folder}/details.csv", f"what each member said: {name}"))
    show_links(story, links)


def show_links(story: Story, links: list[tuple[str, str]]) -> None:
    """A list of links, of those whose files are there."""
    with tags.ul():
        for file, text in links:
            if story.has(file):
                tags.li(tags.a(text, href=quote(file)))


def scrolling(name: str) -> tags.div:
    """What is wider than a phone: it is moved sideways, by keyboard too."""
    return tags.div(cls="scroll", tabindex="0", role="region", aria_label=name)


def table_head(*titles: str, numbers: Sequence[str] = ()) -> None:
    with tags.tr():
        for text in titles:
            tags.th(text, scope="col", cls="count" if text in numbers else "")


def one_hybrid_moves(scores: dict[Detector, dict], key: str) -> float:
    return max(row["one_hybrid"][key] for row in scores.values())


def score_table(scores: dict[Detector, dict]) -> None:
    with scrolling("scores"), tags.table():
        table_head("trained", "members", *SCORES.values(), numbers=list(SCORES.values()))
        for (kind, members), row in scores.items():
            with tags.tr():
                tags.th(title(KINDS, kind), scope="row")
                tags.td(title(MEMBERS, members))
                for key in SCORES:
                    tags.td(f"{row[key]:.3f}", cls="number")
        with tags.tr(cls="soft"):
            tags.td("one hybrid more or less moves it by up to", colspan=2)
            for key in SCORES:
                tags.td(f"{one_hybrid_moves(scores, key):.3f}", cls="number")


def cross_table(story: Story) -> None:
    """How many of each cross are found; a row a cross, a column for each row of score_table."""
    scores = story.scores
    with scrolling("hybrids found, by cross"), tags.table():
        columns = [f"{title(KINDS, kind)}: {title(MEMBERS, names)}" for kind, names in scores]
        numbers = ["hybrids", *columns]
        table_head("cross", *numbers, "what there was to learn from", numbers=numbers)
        rows = [row["crosses"] for row in scores.values()]
        for name, cross in rows[0].items():
            with tags.tr():
                tags.th(f"{name} ({cross['group']})", scope="row")
                tags.td(cross["hybrids"], cls="number")
                for crosses in rows:
                    tags.td(crosses[name]["found"], cls="number")
                tags.td(how_known(story.run, cross_of(name), story.painted), cls="soft")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the page of a quick-start run.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--backbone", required=True, help="whose classifiers to show")
    parser.add_argument("--preprocess", choices=PREPROCESSES, required=True, help="what it saw")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, required=True, help="trained on")
    parser.add_argument("--members", nargs="+", required=True, help="such as sgd+linear")
    options = parser.parse_args()
    try:
        story = read_story(options)
        save_page(make_page(story), options.run / "index.html")
    except (OSError, ValueError) as error:
        print(f"quickstart_page: {error}", file=sys.stderr)
        return 1
    print_scores(story.scores)
    print(f"quickstart: open {options.run / 'index.html'}")
    return 0


def print_scores(scores: dict[Detector, dict]) -> None:
    names = [(kind, title(MEMBERS, members)) for kind, members in scores]
    width = 2 + max(len(name) for pair in names for name in pair)
    for line, last in zip(zip(*names, strict=True), ("one hybrid", "moves it by"), strict=True):
        print(f"{'':<22}" + "".join(f"{name:>{width}}" for name in (*line, last)))
    for key in SCORES:
        values = [*(row[key] for row in scores.values()), one_hybrid_moves(scores, key)]
        print(f"{key:<22}" + "".join(f"{value:>{width}.3f}" for value in values))


if __name__ == "__main__":
    sys.exit(main())
