"""Painting as a user does it: test.py, and the shell scripts as subprocesses."""

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from data.few_photos import inherited
from models.anomaly_factory import Painter
from models.networks import Generator
from PIL import Image
from util.images import read_square
from util.results import Results


def write_generator(path: Path, mask: float) -> None:
    """A G file in the published format whose content is red and whose mask is `mask` throughout."""
    torch.manual_seed(0)
    weights = Generator(ngf=2, n_blocks=1).state_dict()
    for decoder, colour in (
        ("ano_model", [9.0, -9.0, -9.0]),
        ("msk_model", [np.arctanh(mask)] * 3),
    ):
        weights[f"{decoder}.13.weight"] = torch.zeros(3, 2, 7, 7)
        weights[f"{decoder}.13.bias"] = torch.tensor(colour, dtype=torch.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A generator that gives the reference back."""
    path = tmp_path / "generators" / "AF4hybrid" / "latest_net_G.pth"
    write_generator(path, mask=0.0)
    return path


@pytest.fixture
def options(tiny: list[str], dataset: Path, generator: Path, tmp_path: Path) -> list[str]:
    """Options that point a script into `tmp_path`."""
    folder = generator.parent.parent
    results = ["--results_dir", str(tmp_path / "results")]
    return [*tiny, "--dataroot", str(dataset), "--checkpoints_dir", str(folder), *results]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def painted(results: Path) -> list[str]:
    return sorted(path.name for path in results.glob("AF_*.png"))


SIGNAL = ("--name", "AF4hybrid", "--phase", "test_signalhybrid")


def test_script_paints_both_lists_of_hybrids(run_process, options, results):
    run_process("scripts/test_AF4hybrid.sh", *options)
    assert painted(results) == [
        "AF_8_8_gen00000.png",
        "AF_8_8_gen00001.png",
        "AF_9_8_gen00000.png",
        "AF_9_8_gen00001.png",
        "AF_9_8_gen00002.png",
        "AF_9_8_gen00003.png",
    ]
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        assert image.size == (256, 256)
        assert image.mode == "RGB"
        # The mask is zero, so the result is the reference: the red disc of subspecies 8.
        assert image.getpixel((128, 128)) == (200, 40, 30)
        assert image.getpixel((4, 4)) == (210, 210, 210)


def test_images_say_what_they_were_painted_from(run, options, results, dataset):
    name = "a name as long as a file may have " * 7
    good = dataset / "Images/8/train/good"
    (good / "0.png").rename(good / f"{name}.png")
    references = f"Images/8/train/good/1.png\nImages/8/train/good/{name}.png\n"
    (dataset / "List/test_signalhybrid/test_color_ref.txt").write_text(references)
    run("test.py", *options, *SIGNAL)
    for number, expected in enumerate([("0", "1"), ("1", name)]):
        with Image.open(results / f"AF_9_8_gen0000{number}.png") as image:
            assert (image.info["structure"], image.info["reference"]) == expected
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL)


def test_mask_blends_content_and_reference(run, options, results, generator):
    write_generator(generator, mask=0.5)
    run("test.py", *options, *SIGNAL)
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        half_red = [round((210 + content) / 2) for content in (255, 0, 0)]
        assert np.abs(np.subtract(image.getpixel((4, 4)), half_red)).max() <= 1


def test_page_shows_every_pair(run, options, results):
    run("test.py", *options, "--name", "AF4hybrid", "--phase", "test_nonsignalhybrid")
    page = (results / "test_nonsignalhybrid.html").read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    links = re.findall(r'href="([^"]+)"', page)
    assert len(pictures) == len(links) == 4
    for name in pictures + links:
        assert not Path(name).is_absolute()
        with Image.open(results / name) as image:
            assert image.size == ((512, 128) if name in pictures else (256, 256))
    assert re.findall(r"<option[^>]*>([^<]+)<", page) == ["all", "8 x 8", "9 x 8"]
    assert re.findall(r'data-group="([^"]+)"', page) == ["8 x 8", "8 x 8", "9 x 8", "9 x 8"]


def test_without_a_page_only_results_are_written(run, options, results):
    run("test.py", *options, *SIGNAL, "--no_html")
    assert len(painted(results)) == 2
    assert not list(results.rglob("*.html")) + list(results.rglob("*.jpg"))


def test_interrupted_run_redoes_only_what_is_not_whole(run, options, results):
    run("test.py", *options, *SIGNAL)
    whole, broken = (results / f"AF_9_8_gen0000{number}.png" for number in (0, 1))
    pixels = broken.read_bytes()
    broken.write_bytes(pixels[:-20])
    whole.touch()
    untouched = whole.stat().st_mtime_ns
    assert "2 pairs of test_signalhybrid, 1 of them painted before" in run(
        "test.py", *options, *SIGNAL
    )
    assert broken.read_bytes() == pixels
    assert whole.stat().st_mtime_ns == untouched


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def image(results: Path, number: int) -> bytes:
    return (results / f"AF_9_8_gen0000{number}.png").read_bytes()


def test_what_was_painted_otherwise_stays(run, options, results, generator, dataset):
    """Nothing is removed or painted; the error says what differs."""
    run("test.py", *options, *SIGNAL)
    before = contents(results)
    for change, difference in (
        (["--amp", "--how_many", "1"], "amp was False, now True"),
        (["--loadSize", "64"], "loadSize was 32, now 64"),
    ):
        output = run("test.py", *options, *SIGNAL, *change, status=2)
        found = "2 results of test_signalhybrid, such as AF_9_8_gen00000.png, are of another"
        assert f"{results}: {found} painting: {difference}. --overwrite paints them anew" in output
    write_generator(generator, mask=0.5)
    photo = dataset / "Images/8/train/good/0.png"
    status = photo.stat()
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # of the same size
    output = run("test.py", *options, *SIGNAL, status=2)
    digest = "[0-9a-f]{12}"
    expected = f"checkpoint was {digest}, now {digest}, list was {digest}, now {digest}. --over"
    assert re.search(expected, output), output
    assert contents(results) == before


def test_overwriting_replaces_one_by_one(run, options, results, generator):
    run("test.py", *options, *SIGNAL)
    before = [image(results, number) for number in (0, 1)]
    (results / "AF_mine.png").touch()
    write_generator(generator, mask=0.5)
    one = run("test.py", *options, *SIGNAL, "--overwrite", "--how_many", "1", status=2)
    assert f"{results}: not finished, 1 results of test_signalhybrid" in one
    assert "checkpoint was" in one
    assert "--overwrite without --how_many paints anew what is in the list" in one
    assert image(results, 0) != before[0] and image(results, 1) == before[1]
    without = run("test.py", *options, *SIGNAL, status=2)
    assert "such as AF_9_8_gen00001.png, are of another painting: checkpoint was" in without
    assert image(results, 1) == before[1]
    assert "1 of them painted before" in run("test.py", *options, *SIGNAL, "--overwrite")
    assert image(results, 1) != before[1]
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL)
    assert painted(results) == ["AF_9_8_gen00000.png", "AF_9_8_gen00001.png", "AF_mine.png"]


def test_interrupted_overwriting_goes_on(run, options, results, generator, monkeypatch):
    run("test.py", *options, *SIGNAL)
    before = [image(results, number) for number in (0, 1)]
    write_generator(generator, mask=0.5)
    write = Results.write

    def write_the_first_only(self: Results, name: str, panels: list[np.ndarray]) -> None:
        if name == "AF_9_8_gen00001.png":
            raise OSError("the disk is full")
        write(self, name, panels)

    with monkeypatch.context() as patch:
        patch.setattr(Results, "write", write_the_first_only)
        overwrite = (*options, *SIGNAL, "--overwrite", "--batchSize", "2")
        assert "the disk is full" in run("test.py", *overwrite, status=2)
    first = image(results, 0)
    assert image(results, 1) == before[1] and first != before[0]
    assert "checkpoint was" in run("test.py", *options, *SIGNAL, status=2)
    assert "1 of them painted before" in run("test.py", *options, *SIGNAL, "--overwrite")
    assert image(results, 1) != before[1] and image(results, 0) == first


def as_painted_by_the_first_program(results: Path) -> Path:
    """Its images bear no digest, and its note names one source only; the note."""
    for path in results.glob("AF_*.png"):
        with Image.open(path) as bearing:
            pixels = np.asarray(bearing)
        Image.fromarray(pixels).save(path)
    note = results / "gallery/test_signalhybrid/painted.json"
    content = json.loads(note.read_text())
    assert list(content) == ["source", "names", "replaces"]
    content["source"] |= {"align": None, "inherit": None}
    del content["replaces"]
    note.write_text(json.dumps(content))
    return note


def test_results_of_the_first_program_count(run, options, results, generator):
    run("test.py", *options, *SIGNAL)
    note = as_painted_by_the_first_program(results)
    before = note.read_text()
    (results / "AF_9_8_gen00001.png").unlink()
    assert "1 of them painted before" in run("test.py", *options, *SIGNAL)
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL)
    assert note.read_text() == before
    write_generator(generator, mask=0.5)
    assert "2 results of test_signalhybrid" in run("test.py", *options, *SIGNAL, status=2)
    one = (*options, *SIGNAL, "--overwrite", "--how_many", "1")
    assert "not finished, 1 results" in run("test.py", *one, status=2)
    assert "not finished, 1 results" in run("test.py", *one, status=2)  # the note says so now
    assert "1 of them painted before" in run("test.py", *options, *SIGNAL, "--overwrite")


def test_results_that_left_the_list_are_named(run, options, results, dataset):
    run("test.py", *options, *SIGNAL)
    last = image(results, 1)
    for column in ("edges", "color_ref", "color_gt"):
        path = dataset / f"List/test_signalhybrid/test_{column}.txt"
        path.write_text(path.read_text().splitlines()[0])
    for _ in range(2):
        output = run("test.py", *options, *SIGNAL, "--overwrite", status=2)
        assert "not finished, 1 results" in output and "list was" in output
        assert "; 1, such as AF_9_8_gen00001.png, are not in it: move them away" in output
    assert image(results, 1) == last
    (results / "AF_9_8_gen00001.png").unlink()
    assert "1 pairs of test_signalhybrid, 1 of them" in run("test.py", *options, *SIGNAL)


def test_images_of_unknown_origin_are_not_taken_for_results(run, options, results, draw):
    draw(results / "AF_9_8_gen00001.png", size=(256, 256))
    found = image(results, 1)
    output = run("test.py", *options, *SIGNAL, status=2)
    assert "1 results of test_signalhybrid" in output and "no note says of which" in output
    assert painted(results) == ["AF_9_8_gen00001.png"] and image(results, 1) == found
    assert "2 pairs of test_signalhybrid, 0 of" in run("test.py", *options, *SIGNAL, "--overwrite")


def test_a_strip_of_an_earlier_generator_is_not_shown(run, options, results, generator):
    run("test.py", *options, *SIGNAL)
    strip = results / "gallery/test_signalhybrid/00000.jpg"
    before = strip.read_bytes()
    write_generator(generator, mask=0.5)
    run("test.py", *options, *SIGNAL, "--overwrite", "--no_html")
    assert not strip.exists()
    run("test.py", *options, *SIGNAL)
    assert strip.read_bytes() != before


def test_a_moved_dataset_is_the_same(run, options, results, dataset):
    run("test.py", *options, *SIGNAL)
    moved = dataset.rename(dataset.with_name("moved"))
    options += ["--dataroot", str(moved)]
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL)


def own_photos(dataset: Path) -> None:
    """Make color_gt of test_signalhybrid name its structures' photos, those of subspecies 9."""
    path = dataset / "List/test_signalhybrid/test_color_gt.txt"
    path.write_text("Images/9/train/good/0.png\nImages/9/train/good/1.png\n")


def test_inherited_changes_are_added_to_the_photo(run, options, results, dataset):
    own_photos(dataset)
    run("test.py", *options, *SIGNAL)
    run("test.py", *options, *SIGNAL, "--inherit", "0.5", "--overwrite")
    again = run("test.py", *options, *SIGNAL, "--inherit", "0.5")
    assert "2 pairs of test_signalhybrid, 2 of them painted before" in again
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        # The generator gives back what it is given: red in one painting, blue in the other.
        halfway = np.add((200, 40, 30), (30, 40, 200)) / 2
        assert np.abs(np.subtract(image.getpixel((128, 128)), halfway)).max() <= 1
        assert image.getpixel((4, 4)) == (210, 210, 210)
    run("test.py", *options, *SIGNAL, "--inherit", "0", "--overwrite")
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        assert np.array_equal(image, read_square(dataset / "Images/9/train/good/0.png", 256))


def test_aligned_references_lie_on_their_structure(run, options, results, dataset):
    own_photos(dataset)
    photo = dataset / "Images/8/train/good/0.png"
    with Image.open(photo) as image:
        shifted = np.roll(np.asarray(image), 4, axis=1)
    Image.fromarray(shifted).save(photo)

    def red() -> float:
        """The middle column of the red disc."""
        with Image.open(results / "AF_9_8_gen00000.png") as image:
            pixels = np.asarray(image, int)
        return np.nonzero(pixels[..., 0] - pixels[..., 2] > 80)[1].mean()

    run("test.py", *options, *SIGNAL)
    assert red() > 140
    run("test.py", *options, *SIGNAL, "--align", "--overwrite")
    assert abs(red() - 128) < 4
    run("test.py", *options, *SIGNAL, "--overwrite")
    assert red() > 140
    run("test.py", *options, *SIGNAL, "--align", "--inherit", "1", "--amp", "--overwrite")
    assert abs(red() - 128) < 4


@pytest.fixture
def cutouts(dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    """Makes the structures of test_signalhybrid cutouts; their photos, and where their ground is.

    They are wings of another colour and place each, with a spot of the ground's colour in them.
    """
    own_photos(dataset)
    made = []
    for number, colour in enumerate([(20, 90, 30), (120, 60, 160)]):
        wing = np.zeros((256, 256), np.uint8)
        cv2.ellipse(wing, (110 + 40 * number, 128), (90, 60), 20, 0, 360, 1, -1)
        photo = np.full((256, 256, 3), 220, np.uint8)
        photo[wing > 0] = colour
        cv2.circle(photo, (128, 128), 12, (220, 220, 220), -1)
        Image.fromarray(photo).save(dataset / f"Images/9/train/good/{number}.png")
        made.append((photo, wing == 0))
    return made


def pixels(results: Path) -> list[np.ndarray]:
    paths = [results / f"AF_9_8_gen0000{number}.png" for number in (0, 1)]
    return [np.asarray(Image.open(path)) for path in paths]


@pytest.mark.parametrize("batch_size", ["1", "2"])
@pytest.mark.parametrize("others", ["", "--align", "--inherit 0.7", "--align --inherit 0.7"])
def test_nothing_is_painted_on_the_ground_of_a_cutout(
    run, options, results, generator, cutouts, others, batch_size
):
    write_generator(generator, mask=0.5)
    options += [*SIGNAL, "--loadSize", "256", "--batchSize", batch_size, *others.split()]
    run("test.py", *options)
    usual = pixels(results)
    run("test.py", *options, "--keep_ground", "--overwrite")
    for found, before, (photo, ground) in zip(pixels(results), usual, cutouts, strict=True):
        assert np.array_equal(found[ground], photo[ground])
        assert np.array_equal(found[~ground], before[~ground])  # the pale spot, too
        if not others:  # half of the red content lies on all
            assert np.abs(found.astype(int) - photo).max(axis=2)[~ground].min() > 10
            assert np.abs(before.astype(int) - photo).max(axis=2)[ground].min() > 10


@pytest.mark.parametrize("others", ["", "--inherit 0.7", "--amp"])
def test_the_ground_is_kept_at_the_size_of_the_result(
    run, options, results, generator, cutouts, others
):
    write_generator(generator, mask=0.5)
    run("test.py", *options, *SIGNAL, "--keep_ground", *others.split())  # painted at 32 pixels
    for found, (photo, ground) in zip(pixels(results), cutouts, strict=True):
        assert np.array_equal(found[ground], photo[ground])
        assert (found[~ground] != photo[~ground]).any(axis=1).mean() > 0.9


def test_kept_ground_is_noted_and_shown(run, options, results, generator, cutouts):
    write_generator(generator, mask=0.5)
    run("test.py", *options, *SIGNAL)
    output = run("test.py", *options, *SIGNAL, "--keep_ground", status=2)
    assert "keep_ground was None, now True" in output
    run("test.py", *options, *SIGNAL, "--keep_ground", "--overwrite")
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL, "--keep_ground")
    assert "keep_ground was True, now None" in run("test.py", *options, *SIGNAL, status=2)
    with Image.open(results / "gallery/test_signalhybrid/00000.jpg") as strip:
        side = strip.height
        result = np.asarray(strip.crop((2 * side, 0, 3 * side, side)).resize((64, 64)), int)
    corner, wing = result[1, 62], result[20, 20]
    assert np.abs(corner - 220).max() <= 3
    assert np.abs(wing - 220).max() > 10


def test_a_photo_that_changed_has_another_ground(run, options, results, cutouts, dataset):
    run("test.py", *options, *SIGNAL, "--keep_ground")
    os.utime(dataset / "Images/9/train/good/1.png", (1, 1))
    output = run("test.py", *options, *SIGNAL, "--keep_ground", status=2)
    assert "list was" in output


def test_changes_are_reduced_without_aliasing():
    torch.manual_seed(0)
    network = Generator(ngf=2, n_downsample=2, n_blocks=1)
    for weights in (network.msk_model[-2].weight, network.msk_model[-2].bias):
        torch.nn.init.zeros_(weights)  # the reference is given back
    painter = Painter(network, torch.device("cpu"), amp=False)
    photo = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    stripes = photo.clone()
    stripes[:, :, ::4] = 255
    whole = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    result, mask = inherited(painter.paint, photo, stripes, photo, whole, share=1.0)
    assert result.shape == (1, 3, 16, 16) and mask.shape == (1, 3, 64, 64)
    inner = result[..., 2:-2]
    assert inner.sub(-0.5).abs().max() < 0.05  # a quarter of the way from black, -1, to white, 1


def test_another_photo_in_color_gt_is_refused(run, options, results, dataset):
    own_photos(dataset)
    path = dataset / "List/test_signalhybrid/test_color_gt.txt"
    path.write_text("Images/9/train/good/0.png\nImages/8/train/good/1.png\n")
    output = run("test.py", *options, *SIGNAL, "--inherit", "0.5", status=2)
    assert re.search(r"test_color_gt\.txt, line 2: .*1\.png is not the photo of .*1\.png", output)
    assert not results.exists()


@pytest.mark.parametrize("option", [["--align"], ["--inherit", "0.5"], ["--keep_ground"]])
def test_options_on_the_photo_need_it(run, options, results, dataset, option):
    output = run("test.py", *options, *SIGNAL, *option, status=2)
    assert re.search(r"test_color_gt\.txt, line 1: .*x\.png is not there", output)
    (dataset / "List/test_signalhybrid/test_color_gt.txt").unlink()
    output = run("test.py", *options, *SIGNAL, *option, status=2)
    assert "test_color_gt.txt: this list is missing" in output
    assert not results.exists()


def test_which_epoch_and_how_many(run, options, results, generator):
    generator.rename(generator.with_name("40_net_G.pth"))
    run("test.py", *options, *SIGNAL, "--which_epoch", "40", "--how_many", "1")
    assert painted(results) == ["AF_9_8_gen00000.png"]


def test_bfloat16_paints_nearly_the_same(run, options, results, generator):
    write_generator(generator, mask=0.5)
    run("test.py", *options, *SIGNAL)
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        exact = np.asarray(image, int)
    run("test.py", *options, *SIGNAL, "--amp", "--overwrite")
    with Image.open(results / "AF_9_8_gen00000.png") as image:
        assert np.abs(np.asarray(image, int) - exact).max() <= 4


def test_processes_share_the_list(run, run_process, options, results, generator):
    """Four pairs in batches of three: both processes, and a run that goes on, paint the same."""
    write_generator(generator, mask=0.5)
    whole = (*options, "--name", "AF4hybrid", "--phase", "test_nonhybrid", "--batchSize", "3")
    run("test.py", *whole)
    alone = {path.relative_to(results): content for path, content in contents(results).items()}
    assert len(alone) == 4 + 4 + 2  # images, strips, the page and its note
    again = results.with_name("again")
    shutil.copytree(results, again)
    (again / "AF_8_8_gen00001.png").unlink()  # in the middle of the first batch
    kept = again / "AF_8_8_gen00000.png"
    status = kept.stat()
    for folder in (again, results.with_name("shared")):
        torchrun = "-m torch.distributed.run --standalone --nproc_per_node=2".split()
        output = run_process("test.py", *whole, "--results_dir", folder, prefix=torchrun)
        assert output.count("4 pairs of test_nonhybrid") == 1
        found = {path.relative_to(folder): content for path, content in contents(folder).items()}
        assert found == alone
    assert kept.stat().st_ino == status.st_ino  # painted again with its batch, but not written


def test_what_is_gone_on_with_says_in_which_precision(run, options, results):
    run("test.py", *options, *SIGNAL, "--amp")
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL)
    told = run("test.py", *options, *SIGNAL, "--no-amp", status=2)
    assert "amp was True, now False" in told
    assert "0 of them painted before" in run("test.py", *options, *SIGNAL, "--overwrite")
    assert "2 of them painted before" in run("test.py", *options, *SIGNAL, "--no-amp")


def test_pngs_are_written_fast(run, options, results, monkeypatch):
    levels, save = [], Image.Image.save

    def save_and_note(image: Image.Image, file: object, *form: str, **given: object) -> None:
        levels.append(given.get("compress_level"))
        save(image, file, *form, **given)

    monkeypatch.setattr(Image.Image, "save", save_and_note)
    run("test.py", *options, *SIGNAL)
    assert sorted(levels, key=str) == [1, 1, None, None]  # two images and their strips


def test_missing_generator_is_named(run, options, generator):
    generator.unlink()
    output = run("test.py", *options, *SIGNAL, status=2)
    assert f"{generator}: no such checkpoint" in output


def test_misfit_names_key_and_both_shapes(run, options, results):
    output = run("test.py", *options, *SIGNAL, "--ngf", "3", status=2)
    assert "'enc_model.1.weight' is [2, 6, 7, 7], expected [3, 6, 7, 7]" in output
    assert not results.exists()


def test_unsafe_checkpoint_is_refused(run, options, generator):
    class Unsafe:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"enc_model.1.weight": Unsafe()}, generator)
    output = run("test.py", *options, *SIGNAL, status=2)
    assert f"{generator}: not a checkpoint that can be loaded safely" in output
    assert "executed" not in output


def test_bad_list_is_named_before_any_work(run, options, results, dataset):
    path = dataset / "List/test_signalhybrid/test_color_ref.txt"
    path.write_text("Images/8/train/good/0.png\nImages/8/train/good/gone.png\n")
    output = run("test.py", *options, *SIGNAL, status=2)
    assert re.search(r"test_color_ref\.txt, line 2: .*gone\.png is not there", output)
    assert not results.exists()


def test_foreign_note_is_refused(run, options, results):
    run("test.py", *options, *SIGNAL)
    note = results / "gallery/test_signalhybrid/painted.json"
    assert len(json.loads(note.read_text())["names"]) == 2
    for text in ("[]", "{", '{"source": {}, "names": ["../AF_9_8_gen00000.png"]}'):
        note.write_text(text)
        assert f"{note}: not a note of this program" in run("test.py", *options, *SIGNAL, status=2)


def test_lists_folder_and_list_itself_are_accepted(run, options, results, dataset):
    shutil.move(dataset / "List", dataset / "Lists")
    itself = ("--dataroot", dataset / "Lists/test_signalhybrid", "--phase", "test")
    run("test.py", *options, "--name", "AF4hybrid", *itself)
    assert len(painted(results)) == 2
    assert (results / "test_signalhybrid.html").exists()
