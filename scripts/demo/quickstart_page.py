"""The page at the end of quickstart.sh: drawings, painted hybrids, plots and both score rows.

    PYTHONPATH=scripts python -m demo.quickstart_page --run RUN --backbone BACKBONE

writes index.html into the folder RUN, such as quickstart/scale1-seed0-scharr.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from common.files import atomic
from dominate import document, tags
from dominate.util import raw

PAINTED = 24  # painted hybrids on the page, spread evenly over all
KINDS = {"photographs": "photographs only", "generated": "photographs + painted images"}
SCORES = {
    "A_score_major_recall": "signal hybrids: recall",
    "A_score_minor_recall": "non-signal hybrids: recall",
    "mimic_recall": "mimic hybrids: recall",
    "challenge_score": "challenge score",
    "A_PRC_AUC": "species A: PR AUC",
    "mimic_PRC_AUC": "mimics: PR AUC",
}
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
td { text-align: right; } td:first-child { text-align: left; }
figure { display: inline-block; margin: .3em; } figcaption { font-size: 80%; color: #555; }
img { max-width: 100%; }
"""


def read_scores(detectors: Path) -> dict[str, dict[str, float]]:
    """The challenge scores by kind of training set."""
    return {kind: json.loads((detectors / kind / "scores.json").read_text()) for kind in KINDS}


def score_table(scores: dict[str, dict[str, float]]) -> None:
    with tags.table():
        with tags.tr():
            tags.th("classifiers trained on")
            for title in SCORES.values():
                tags.th(title)
        for kind, title in KINDS.items():
            with tags.tr():
                tags.td(title)
                for key in SCORES:
                    tags.td(f"{scores[kind][key]:.3f}")


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


def make_page(run: Path, backbone: str) -> document:
    demo = json.loads((run / "demo/demo.json").read_text())
    page = document(title="Butterfly hybrid detection: quick start")
    with page.head:
        tags.meta(charset="utf-8")
        tags.style(raw(STYLE))
    with page:
        tags.h1("Butterfly hybrid detection: quick start")
        tags.p(f"Demo set at scale {demo['scale']}, seed {demo['seed']}; features of {backbone}.")
        tags.h2("What the painted images change")
        score_table(read_scores(run / backbone))
        tags.p(
            "Recall is the share of hybrids above the threshold that keeps 95 % of the "
            "non-hybrids below it. Signal hybrids are of the one cross that the photographs to "
            "train on show, non-signal hybrids of others; mimics are of another species that looks "
            "alike. A recall moves in steps of one hybrid: few hybrids, large steps."
        )
        tags.h2("The drawn specimens")
        picture("demo/overview.png", "Each cross between its parents", 1150)
        tags.h2("Painted hybrids")
        tags.p(
            "A photograph of the second subspecies, with half of what changes when the generator "
            "lays the colours of the first on its structure."
        )
        for source, caption in painted_hybrids(run, list(demo["subspecies"])):
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
        for kind, title in KINDS.items():
            tags.h2(f"Classifiers trained on {title}")
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
    options = parser.parse_args()
    try:
        page = make_page(options.run, options.backbone)
        with atomic(options.run / "index.html") as temporary:
            temporary.write_text(page.render(), encoding="utf-8")
        scores = read_scores(options.run / options.backbone)
    except (OSError, ValueError) as error:
        print(f"quickstart_page: {error}", file=sys.stderr)
        return 1
    print(f"{'':<24}" + "".join(f"{kind:>14}" for kind in KINDS))
    for key in SCORES:
        print(f"{key:<24}" + "".join(f"{scores[kind][key]:>14.3f}" for kind in KINDS))
    print(f"quickstart: open {options.run / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
