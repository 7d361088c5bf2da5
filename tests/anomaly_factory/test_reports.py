"""What is shown of a training and of its errors: log, samples, training.html, messages."""

import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from browser import SCREENS, flaws
from playwright.sync_api import Page
from util.distributed import Process
from util.errors import reported
from util.pages import Row, write_page
from util.report import DONE, RUNNING, Report
from util.visualizer import PANELS, LossLog

HEAD = "images,epoch,lr,G_GAN\n"


@pytest.mark.parametrize("spoilt", ["6,1,0.0", "12,1,0.1,3\n", "\0\0\n", "6,1,0.1,x\n"])
def test_a_log_is_continued_from_its_whole_rows(tmp_path: Path, spoilt: str):
    log = tmp_path / "loss_log.csv"
    log.write_text(HEAD + "2,1,0.1,3\n4,1,0.1,3\n" + spoilt)
    LossLog(tmp_path, images=8).add({"images": 10, "epoch": 2, "lr": 0.1, "G_GAN": 2.5})
    assert log.read_text() == HEAD + "2,1,0.1,3\n4,1,0.1,3\n10,2,0.1,2.5\n"


@pytest.fixture
def gallery(tmp_path: Path, draw) -> Path:
    """A page of 60 rows in two groups, with names that HTML and addresses must escape."""
    strip = "pictures/a#1 <b> 2%.png"
    draw(tmp_path / strip, size=(640, 128))
    captions = [f"Zürich <script>alert('{number}')</script>" for number in range(60)]
    groups = ["2 & 1", "10 x 1", "2 & 1"] * 20
    rows = [Row(strip, strip, *both) for both in zip(captions, groups, strict=True)]
    write_page(tmp_path / "page.html", 'all of "AF" & <i>', ["one", "reference", "3"], rows)
    return tmp_path / "page.html"


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_gallery_has_no_flaws(open_page, gallery, scheme, width):
    page = open_page(gallery, scheme, width)
    assert flaws(page, gallery.parent) == []
    assert page.locator("h1").inner_text() == 'all of "AF" & <i>'
    assert page.locator("figcaption").first.inner_text() == "Zürich <script>alert('0')</script>"
    link = page.locator("figure a").first.get_attribute("href")
    assert link == "pictures/a%231%20%3Cb%3E%202%25.png"


def test_the_gallery_turns_pages_and_filters_by_keyboard(open_page, gallery):
    page = open_page(gallery, width=390)
    shown, place = page.locator("figure:visible"), page.locator("#place")
    assert (shown.count(), place.inner_text()) == (50, "page 1 of 2, 60 rows")
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert (shown.count(), place.inner_text()) == (10, "page 2 of 2, 60 rows")
    assert page.get_by_role("button", name="next").is_disabled()
    # Groups stand in the order of the rows.
    assert page.locator("option").all_text_contents() == ["all", "2 & 1", "10 x 1"]
    page.get_by_label("show").select_option("10 x 1")
    assert (shown.count(), place.inner_text()) == (20, "page 1 of 1, 20 rows")
    page = open_page(gallery, java_script_enabled=False)
    assert page.locator("figure:visible").count() == 60


def test_an_error_of_a_worker_is_its_last_line(capsys):
    with pytest.raises(SystemExit) as stop, reported("train.py"):
        raise OSError("Caught OSError in worker 0.\nTraceback:\nOSError: x.png: gone")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "train.py: error: x.png: gone\n"


# ---- training.html -------------------------------------------------------------------------------

ODD = """AF "4" & <script>alert('x')</script> für"""


@pytest.fixture
def report(tmp_path: Path) -> Callable[[int, int], Report]:
    """The report of a training that found some of its 120 steps done, 24 an epoch of 4 images each,
    and has done more; its name is full of traps."""

    def report(before: int, done: int) -> Report:
        options = {"name": ODD, "gpu_ids": [0, 1], "lr": 0.0002, "batchSize": 4, "no_html": False}
        made = Report(Namespace(**options), tmp_path, Process(torch.device("cpu")), before, 120, 24)
        made.done = done
        return made

    return report


@pytest.fixture
def half(report) -> Report:
    """With five rows in its log, and 30 samples."""
    half = report(20, 60)
    for number in range(1, 6):
        losses = {"G_GAN": 1 / number, "G_L1": 2.0, "D_real": 0.5, "D_fake": 0.25}
        half.log.add({"images": 48 * number, "epoch": 1, "lr": 0.0002} | losses)
    for number in range(1, 31):
        half.samples.add(1, 8 * number, {name: torch.rand(1, 3, 8, 8) for name in PANELS})
    return half


def facts(opened: Page, where: str = ".facts") -> dict[str, str]:
    names, values = (opened.locator(f"{where} {part}").all_inner_texts() for part in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_of_a_training_has_no_flaws(open_page, half, scheme, width):
    half.write(RUNNING)
    opened = open_page(half.page, scheme, width)
    assert flaws(opened, half.page.parent) == []
    assert opened.locator("h1").inner_text() == f"{ODD} in training"
    strips = opened.locator("img:not(.plot)")
    assert strips.evaluate_all("all => all.every(one => one.alt.endsWith('target, mask'))")


def test_a_running_training_is_shown_with_what_is_left(open_page, half):
    half.started = time.monotonic() - 80  # 40 steps of 4 images in 80 s
    half.write(RUNNING)
    opened = open_page(half.page)
    assert opened.title() == f"{ODD}: 50 % trained"
    assert facts(opened) == {
        "epoch": "3 of 5",
        "steps": "60 of 120",
        "images seen": "240",
        "speed": "2 images/s",
        "time of this run": "0:01:20",
        "computes on": "1 x CPU",
        "time left": "0:02:00",
        "learning rate": "0.0002",
    }
    assert opened.get_by_role("progressbar").get_attribute("value") == "60"
    row = opened.get_by_role("row", name="G_GAN").inner_text().split("\t")
    assert row[2:] == ["1.000", "0.200"]  # the last of five is a tenth, rounded up
    sources = opened.locator("ol a").evaluate_all("all => all.map(one => one.pathname.slice(-13))")
    assert (len(sources), sources[0], sources[-1]) == (12, "000000008.jpg", "000000240.jpg")
    options = facts(opened, ".options")
    assert (options["--name"], options["--gpu_ids"], options["--lr"]) == (ODD, "[0, 1]", "0.0002")


def test_only_a_running_training_is_looked_at_again(report):
    begun = report(20, 20)
    assert "not known yet" in begun.page.read_text() and "No report yet" in begun.page.read_text()
    for state, text in {
        RUNNING: "The training runs.",
        DONE: "The training is done.",
        "KeyError: '<b>'": "The training stopped early: KeyError: &#39;&lt;b&gt;&#39;",
    }.items():
        begun.write(state)
        written = begun.page.read_text()
        assert text in written
        assert ('http-equiv="refresh" content="15"' in written) == (state == RUNNING)
        assert ("http-equiv" in written) == ("time left" in written) == (state == RUNNING)
        assert ("--continue_train goes on" in written) == (state not in (RUNNING, DONE))
