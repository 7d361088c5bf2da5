"""What is shown of a training and of its errors: log, page of samples, messages."""

import re
import signal
from pathlib import Path

import benchmark
import models.anomaly_factory
import pytest
import torch
from browser import SCREENS, flaws
from matplotlib.axes import Axes
from options.base_options import ROOT
from options.train_options import train_options
from util import errors, visualizer
from util.errors import InputError, reported
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


def test_groups_stand_in_the_order_of_the_rows_and_names_are_quoted(tmp_path: Path):
    rows = [Row("a#1.jpg", "b 2%.png", "", group) for group in ("2 x 1", "10 x 1", "2 x 1")]
    write_page(tmp_path / "page.html", "page", ["result"], rows)
    text = (tmp_path / "page.html").read_text()
    assert re.findall(r"<option[^>]*>([^<]+)<", text) == ["all", "2 x 1", "10 x 1"]
    assert text.count('src="a%231.jpg"') == text.count('href="b%202%25.png"') == 3


@pytest.fixture
def gallery(tmp_path: Path, draw) -> Path:
    """A page of 60 rows in two groups, with names that HTML and addresses must escape."""
    draw(tmp_path / "pictures/a#1 <b>.png", size=(640, 128))
    strip = "pictures/a#1 <b>.png"
    captions = [f"Zürich <script>alert('{number}')</script>" for number in range(60)]
    rows = [Row(strip, strip, caption, f"g&{i % 3 // 2}") for i, caption in enumerate(captions)]
    write_page(tmp_path / "page.html", 'all of "AF" & <i>', ["one", "reference", "3"], rows)
    return tmp_path / "page.html"


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_gallery_reads_well_and_turns_pages_by_keyboard(open_page, gallery, scheme, width):
    page = open_page(gallery, scheme, width)
    assert flaws(page, gallery.parent) == []
    assert page.locator("h1").inner_text() == 'all of "AF" & <i>'
    assert page.locator("figcaption").first.inner_text() == ("Zürich <script>alert('0')</script>")
    shown = page.locator("figure:visible")
    assert (shown.count(), page.locator("#place").inner_text()) == (50, "page 1 of 2, 60 rows")
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert (shown.count(), page.locator("#place").inner_text()) == (10, "page 2 of 2, 60 rows")
    assert page.get_by_role("button", name="next").is_disabled()
    page.get_by_label("show").select_option("g&1")
    assert (shown.count(), page.locator("#place").inner_text()) == (20, "page 1 of 1, 20 rows")
    page = open_page(gallery, java_script_enabled=False)
    assert page.locator("figure:visible").count() == 60


def report(error: Exception) -> None:
    with reported("train.py"):
        raise error


def test_an_error_of_a_worker_is_its_last_line(capsys):
    with pytest.raises(SystemExit) as stop:
        report(OSError("Caught OSError in DataLoader worker 0.\nTraceback:\nOSError: x.png: gone"))
    assert stop.value.code == 2
    assert capsys.readouterr().err == "train.py: error: OSError: x.png: gone\n"


@pytest.mark.parametrize(
    ("rank", "error", "seconds"),
    [
        (0, InputError("wrong"), 0),
        (1, InputError("wrong"), errors.TURN),
        (0, RuntimeError("Connection closed by peer"), errors.TURN),
        (1, RuntimeError("Connection closed by peer"), 2 * errors.TURN),
    ],
)
def test_processes_take_turns_to_report(monkeypatch, rank, error, seconds):
    waited = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(errors.time, "sleep", waited.append)
    monkeypatch.setattr(errors.signal, "signal", lambda *handler: waited.append(handler))
    with pytest.raises((SystemExit, RuntimeError)):
        report(error)
    assert waited == [(signal.SIGTERM, signal.SIG_DFL), seconds]


def test_the_benchmark_times_the_whole_and_its_parts(run, tiny, dataset, monkeypatch):
    monkeypatch.setattr(models.anomaly_factory, "BACKBONES", ROOT / "nowhere")
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--block_aug"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2, "--peak", 3)
    rows = re.findall(r"^(one training sample|paint one image|training step)", output, re.MULTILINE)
    assert [rows.count(row) for row in dict.fromkeys(rows)] == [1, 4, 2]
    assert "with VGG19 of random weights, as nowhere/vgg19-dcbb9e9d.pth is not there" in output
    number = r"[\d.e-]+"
    for part in ("training", "painting"):
        line = rf"^{part}: ({number}) images/s, each of ({number}) GFLOP: ({number}) TFLOP/s, "
        speed, work, done = map(float, re.search(line, output, re.MULTILINE).groups())
        assert done == pytest.approx(speed * work / 1e3, rel=0.1)  # of rounded numbers
        assert re.search(rf"{part}: .* of 3$", output, re.MULTILINE)
    assert re.search(r"\d+% of the time waiting for samples, \d+% computing, -?\d+% wait", output)
    assert re.search(r"a save holds it up for [\d.]+ s and is written [\d.]+ s later", output)
    assert re.search(r"each part alone: [\d.]+ read, [\d.]+ painted, [\d.]+ written", output)


def test_the_work_of_an_image():
    """At the published size, 580 GFLOP to train and 121 to paint."""
    opt = train_options(["--name", "x", "--dataroot", "x"])
    training, painting = benchmark.work_of_an_image(opt, with_vgg=True)
    assert (round(training), round(painting)) == (580, 121)
    without, _ = benchmark.work_of_an_image(opt, with_vgg=False)
    assert round(training - without) == 142


@pytest.mark.parametrize(
    ("name", "amp", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", True, 989.5),
        ("NVIDIA H100 80GB HBM3", False, 494.7),
        ("NVIDIA H100 PCIe", True, 756),
        ("NVIDIA H200", True, 989.5),
        ("NVIDIA A100-SXM4-80GB", False, 156),
        ("NVIDIA GeForce GTX 1080", True, None),
    ],
)
def test_the_peak_goes_by_name_and_precision(monkeypatch, name, amp, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert benchmark.peak_of(torch.device("cuda"), amp) == peak
    assert benchmark.peak_of(torch.device("cpu"), amp) is None


def test_a_speed_is_said_beside_the_peak():
    assert benchmark.said(150, 580, 1000) == (
        "150.00 images/s, each of 580 GFLOP: 87 TFLOP/s, 8.7% of 1000"
    )
    assert benchmark.said(150, 580, None).endswith(
        "87 TFLOP/s; the device's peak is not known, --peak says it"
    )


def test_a_loss_log_of_other_columns_is_moved_aside(tmp_path):
    LossLog(tmp_path, 0).add({"images": 2, "epoch": 1, "lr": 0.0002, "G_GAN": 1.5})
    before = (tmp_path / "loss_log.csv").read_text()
    LossLog(tmp_path, 2).add({"images": 4, "epoch": 1, "lr": 0.0002, "G_L1": 0.5})
    assert (tmp_path / "loss_log.before.csv").read_text() == before
    assert (tmp_path / "loss_log.csv").read_text() == "images,epoch,lr,G_L1\n4,1,0.0002,0.5\n"
