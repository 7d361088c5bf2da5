"""extract_edges.py as a user runs it: trees, datasets, resuming, bad photos, missing weights."""

import hashlib
import os
import shutil
import struct
import zlib
from pathlib import Path

import extract_edges
import numpy as np
import pytest
import torch
import util.device
from models.pidinet import pidinet_detector
from models.scharr import scharr_edges
from options.edge_options import edge_options
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[2]


def square_photo(path: Path, size=(64, 48)) -> None:
    """A red square on a pale ground: edges along its border only."""
    pixels = np.full((size[1], size[0], 3), 230, np.uint8)
    pixels[12:36, 16:48] = (200, 30, 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise_photo(path: Path, size: tuple[int, int], seed: int) -> np.ndarray:
    """Writes a photo of coloured noise; its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def note(path: Path) -> str:
    with Image.open(path) as image:
        return image.text["extract_edges"]


@pytest.fixture
def trees(tmp_path) -> list[object]:
    """Options that name the photos in photos/ and the maps in edges/."""
    return ["--input", tmp_path / "photos", "--output", tmp_path / "edges"]


@pytest.fixture
def draw(run, trees):
    """Runs the program in this process on the two trees, on the CPU; its output."""

    def draw(*arguments: object, status: int = 0) -> str:
        return run("extract_edges.py", *trees, "--gpu_ids", -1, *arguments, status=status)

    return draw


def test_scharr_draws_the_border_dark_on_white(tmp_path, draw):
    square_photo(tmp_path / "photos/deep/a.png")
    assert "scharr dark_on_white: 1 photos, 1 to do" in draw("--detector", "scharr")
    edges = Image.open(tmp_path / "edges/deep/a.png")
    assert edges.mode == "L" and edges.size == (64, 48)
    border = [255, 255, 255, 252, 1, 1, 252, 255, 255, 255]
    assert np.abs(np.asarray(edges)[24, 11:21].astype(int) - border).max() <= 1


def test_polarity_and_size(tmp_path, draw):
    square_photo(tmp_path / "photos/a.png")
    draw("--detector", "scharr", "--size", 32, 24)
    dark = read(tmp_path / "edges/a.png")
    assert note(tmp_path / "edges/a.png") == "scharr dark_on_white 32x24"
    draw("--detector", "scharr", "--size", 32, 24, "--polarity", "white_on_dark")
    light = read(tmp_path / "edges/a.png")
    assert note(tmp_path / "edges/a.png") == "scharr white_on_dark 32x24"
    assert dark.shape == (24, 32)
    assert dark[12, 16] == 255 and dark[12, 8] < 100  # inside, and on the border
    assert (dark + light == 255).all()


def test_a_photo_is_resized_by_lanczos(tmp_path):
    pixels = np.full((24, 32, 3), 20, np.uint8)
    pixels[:, 13:, 0] = 220
    Image.fromarray(pixels).save(tmp_path / "a.png")
    job = extract_edges.Job(tmp_path / "a.png", tmp_path / "edges.png", (16, 12))
    found = extract_edges.read_photo(job)
    # sinc(x) sinc(x/3), three lobes over twice the width; no other filter overshoots on both sides.
    red = [20, 20, 20, 20, 24, 4, 120, 236, 216, 220, 220, 220, 220, 220, 220, 220]
    assert found[6, :, 0].tolist() == red
    assert (found[:, :, 1:] == 20).all()


def test_every_map_is_that_of_its_own_photo(tmp_path, draw):
    """Two sizes, mixed, more than a batch of each, and one that is broken in between."""
    sizes = [(40, 32), (24, 48), (40, 32), (24, 48), (40, 32), (40, 32), (24, 48)]
    photos = {
        f"{number}.png": noise_photo(tmp_path / f"photos/{number}.png", size, number)
        for number, size in enumerate(sizes)
    }
    del photos["2.png"]
    whole = (tmp_path / "photos/2.png").read_bytes()
    (tmp_path / "photos/2.png").write_bytes(whole[: len(whole) // 2])
    draw("--detector", "scharr", "--batch_size", 3, status=2)
    assert {path.name for path in (tmp_path / "edges").iterdir()} == set(photos)
    for name, photo in photos.items():
        expected = 255 - scharr_edges(photo[None])[0].astype(int)
        assert np.array_equal(read(tmp_path / "edges" / name), expected), name


def test_pidinet_through_the_program(tmp_path, draw, random_pidinet):
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": random_pidinet}, weights)
    photos = [noise_photo(tmp_path / f"photos/{n}.png", (40, 32), n) for n in range(3)]
    draw("--weights", weights, "--batch_size", 2)
    detect = pidinet_detector(weights, torch.device("cpu"))
    for number, photo in enumerate(photos):
        found = read(tmp_path / f"edges/{number}.png")
        # A batch's sums may differ in the last bit.
        assert np.abs(found - (255 - detect(photo[None])[0].astype(int))).max() <= 1


def test_dataset_fills_pidinet_edges_beside_each_good(tmp_path, run_process):
    """From outside the repository, with paths relative to its root and no other option."""
    for subspecies in ("8", "8_9"):
        square_photo(tmp_path / f"Images/{subspecies}/train/good/CAM{subspecies}.jpg")
    relative = os.path.relpath(tmp_path, ROOT)
    assert "2 edge maps drawn" in run_process(
        "extract_edges.py", "--dataset", relative, "--detector", "scharr"
    )
    made = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert made == [
        "Images/8/train/pidinet_edges/CAM8.png",
        "Images/8_9/train/pidinet_edges/CAM8_9.png",
    ]


def test_resuming_keeps_what_stands_and_redoes_what_does_not(tmp_path, draw):
    for name in "abcd":
        square_photo(tmp_path / f"photos/{name}.png")
    draw("--detector", "scharr")
    assert "4 photos, 0 to do" in draw("--detector", "scharr")

    edges = tmp_path / "edges"
    (edges / "a.png").unlink()
    os.utime(tmp_path / "photos/b.png", (4e9, 4e9))  # photo b has changed since
    Image.new("L", (64, 48)).save(edges / "c.png")  # not ours: somebody's own edge map
    foreign = (edges / "c.png").read_bytes()
    assert "4 photos, 2 to do" in draw("--detector", "scharr")
    assert "4 photos, 3 to do" in draw("--detector", "scharr", "--polarity", "white_on_dark")
    assert (edges / "c.png").read_bytes() == foreign
    assert not list(edges.glob(".*"))


def test_other_weights_draw_anew(tmp_path, draw, random_pidinet):
    noise_photo(tmp_path / "photos/a.png", (40, 32), 0)
    edges = tmp_path / "edges/a.png"
    made = []
    for name in ("one.pth", "two.pth"):
        torch.save({"state_dict": random_pidinet}, tmp_path / name)
        assert "1 photos, 1 to do" in draw("--weights", tmp_path / name)
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert note(edges) == f"pidinet {digest} dark_on_white"
        made.append(read(edges))
        for weight in random_pidinet.values():
            weight.mul_(1.5)
    assert np.abs(made[0] - made[1]).max() > 20
    # The same bytes under another name are the same weights.
    (tmp_path / "two.pth").rename(tmp_path / "renamed.pth")
    assert "1 photos, 0 to do" in draw("--weights", tmp_path / "renamed.pth")
    # With scharr they say nothing.
    assert "1 photos, 1 to do" in draw("--detector", "scharr", "--weights", tmp_path / "one.pth")
    assert "1 photos, 0 to do" in draw("--detector", "scharr", "--weights", tmp_path / "none.pth")


def test_a_map_whose_note_names_no_weights_is_drawn_anew_once(tmp_path, draw, random_pidinet):
    noise_photo(tmp_path / "photos/a.png", (40, 32), 0)
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": random_pidinet}, weights)
    info = PngInfo()
    info.add_text("extract_edges", "pidinet dark_on_white")  # as before weights were noted
    (tmp_path / "edges").mkdir()
    Image.new("L", (40, 32)).save(tmp_path / "edges/a.png", pnginfo=info)
    assert "1 photos, 1 to do" in draw("--weights", weights)
    assert read(tmp_path / "edges/a.png").max() > 0
    assert "1 photos, 0 to do" in draw("--weights", weights)


def test_a_broken_photo_is_named_and_the_others_are_done(tmp_path, run_process, trees):
    square_photo(tmp_path / "photos/good.png")
    square_photo(tmp_path / "photos/short.png")
    whole = (tmp_path / "photos/short.png").read_bytes()
    (tmp_path / "photos/short.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "photos/text.jpg").write_text("no image")
    Image.new("RGB", (5, 90)).save(tmp_path / "photos/tiny.png")
    output = run_process("extract_edges.py", *trees, "--detector", "scharr", status=2)
    assert "short.png: not a readable image" in output
    assert "text.jpg: not a readable image" in output
    assert "tiny.png: 5x90, expected 8 pixels or more" in output
    assert "extract_edges.py: error: 3 photos could not be used" in output
    assert [p.name for p in (tmp_path / "edges").iterdir()] == ["good.png"]


def png_of_a_billion_pixels() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 32000, 32000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("content", [b"no image", png_of_a_billion_pixels()])
def test_a_map_that_is_no_image_is_an_error_and_stays(tmp_path, draw, content):
    square_photo(tmp_path / "photos/a.png")
    (tmp_path / "edges").mkdir()
    (tmp_path / "edges/a.png").write_bytes(content)
    output = draw("--detector", "scharr", status=2)
    assert f"extract_edges.py: error: {tmp_path}/edges/a.png: not a readable PNG" in output
    assert (tmp_path / "edges/a.png").read_bytes() == content


def test_a_pipe_in_a_maps_place_is_an_error(tmp_path, trees, run_process):
    square_photo(tmp_path / "photos/a.png")
    (tmp_path / "edges").mkdir()
    os.mkfifo(tmp_path / "edges/a.png")  # opening it would wait for a writer for ever
    arguments = (*trees, "--gpu_ids", -1, "--detector", "scharr")
    output = run_process("extract_edges.py", *arguments, status=2)
    assert f"{tmp_path}/edges/a.png: a folder, a pipe or a device; move it away" in output


def test_bad_folders_are_errors(tmp_path, run):
    (tmp_path / "empty").mkdir()
    square_photo(tmp_path / "twice/a.png")
    square_photo(tmp_path / "twice/a.jpg")

    def error(*arguments):
        output = run("extract_edges.py", *arguments, "--gpu_ids", -1, status=2)
        assert output.startswith("extract_edges.py: error: ")
        return output

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
        ("--dataset data --size 4 64", "--size 4 64: expected 8 pixels or more a side"),
        ("--dataset data --size 64 7", "--size 64 7: expected 8 pixels or more a side"),
        ("--dataset data --batch_size 0", "'0': expected a whole number, 1 or more"),
        ("--dataset data --device cpu", "unrecognized arguments: --device cpu"),
        ("--dataset data --gpu_ids 99", "--gpu_ids 99: GPU 99 is not there"),
    ],
)
def test_bad_options_are_errors(run, arguments, message):
    assert message in run("extract_edges.py", *arguments.split(), status=2)


@pytest.mark.parametrize(
    "there, processes, gpu_ids", [(True, None, [0]), (True, "2", [0, 1]), (False, "2", [])]
)
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, there, processes, gpu_ids):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert edge_options(["--dataset", "x"]).gpu_ids == gpu_ids
    assert edge_options(["--dataset", "x", "--gpu_ids", "-1"]).gpu_ids == []
    assert edge_options(["--dataset", "x", "--gpu_ids", "0,1"]).gpu_ids == [0, 1]


def test_edges_are_drawn_exactly(monkeypatch, tmp_path, draw, random_pidinet):
    """In all of float32's bits: the strengths are rounded down."""
    noise_photo(tmp_path / "photos/a.png", (40, 32), 0)
    torch.save({"state_dict": random_pidinet}, tmp_path / "weights.pth")
    asked = []
    monkeypatch.setattr(util.device, "prepare", lambda exact=False: asked.append(exact))
    draw("--weights", tmp_path / "weights.pth")
    assert asked == [True]


def test_processes_share_the_photos(tmp_path, draw, start, run_process, trees, random_pidinet):
    """Five photos of two sizes in batches of two, one of them broken: the maps of one process."""
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": random_pidinet}, weights)
    for number, size in enumerate([(40, 32), (24, 48), (40, 32), (40, 32), (24, 48)]):
        noise_photo(tmp_path / f"photos/{number}.png", size, number)
    broken = tmp_path / "photos/4.png"
    broken.write_bytes(broken.read_bytes()[:200])
    draw("--weights", weights, "--batch_size", 2, status=2)
    alone = {path.name: path.read_bytes() for path in (tmp_path / "edges").iterdir()}
    assert len(alone) == 4
    shutil.rmtree(tmp_path / "edges")
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node=2".split()
    shared = (*trees, "--gpu_ids", -1, "--weights", weights, "--batch_size", 2)
    process = start("extract_edges.py", *shared, prefix=torchrun)
    output = "".join(process.communicate(timeout=300))
    assert process.returncode != 0
    assert output.count("5 photos, 5 to do") == output.count("4 edge maps drawn") == 1
    assert output.count("4.png: not a readable image") == 1
    assert "error: 1 photos could not be used" in output
    assert {path.name: path.read_bytes() for path in (tmp_path / "edges").iterdir()} == alone
    broken.unlink()
    output = run_process("extract_edges.py", *shared, prefix=torchrun)
    assert "4 photos, 0 to do" in output and output.count("0 edge maps drawn") == 1


def test_the_defaults_are_what_the_generators_expect():
    opt = edge_options(["--dataset", "Datasets/x"])
    assert (opt.detector, opt.polarity, opt.size) == ("pidinet", "dark_on_white", None)
    assert opt.weights == ROOT / "Models/edges/table5_pidinet.pth"
    assert opt.dataset == ROOT / "Datasets/x"
    assert opt.batch_size == 8
    opt = edge_options(["--input", "photos", "--output", "edges"])
    assert (opt.input, opt.output) == (ROOT / "photos", ROOT / "edges")


def test_batches_hold_one_size_and_a_bounded_number_of_pixels_the_largest_first():
    def job(name, size):
        return extract_edges.Job(Path(name), Path(name), size)

    small = [job(f"small{n}", (256, 256)) for n in range(20)]
    large = [job(f"large{n}", (1024, 1000)) for n in range(2)]
    broad, high = job("broad", (512, 200)), job("high", (200, 512))
    huge = job("huge", (4000, 3000))
    jobs = [broad, *small, high, huge, *large]
    found = [(batch[0].size, len(batch)) for batch in extract_edges.batches(jobs, 16)]
    assert found == [
        ((4000, 3000), 1),
        ((1024, 1000), 1),
        ((1024, 1000), 1),
        ((512, 200), 1),
        ((200, 512), 1),
        ((256, 256), 16),
        ((256, 256), 4),
    ]


def test_the_published_edges_through_the_program(shared, tmp_path, draw):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        photo = shared / f"pidinet/expected/{number}_image.png"
        (tmp_path / f"photos/{number}.png").symlink_to(photo)
    draw("--weights", shared / "pidinet/table5_pidinet.pth")
    assert note(tmp_path / "edges/0.png") == (
        "pidinet 80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c dark_on_white"
    )
    for number in range(3):
        expected = 255 - read(shared / f"pidinet/expected/{number}_edges.png")
        assert abs(expected - read(tmp_path / f"edges/{number}.png")).max() <= 1


def test_a_photo_too_large_for_pidinet_is_refused_before_any_work(tmp_path, draw):
    square_photo(tmp_path / "photos/a.png", size=(2100, 2000))
    square_photo(tmp_path / "photos/b.png")
    (tmp_path / "text.pth").write_text("no weights")
    output = draw("--weights", tmp_path / "text.pth", status=2)
    assert f"{tmp_path}/photos/a.png: 2100x2000, and PiDiNet takes 4,194,304 pixels" in output
    assert "(1 of 2 photos have more); resize them with --size W H" in output
    output = draw("--weights", tmp_path / "text.pth", "--size", 210, 200, status=2)
    assert "text.pth: not a checkpoint that can be loaded safely" in output
    assert not (tmp_path / "edges").exists()


def test_missing_weights_are_an_error_that_says_what_to_do(tmp_path, draw):
    square_photo(tmp_path / "photos/a.png")
    output = draw("--weights", tmp_path / "none.pth", status=2)
    for part in (
        f"extract_edges.py: error: {tmp_path}/none.pth: no such file",
        "expected PiDiNet's table5_pidinet.pth",
        "scripts/download_models.sh pidinet",
        "Models/edges/table5_pidinet.pth",
        "--weights",
        "--detector scharr",
    ):
        assert part in output
    assert not (tmp_path / "none.pth").exists()
