"""training.html of the classifiers: while they are trained, in the end, and after an error."""

import re
from pathlib import Path

import classifier
import numpy as np
import pytest
import torch
import training_page
from browser import SCREENS, flaws
from training_page import TrainingPage

ODD = """<script>alert("x")</script> & für"""


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


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "The training is done."),
        (ValueError("<b>"), "The training stopped early: ValueError: &lt;b&gt;"),
        (KeyboardInterrupt(), "The training stopped early: KeyboardInterrupt"),
    ],
)
def test_only_a_running_training_is_looked_at_again(page, error, text):
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
    assert text in ended
    assert ("those of a training before" in ended) == (error is not None)


def test_what_fails_before_the_first_step_leaves_the_page_of_before(page):
    with pytest.raises(ValueError), page:
        raise ValueError("no CSV")
    assert not (page.folder / "training.html").exists()


def test_the_page_follows_the_training_and_rests_at_its_end(open_page, page, monkeypatch):
    monkeypatch.setattr(training_page, "REFRESH", 1)
    page.evaluations = {}
    (page.folder / "linear_loss.png").touch()
    with page:
        page.begin("features")
        opened = open_page(page.folder / "training.html")
    opened.get_by_text("The training is done.").wait_for()
    opened.evaluate("window.same = true")
    opened.wait_for_timeout(1500)
    assert opened.evaluate("window.same")  # it was not read again


def test_a_training_is_shown_from_its_first_step_to_its_numbers(
    open_page, train, world, tmp_path, monkeypatch
):
    """The pages of all steps are kept, as a browser would have read them."""
    written, save_page = [], training_page.save_page

    def keep(document, path: Path) -> None:
        save_page(document, path)
        written.append(path.read_text())

    monkeypatch.setattr(training_page, "save_page", keep)
    done = train(world.root, "--preprocess", "cutout", with_plots=True)
    assert done.status == 0, done.errors
    steps = [re.search(r"The training runs: (.*?)\.</p>", text) for text in written[:-1]]
    assert [step[1] for step in steps] == [
        "features of 600 images",
        "the classifiers that are saved",
        "their twins that saw no held-out photograph",
        "their twins for the published split",
        "the evaluation",
    ]
    folder = tmp_path / "classifiers"
    for scheme, width in SCREENS:
        opened = open_page(folder / "training.html", scheme, width)
        assert flaws(opened, folder) == []
    pictures = opened.locator("img").evaluate_all("all => all.map(one => one.getAttribute('src'))")
    assert len(pictures) == 7
    assert {"linear_loss.png", "held_out_photographs/roc.png"} < set(pictures)
    assert facts(opened) == {
        "photographs": "120",
        "painted images": "480",
        "hybrids among all": "300",
        "seen as": "cutouts",
        "device": "cpu",
    }
    table = opened.get_by_role("region", name=re.compile("^photographs: 24 images")).first
    lines = (folder / "held_out_photographs/classifier_evaluation_results.csv").read_text()
    names, first = (line.split(",") for line in lines.splitlines()[:2])
    values = dict(zip(names, first, strict=True))
    cells = table.locator("tr").nth(1).locator("th, td").all_inner_texts()
    assert cells[0] == values["classifier"] == "sgd"
    assert cells[1:] == [
        f"{float(values[name]):.3f} [{float(values[f'{name}_low']):.3f}, "
        f"{float(values[f'{name}_high']):.3f}]"
        for name in ("tpr_at_tnr95", "pr_auc", "roc_auc", "accuracy")
    ]


def test_without_hybrids_held_out_the_page_says_why_there_are_no_numbers(page):
    with page:
        page.begin("features")
    assert "Not scored: both hybrids and non-hybrids" in (page.folder / "training.html").read_text()


def test_each_epoch_is_told(monkeypatch):
    told = []
    features = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    labels = np.arange(10) % 2
    device = torch.device("cpu")
    fitted = classifier.fit_linear(
        features, labels, 3, device, watch=lambda *news: told.append(news)
    )
    assert told == list(enumerate(fitted[1], start=1))
