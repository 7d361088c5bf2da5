"""The page of quickstart.sh: one story, from the drawings to what was missed and why.

    PYTHONPATH=scripts python scripts/demo/quickstart_page.py --run RUN --backbone BACKBONE \\
        --preprocess cutout --kinds photographs generated --members sgd+linear sgd+linear+subspecies

writes index.html into the folder RUN, such as quickstart/scale1-seed0-cutout. What it says
stands in quickstart.html beside this file. With the kind photographs alone it shows no generators;
with --more it says that they come.
The last kind and the last members are the detector that the story is about.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from common.challenge_csv import GENERATED
from common.files import atomic
from common.program import start

KINDS = {"photographs": "without painted images", "generated": "with painted images"}
MEMBERS = {"sgd+linear": "published", "sgd+linear+subspecies": "all three"}
GROUPS = ("major", "minor", "mimic")
SCORES = {
    "challenge_score": "challenge score",
    "A_score_major_recall": "major hybrids: recall",
    "A_score_minor_recall": "minor hybrids: recall",
    "mimic_recall": "mimic hybrids: recall",
    "A_PRC_AUC": "species A: PR AUC",
    "A_PRC_AUC_major": "major: PR AUC",
    "A_PRC_AUC_minor": "minor: PR AUC",
    "mimic_PRC_AUC": "mimics: PR AUC",
}

STRIPS = 8  # painted hybrids on the page, spread evenly over all
CARDS = 6  # specimens that were found, missed, or called hybrids by mistake
CUTOUTS = 3  # photographs beside what was cut out of them
ONE_PARENT = 0.75  # the largest share of a parent that details.csv knows: it looks like that one


def cross_of(shows: str) -> str:
    """`a x b` with the parents in one order, whichever is the mother; a subspecies as it is."""
    return " x ".join(sorted(shows.split(" x ")))


class Detector:
    """Classifiers trained on one kind of training set, with the members that score.

    `calls` has a row a photograph of the test set: beside the columns of calls.csv its `cross`, the
    `margin` to the threshold, what each member said in a column of its name, and `parents`, the two
    that the third member puts it between, or None.
    """

    def __init__(self, folder: Path, kind: str, members: str):
        own = folder / kind / members
        self.kind, self.members = kind, members.split("+")
        self.folder = f"{folder.name}/{kind}/{members}"
        self.titles = KINDS[kind], MEMBERS.get(members, members)
        self.scores = json.loads((own / "scores.json").read_text(encoding="utf-8"))
        said = pd.read_csv(folder / kind / "details.csv", index_col="filename")
        said["parents"] = [  # cells are empty without the third member
            (first, second) if pd.notna(first) else None
            for first, second in zip(said["parent_1"], said["parent_2"], strict=True)
        ]
        self.calls = pd.read_csv(own / "calls.csv")
        self.calls["cross"] = self.calls["subspecies_ref"].map(cross_of)
        self.calls["margin"] = self.calls["score"] - self.calls["threshold"]
        self.calls = self.calls.join(said.drop(columns=["score", "threshold"]), on="filename")
        hybrid, called = self.calls["hybrid_stat"] == 1, self.calls["called"] == 1
        self.hybrids, self.others = self.calls[hybrid], self.calls[~hybrid]
        self.found, self.missed = self.calls[hybrid & called], self.calls[hybrid & ~called]
        self.mistaken = self.calls[~hybrid & called]

    def found_by_group(self) -> list[tuple[int, int, str]]:
        """How many hybrids are found, of how many, of each kind of cross."""
        found, hybrids = (Counter(one["ssp_indicator"]) for one in (self.found, self.hybrids))
        return [(found[one], hybrids[one], one) for one in GROUPS]

    def missed_by_cross(self) -> list[tuple[int, int, str]]:
        """How many hybrids are missed, of how many, of each cross with misses; most first."""
        hybrids, missed = Counter(self.hybrids["cross"]), Counter(self.missed["cross"])
        return [(count, hybrids[cross], cross) for cross, count in missed.most_common()]

    def what_members_said(self, call: tuple) -> str:
        """The probability of a hybrid that each of its members gave; `call` is a row of calls."""
        return ", ".join(f"{name} {getattr(call, name):.2f}" for name in self.members)


class Story:
    """What the page tells of: the run in `folder`, and its detectors."""

    def __init__(self, folder: Path, backbone: str, kinds: list[str], members: list[str]):
        self.folder, self.backbone, self.kinds = folder, backbone, kinds
        self.record = json.loads((folder / "demo/demo.json").read_text(encoding="utf-8"))
        self.names: list[str] = self.record["subspecies"]
        self.train = pd.read_csv(folder / "demo/train.csv")
        ids = self.train[["subspecies", "parent_subspecies_1", "parent_subspecies_2"]]
        self.train["cross"] = [" x ".join(sorted(row[pd.notna(row)])) for row in ids.to_numpy()]
        hybrid = self.train["hybrid_stat"] == "hybrid"
        cut = ((name, f"Datasets/cutouts/images/{name}") for name in self.train["filename"])
        self.cut_out = [(name, file) for name, file in cut if self.has(file)]
        self.detectors = [Detector(folder / backbone, *pair) for pair in product(kinds, members)]
        self.last = self.detectors[-1]
        # Where the last one misses none, the best of those that miss some shows what it is worth.
        self.lesser = next((one for one in reversed(self.detectors) if len(one.missed)), None)
        # How many photographs of hybrids there are to train on, and painted ones, by cross.
        self.photographed = Counter(self.train["cross"][hybrid])
        self.painted = "generated" in kinds
        self.paintings = self.read_paintings() if self.painted else []
        self.painted_crosses = Counter(cross_of(f"{p[2]} x {p[3]}") for p in self.paintings)
        self.unseen = sorted(set(self.last.hybrids["cross"]) - set(self.photographed))
        # A photograph of each subspecies, relative to the run; one to train on where there is.
        self.portraits: dict[str, str] = {}
        for split, plain in (("test", self.last.others), ("train", self.train[~hybrid])):
            for row in plain.drop_duplicates("cross").itertuples():
                self.portraits[row.cross] = f"demo/{split}/images/{row.filename}"

    def has(self, path: str) -> bool:
        """Whether the file, relative to the run, is there: a stage may have had none to write."""
        return (self.folder / path).is_file()

    def glob(self, pattern: str) -> list[str]:
        """The files of the run that match, relative to it."""
        found = sorted(self.folder.glob(pattern))
        return [path.relative_to(self.folder).as_posix() for path in found]

    def read_paintings(self) -> list[tuple[str, str, str, str]]:
        """Each painted hybrid: the image, its strip of panels, and the subspecies whose edges and
        whose colours it has."""
        found = []
        for image in self.glob("results/hybrid/AF_*.png"):
            i, j, index = GENERATED.fullmatch(Path(image).name).groups()
            kind = "signal" if {i, j} == set(self.record["signal_pair"]) else "nonsignal"
            found.append((image, f"results/hybrid/gallery/test_{kind}hybrid/{index}.jpg", i, j))
        return found

    def how_known(self, cross: str, painted: bool) -> str:
        """What of a cross a detector could learn from, `painted` images being among it or not."""
        parents = set(cross.split(" x "))
        alike = any(parents <= set(group) for group in self.record["look_alikes"])
        if count := self.photographed[cross]:
            return f"{counted(count, 'photograph')} of this cross to learn from"
        if not parents <= set(self.names):
            return "another species, with nothing of it to learn from"
        if painted and (count := self.painted_crosses[cross]):
            images = counted(count, "painted image")
            return f"no photograph of this cross to learn from, but {images}"
        if painted and alike:
            return "nothing of this cross to learn from: look-alike parents are not painted"
        return "nothing of this cross to learn from" + ", and its parents look alike" * alike

    def judged(self) -> dict[str, float]:
        """The figures of the paintings that are known, such as `hybrids.structure.f1.value`."""
        text = (self.folder / "evaluation/figures.json").read_text(encoding="utf-8")
        figures = pd.json_normalize(json.loads(text)["sets"]).to_dict("records")[0]
        return {name: one for name, one in figures.items() if isinstance(one, int | float)}


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def spread(items: Sequence, count: int) -> list:
    """At most `count` of `items`, evenly spread from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places]


def extremes(calls: pd.DataFrame, count: int) -> list[tuple]:
    """At most `count` calls, the furthest from their threshold: the first of each cross or
    subspecies, then the second of each, and so on."""
    furthest = calls.sort_values("margin", key=lambda margin: -margin.abs(), kind="stable")
    turns = furthest.groupby("cross").cumcount().sort_values(kind="stable")
    return list(furthest.loc[turns.index[:count]].itertuples())


def what_it_looks_like(call: tuple) -> str:
    """Between which subspecies the third member puts a specimen; empty without it."""
    if not call.parents:
        return ""
    first, second = call.parents
    if call.share_1 >= ONE_PARENT:
        return f"To the third member as near to {first} as a hybrid can be"
    between = f"To the third member between {first} ({call.share_1:.0%}) and {second}"
    return between + ", as it should be" * (call.cross == cross_of(f"{first} x {second}"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the page of a quick-start run.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--backbone", required=True, help="whose classifiers to show")
    parser.add_argument("--preprocess", choices=("photograph", "cutout"), required=True)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, required=True, help="trained on")
    parser.add_argument("--members", nargs="+", required=True, help="such as sgd+linear")
    parser.add_argument("--more", action="store_true", help="the second act, painting, is to come")
    return parser.parse_args()


def write_page(options: argparse.Namespace) -> int:
    story = Story(options.run, options.backbone, options.kinds, options.members)
    rules = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    here = jinja2.FileSystemLoader(Path(__file__).parent)
    pages = jinja2.Environment(loader=here, autoescape=True, **rules)
    page = pages.get_template("quickstart.html", globals=globals())  # it calls what stands here
    with atomic(options.run / "index.html") as temporary:
        text = page.render(story=story, preprocess=options.preprocess, more=options.more)
        temporary.write_text(text, encoding="utf-8")
    columns = {
        (one.kind, one.titles[1]): [one.scores[key] for key in SCORES] for one in story.detectors
    }
    print(pd.DataFrame(columns, list(SCORES)).to_string(float_format="%.3f"))
    print(f"quickstart: open {options.run / 'index.html'}")
    return 0


if __name__ == "__main__":
    start(write_page, parse_arguments)
