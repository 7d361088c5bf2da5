"""What is shown of a training and of its errors: log, page of samples, messages."""

import re
from pathlib import Path

import pytest
import torch
from browser import SCREENS, flaws
from matplotlib.axes import Axes
from util import visualizer
from util.errors import reported
from util.html import Row, write_page
from util.visualizer import PANELS, LossLog, SamplePage, running_mean

HEAD = "images,epoch,lr,G_GAN\n"


@pytest.mark.parametrize("spoilt", ["6,1,0.0", "6,1,0.1\n8,1,0.1,3\n", "\0\0\n", "6,1,0.1,x\n"])
def test_a_log_is_continued_from_its_whole_rows(tmp_path: Path, spoilt: str):
    log = tmp_path / "loss_log.csv"
    log.write_text(HEAD + "2,1,0.1,3\n4,1,0.1,3\n" + spoilt)
    LossLog(tmp_path, images=8).add({"images": 10, "epoch": 2, "lr": 0.1, "G_GAN": 2.5})
    assert log.read_text() == HEAD + "2,1,0.1,3\n4,1,0.1,3\n10,2,0.1,2.5\n"


def test_a_long_log_is_drawn_thinned(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(visualizer, "POINTS", 4)
    drawn, plot = [], Axes.plot

    def plot_and_note(self, x, *arguments, **options):
        drawn.append(list(x))
        return plot(self, x, *arguments, **options)

    monkeypatch.setattr(Axes, "plot", plot_and_note)
    log = LossLog(tmp_path, images=0)
    for images in range(10):
        log.add({"images": images, "epoch": 1, "lr": 0.1, "G_GAN": 1.0})
    log.draw()
    assert drawn == [[0, 3, 6, 9]] * 2  # the mean and the values themselves


def test_the_running_mean_is_over_a_twentieth(tmp_path: Path):
    values = [0.0] * 30 + [41.0] + [0.0] * 50  # 81 values: two on either side join each mean
    mean = running_mean(values)
    assert mean[27:34].tolist() == pytest.approx([0, 8.2, 8.2, 8.2, 8.2, 8.2, 0])
    assert running_mean([3.0, *[0.0] * 80])[0] == pytest.approx(1.0)  # three at the beginning
    assert running_mean([1.0, 2.0]).tolist() == [1.0, 2.0]


def test_the_page_shows_the_newest_samples(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(visualizer, "SHOWN", 3)
    page = SamplePage(tmp_path, "AF", images=0)
    for epoch in (99, 100, 101, 150):
        page.add(epoch, epoch * 10, {name: torch.zeros(1, 3, 8, 8) for name in PANELS})
    text = (tmp_path / "samples.html").read_text()
    assert re.findall(r'src="samples/epoch(\d+)_', text) == ["00150", "00101", "00100"]
    assert re.findall(r'data-group="([^"]+)"', text) == [
        *["epochs 101 to 200"] * 2,
        "epochs 1 to 100",
    ]
    assert len(list((tmp_path / "samples").iterdir())) == 4


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
