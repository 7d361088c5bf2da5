"""training.html: what it says of a training that runs, is done or stopped, and how it looks."""

import re
from pathlib import Path

import pytest
import torch
from browser import SCREENS, flaws
from util.training_page import DONE, RUNNING, Progress, TrainingPage
from util.visualizer import PANELS, LossLog, SamplePage

ODD = """AF "4" & <script>alert('x')</script> für"""
HALF = Progress(done=60, end=120, before=20, batch_size=4, steps_per_epoch=24, seconds=80.0)
ENDED = Progress(done=120, end=120, before=20, batch_size=4, steps_per_epoch=24, seconds=200.0)


def test_progress_counts_what_this_run_did():
    assert (HALF.images, HALF.share, HALF.epoch, HALF.epochs) == (240, 0.5, 3, 5)
    assert HALF.speed == 2.0  # 40 steps of 4 images in 80 s
    assert HALF.seconds_left == 120.0
    assert Progress(24, 120, 24, 4, 24, 0.0).epoch == 1
    assert Progress(25, 120, 24, 4, 24, 1.0).epoch == 2
    begun = Progress(20, 120, 20, 4, 24, 3.0)
    assert (begun.speed, begun.seconds_left) == (0.0, None)
    assert Progress(0, 0, 0, 4, 24, 0.0).share == 1.0
    assert Progress(144, 120, 144, 4, 24, 0.0).share == 1.0


@pytest.fixture
def page(tmp_path: Path) -> TrainingPage:
    """Of a training with five reports and 30 samples, whose name is full of traps."""
    log, samples = LossLog(tmp_path, images=0), SamplePage(tmp_path, ODD, images=0)
    for number in range(1, 6):
        losses = {"G_GAN": 1 / number, "G_L1": 2.0, "D_real": 0.5, "D_fake": 0.25}
        log.add({"images": 48 * number, "epoch": 1, "lr": 0.0002} | losses)
    for number in range(1, 31):
        panels = {name: torch.rand(1, 3, 8, 8) for name in PANELS}
        samples.add(1, 8 * number, panels)
    options = {"name": ODD, "gpu_ids": [0, 1], "amp": False, "load_pretrain": None, "lr": 0.0002}
    return TrainingPage(tmp_path, ODD, log, samples, options, {"computes on": "2 x GPU <1>"})


def facts(opened, where: str = ".facts") -> dict[str, str]:
    names, values = (opened.locator(f"{where} {part}").all_inner_texts() for part in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_has_no_flaws(open_page, page, scheme, width):
    page.write(HALF)
    opened = open_page(page.path, scheme, width)
    assert flaws(opened, page.path.parent) == []
    assert opened.locator("h1").inner_text() == f"{ODD} in training"
    strips = opened.locator("img:not(.plot)")
    assert strips.evaluate_all("all => all.every(one => one.alt.endsWith('target, mask'))")


def test_a_running_training_is_shown_with_what_is_left(open_page, page):
    page.write(HALF)
    opened = open_page(page.path)
    assert opened.title() == f"{ODD}: 50 % trained"
    assert facts(opened) == {
        "epoch": "3 of 5",
        "steps": "60 of 120",
        "images seen": "240",
        "speed": "2 images/s",
        "time of this run": "1 min 20 s",
        "time left": "about 2 min 0 s",
        "learning rate": "0.0002",
    }
    assert opened.get_by_role("progressbar").get_attribute("value") == "60"
    row = opened.get_by_role("row", name="G_GAN").inner_text().split("\t")
    assert row[2:] == ["1.000", "0.200"]  # the last of five is a tenth, rounded up
    pictures = opened.locator("ol a")
    sources = pictures.evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert len(sources) == 12
    assert sources[0] == "samples/epoch00001_images000000008.jpg"
    assert sources[-1] == "samples/epoch00001_images000000240.jpg"
    assert facts(opened, ".options") == {
        "--name": ODD,
        "--gpu_ids": "0, 1",
        "--amp": "no",
        "--load_pretrain": "none",
        "--lr": "0.0002",
        "computes on": "2 x GPU <1>",
    }


@pytest.mark.parametrize(
    ("state", "refresh", "text"),
    [
        (RUNNING, ["15"], "The training runs."),
        (DONE, [], "The training is done."),
        ("it received SIGTERM.", [], "The training stopped early: it received SIGTERM."),
        ("KeyError: '<b>'", [], "The training stopped early: KeyError: '&lt;b&gt;'"),
    ],
)
def test_only_a_running_training_is_looked_at_again(page, state, refresh, text):
    page.write(HALF, state)
    written = page.path.read_text()
    assert re.findall(r'http-equiv="refresh" content="(\d+)"', written) == refresh
    assert ("time left" in written) == (state == RUNNING)
    assert ("--continue_train goes on" in written) == text.startswith("The training stopped")
    assert text in written.replace("&#39;", "'")


def test_before_the_first_report_there_is_a_page(open_page, tmp_path):
    log, samples = LossLog(tmp_path, images=0), SamplePage(tmp_path, "AF", images=0)
    page = TrainingPage(tmp_path, "AF", log, samples, {}, {})
    page.write(Progress(0, 120, 0, 4, 24, 0.0))
    opened = open_page(page.path)
    assert facts(opened)["time left"] == facts(opened)["speed"] == "not known yet"
    assert "No report yet" in opened.inner_text("body")
    assert flaws(opened, tmp_path) == []
