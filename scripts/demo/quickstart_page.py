"""The page at the end of quickstart.sh: drawings, painted hybrids, plots and all scores.

    PYTHONPATH=scripts python -m demo.quickstart_page --run RUN --backbone BACKBONE \\
        --preprocess cutout --kinds photographs generated --members sgd+linear sgd+linear+subspecies

writes index.html into the folder RUN, such as quickstart/scale1-seed0-scharr-cutout. With the kind
photographs alone it shows no generators.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from common.files import atomic
from dominate import document, tags
from dominate.util import raw

from demo.results import GROUPS, KINDS, MEMBERS, PREPROCESSES, SCORES, read_scores, title

PAINTED = 24  # painted hybrids on the page, spread evenly over all
EVALUATIONS = {  # folders of the classifiers' plots
    "held_out_photographs": "Photographs held out of the training set, and what is painted from "
    "two of them; not the test set.",
    "published_split": "The published split: rows held out of the training set, most of which "
    "share a photograph with a row that is trained on.",
}
GENERATORS = ("AF4hybrid", "AF4nonhybrid")
STYLE = """
body { font-family: sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { border: 1px solid #bbb; padding: .4em .8em; }
td { text-align: left; } td.number { text-align: right; }
.step { color: #555; font-style: italic; }
figure { display: inline-block; margin: .3em; } figcaption { font-size: 80%; color: #555; }
img { max-width: 100%; }
"""


Scores = dict[tuple[str, str], dict]  # by kind of training set and members, as read_scores has them


def table_head(*titles: str) -> None:
    with tags.tr():
        for text in titles:
            tags.th(text)


def one_hybrid_moves(scores: Scores, key: str) -> float:
    return max(row["one_hybrid"][key] for row in scores.values())


def score_table(scores: Scores) -> None:
    with tags.table():
        table_head("classifiers trained", "members", *SCORES.values())
        for (kind, members), row in scores.items():
            with tags.tr():
                tags.td(title(KINDS, kind))
                tags.td(title(MEMBERS, members))
                for key in SCORES:
                    tags.td(f"{row[key]:.3f}", cls="number")
        with tags.tr(cls="step"):
            tags.td("one hybrid more or less moves it by up to", colspan=2)
            for key in SCORES:
                tags.td(f"{one_hybrid_moves(scores, key):.3f}", cls="number")


def cross_table(scores: Scores) -> None:
    """How many of each cross are found; a row a cross, a column for each row of score_table."""
    with tags.table():
        columns = [f"{title(KINDS, kind)}: {title(MEMBERS, names)}" for kind, names in scores]
        table_head("cross", "hybrids", *columns)
        rows = [row["crosses"] for row in scores.values()]
        for name, cross in rows[0].items():
            with tags.tr():
                tags.td(f"{name} ({GROUPS[cross['ssp_indicator']]})")
                tags.td(cross["hybrids"], cls="number")
                for crosses in rows:
                    found = round(crosses[name]["recall"] * cross["hybrids"])
                    tags.td(found, cls="number")


def picture(source: str, caption: str, width: int) -> None:
    with tags.figure():
        with tags.a(href=source):
            tags.img(src=source, width=width, alt=caption, loading="lazy")
        tags.figcaption(caption)


def painted_hybrids(run: Path, names: list[str]) -> list[tuple[str, str]]:
    """Evenly spread painted images as (path in `run`, caption)."""
    pattern = re.compile(r"AF_([^_]+)_([^_]+)_gen\d+\.png")
    found = [
        (path.relative_to(run).as_posix(), pattern.fullmatch(path.name))
        for path in sorted((run / "results/hybrid").rglob("AF_*.png"))
    ]
    painted = [(path, match) for path, match in found if match]
    step = max(1, len(painted) // PAINTED)
    return [
        (path, f"{names[int(match[2])]} on {names[int(match[1])]}")
        for path, match in painted[::step][:PAINTED]
    ]


def hybrids_of(crosses: dict[str, dict], indicator: str) -> int:
    counts = [cross["hybrids"] for cross in crosses.values() if cross["ssp_indicator"] == indicator]
    return sum(counts)


def show_painted(run: Path, names: list[str]) -> None:
    tags.h2("Painted hybrids")
    tags.p(
        "A photograph of the second subspecies, with half of what changes when the generator "
        "lays the colours of the first on its structure."
    )
    for source, caption in painted_hybrids(run, names):
        picture(source, caption, 180)
    with tags.ul():
        for gallery in sorted((run / "results").rglob("*.html")):
            target = gallery.relative_to(run).as_posix()
            tags.li(tags.a(f"all of {gallery.stem}", href=target))
        for name in GENERATORS:
            samples = f"generators/{name}/samples.html"
            if (run / samples).is_file():  # a very short training ends before its first one
                tags.li(tags.a(f"training of {name}", href=samples))
    for name in GENERATORS:
        picture(f"generators/{name}/loss_log.png", f"Losses of {name}", 560)


def make_page(run: Path, backbone: str, preprocess: str, scores: Scores) -> document:
    demo = json.loads((run / "demo/demo.json").read_text())
    kinds = list(dict.fromkeys(kind for kind, _ in scores))
    first = next(iter(scores.values()))
    counts = {name: hybrids_of(first["crosses"], name) for name in GROUPS}
    page = document(title="Butterfly hybrid detection: quick start")
    with page.head:
        tags.meta(charset="utf-8")
        tags.style(raw(STYLE))
    with page:
        tags.h1("Butterfly hybrid detection: quick start")
        images = PREPROCESSES[preprocess]
        tags.p(
            f"Demo set at scale {demo['scale']}, seed {demo['seed']}; features of {backbone} from "
            f"{images}."
        )
        tags.h2("What is found")
        score_table(scores)
        tags.p(
            "Recall is the share of hybrids above the threshold that keeps 95 % of the "
            "non-hybrids below it. Signal hybrids are of the one cross that the photographs to "
            "train on show, non-signal hybrids of others; mimics are of another species that looks "
            "alike."
        )
        tags.p(
            "The published members are the SGD and the linear classifier, which learn what hybrids "
            "look like; the third learns the subspecies."
        )
        tags.p(
            f"The test set has {counts['major']} signal, {counts['minor']} non-signal and "
            f"{counts['mimic']} mimic hybrids. One of the {counts['minor']} non-signal hybrids "
            f"moves their recall by {first['one_hybrid']['A_score_minor_recall']:.3f}, so one seed "
            "says little about small differences; scripts/benchmarks/detection.py compares many."
        )
        tags.h2("Hybrids found, by cross")
        cross_table(scores)
        tags.h2("The drawn specimens")
        picture("demo/overview.png", "Each cross between its parents", 1150)
        if "generated" in kinds:
            show_painted(run, list(demo["subspecies"]))
        for kind in kinds:
            tags.h2(f"Classifiers trained {title(KINDS, kind)}")
            for folder, sentence in EVALUATIONS.items():
                plots = sorted((run / backbone / kind / folder).glob("*.png"))
                if plots:  # too few hybrids may be held out to score anything
                    tags.p(sentence)
                for plot in plots:
                    caption = plot.stem.replace("_", " ")
                    picture(plot.relative_to(run).as_posix(), caption, 560)
            picture(f"{backbone}/{kind}/linear_loss.png", "linear loss", 360)
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the page of a quick-start run.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--backbone", required=True, help="whose classifiers to show")
    parser.add_argument("--preprocess", choices=PREPROCESSES, required=True, help="what it saw")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, required=True, help="trained on")
    parser.add_argument("--members", nargs="+", required=True, help="such as sgd+linear")
    options = parser.parse_args()
    try:
        scores = {
            (kind, members): read_scores(options.run / options.backbone, kind, members)
            for kind in options.kinds
            for members in options.members
        }
        page = make_page(options.run, options.backbone, options.preprocess, scores)
        with atomic(options.run / "index.html") as temporary:
            temporary.write_text(page.render(), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"quickstart_page: {error}", file=sys.stderr)
        return 1
    names = [(kind, title(MEMBERS, members)) for kind, members in scores]
    width = 2 + max(len(name) for pair in names for name in pair)
    for line, last in zip(zip(*names, strict=True), ("one hybrid", "moves it by"), strict=True):
        print(f"{'':<22}" + "".join(f"{name:>{width}}" for name in (*line, last)))
    for key in SCORES:
        values = [*(row[key] for row in scores.values()), one_hybrid_moves(scores, key)]
        print(f"{key:<22}" + "".join(f"{value:>{width}.3f}" for value in values))
    print(f"quickstart: open {options.run / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
