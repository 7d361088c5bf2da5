"""Painting as a user does it: test.py, and the shell script as a subprocess."""

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from data.datasets import batches_of
from models import anomaly_factory
from models.anomaly_factory import load_network
from models.networks import Generator
from PIL import Image
from util import engine
from util.images import as_pixels, read_square
from util.results import NAME, Results, result_name

SIGNAL = ("--name", "AF4hybrid", "--phase", "test_signalhybrid")


def write_generator(path: Path, mask: float) -> None:
    """A G file in the published format whose content is red and whose mask is `mask` throughout."""
    torch.manual_seed(0)
    weights = Generator(ngf=2, n_blocks=1).state_dict()
    masks = [np.arctanh(mask)] * 3
    for decoder, colour in (("ano_model", [9, -9, -9]), ("msk_model", masks)):
        weights[f"{decoder}.13.weight"] = torch.zeros(3, 2, 7, 7)
        weights[f"{decoder}.13.bias"] = torch.tensor(colour, dtype=torch.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A generator that gives the reference back."""
    path = tmp_path / "generators/AF4hybrid/latest_net_G.pth"
    write_generator(path, mask=0.0)
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def options(tiny: list[str], dataset: Path, generator: Path, results: Path) -> list[object]:
    """Options that point a script into `tmp_path`."""
    paths = ["--dataroot", dataset, "--results_dir", results]
    return [*tiny, *paths, "--checkpoints_dir", generator.parents[1]]


@pytest.fixture
def paint(run, options):
    """Paints test_signalhybrid; the output."""
    return lambda *others, status=0: run("test.py", *options, *SIGNAL, *others, status=status)


def painted(results: Path) -> list[str]:
    return sorted(path.name for path in results.glob("AF_*.png"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def image(results: Path, number: int) -> bytes:
    return (results / f"AF_9_8_gen0000{number}.png").read_bytes()


def pixels(results: Path, number: int = 0) -> np.ndarray:
    return np.asarray(Image.open(results / f"AF_9_8_gen0000{number}.png"), int)


def test_script_paints_both_lists_of_hybrids_and_their_pages(run, run_script, options, results):
    run_script("test_AF4hybrid.sh", *options)
    names = [f"AF_8_8_gen0000{n}.png" for n in (0, 1)] + [
        f"AF_9_8_gen0000{n}.png" for n in range(4)
    ]
    assert painted(results) == names and pixels(results).shape == (256, 256, 3)
    # The mask is zero, so the result is the reference, the red disc of subspecies 8 (200, 40, 30),
    # but for what is rounded down.
    assert pixels(results)[[128, 4], [128, 4]].tolist() == [[200, 39, 29], [210, 210, 210]]
    page = (results / "test_nonsignalhybrid.html").read_text()
    for kind, size in (("src", (512, 128)), ("href", (256, 256))):
        names = re.findall(rf'{kind}="([^"]+)"', page)
        assert len(names) == 4 and not any(Path(name).is_absolute() for name in names)
        assert {Image.open(results / name).size for name in names} == {size}
    assert re.findall(r'data-group="([^"]+)"', page) == ["8 x 8", "8 x 8", "9 x 8", "9 x 8"]
    bare = results / "bare"
    few = ("--max_dataset_size", 1, "--how_many", "inf", "--no_html", "--verbose")
    said = run("test.py", *options, *SIGNAL, *few, "--results_dir", bare)
    assert "Generator(\n" in said and "1 of 2 pairs of test_signalhybrid, 0 of them" in said
    assert len(painted(bare)) == 1 and not {*bare.rglob("*.html"), *bare.rglob("*.jpg")}


def test_a_dataset_that_was_moved_is_the_same_and_so_is_the_list_itself(paint, dataset):
    paint()
    moved = dataset.rename(dataset.with_name("moved"))
    shutil.move(moved / "List", moved / "Lists")
    itself = ("--dataroot", moved / "Lists/test_signalhybrid", "--phase", "test")
    assert "2 of them painted before" in paint(*itself)


def test_a_generator_with_keys_too_many_paints_and_names_them_once(paint, results, generator):
    paint("--no_html")
    before = pixels(results)
    weights = torch.load(generator)
    several = {"enc_model.2.running_mean": torch.zeros(2), "depth_model.1.bias": torch.ones(3)}
    torch.save(several | weights, generator)
    output = paint("--no_html", "--overwrite")
    names = "left out 2 that the network does not have: enc_model.2.running_mean, depth_model.1.bia"
    assert output.count(f"{generator}: {names}") == output.count("left out") == 1
    assert np.array_equal(pixels(results), before)
    load_network(Generator(2, 4, 1), generator.parent, "latest", "G", aloud=False)
    # A generator of more blocks is another one, and so is one that lacks any.
    torch.save(Generator(2, 4, 2).state_dict(), generator)
    assert 'Unexpected key(s) in state_dict: "enc_model.17.' in paint("--overwrite", status=2)
    # DataParallel's prefix is no other network.
    torch.save({f"module.{key}": value for key, value in weights.items()}, generator)
    paint("--overwrite", "--no_html")
    assert np.array_equal(pixels(results), before)


def test_a_run_that_goes_on_redoes_only_what_is_not_whole(run, options, results, generator):
    """In the batches of the whole list: the images are the same to the bit."""
    write_generator(generator, mask=0.5)
    whole = (*options, "--name", "AF4hybrid", "--phase", "test_nonhybrid", "--batchSize", "3")
    run("test.py", *whole)
    before = contents(results)
    kept, gone, broken, _ = sorted(results.glob("AF_*.png"))
    untouched = kept.stat().st_ino
    gone.unlink()
    broken.write_bytes(broken.read_bytes()[:-20])
    (results / "gallery/test_nonhybrid/00003.jpg").unlink()
    assert "4 pairs of test_nonhybrid, 1 of them painted before" in run("test.py", *whole)
    assert contents(results) == before and kept.stat().st_ino == untouched


def test_what_was_painted_otherwise_stays(paint, results, generator, dataset):
    """Nothing is removed or painted; the error says what differs."""
    paint()
    before = contents(results)
    output = paint("--amp", "--loadSize", "64", "--how_many", "1", status=2)
    found = "2 results of test_signalhybrid, such as AF_9_8_gen00000.png, are of another painting"
    assert f"{results}: {found}: loadSize was 32, now 64, amp was False, now True. --ov" in output
    write_generator(generator, mask=0.5)
    os.utime(dataset / "Images/8/train/good/0.png", (1, 1))  # of the same size
    digest = "[0-9a-f]{12}"
    expected = f"checkpoint was {digest}, now {digest}, list was {digest}, now {digest}. --over"
    assert re.search(expected, paint(status=2))
    assert contents(results) == before


def test_overwriting_replaces_one_by_one(paint, results, generator, monkeypatch):
    paint()
    before = [image(results, number) for number in (0, 1)]
    strip = results / "gallery/test_signalhybrid/00000.jpg"
    shown = strip.read_bytes()
    write_generator(generator, mask=0.5)
    one = paint("--overwrite", "--how_many", "1", "--no_html", status=2)
    assert f"{results}: 1 results of test_signalhybrid, such as AF_9_8_gen00001.png, are of" in one
    assert "not finished: --overwrite without --how_many paints anew what is in the list" in one
    assert image(results, 0) != before[0] and image(results, 1) == before[1]
    assert not strip.exists()  # one of another generator is not shown
    with monkeypatch.context() as patch:
        patch.setattr(Results, "write", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
        assert "disk is full" in paint("--overwrite", status=2)
    assert image(results, 1) == before[1]
    assert "1 of them painted before" in paint("--overwrite", "--no_html")
    half_red = [round((210 + content) / 2) for content in (255, 0, 0)]
    assert np.abs(pixels(results, 1)[4, 4] - half_red).max() <= 1
    paint()
    assert strip.read_bytes() != shown


def test_results_of_no_line_or_of_unknown_origin_are_named(paint, results, dataset, draw):
    paint()
    last = image(results, 1)
    for column in ("edges", "color_ref", "color_gt"):
        path = dataset / f"List/test_signalhybrid/test_{column}.txt"
        path.write_text(path.read_text().splitlines()[0])
    output = paint("--overwrite", status=2)
    assert "1 results of test_signalhybrid" in output and "list was" in output
    assert "; 1, such as AF_9_8_gen00001.png, are not in it: move them away" in output
    assert image(results, 1) == last
    (results / "AF_9_8_gen00001.png").unlink()
    assert "1 pairs of test_signalhybrid, 1 of them" in paint()
    draw(results / "AF_9_8_gen00000.png", size=(256, 256))
    found = image(results, 0)
    output = paint(status=2)
    assert "1 results of test_signalhybrid" in output and "do not say of which" in output
    assert image(results, 0) == found
    assert "1 pairs of test_signalhybrid, 0 of" in paint("--overwrite")


# ---- beyond the published ------------------------------------------------------------------------


@pytest.fixture
def own_photos(dataset: Path) -> None:
    """Make color_gt of test_signalhybrid name its structures' photos, those of subspecies 9."""
    path = dataset / "List/test_signalhybrid/test_color_gt.txt"
    path.write_text("Images/9/train/good/0.png\nImages/9/train/good/1.png\n")


def test_inherited_changes_are_added_to_the_photo(paint, results, dataset, own_photos):
    paint("--inherit", "0.5")
    assert "2 pairs of test_signalhybrid, 2 of them painted before" in paint("--inherit", "0.5")
    # The generator gives back what it is given: red in one painting, blue in the other.
    halfway = np.add((200, 40, 30), (30, 40, 200)) / 2
    assert np.abs(pixels(results)[128, 128] - halfway).max() <= 1
    assert pixels(results)[4, 4].tolist() == [210, 210, 210]
    paint("--inherit", "0", "--overwrite")
    photo = read_square(dataset / "Images/9/train/good/0.png", 256)
    assert set(np.unique(photo - pixels(results))) <= {0, 1}  # rounded down


def test_aligned_references_lie_on_their_structure(paint, results, dataset, own_photos):
    photo = dataset / "Images/8/train/good/0.png"
    Image.fromarray(np.roll(np.asarray(Image.open(photo)), 4, axis=1)).save(photo)
    for options, low, high in (
        ([], 140, 256),
        (["--align"], 124, 132),
        (["--align", "--inherit", "1", "--amp"], 124, 132),
    ):
        paint(*options, "--overwrite")
        found = pixels(results)
        middle = np.nonzero(found[..., 0] - found[..., 2] > 80)[1].mean()  # of the red disc
        assert low < middle < high


@pytest.mark.parametrize("others", ["", "--inherit 0.7"])
def test_the_ground_is_kept_at_the_size_of_the_result(
    paint, results, generator, dataset, own_photos, others
):
    wing = cv2.ellipse(np.zeros((256, 256), np.uint8), (110, 128), (90, 60), 20, 0, 360, 1, -1)
    photo = np.where(wing[..., None] > 0, (20, 90, 30), 220).astype(np.uint8)
    cv2.circle(photo, (128, 128), 12, (220, 220, 220), -1)  # a spot of the ground's colour
    Image.fromarray(photo).save(dataset / "Images/9/train/good/0.png")
    write_generator(generator, mask=0.5)
    paint("--keep_ground", *others.split())  # painted at 32 pixels
    found = pixels(results)
    assert np.array_equal(found[wing == 0], photo[wing == 0])
    assert (found[wing > 0] != photo[wing > 0]).any(axis=1).mean() > 0.9
    assert "keep_ground was True, now None" in paint(*others.split(), status=2)
    with Image.open(results / "gallery/test_signalhybrid/00000.jpg") as strip:
        assert np.abs(np.asarray(strip, int)[4, 3 * strip.height - 4] - 220).max() <= 3  # kept
    os.utime(dataset / "Images/9/train/good/1.png", (1, 1))  # a photo that changed
    assert "list was" in paint("--keep_ground", *others.split(), status=2)


# ---- numbers, precisions and mistakes ------------------------------------------------------------


def test_names_pixels_and_batches():
    assert result_name("9", "8", 7) == "AF_9_8_gen00007.png"
    assert NAME.fullmatch("AF_9_10_gen123456.png").groups() == ("9", "10", "123456")
    values = torch.tensor([-1.2, -1, 0, 3 / 255, 4.2 / 255, 1, 1.1]).view(1, 1, 7)
    levels = [0, 0, 127, 129, 129, 255, 255]  # rounded down, as published
    assert as_pixels(values).ravel().tolist() == levels
    assert batches_of(7, 3, set(range(7))) == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches_of(7, 3, {4, 6}) == [[3, 4, 5], [6]]


def test_what_is_gone_on_with_says_in_which_precision(paint, results, generator):
    write_generator(generator, mask=0.5)
    paint("--amp")
    amp = pixels(results)
    assert "2 of them painted before" in paint()
    assert "amp was True, now False" in paint("--no-amp", status=2)
    assert "0 of them painted before" in paint("--overwrite")
    assert np.abs(pixels(results) - amp).max() <= 4


def test_what_cannot_be_used_is_named_before_any_work(paint, results, generator, dataset):
    for option in ("--align", "--inherit 0.5", "--keep_ground"):  # they need the photo
        output = paint(*option.split(), status=2)
        assert re.search(r"test_color_gt\.txt, line 1: .*x\.png is not there", output)
    output = paint("--ngf", "3", status=2)
    for part in (f"{generator}: size mismatch for enc_model.1.weight: ", "[3, 6, 7, 7]", "--ngf"):
        assert part in output
    # Weights that are finite, and too large to compute with.
    weights, wild = torch.load(generator), Generator(ngf=2, n_blocks=1).state_dict()
    torch.save({key: value * 1e38 for key, value in wild.items()}, generator)
    output = paint("--no_html", status=2)
    assert re.search(r"AF_9_8_gen0000[01]\.png: the generator of --name AF4hybrid paints", output)
    assert painted(results) == []
    results.rmdir()
    torch.save(weights, generator.with_name("40_net_G.pth"))
    generator.unlink()
    assert f"{generator}: no such checkpoint" in paint(status=2)
    assert not results.exists()
    paint("--which_epoch", "40", "--how_many", "1")
    assert painted(results) == ["AF_9_8_gen00000.png"]
    (dataset / "Images/8/train/good/0.png").write_text("not a picture")
    output = paint("--which_epoch", "40", "--overwrite", status=2)
    assert re.search(r"error: .*good/0\.png: not a readable image", output)


def test_one_engine_goes_on_with_what_the_other_painted(run, options, results, monkeypatch):
    """PyTorch stands in for OpenVINO, which may lack."""
    asked = []

    def in_pytorch(network, example, rough):
        asked.append(example.shape)
        return network

    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    monkeypatch.setattr(anomaly_factory, "InOpenVino", in_pytorch)
    paint = ["test.py", *options, *SIGNAL]
    monkeypatch.setattr(engine, "WORTH", 2)  # lines of the list, of which one is painted
    run(*paint, "--how_many", 1)
    run(*paint, "--how_many", 2, "--engine", "torch")
    assert (len(asked), len(painted(results))) == (1, 2)
