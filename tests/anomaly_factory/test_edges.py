"""Edge maps: the two detectors, and extract_edges.py as a user runs it."""

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import extract_edges
import numpy as np
import pytest
import torch
import util.device
from models.pidinet import load_pidinet, vanilla_kernel
from models.scharr import scharr_edges
from PIL import Image
from util.errors import InputError
from util.images import png_texts

# ---- detectors -----------------------------------------------------------------------------------

RING = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]  # clockwise


def test_vanilla_kernels_compute_the_pixel_differences():
    """Section 3.2 of the paper, in the middle of an image."""
    random = torch.Generator().manual_seed(1)
    image = torch.randn(5, 5, generator=random, dtype=torch.float64)
    weight = torch.randn(3, 3, generator=random, dtype=torch.float64)

    def at(place: tuple[int, int], reach: int = 1) -> torch.Tensor:
        return image[2 + reach * place[0], 2 + reach * place[1]]

    own = {(r, c): weight[1 + r, 1 + c] for r, c in RING}
    # Outer pixels minus inner ones, row by row; the first weight has no pair.
    outer = zip(sorted(RING), weight.flatten()[1:], strict=True)
    for kind, expected in {
        "cv": (weight * image[1:4, 1:4]).sum(),
        "cd": sum(own[place] * (at(place) - at((0, 0))) for place in RING),
        "ad": sum(own[one] * (at(one) - at(other)) for one, other in pairwise([*RING, RING[0]])),
        "rd": sum(value * (at(place, 2) - at(place)) for place, value in outer),
    }.items():
        kernel = vanilla_kernel(kind, weight[None, None])[0, 0]
        assert kernel.shape == ((5, 5) if kind == "rd" else (3, 3))
        around = image if kind == "rd" else image[1:4, 1:4]
        torch.testing.assert_close((kernel * around).sum(), expected)


def test_kernels_that_were_converted_before_are_refused_by_key(tmp_path, random_pidinet):
    """They have the names and, of one kind, the size of those that are made here."""
    random_pidinet["module.block1_2.conv1.weight"] = torch.zeros(60, 1, 5, 5)
    torch.save({"state_dict": random_pidinet}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: .*block1_2.*no 3x3 kernel"):
        load_pidinet(tmp_path / "other.pth")


def test_next_to_nothing_on_plain_ground_and_each_photo_by_itself():
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 3))
    plain, steps = (200 + noise).astype(np.uint8), (noise * 100).astype(np.uint8)
    found = scharr_edges(np.stack([plain, steps]))
    assert found.dtype == np.uint8 and abs(int(found[0].max()) - 14) <= 1
    assert np.array_equal(scharr_edges(steps[None])[0], found[1])


# ---- the program ---------------------------------------------------------------------------------


def noise_photo(path: Path, size: tuple[int, int] = (40, 32), seed: int = 0) -> np.ndarray:
    """Writes a photo of coloured noise; its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture
def draw(run, tmp_path):
    """Draws the maps in edges/ of the photos in photos/, on the CPU; the output."""
    trees = ("--input", tmp_path / "photos", "--output", tmp_path / "edges", "--gpu_ids", -1)
    return lambda *others, status=0: run("extract_edges.py", *trees, *others, status=status)


def test_the_published_edges_through_the_program(shared, tmp_path, draw):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/0.png").symlink_to(shared / "pidinet/expected/0_image.png")
    draw("--weights", shared / "pidinet/table5_pidinet.pth")
    assert png_texts(tmp_path / "edges/0.png")["extract_edges"] == (
        "pidinet 80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c dark_on_white"
    )
    expected = 255 - read(shared / "pidinet/expected/0_edges.png")
    difference = abs(expected - read(tmp_path / "edges/0.png"))
    # Float sums in another order, next to a whole number.
    assert difference.max() <= 1 and np.count_nonzero(difference) <= 10


def test_size_and_dark_lines_on_white(tmp_path, draw):
    square = Image.new("RGB", (64, 48), (230, 230, 230))  # edges along its border only
    square.paste((200, 30, 20), (16, 12, 48, 36))
    (tmp_path / "photos/deep").mkdir(parents=True)
    square.save(tmp_path / "photos/deep/a.png")
    path = tmp_path / "edges/deep/a.png"
    assert "scharr dark_on_white: 1 photos, 1 to do" in draw("--detector", "scharr")
    assert Image.open(path).mode == "L" and Image.open(path).size == (64, 48)
    border = [255, 255, 255, 252, 1, 1, 252, 255, 255, 255]
    assert np.abs(read(path)[24, 11:21] - border).max() <= 1
    photo = Image.fromarray(noise_photo(tmp_path / "photos/deep/a.png", (32, 24), 0))
    draw("--detector", "scharr", "--size", 16, 12)
    assert png_texts(path)["extract_edges"] == "scharr dark_on_white 16x12"
    smaller = np.asarray(photo.resize((16, 12), Image.Resampling.LANCZOS))
    assert np.array_equal(read(path), 255 - scharr_edges(smaller[None])[0])


def test_a_photo_that_was_held_turned_has_the_map_of_the_upright_one(tmp_path, draw):
    """Beside one of the size that its pixels are stored in, with which it shares no batch."""
    upright = Image.fromarray(noise_photo(tmp_path / "photos/upright.png", (40, 32)))
    noise_photo(tmp_path / "photos/other.png", (32, 40))
    exif = Image.Exif()
    exif[274] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos/turned.png", exif=exif)
    draw("--detector", "scharr")
    turned = read(tmp_path / "edges/turned.png")
    assert np.array_equal(turned, read(tmp_path / "edges/upright.png"))


def test_every_map_is_that_of_its_own_photo(tmp_path, draw):
    """Two sizes, mixed, more than a batch of each; the broken ones are named and left out."""
    sizes = [(40, 32), (24, 48), (40, 32), (24, 48), (40, 32), (40, 32), (24, 48)]
    photos = {
        f"{number}.png": noise_photo(tmp_path / f"photos/{number}.png", size, number)
        for number, size in enumerate(sizes)
    }
    del photos["2.png"]
    (tmp_path / "photos/2.png").write_bytes((tmp_path / "photos/2.png").read_bytes()[:200])
    Image.new("RGB", (5, 90)).save(tmp_path / "photos/tiny.png")
    output = draw("--detector", "scharr", "--batch_size", 3, status=1)
    for message in (
        "2.png: not a readable image",
        "tiny.png: 5x90, expected 8 pixels or more",
        "6 edge maps drawn; 2 photos could not be used",
    ):
        assert message in output
    assert {path.name for path in (tmp_path / "edges").iterdir()} == set(photos)
    for name, photo in photos.items():
        expected = 255 - scharr_edges(photo[None])[0].astype(int)
        assert np.array_equal(read(tmp_path / "edges" / name), expected), name


def test_resuming_keeps_what_stands_and_redoes_what_does_not(tmp_path, draw):
    for name in "abcd":
        noise_photo(tmp_path / f"photos/{name}.png")
    draw("--detector", "scharr")
    assert "4 photos, 0 to do" in draw("--detector", "scharr")
    edges = tmp_path / "edges"
    (edges / "a.png").unlink()
    os.utime(tmp_path / "photos/b.png", (4e9, 4e9))  # photo b has changed since
    Image.new("L", (64, 48)).save(edges / "c.png")  # not ours: somebody's own edge map
    foreign = (edges / "c.png").read_bytes()
    assert "4 photos, 2 to do" in draw("--detector", "scharr")
    assert "4 photos, 3 to do" in draw("--detector", "scharr", "--size", 32, 24)
    assert (edges / "c.png").read_bytes() == foreign
    assert not list(edges.glob(".*"))
    # What cannot be a map stays, too. A pipe: opening it would wait for a writer for ever.
    (edges / "a.png").unlink()
    os.mkfifo(edges / "a.png")
    assert f"error: {edges}/a.png: a folder, a pipe or" in draw("--detector", "scharr", status=2)


def test_other_weights_draw_anew(tmp_path, draw, random_pidinet, monkeypatch):
    asked = []
    monkeypatch.setattr(util.device, "prepare", lambda exact=False: asked.append(exact))
    noise_photo(tmp_path / "photos/a.png")
    for name in ("one.pth", "two.pth"):
        torch.save({"state_dict": random_pidinet}, tmp_path / name)
        assert "1 photos, 1 to do" in draw("--weights", tmp_path / name)
        random_pidinet["module.classifier.bias"] += 1
    digest = hashlib.sha256((tmp_path / "two.pth").read_bytes()).hexdigest()
    assert png_texts(tmp_path / "edges/a.png")["extract_edges"] == f"pidinet {digest} dark_on_white"
    assert asked == [True, True]  # all of float32's bits: the strengths are rounded down
    # The same bytes under another name are the same weights.
    (tmp_path / "two.pth").rename(tmp_path / "renamed.pth")
    assert "1 photos, 0 to do" in draw("--weights", tmp_path / "renamed.pth")


def test_bad_folders_are_errors(tmp_path, run):
    empty, twice, edges = (tmp_path / name for name in ("empty", "twice", "edges"))
    empty.mkdir()
    noise_photo(twice / "a.png")
    noise_photo(twice / "a.jpg")
    for message, arguments in {
        "no such folder": ["--input", tmp_path / "none", "--output", edges],
        "no photos in it": ["--input", empty, "--output", edges],
        "would both become": ["--input", twice, "--output", edges],
        "prepare_images.py": ["--dataset", empty],
        "lies inside": ["--input", twice, "--output", twice / "edges"],
        "give either --dataset": ["--input", tmp_path],
        "either --dataset": ["--dataset", tmp_path, "--output", edges],
        "--size 64 7: expected 8 pixels or more": ["--dataset", tmp_path, "--size", 64, 7],
        "'0': expected a whole number, 1 or more": ["--dataset", tmp_path, "--batch_size", 0],
    }.items():
        output = run("extract_edges.py", "--gpu_ids", -1, *arguments, status=2)
        assert "extract_edges.py: error: " in output and message in output


def test_by_default_there_is_a_gpu_for_each_process(monkeypatch):
    for there, processes, gpus in ((True, "1", [0]), (True, "2", [0, 1]), (False, "2", [])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert extract_edges.edge_options(["--dataset", "x"]).gpu_ids == gpus


def test_batches_hold_one_size_and_a_bounded_number_of_pixels_the_largest_first():
    sizes = [(512, 200), *20 * [(256, 256)], (200, 512), (4000, 3000), *2 * [(1024, 1000)]]
    jobs = [extract_edges.Job(Path(str(n)), Path(str(n)), size) for n, size in enumerate(sizes)]
    found = [(*batch[0].size, len(batch)) for batch in extract_edges.batches(jobs, 16)]
    large = [(4000, 3000, 1), (1024, 1000, 1), (1024, 1000, 1)]
    assert found == [*large, (512, 200, 1), (200, 512, 1), (256, 256, 16), (256, 256, 4)]


def test_what_pidinet_cannot_do_is_refused_before_any_work(tmp_path, draw):
    noise_photo(tmp_path / "photos/a.png", (2100, 2000))
    noise_photo(tmp_path / "photos/b.png")
    (tmp_path / "text.pth").write_text("no weights")
    for name, options, parts in (
        ("text", [], ("a.png: 2100x2000, and PiDiNet takes 4,194,304 pix", "--size W H", "1 of 2")),
        ("text", ["--size", 210, 200], ("text.pth: not a checkpoint that can be loaded safely",)),
        ("none", [], ("none.pth: no such file", "download_models.sh pidinet", "--detector scharr")),
    ):
        output = draw("--weights", tmp_path / f"{name}.pth", *options, status=2)
        assert all(part in output for part in parts), output
    assert not (tmp_path / "edges").exists()
