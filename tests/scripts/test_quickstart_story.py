"""What the quick start's page tells of a run: how crosses were known, what was missed, pictures."""

import csv
import json
from pathlib import Path

import pytest
from browser import SCREENS, flaws
from common.challenge_csv import COLUMNS
from demo import quickstart_page
from demo.misses import (
    extremes,
    how_known,
    missed_by_cross,
    what_it_looks_like,
    what_members_said,
    wrong,
)
from demo.run import Call, Run, Said, cross_of, spread
from PIL import Image

SUBSPECIES = ["amalfreda", "erato", "hydara", "petiverana"]  # 0 and 1 look alike, 2 and 3, too
TRAINED = [("erato", "hydara")] * 2  # photographs of hybrids: the signal pair
MEMBERS = ["sgd+linear", "sgd+linear+subspecies"]
# By file name: what a test photograph shows, its group, and its score by all members; 0.5 is the
# threshold of all.
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


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), (90, 60, 30)).save(path)


def calls_of(lower: float) -> list[dict]:
    rows = []
    for name, (shows, indicator, score) in SHOWN.items():
        score = max(0.0, score - lower)
        hybrid, called = int(" x " in shows), int(score > 0.5)
        rows.append(
            {"filename": name, "subspecies_ref": shows, "ssp_indicator": indicator}
            | {"hybrid_stat": hybrid, "score": score, "threshold": 0.5, "called": called}
        )
    return rows


def scores_of(calls: list[dict]) -> dict:
    crosses = {}
    for row in calls:
        if row["hybrid_stat"]:
            name = " x ".join(sorted(cross_of(row["subspecies_ref"])))
            crosses.setdefault(name, (row["ssp_indicator"], []))[1].append(row["called"])
    moves = dict.fromkeys(quickstart_page.SCORES, 0.05)
    return dict.fromkeys(quickstart_page.SCORES, 0.75) | {
        "one_hybrid": moves,
        "crosses": {
            name: {"ssp_indicator": one, "hybrids": len(all_), "recall": sum(all_) / len(all_)}
            for name, (one, all_) in crosses.items()
        },
    }


@pytest.fixture
def run(tmp_path) -> Run:
    """A run with pictures, two detectors, and paintings of erato with colours of amalfreda's."""
    demo = tmp_path / "demo"
    train = [(name, None) for name in SUBSPECIES] + TRAINED
    rows = []
    for number, (first, second) in enumerate(train):
        ids = [f"{SUBSPECIES.index(name)}.0" for name in (first, second) if name]
        parents = ids if second else ["", ""]
        rows.append(
            dict.fromkeys(COLUMNS, "")
            | {"filename": f"T{number}.jpg", "split": "train"}
            | {"hybrid_stat": "hybrid" if second else "non-hybrid"}
            | {"subspecies": "" if second else ids[0]}
            | dict(zip(("parent_subspecies_1", "parent_subspecies_2"), parents, strict=True))
        )
        picture(demo / f"train/images/T{number}.jpg")
        picture(tmp_path / f"Datasets/cutouts/images/T{number}.jpg")
    write_rows(demo / "train.csv", rows)
    write_rows(demo / "ref_test.csv", calls_of(0.0))
    for name in SHOWN:
        picture(demo / "test/images" / name)
    picture(demo / "overview.png")
    record = {"scale": 1.0, "seed": 3, "subspecies": SUBSPECIES, "signal_pair": [1, 2]}
    record["look_alikes"] = [[0, 1], [2, 3]]
    (demo / "demo.json").write_text(json.dumps(record))

    hybrids = tmp_path / "results/hybrid"
    for name, strip in [
        ("AF_2_1_gen00000.png", "test_signalhybrid/00000.jpg"),
        ("AF_0_3_gen00000.png", "test_nonsignalhybrid/00000.jpg"),
        ("AF_3_0_gen00001.png", "test_nonsignalhybrid/00001.jpg"),
    ]:
        picture(hybrids / name)
        picture(hybrids / "gallery" / strip)
    picture(tmp_path / "results/nonhybrid/AF_1_1_gen00000.png")

    for kind in ("photographs", "generated"):
        folder = tmp_path / "lite" / kind
        details = [
            {"filename": name, "sgd": 0.25, "linear": 0.5, "subspecies": shown[2]}
            | {"parent_1": "3", "share_1": "0.60", "parent_2": "2"}
            for name, shown in SHOWN.items()
        ]
        write_rows(folder / "details.csv", details)
        for members, lower in zip(MEMBERS, (0.15, 0.0), strict=True):
            calls = calls_of(lower)
            write_rows(folder / members / "calls.csv", calls)
            (folder / members / "scores.json").write_text(json.dumps(scores_of(calls)))
    return Run(tmp_path)


def call(name: str, shows: str, score: float, called: bool, threshold: float = 0.5) -> Call:
    return Call(name, shows, "minor", " x " in shows, score, threshold, called)


CALLS = [
    call("a", "x x y", 0.4, False),
    call("b", "y x x", 0.1, False),
    call("c", "x x z", 0.3, False),
    call("d", "x x z", 0.9, True),
    call("e", "x", 0.6, True),
    call("f", "y", 0.2, False),
]


def test_what_is_wrong_and_by_how_much():
    missed = wrong(CALLS, hybrid=True)
    assert [one.filename for one in missed] == ["a", "b", "c"]
    assert [one.filename for one in wrong(CALLS, hybrid=False)] == ["e"]
    # The furthest of each cross, whichever parent was the mother, before any second one.
    assert [one.filename for one in extremes(missed, 3)] == ["b", "c", "a"]
    assert [one.filename for one in extremes(missed, 2)] == ["b", "c"]
    assert missed_by_cross(CALLS) == {"x x y": (2, 2), "x x z": (1, 2)}
    assert list(missed_by_cross(CALLS)) == ["x x y", "x x z"]
    assert missed_by_cross(CALLS[3:]) == {}


@pytest.mark.parametrize(
    ("cross", "painted", "known"),
    [
        ("hydara x erato", True, "2 photographs of this cross to learn from"),
        (
            "petiverana x amalfreda",
            True,
            "no photograph of this cross to learn from, but 2 painted images",
        ),
        ("petiverana x amalfreda", False, "nothing of this cross to learn from"),
        (
            "hydara x petiverana",
            True,
            "nothing of this cross to learn from: look-alike parents are not painted",
        ),
        (
            "hydara x petiverana",
            False,
            "nothing of this cross to learn from, and its parents look alike",
        ),
        ("malleti x plesseni", True, "another species, with nothing of it to learn from"),
    ],
)
def test_how_a_cross_was_known(run, cross, painted, known):
    assert how_known(run, cross_of(cross), painted) == known


@pytest.mark.parametrize(
    ("shows", "said", "text"),
    [
        ("hydara x petiverana", Said({"sgd": 0.5}), ""),
        (
            "hydara x petiverana",
            Said({}, ("petiverana", "hydara"), 0.6),
            "to the third member between petiverana (60%) and hydara, as it should be",
        ),
        (
            "hydara",
            Said({}, ("petiverana", "erato"), 0.74),
            "to the third member between petiverana (74%) and erato",
        ),
        (
            "hydara x petiverana",
            Said({}, ("amalfreda", "hydara"), 0.75),
            "to the third member as near to amalfreda as a hybrid can be",
        ),
    ],
)
def test_what_a_specimen_looks_like(shows, said, text):
    assert what_it_looks_like(call("a", shows, 0.1, False), said) == text


def test_what_members_said_is_of_those_that_score():
    said = Said({"sgd": 0.254, "linear": 0.5})
    assert what_members_said(said, ["sgd", "subspecies", "linear"]) == "sgd 0.25, linear 0.50"


def test_details_are_read_in_one_place(run):
    """A row of details.csv, whose third member may have said nothing."""
    path = run.path / "lite/generated/details.csv"
    rows = [
        {"filename": "1.jpg", "sgd": "0.25", "linear": "0.5", "subspecies": "0.75"}
        | {"parent_1": "3", "share_1": "0.6", "parent_2": "2"},
        {"filename": "2.jpg", "sgd": "0.25", "linear": "0.5", "subspecies": ""}
        | {"parent_1": "", "share_1": "", "parent_2": ""},
    ]
    write_rows(path, rows)
    probability = {"sgd": 0.25, "linear": 0.5}
    assert run.details("lite", "generated") == {
        "1.jpg": Said(probability | {"subspecies": 0.75}, ("petiverana", "hydara"), 0.6),
        "2.jpg": Said(probability),
    }
    rows[0]["parent_2"] = "-1"
    write_rows(path, rows)
    with pytest.raises(ValueError, match=r"details\.csv: .*'-1'.*\.done/examine-generated-lite in"):
        run.details("lite", "generated")


@pytest.mark.parametrize("cell", ["-1.9", "-1", "4.0"])
def test_a_photograph_of_no_subspecies_is_refused(run, cell):
    """None is the last one from the end of the list."""
    path = run.path / "demo/train.csv"
    with path.open(newline="", encoding="utf-8") as file:
        first, *others = csv.DictReader(file)
    write_rows(path, [first | {"subspecies": cell}, *others])
    with pytest.raises(ValueError, match=r"train\.csv.*; remove demo/ and \.done/demo in"):
        _ = run.photographs


@pytest.mark.parametrize("changes", [{"signal_pair": [0, -1]}, {"signal_pair": [0, True]}])
def test_a_record_of_no_subspecies_is_refused(run, changes):
    path = run.path / "demo/demo.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"demo\.json: .*; remove demo/ and \.done/demo in"):
        _ = run.paintings


def test_a_damaged_record_is_not_blamed_on_another_file(run):
    path = run.path / "demo/demo.json"
    path.write_text("[")
    for read in (lambda: run.details("lite", "generated"), lambda: run.photographs):
        with pytest.raises(ValueError) as raised:
            read()
        assert str(raised.value).startswith(f"{path}: not as the quick start wrote it (")
        assert str(raised.value).count("quick start wrote") == 1


def test_a_foreign_painting_is_left_out(run):
    before = run.paintings
    for name in ("AF_99_0_gen00000.png", "AF_0_4_gen00000.png", "AF_00_1_gen00000.png"):
        picture(run.path / "results/hybrid" / name)
    assert Run(run.path).paintings == before


def test_what_a_run_holds(run):
    assert run.crosses_in_training == {cross_of("erato x hydara"): 2}
    assert run.photographs["petiverana"] == ["demo/train/images/T3.jpg", "demo/test/images/1_b.jpg"]
    assert run.photographs["malleti"] == ["demo/test/images/7_h.jpg"]
    names = [(one.structure, one.reference, one.strip.split("/")[-2]) for one in run.paintings]
    assert names == [
        ("amalfreda", "petiverana", "test_nonsignalhybrid"),
        ("hydara", "erato", "test_signalhybrid"),
        ("petiverana", "amalfreda", "test_nonsignalhybrid"),
    ]
    assert all((run.path / one.strip).is_file() for one in run.paintings)
    assert run.painted_crosses == {
        cross_of("amalfreda x petiverana"): 2,
        cross_of("hydara x erato"): 1,
    }
    assert run.painted_non_hybrids == 1


def test_few_are_spread_over_many():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2]
    assert spread(range(10), 1) == [0]


def make(run: Run, monkeypatch, *kinds: str) -> Path:
    command = ["quickstart_page", "--run", str(run.path), "--backbone", "lite"]
    command += ["--preprocess", "cutout", "--kinds", *kinds, "--members", *MEMBERS]
    monkeypatch.setattr("sys.argv", command)
    assert quickstart_page.main() == 0
    return run.path / "index.html"


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_has_no_flaws(open_page, run, monkeypatch, scheme, width):
    page = open_page(make(run, monkeypatch, "photographs", "generated"), scheme, width)
    assert flaws(page, run.path) == []
    page.evaluate("document.querySelectorAll('img').forEach(one => { one.loading = 'eager' })")
    page.wait_for_function("[...document.images].every(one => one.complete)")
    assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")


def test_the_story_is_that_of_the_last_detector(open_page, run, monkeypatch):
    page = open_page(make(run, monkeypatch, "photographs", "generated"))
    summary = page.locator(".summary").inner_text()
    for part in ("1 of 1 signal hybrids", "0 of 3 non-signal", "1 of 1 mimic", "Of 3 non-hybrids"):
        assert part in summary
    assert "it takes 1 for hybrids" in summary
    missed = page.locator("#missed")
    assert missed.locator("ul:not(.cards) li").all_inner_texts() == [
        "2 of 2 hydara x petiverana: nothing of this cross to learn from: look-alike parents are "
        "not painted.",
        "1 of 1 amalfreda x petiverana: no photograph of this cross to learn from, but 2 painted "
        "images.",
    ]
    cards = missed.locator(".cards li")
    assert cards.locator("strong").all_inner_texts() == [
        "hydara x petiverana",
        "amalfreda x petiverana",
        "petiverana x hydara",
        "petiverana",  # the one taken for a hybrid by mistake
    ]
    text = cards.first.inner_text()
    assert "Score 0.20, threshold 0.50 (sgd 0.25, linear 0.50, subspecies 0.20)" in text
    shown = cards.first.locator("img").evaluate_all("all => all.map(one => one.alt)")
    assert shown == [
        "A hydara, a parent's subspecies",
        "hydara x petiverana, photograph 4_e.jpg",
        "A petiverana, a parent's subspecies",
    ]
    assert page.locator("#found .cards strong").all_inner_texts() == ["malleti x plesseni"]


def test_a_lesser_detector_shows_what_the_third_member_is_worth(open_page, run, monkeypatch):
    for kind in ("photographs", "generated"):
        path = run.path / "lite" / kind / MEMBERS[1] / "calls.csv"
        path.write_text(path.read_text().replace(",0.5,0", ",0.1,1"))
    missed = open_page(make(run, monkeypatch, "photographs", "generated")).locator("#missed")
    text = missed.inner_text()
    assert "scores by all three members misses none of the 5 hybrids" in text
    assert "with painted images and scores by the published members misses 3 of 5" in text
    assert "The third member needs none: it knows the subspecies" in text


def test_a_run_of_an_older_version_says_how_to_go_on(run, monkeypatch, capsys):
    (run.path / "lite/photographs" / MEMBERS[0] / "calls.csv").unlink()
    with pytest.raises(AssertionError):
        make(run, monkeypatch, "photographs")
    again = "calls.csv: no such file; remove .done/score-photographs-lite-sgd+linear in the run's"
    assert again in capsys.readouterr().err
