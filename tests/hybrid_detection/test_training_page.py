"""training.html of the classifiers: while they are trained, in the end, and after an error."""

import re
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import training_page
from browser import SCREENS, flaws
from PIL import Image
from training_page import TrainingPage

ODD = """<script>alert("x")</script> & für"""
PLOTS = ("score_histograms.png", "roc.png", "precision_recall.png")


@pytest.fixture
def page(tmp_path) -> TrainingPage:
    options = {"CLF_SAVE_DIR": tmp_path / ODD[:4], "CTN": False}
    return TrainingPage(tmp_path, options, {"held_out": ODD}, {"photographs": "1,991"})


def facts(opened, where: str = ".facts") -> dict[str, str]:
    names, values = (opened.locator(f"{where} {part}").all_inner_texts() for part in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def write_evaluation(folder: Path) -> None:
    """Tables and plots as a training leaves them: two classifiers, one group."""
    classifiers = {"images": "photographs", "classifier": ["sgd", "ensemble"]}
    results = {"rows": 24, "hybrids": 9}
    for name in ("tpr_at_tnr95", "pr_auc", "roc_auc", "accuracy"):
        results |= {name: 0.81249, f"{name}_low": 0.5, f"{name}_high": 1.0}
    recalls = {"hybrid_stat": "hybrid", "group": f"8 x 9 {ODD[:4]}", "rows": 1}
    recalls |= {"recall": 0.5, "recall_low": 0.25, "recall_high": 0.75}
    folder.mkdir()
    for name, columns in (("evaluation_results", results), ("recalls", recalls), ("scores", {})):
        table = pd.DataFrame(classifiers | columns)
        table.to_csv(folder / f"classifier_{name}.csv", index=False)
    for plot in (*PLOTS, "../linear_loss.png"):
        Image.new("RGB", (400, 300), "white").save(folder / plot)


def test_a_running_training_says_how_long_each_step_took(open_page, page, monkeypatch):
    clock = iter([1000, 1000, 1020, 1060])  # seconds: twice as a step begins and is written
    with monkeypatch.context() as patch:
        patch.setattr(training_page.time, "monotonic", lambda: next(clock))
        page.begin(f"features of {ODD}")
        page.begin("the classifiers")
    opened = open_page(page.folder / "training.html")
    assert opened.title() == "Classifiers of hybrids: in training"
    assert opened.get_by_role("status").inner_text() == "The training runs: the classifiers."
    assert facts(opened) == {"photographs": "1,991"}
    rows = opened.locator("table tr").all_inner_texts()
    assert rows == [f"features of {ODD}\t0:00:20", "the classifiers\t0:00:40"]
    assert facts(opened, ".options")["--CTN"] == "False"
    assert flaws(opened, page.folder) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "Not scored: both hybrids and non-hybrids"),
        (ValueError("<b>"), "The training stopped early: ValueError: &lt;b&gt;"),
        (KeyboardInterrupt(), "Classifiers that lie here are those of a training before; the same"),
    ],
)
def test_only_a_running_training_is_looked_at_again(page, error, said):
    path = page.folder / "training.html"
    if "before" in said:
        (page.folder / "clf1024.pth").touch()
    with suppress(ValueError), page:  # what fails before the first step leaves a page of before
        raise ValueError("no CSV")
    assert not path.exists()
    with suppress(ValueError, KeyboardInterrupt), page:
        page.begin("features")
        assert 'http-equiv="refresh" content="15"' in path.read_text()
        if error:
            raise error
    assert said in path.read_text() and 'http-equiv="refresh"' not in path.read_text()


def test_in_the_end_the_numbers_are_shown_on_every_screen(open_page, page):
    write_evaluation(page.folder / "held_out")
    with page:
        page.begin("features")
    for scheme, width in SCREENS:
        opened = open_page(page.folder / "training.html", scheme, width)
        assert flaws(opened, page.folder) == []
    assert opened.get_by_text("The training is done.").is_visible()
    pictures = opened.locator("img").evaluate_all("all => all.map(one => one.getAttribute('src'))")
    assert pictures == [f"held_out/{name}" for name in PLOTS] + ["linear_loss.png"]
    results, recalls = ["sgd", *["0.812 [0.500, 1.000]"] * 4], ["hybrid", f"8 x 9 {ODD[:4]}", "1"]
    for name, cells in (
        (re.compile("photographs: 24 images, 9 of them hybrids"), results),
        (re.compile("called rightly by the ensemble"), [*recalls, "0.500"]),
    ):
        row = opened.get_by_role("region", name=name).locator("tr").nth(1)
        assert row.locator("th, td").all_inner_texts() == cells
