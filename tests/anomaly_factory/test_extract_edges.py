"""extract_edges.py as a user runs it: trees, datasets, resuming, bad photos, missing weights."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import extract_edges
import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "AnomalyFactory/extract_edges.py"
SHARED = REPOSITORY.parent / "shared/pidinet"


def run(*arguments, expect=0):
    """Standard error of the program; fails the test on another exit status or a traceback."""
    done = subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def run_here(caplog):
    """The program's work in this process, without another import of PyTorch; returns its log."""

    def run_here(*arguments):
        caplog.clear()
        with caplog.at_level("INFO"):
            extract_edges.run(extract_edges.parse_arguments([str(a) for a in arguments]))
        return caplog.text

    return run_here


def square_photo(path: Path, size=(64, 48)) -> None:
    """A red square on a pale ground: edges along its border only."""
    pixels = np.full((size[1], size[0], 3), 230, np.uint8)
    pixels[12:36, 16:48] = (200, 30, 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_scharr_draws_the_border_dark_on_white(tmp_path):
    square_photo(tmp_path / "photos/deep/a.png")
    log = run(
        "--input", tmp_path / "photos", "--output", tmp_path / "edges", "--detector", "scharr"
    )
    assert "scharr dark_on_white: 1 photos, 1 to do" in log
    edges = Image.open(tmp_path / "edges/deep/a.png")
    assert edges.mode == "L" and edges.size == (64, 48)
    grey = np.asarray(edges)
    assert grey[24, 15:17].max() < 40  # on the border
    assert grey[24, 32] == 255 and grey[4, 4] == 255  # inside and outside


def test_polarity_and_size(tmp_path, run_here):
    square_photo(tmp_path / "photos/a.png")
    common = ["--input", tmp_path / "photos", "--output", tmp_path / "edges", "--size", 32, 24]
    run_here(*common, "--detector", "scharr")
    dark = np.asarray(Image.open(tmp_path / "edges/a.png"))
    run_here(*common, "--detector", "scharr", "--polarity", "white_on_dark")
    light = np.asarray(Image.open(tmp_path / "edges/a.png"))
    assert dark.shape == (24, 32)
    assert (dark.astype(int) + light == 255).all()


def test_scharr_finds_nothing_on_plain_ground():
    noise = np.random.default_rng(0).integers(0, 2, (1, 64, 64, 3))
    assert extract_edges.scharr_edges((200 + noise).astype(np.uint8)).max() < 32
    assert extract_edges.scharr_edges(np.full((1, 64, 64, 3), 90, np.uint8)).max() == 0


def test_dataset_fills_pidinet_edges_beside_each_good(tmp_path):
    for subspecies in ("8", "8_9"):
        square_photo(tmp_path / f"Images/{subspecies}/train/good/CAM{subspecies}.jpg")
    run("--dataset", tmp_path, "--detector", "scharr")
    made = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert made == [
        "Images/8/train/pidinet_edges/CAM8.png",
        "Images/8_9/train/pidinet_edges/CAM8_9.png",
    ]


def test_resuming_keeps_what_stands_and_redoes_what_does_not(tmp_path, run_here):
    for name in "abcd":
        square_photo(tmp_path / f"photos/{name}.png")
    common = [
        "--input",
        tmp_path / "photos",
        "--output",
        tmp_path / "edges",
        "--detector",
        "scharr",
    ]
    run_here(*common)
    assert "4 photos, 0 to do" in run_here(*common)

    edges = tmp_path / "edges"
    (edges / "a.png").unlink()
    os.utime(tmp_path / "photos/b.png", (4e9, 4e9))  # photo b has changed since
    Image.new("L", (64, 48)).save(edges / "c.png")  # not ours: somebody's own edge map
    assert "4 photos, 2 to do" in run_here(*common)
    assert np.asarray(Image.open(edges / "c.png")).max() == 0
    assert "4 photos, 3 to do" in run_here(*common, "--polarity", "white_on_dark")
    assert not list(edges.glob(".*"))


def test_a_broken_photo_is_named_and_the_others_are_done(tmp_path):
    square_photo(tmp_path / "photos/good.png")
    square_photo(tmp_path / "photos/short.png")
    whole = (tmp_path / "photos/short.png").read_bytes()
    (tmp_path / "photos/short.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "photos/text.jpg").write_text("no image")
    Image.new("RGB", (5, 90)).save(tmp_path / "photos/tiny.png")
    log = run(
        *("--input", tmp_path / "photos", "--output", tmp_path / "edges", "--detector", "scharr"),
        expect=1,
    )
    assert "short.png: not a readable image" in log
    assert "text.jpg: not a readable image" in log
    assert "tiny.png: 5x90, expected 8 pixels or more" in log
    assert "3 photos could not be read" in log
    assert [p.name for p in (tmp_path / "edges").iterdir()] == ["good.png"]


def test_bad_folders_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    square_photo(tmp_path / "twice/a.png")
    square_photo(tmp_path / "twice/a.jpg")

    def error(*arguments):
        with pytest.raises(extract_edges.EdgeError) as caught:
            extract_edges.plan(extract_edges.parse_arguments([str(a) for a in arguments]))
        return str(caught.value)

    edges = ["--output", tmp_path / "edges"]
    assert "no such folder" in error("--input", tmp_path / "none", *edges)
    assert "no photos in it" in error("--input", tmp_path / "empty", *edges)
    assert "would both become" in error("--input", tmp_path / "twice", *edges)
    assert "prepare_images.py" in error("--dataset", tmp_path / "empty")
    inside = tmp_path / "twice/edges"
    assert "lies inside" in error("--input", tmp_path / "twice", "--output", inside)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--input photos", "give either --dataset"),
        ("--dataset data --output edges", "give either --dataset"),
        ("--dataset data --size 4 4", "both sides must be 8 pixels or more"),
        ("--dataset data --batch_size 0", "must be 1 or more"),
    ],
)
def test_bad_options_are_errors(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        extract_edges.parse_arguments(arguments.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_batches_hold_one_size_and_a_bounded_number_of_pixels():
    def job(name, size):
        return extract_edges.Job(Path(name), Path(name), size)

    small = [job(f"small{n}", (256, 256)) for n in range(20)]
    large = [job(f"large{n}", (1024, 1000)) for n in range(2)]
    huge = [job("huge", (4000, 3000))]
    found = [
        (batch[0].size, len(batch)) for batch in extract_edges.batches(small + huge + large, 16)
    ]
    assert found == [
        ((256, 256), 16),
        ((256, 256), 4),
        ((1024, 1000), 1),
        ((1024, 1000), 1),
        ((4000, 3000), 1),
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED}: the published edge maps are absent")
def test_pidinet_matches_the_published_edges_through_the_program(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        (photos / f"{number}.png").symlink_to(SHARED / f"expected/{number}_image.png")
    weights = SHARED / "table5_pidinet.pth"
    run("--input", photos, "--output", tmp_path / "edges", "--weights", weights, "--device", "cpu")
    for number in range(3):
        found = np.asarray(Image.open(tmp_path / f"edges/{number}.png")).astype(int)
        expected = np.asarray(Image.open(SHARED / f"expected/{number}_edges.png")).astype(int)
        assert abs(255 - expected - found).max() <= 1


def test_a_photo_too_large_for_pidinet_is_refused_before_any_work(tmp_path, run_here):
    square_photo(tmp_path / "photos/a.png", size=(2100, 2000))
    common = ["--input", tmp_path / "photos", "--output", tmp_path / "edges"]
    common += ["--weights", tmp_path / "none.pth"]
    with pytest.raises(extract_edges.EdgeError, match=r"a\.png: 2100x2000.* --size W H"):
        run_here(*common)
    with pytest.raises(extract_edges.EdgeError, match="no such file"):
        run_here(*common, "--size", 210, 200)


def test_named_weights_that_are_missing_or_wrong(tmp_path, run_here):
    square_photo(tmp_path / "photos/a.png")
    common = ["--input", tmp_path / "photos", "--output", tmp_path / "edges"]
    with pytest.raises(extract_edges.EdgeError, match=r"none\.pth: no such file"):
        run_here(*common, "--weights", tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights")
    log = run(*common, "--weights", tmp_path / "text.pth", expect=1)
    assert "text.pth: not a checkpoint that can be loaded safely" in log


def test_weights_are_fetched_when_the_checksum_is_right(tmp_path, server, monkeypatch):
    folder, address = server
    (folder / "net.pth").write_bytes(b"the weights")
    monkeypatch.setenv("PIDINET_URL", f"{address}/net.pth")
    digest = hashlib.sha256(b"the weights").hexdigest()
    monkeypatch.setattr(extract_edges, "PIDINET_SHA256", digest)
    extract_edges.fetch_weights(tmp_path / "Models/edges/net.pth")
    assert (tmp_path / "Models/edges/net.pth").read_bytes() == b"the weights"


@pytest.mark.parametrize("name, reason", [("net.pth", "SHA-256 is"), ("none.pth", "404")])
def test_a_failed_fetch_leaves_no_file_and_says_what_to_do(
    tmp_path, server, monkeypatch, name, reason
):
    folder, address = server
    (folder / "net.pth").write_bytes(b"something else")
    monkeypatch.setenv("PIDINET_URL", f"{address}/{name}")
    with pytest.raises(extract_edges.EdgeError) as error:
        extract_edges.fetch_weights(tmp_path / "net.pth")
    for part in (reason, str(tmp_path / "net.pth"), "--weights", "--detector scharr"):
        assert part in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["served"]
