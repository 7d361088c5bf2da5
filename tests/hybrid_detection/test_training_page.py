"""training.html of the classifiers: while they are trained, in the end, and after an error."""

import re
from pathlib import Path

import pytest
import training_page
from browser import SCREENS, flaws
from PIL import Image
from training_page import TrainingPage

ODD = """<script>alert("x")</script> & für"""
METRICS = ("tpr_at_tnr95", "pr_auc", "roc_auc", "accuracy")


@pytest.fixture
def page(tmp_path) -> TrainingPage:
    options = {"CLF_SAVE_DIR": tmp_path / ODD[:4], "classifiers": ["sgd", "knn"], "CTN": False}
    return TrainingPage(tmp_path, options, {"held_out": ODD}, {"photographs": "1,991"})


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test winds: a list of its one time, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(training_page.time, "monotonic", lambda: now[0])
    return now


def facts(opened, where: str = ".facts") -> dict[str, str]:
    names, values = (opened.locator(f"{where} {part}").all_inner_texts() for part in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def write_evaluation(folder: Path) -> None:
    """Tables and plots as a training leaves them: two classifiers, one group."""
    folder.mkdir()
    ends = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    rows = [f"photographs,{name},24,9,{','.join(['0.81249', '0.5', '1'] * 4)}" for name in
            ("sgd", "ensemble")]  # fmt: skip
    head = ",".join(["images", "classifier", "rows", "hybrids", *ends])
    (folder / "classifier_evaluation_results.csv").write_text("\n".join([head, *rows]) + "\n")
    head = "images,classifier,hybrid_stat,group,rows,recall,recall_low,recall_high"
    recalls = [f"photographs,{name},hybrid,8 x 9 {ODD[:4]},9,0.5,0.25,0.75" for name in
               ("sgd", "ensemble")]  # fmt: skip
    (folder / "classifier_recalls.csv").write_text("\n".join([head, *recalls]) + "\n")
    (folder / "classifier_scores.csv").touch()
    for plot in (*(folder / name for name in training_page.PLOTS), folder / "../linear_loss.png"):
        Image.new("RGB", (400, 300), "white").save(plot)


def test_a_running_training_says_what_is_left_of_its_step(open_page, page, clock):
    page.begin(f"features of {ODD}")
    clock[0] += 20
    page.begin("the classifiers")
    clock[0] += 40
    page.advance(50, 200, "epochs", loss=0.12345)
    opened = open_page(page.folder / "training.html")
    assert opened.title() == "Classifiers of hybrids: in training"
    assert opened.get_by_role("status").inner_text() == "The training runs: the classifiers."
    assert facts(opened) == {
        "so far": "50 of 200 epochs",
        "speed": "1.25 epochs/s",
        "time left": "about 2 min 0 s in this step",
        "loss": "0.123",
        "photographs": "1,991",
    }
    assert opened.get_by_role("progressbar").get_attribute("value") == "50"
    rows = opened.locator("table tr").all_inner_texts()
    assert rows == [f"features of {ODD}\t20 s", "the classifiers\t40 s so far"]
    options = facts(opened, ".options")
    assert (options["--classifiers"], options["--CTN"]) == ("sgd, knn", "no")
    assert flaws(opened, page.folder) == []


def test_the_page_is_written_when_news_are_due(page, clock):
    page.begin("features")
    path = page.folder / "training.html"
    for seconds, shown in [(14.9, ""), (0.1, "3 of 9"), (14.9, "3 of 9"), (0.1, "5 of 9")]:
        clock[0] += seconds
        page.advance({"": 2, "3 of 9": 3, "5 of 9": 5}[shown], 9, "images")
        found = re.findall(r"<dd>(\d of \d) images</dd>", path.read_text())
        assert found == ([shown] if shown else [])


@pytest.mark.parametrize("error", [None, ValueError("<b>"), KeyboardInterrupt()])
def test_only_a_running_training_is_looked_at_again(page, error):
    path = page.folder / "training.html"
    try:
        with page:
            page.begin("features")
            running = path.read_text()
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as raised:
        assert raised is error
    ended = path.read_text()
    assert ['http-equiv="refresh"' in text for text in (running, ended)] == [True, False]
    assert 'content="15"' in running
    assert ("those of a training before" in ended) == (error is not None)
    if isinstance(error, ValueError):
        assert "The training stopped early: ValueError: &lt;b&gt;" in ended
    if error is None:  # no evaluation lies there
        assert "Not scored: both hybrids and non-hybrids" in ended


def test_what_fails_before_the_first_step_leaves_the_page_of_before(page):
    with pytest.raises(ValueError), page:
        raise ValueError("no CSV")
    page.silent = True  # as in all but one process of a training
    page.begin("features")
    assert not (page.folder / "training.html").exists()


def test_in_the_end_the_numbers_are_shown_on_every_screen(open_page, page):
    write_evaluation(page.folder / "held_out")
    with page:
        page.begin("features")
    for scheme, width in SCREENS:
        opened = open_page(page.folder / "training.html", scheme, width)
        assert flaws(opened, page.folder) == []
    assert opened.get_by_text("The training is done.").is_visible()
    pictures = opened.locator("img").evaluate_all("all => all.map(one => one.getAttribute('src'))")
    assert pictures == [f"held_out/{name}" for name in training_page.PLOTS] + ["linear_loss.png"]
    table = opened.get_by_role("region", name="photographs: 24 images, 9 of them hybrids")
    cells = table.locator("tr").nth(1).locator("th, td").all_inner_texts()
    assert cells == ["sgd", *["0.812 [0.500, 1.000]"] * 4]
    recalls = opened.get_by_role("region", name=re.compile("called rightly by the ensemble"))
    cells = recalls.locator("tr").nth(1).locator("th, td").all_inner_texts()
    assert cells == ["hybrid", f"8 x 9 {ODD[:4]}", "9", "0.500 [0.250, 0.750]"]
