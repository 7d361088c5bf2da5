"""quickstart_page.py: what the page and the terminal say of a made-up run."""

import json
import re
from argparse import Namespace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from browser import SCREENS, flaws
from demo.quickstart_page import SCORES, Story, extremes, spread, write_page
from PIL import Image

# The first two look alike, the others, too.
SUBSPECIES = ["amalfreda", "erato", "hydara", "petiverana"]
SIGNAL = SUBSPECIES[1:3]
IDS = ["subspecies", "parent_subspecies_1", "parent_subspecies_2"]
KINDS, MEMBERS = ["photographs", "generated"], ["sgd+linear", "sgd+linear+subspecies"]
# By file name: what a test photograph shows, its group, and its score by all members; 0.5 is the
# threshold of all, and the published members score 0.15 lower.
SHOWN = {
    "0_a.jpg": ("erato", "major", 0.1),
    "1_b.jpg": ("petiverana", "minor", 0.7),
    "2_c.jpg": ("erato x hydara", "major", 0.9),
    "3_d.jpg": ("petiverana x hydara", "minor", 0.4),
    "4_e.jpg": ("hydara x petiverana", "minor", 0.2),
    "5_f.jpg": ("malleti x plesseni", "mimic", 0.8),
    "6_g <b>'#ü.jpg": ("amalfreda x petiverana", "minor", 0.3),
    "7_h.jpg": ("malleti", "mimic", 0.2),
}
FIGURES = {
    "non-hybrids": {"told_apart": {"value": 0.87}},
    "hybrids": {
        "structure": {"f1": {"value": 0.94}, "f1_of_another": 0.46},
        "appearance": {"distance": {"value": 6.9}, "distance_before": 10},
    },
}


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), (90, 60, 30)).save(path)


def calls_of(lower: float) -> list[dict]:
    return [
        {"filename": name, "subspecies_ref": shows, "ssp_indicator": indicator}
        | {"hybrid_stat": int(" x " in shows), "score": score - lower, "threshold": 0.5}
        | {"called": int(score - lower > 0.5)}
        for name, (shows, indicator, score) in SHOWN.items()
    ]


def scores_of(number: int) -> dict:
    """Of the detector in a place of the table: 0.1, 0.11, ... and 3 of 30 found of the first."""
    cross = {"ssp_indicator": "minor", "hybrids": 30, "recall": (number + 2) / 30}
    scores = {name: number / 10 + place / 100 for place, name in enumerate(SCORES)}
    return scores | {"crosses": {"hydara x petiverana": cross}}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run with pictures, four detectors, and paintings of erato with colours of amalfreda's."""
    folder = tmp_path / "run"
    demo, hybrids = folder / "demo", folder / "results/hybrid"
    rows = []
    for number, shown in enumerate([*SUBSPECIES, SIGNAL, SIGNAL]):
        names = (None, *shown) if shown is SIGNAL else (shown, None, None)
        row = dict(zip(IDS, names, strict=True)) | {"filename": f"T{number}.jpg"}
        rows.append(row | {"hybrid_stat": "hybrid" if shown is SIGNAL else "non-hybrid"})
        for images in ("demo/train/images", "Datasets/cutouts/images"):
            draw(folder / images / f"T{number}.jpg")
    write(demo / "train.csv", rows)
    write(demo / "ref_test.csv", calls_of(0.0))
    draw(demo / "overview.png", *(demo / "test/images" / name for name in SHOWN))
    record = {"scale": 1.0, "seed": 3, "subspecies": SUBSPECIES, "signal_pair": SIGNAL}
    (demo / "demo.json").write_text(
        json.dumps(record | {"look_alikes": [SUBSPECIES[:2], SUBSPECIES[2:]]})
    )
    for pair, strip in [
        ("hydara_erato", "test_signalhybrid/00000.jpg"),
        ("amalfreda_petiverana", "test_nonsignalhybrid/00000.jpg"),
        ("petiverana_amalfreda", "test_nonsignalhybrid/00001.jpg"),
    ]:
        draw(hybrids / f"AF_{pair}_gen{Path(strip).stem}.png", hybrids / "gallery" / strip)
    draw(folder / "results/nonhybrid/AF_erato_erato_gen00000.png")
    for number, (kind, members) in enumerate(product(KINDS, MEMBERS)):
        details = [
            {"filename": name, "score": 9, "threshold": 9, "sgd": 0.25, "linear": 0.5}
            | {"subspecies": score, "parent_1": "petiverana", "share_1": 0.6}
            | {"parent_2": "hydara"}
            for name, (_, _, score) in SHOWN.items()
        ]
        of_kind = folder / "lite" / kind
        write(of_kind / "details.csv", details)
        write(of_kind / members / "calls.csv", calls_of(0.15 * (number % 2 == 0)))
        (of_kind / members / "scores.json").write_text(json.dumps(scores_of(number + 1)))
    return folder


def make(run: Path, kinds: list[str] = KINDS, more: bool = False) -> str:
    """Write the page; gives its text."""
    options = {"backbone": "lite", "preprocess": "cutout", "members": MEMBERS, "kinds": kinds}
    assert write_page(Namespace(run=run, more=more, **options)) == 0
    return (run / "index.html").read_text()


def test_the_furthest_of_each_cross_come_first_and_few_are_spread_over_many():
    rows = [("a", "x x y", -0.1), ("b", "x x y", -0.4), ("c", "x x z", -0.2), ("d", "x x z", 0.45)]
    calls = pd.DataFrame(rows, columns=["filename", "cross", "margin"])
    for count, names in ((9, "dbca"), (3, "dbc"), (0, "")):
        assert "".join(one.filename for one in extremes(calls, count)) == names
    assert (spread(range(10), 4), spread([1, 2], 4)) == ([0, 3, 6, 9], [1, 2])


def test_how_a_cross_was_known(run):
    story, nothing = Story(run, "lite", KINDS, MEMBERS), "nothing of this cross to learn from"
    alike = f"{nothing}: look-alike parents are not painted"
    two = "no photograph of this cross to learn from, but 2 painted images"
    for cross, known, known_without_painted in [
        ("erato x hydara", *["2 photographs of this cross to learn from"] * 2),
        ("amalfreda x petiverana", two, nothing),
        ("hydara x petiverana", alike, f"{nothing}, and its parents look alike"),
        ("malleti x plesseni", *["another species, with nothing of it to learn from"] * 2),
    ]:
        assert story.how_known(cross, painted=True) == known
        assert story.how_known(cross, painted=False) == known_without_painted


def test_scores_and_the_reports_that_are_there(run, capsys):
    reports = ["evaluation/index.html", "lite/generated/report/index.html"]
    reports += ["lite/generated/training.html", "generators/AF4hybrid/training.html"]
    for there in (False, True):
        page = make(run)
        assert [f'href="{report}"' in page for report in reports] == [there] * len(reports)
        for report in reports:
            (run / report).parent.mkdir(parents=True, exist_ok=True)
            (run / report).write_text("<!DOCTYPE html>")
        (run / "evaluation/figures.json").write_text(json.dumps({"sets": FIGURES}))
    for part in ("by 0.94 (F1), those of another painting by 0.46", "31 % of the way", "in 87 %"):
        assert part in " ".join(page.split())
    few = {"sets": {"hybrids": {"structure": None, "appearance": {"distance": None}}}}
    (run / "evaluation/figures.json").write_text(json.dumps(few))
    assert "<li>Colours" not in make(run)

    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    assert [row[:4] for row in rows[1:5]] == [
        ["without painted images", "published", "0.100", "0.110"],
        ["without painted images", "all three", "0.200", "0.210"],
        ["with painted images", "published", "0.300", "0.310"],
        ["with painted images", "all three", "0.400", "0.410"],
    ]
    known = "nothing of this cross to learn from: look-alike parents are not painted"
    assert ["hydara x petiverana (minor)", "30", "3", "4", "5", "6", known] in rows
    moved = "of published from 0.100 to 0.300 and of all three from 0.200 to 0.400."
    assert moved in " ".join(page.split())
    lines = capsys.readouterr().out.splitlines()
    line = next(row for row in lines if row.startswith("mimic_recall"))
    assert line.split()[1:] == ["0.130", "0.230", "0.330", "0.430"]
    strips = re.findall('results/hybrid/gallery/[^"]*', page)
    assert [strip.split("/")[-2] for strip in strips] == [
        *("test_nonsignalhybrid", "test_signalhybrid", "test_nonsignalhybrid")
    ]


def test_a_reader_finds_the_story_of_the_last_detector_and_no_flaw(open_page, run):
    make(run)
    for scheme, width in SCREENS:
        page = open_page(run / "index.html", scheme, width)
        assert flaws(page, run) == []
    page.evaluate("document.querySelectorAll('img').forEach(one => { one.loading = 'eager' })")
    page.wait_for_function("[...document.images].every(one => one.complete)")
    assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    summary = page.locator(".summary").inner_text()
    for part in (
        *("1 of 1 major hybrids", "0 of 3 minor", "1 of 1 mimic", "Of 3 non-hybrids it takes 1"),
        "from 6 drawn photographs, with hybrids of one cross only, erato x hydara, and from",
        *("painted images, 3 of them hybrids", "Challenge score: 0.400"),
    ):
        assert part in summary
    missed = page.locator("#missed")
    both = missed.locator("ul:not(.cards) li").all_inner_texts()
    known = "nothing of this cross to learn from: look-alike parents are not painted."
    assert both[0] == f"2 of 2 hydara x petiverana: {known}"
    known = "no photograph of this cross to learn from, but 2 painted images."
    assert both[1:] == [f"1 of 1 amalfreda x petiverana: {known}"]
    cards = missed.locator(".cards li")
    mistaken = "petiverana"  # for a hybrid
    names = ["hydara x petiverana", "amalfreda x petiverana", "petiverana x hydara", mistaken]
    assert cards.locator("strong").all_inner_texts() == names
    text = cards.first.inner_text()
    assert "Score 0.20, threshold 0.50 (sgd 0.25, linear 0.50, subspecies 0.20)" in text
    assert "To the third member between petiverana (60%) and hydara, as it should be" in text
    pictures = cards.first.locator("img").evaluate_all("all => all.map(one => one.alt)")
    first, second = (f"A {name}, a parent's subspecies" for name in ("hydara", "petiverana"))
    assert pictures == [first, "hydara x petiverana, photograph 4_e.jpg", second]
    assert page.locator("#found .cards strong").all_inner_texts() == ["malleti x plesseni"]


def test_the_first_act_says_that_painting_comes(open_page, run):
    for more, said in ((True, "Nothing yet: that is the second"), (False, "Nothing: PAINTED=0")):
        make(run, KINDS[:1], more)
        page = open_page(run / "index.html", width=390)
        assert flaws(page, run) == []
        assert said in page.locator("#painted").inner_text()
        assert page.locator(".summary a").count() == more
        assert page.locator("nav li").count() == 6  # no paintings to judge
    assert "--backbone lite --preprocess cutout" in page.locator("#own pre").inner_text()


def test_a_lesser_detector_shows_what_the_third_member_is_worth(open_page, run):
    for kind in KINDS:
        path = run / "lite" / kind / MEMBERS[1] / "calls.csv"
        path.write_text(path.read_text().replace(",0.5,0", ",0.1,1"))
    make(run)
    text = open_page(run / "index.html").locator("#missed").inner_text()
    assert "scores by all three members misses none of the 5 hybrids" in text
    assert "with painted images and scores by the published members misses 3 of 5" in text
    assert "The third member needs none: it knows the subspecies" in text
