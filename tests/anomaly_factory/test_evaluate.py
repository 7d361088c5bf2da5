"""evaluate.py as a user runs it: what it finds in painted images, and what it says of bad input."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import quality.backbone
from browser import SCREENS, flaws
from conftest import REPOSITORY
from extract_edges import write_edges
from faults.hostile import NAMES
from models.scharr import scharr_edges
from PIL import Image
from quality.inputs import read_dataset
from util.results import Results

STRANGE = '9 "<script>alert(1)<ü'
COLOURS = {"1": (200, 60, 30), "2": (40, 60, 190), "1_2": (120, 60, 110)}


def butterfly(subspecies: str, number: int) -> np.ndarray:
    """Wings of the subspecies' colour on pale ground; shape and pattern are the specimen's."""
    random = np.random.default_rng([len(subspecies), int(subspecies[0]), number])
    image = np.full((64, 64, 3), 225, np.uint8)
    for side in (-1, 1):
        centre = (32 + side * 13, int(random.integers(26, 34)))
        axes = (int(random.integers(9, 13)), int(random.integers(12, 18)))
        cv2.ellipse(image, centre, axes, side * 20, 0, 360, COLOURS[subspecies], -1)
        spot = (centre[0], centre[1] + int(random.integers(-6, 6)))
        cv2.circle(image, spot, int(random.integers(2, 5)), (250, 230, 120), -1)
    return image


def add_photo(dataset: Path, subspecies: str, name: str, image: np.ndarray, note: str) -> None:
    folder = dataset / "Images" / subspecies / "train"
    (folder / "good").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / "good" / f"{name}.png")
    edges = folder / "pidinet_edges" / f"{name}.png"
    write_edges(edges, scharr_edges(image[None])[0], "dark_on_white", note)


class World:
    """A data set, and painted images of it: the non-hybrids are their structures' photographs,
    the hybrids their references'."""

    def __init__(self, folder: Path, count: int, crossed: int, note: str = "scharr dark_on_white"):
        self.dataset, self.results = folder / "dataset", folder / "results"
        self.output = folder / "report"
        self.names = [*map(str, range(count - 1)), STRANGE]
        for subspecies in ("1", "2"):
            for number, name in enumerate(self.names):
                add_photo(self.dataset, subspecies, name, butterfly(subspecies, number), note)
        for number in range(crossed):
            add_photo(self.dataset, "1_2", f"x{number}", butterfly("1_2", number), note)

    def photo(self, subspecies: str, number: int) -> Path:
        return self.dataset / f"Images/{subspecies}/train/good/{self.names[number]}.png"

    def paint(self, i: str, j: str, count: int) -> list[Path]:
        """Paint structures 0, 1, ... of `i` with the next one of `j`, as test.py writes them."""
        names = {
            f"AF_{i}_{j}_gen{number:05d}.png": (
                self.names[number],
                self.names[(number + 1) % len(self.names)],
            )
            for number in range(count)
        }
        source = {"checkpoint": "0123456789abcdef", "loadSize": 64, "align": True}
        results = Results(self.results / (i + j), f"list_{i}_{j}", names, source, 256, False)
        results.begin(overwrite=False)
        for number, name in enumerate(names):
            of, place = (i, number) if i == j else (j, (number + 1) % len(self.names))
            image = np.asarray(Image.open(self.photo(of, place)).resize((256, 256)))
            results.write(name, [image, image, image, image])
        return [self.results / (i + j) / name for name in names]

    def options(self) -> list[object]:
        return [
            *("--results", self.results, "--dataset", self.dataset, "--output", self.output),
            *("--gpu_ids", -1),
        ]

    def figures(self) -> dict:
        return json.loads((self.output / "figures.json").read_text())


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> World:
    """The report of a small world, by the real network in a process of its own."""
    world = World(tmp_path_factory.mktemp("evaluate"), count=20, crossed=20)
    for pair in ("11", "22", "12"):
        world.paint(*pair, 20)
    program = REPOSITORY / "AnomalyFactory/evaluate.py"
    command = [sys.executable, program, *world.options()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"page: {world.output / 'index.html'}"
    return world


def test_copies_of_photographs_are_found_out(report):
    found = report.figures()
    assert (found["painted"], found["photographs"], found["left_out"]) == (60, 60, [])
    copies = found["sets"]["non-hybrids"]
    assert (copies["painted"], copies["photographs"]) == (40, 40)
    assert copies["frechet"]["value"] == pytest.approx(0, abs=0.2)
    assert copies["told_apart"]["value"] == pytest.approx(0.5, abs=0.05)
    assert copies["memorised"]["close"]["value"] == 1
    assert copies["memorised"]["nearest_is_structure"] == 1
    assert copies["structure"]["f1"]["value"] == pytest.approx(1, abs=0.02)
    assert copies["structure"]["f1_of_another"] < 0.9
    assert copies["appearance"]["distance_to_structure"] == pytest.approx(0, abs=0.1)
    assert copies["diversity"]["value"] == pytest.approx(1, abs=0.02)


def test_hybrids_that_are_their_references(report):
    hybrids = report.figures()["sets"]["hybrids"]
    assert (hybrids["painted"], hybrids["photographs"]) == (20, 40)
    assert hybrids["memorised"]["nearest_is_reference"] == 1
    assert hybrids["appearance"]["distance_before"] > 20
    assert hybrids["appearance"]["way"]["value"] > 0.6
    assert hybrids["structure"]["f1"]["value"] < 0.9


def test_hybrids_are_held_against_photographed_ones(report):
    photographed = report.figures()["sets"]["hybrids of photographed crosses"]
    assert (photographed["painted"], photographed["photographs"]) == (20, 20)
    assert photographed["against"] == "photographs of hybrids of the same cross"
    assert photographed["kid"]["value"] > report.figures()["sets"]["non-hybrids"]["kid"]["value"]


def test_the_tables_have_a_row_for_each_pair_and_image(report):
    tables = {}
    for name in ("pairs", "images"):
        with (report.output / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    pairs = [(row["structure"], row["reference"], row["painted"]) for row in tables["pairs"]]
    assert pairs == [("1", "1", "20"), ("1", "2", "20"), ("2", "2", "20")]
    assert len(tables["images"]) == 60
    last = tables["images"][19]
    assert last["image"] == "AF_1_1_gen00019.png"
    assert (last["structure"], last["reference"]) == (STRANGE, "0")
    assert last["nearest_photograph"] == f"1/{STRANGE}"
    assert float(last["nearest_distance"]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_reads_well(report, open_page, scheme, width):
    page = open_page(report.output / "index.html", scheme, width)
    assert flaws(page, report.output) == []
    assert "0123456789ab, --loadSize 64 --align" in page.inner_text("body")
    dots = page.eval_on_selector_all(
        "svg title", "titles => titles.map(title => title.textContent)"
    )
    assert f"{STRANGE}, subspecies 1" in dots
    assert page.locator("#structure ~ .examples").first.locator(".example").count() == 4


def test_pictures_are_small(report):
    pictures = sorted((report.output / "pictures").glob("*.jpg"))
    assert pictures[0].name == "0001.jpg"
    for path in pictures:
        with Image.open(path) as image:
            assert image.size == (192, 192)


def test_a_heading_sorts_the_pairs(report, open_page):
    page = open_page(report.output / "index.html")

    def column(place: int) -> list[str]:
        return page.eval_on_selector_all(
            f".wide tbody tr > :nth-child({place})", "cells => cells.map(cell => cell.textContent)"
        )

    page.get_by_role("button", name="before painting").click()
    first = column(5)
    assert first == sorted(first, key=float, reverse=True)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="before painting").press("Enter")
    assert column(5) == first[::-1]
    page.get_by_role("button", name="structure x reference").click()
    assert column(1) == ["2 x 2", "1 x 2", "1 x 1"]


# ---- bad input, with a network that is a mean colour ---------------------------------------------


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    def extractor(*_: object) -> Callable:
        return lambda images: np.stack([image.mean(axis=(0, 1)) for image in images])

    monkeypatch.setattr(quality.backbone, "feature_extractor", extractor)
    return World(tmp_path, count=4, crossed=0)


def test_one_photograph_is_nothing_to_compare_with(run, world):
    [painting] = world.paint("1", "1", 1)
    for number in range(4):
        for subspecies in ("1", "2"):
            if (subspecies, number) != ("1", 0):
                world.photo(subspecies, number).write_bytes(b"no picture")
    output = run("evaluate.py", *world.options(), status=2)
    assert f"error: {world.dataset}: 1 of its 8 photographs can be read; two at least" in output
    assert painting.exists()


def test_no_painted_images(run, world):
    world.results.mkdir()
    output = run("evaluate.py", *world.options(), status=2)
    assert f"error: {world.results}: no painted image AF_*_*_gen*.png in it" in output


def test_no_photographs(run, world):
    world.paint("1", "1", 1)
    options = [*world.options(), "--dataset", world.results]
    output = run("evaluate.py", *options, status=2)
    assert f"error: {world.results}: no photographs in Images/SUBSPECIES/.../good/" in output


def test_hidden_files_are_no_photographs_or_maps(world):
    whole = read_dataset(world.dataset)
    for folder in ("good", "pidinet_edges"):
        place = world.dataset / "Images/1/train" / folder
        shutil.copy(next(place.iterdir()), place / ".0123456789abcdef.part.png")
    assert read_dataset(world.dataset) == whole


def test_what_cannot_be_used_is_named_and_the_rest_evaluated(run, world):
    paintings = world.paint("1", "1", 4)
    paintings[1].write_bytes(b"no picture")
    world.photo("1", 3).write_bytes(b"no picture")  # the structure of 3, the reference of 2
    world.paint("1", "2", 1)[0].replace(world.results / "AF_1_3_gen00000.png")
    output = run("evaluate.py", *world.options(), status=1)
    found = world.figures()
    assert found["painted"] == 1
    assert found["left_out"] == [line for line in output.splitlines() if "left out" in line]
    expected = [
        f"{paintings[1]}: left out, not a readable PNG",
        f"{world.results / 'AF_1_3_gen00000.png'}: left out, the reference '1' of subspecies '3'",
        f"{world.photo('1', 3)}: not a readable image",
        f"{paintings[2]}: left out, {world.photo('1', 3)} cannot be read",
        f"{paintings[3]}: left out, {world.photo('1', 3)} cannot be read",
    ]
    assert len(found["left_out"]) == len(expected)
    for line in expected:
        assert any(problem.startswith(line) for problem in found["left_out"]), line
    page = (world.output / "index.html").read_text()
    assert "5 files were left out" in page
    assert "AF_1_3_gen00000.png" in page


def test_a_damaged_painting_does_not_stop_the_run(run, world):
    paintings = world.paint("1", "1", 3)
    whole = paintings[0].read_bytes()
    paintings[0].write_bytes(whole[: len(whole) // 2])
    output = run("evaluate.py", *world.options(), status=1)
    assert f"{paintings[0]}: not a readable image" in output
    assert world.figures()["painted"] == 2


def test_none_can_be_used(run, world):
    for painting in world.paint("1", "1", 2):
        painting.write_bytes(b"no picture")
    output = run("evaluate.py", *world.options(), status=2)
    assert f"error: {world.results}: none of its 2 painted images can be used" in output
    assert "AF_1_1_gen00000.png: left out, not a readable PNG" in output
    assert not world.output.exists()


def test_too_few_images_are_said(run, world):
    world.paint("1", "2", 1)
    run("evaluate.py", *world.options())
    found = world.figures()
    hybrids = found["sets"]["hybrids"]
    assert hybrids["frechet"] is hybrids["told_apart"] is hybrids["diversity"] is None
    assert found["too_few"] == [
        "hybrids: 1 painted images and 8 photographs; Frechet distance, KID and the classifier"
        " want 20 of each",
        "hybrids: no pair has two painted images to compare",
    ]
    assert found["too_few"][1] in (world.output / "index.html").read_text()


def test_images_that_state_nothing_are_looked_up_in_the_lists(run, world):
    for painting in world.paint("1", "2", 2):
        with Image.open(painting) as image:
            image.load()
        image.save(painting)
    folder = world.dataset / "List/test_signalhybrid"
    folder.mkdir(parents=True)
    (folder / "test_edges.txt").write_text("Images/1/train/pidinet_edges/2.png\n")
    (folder / "test_color_ref.txt").write_text("Images/2/train/good/1.png\n")
    output = run("evaluate.py", *world.options(), status=1)
    assert "gen00001.png: left out, it does not say what it was painted from, and no list" in output
    [row] = csv.DictReader((world.output / "images.csv").open(encoding="utf-8"))
    assert (row["image"], row["structure"], row["reference"]) == ("AF_1_2_gen00000.png", "2", "1")

    other = world.dataset / "List/test_other"
    folder.rename(world.dataset / "List/test_first")
    other.mkdir()
    (other / "test_edges.txt").write_text("Images/1/train/pidinet_edges/0.png\n")
    (other / "test_color_ref.txt").write_text("Images/2/train/good/1.png\n")
    output = run("evaluate.py", *world.options(), status=2)
    assert "gen00000.png: left out, it does not say" in output
    assert "2 lists that disagree" in output


def test_copies_of_one_photograph_are_no_measure_of_diversity(run, world):
    for number in (1, 2, 3):
        shutil.copy(world.photo("1", 0), world.photo("1", number))
    world.paint("1", "1", 3)
    run("evaluate.py", *world.options())
    [row] = csv.DictReader((world.output / "pairs.csv").open(encoding="utf-8"))
    assert row["diversity"] == ""
    assert world.figures()["sets"]["non-hybrids"]["diversity"] is None


def escaped(name: str) -> str:
    return name.replace("\r", "\\r").replace("\udcff", "\\udcff")


def test_hostile_names_break_no_table_and_no_page(run, world):
    names = [name.removesuffix(".png") for name in NAMES]
    world.names = names[:-1]  # lists are in UTF-8, and so is what is painted from them
    note = "scharr dark_on_white"
    for number, name in enumerate(names):
        add_photo(world.dataset, "1", name, butterfly("1", number), note)
    paintings = world.paint("1", "1", len(world.names))
    kinds = [os.fsdecode(b"\xff"), '<script>\n",\r\x1b[2J']
    for kind in kinds:
        for number, name in enumerate(names[:2]):
            add_photo(world.dataset, kind, name, butterfly("1", number), note)
        shutil.copy(paintings[0], world.results / f"AF_{kind}_{kind}_gen00000.png")
        nowhere = f"AF_1_{kind * 2}_gen00000.png"  # no such subspecies
        shutil.copy(paintings[0], world.results / nowhere)
    output = run("evaluate.py", *world.options(), status=1)
    assert output.count("left out, ") == len(world.figures()["left_out"]) == 2
    with (world.output / "images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(world.names) + 2
    assert {row["structure"] for row in rows} == {escaped(name) for name in world.names}
    assert {row["structure_subspecies"] for row in rows} == {"1", *map(escaped, kinds)}
    page = (world.output / "index.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1


def test_so_many_are_drawn_at_random(run, world):
    world.paint("1", "1", 4)
    world.paint("1", "2", 4)
    chosen = []
    for seed in (0, 0, 1, 2, 3):
        run("evaluate.py", *world.options(), "--how_many", 2, "--seed", seed)
        rows = csv.DictReader((world.output / "images.csv").open(encoding="utf-8"))
        chosen.append([row["image"] for row in rows])
    pairs = [[name[:6] for name in names] for names in chosen]
    assert pairs == 5 * [["AF_1_1", "AF_1_1", "AF_1_2", "AF_1_2"]]
    assert chosen[0] == chosen[1]
    assert len(set(map(tuple, chosen))) > 1
    assert "4 painted images, of 8 drawn at random" in (world.output / "index.html").read_text()


def test_the_report_lies_beside_the_results_by_default(run, world):
    world.paint("1", "1", 2)
    options = world.options()
    place = options.index("--output")
    page = world.results / "evaluation/index.html"
    for _ in range(2):  # its pictures are no painted images
        output = run("evaluate.py", *options[:place], *options[place + 2 :])
        assert f"page: {page}" in output
        assert "2 painted images, held against the 8 photographs" in page.read_text()


def test_pictures_of_an_older_report_are_removed(run, world):
    world.paint("1", "1", 2)
    (world.output / "pictures").mkdir(parents=True)
    for name in ("0999.jpg", "holiday.jpg"):
        (world.output / "pictures" / name).write_bytes(b"")
    run("evaluate.py", *world.options())
    left = {path.name for path in (world.output / "pictures").iterdir()}
    assert "0999.jpg" not in left
    assert {"0001.jpg", "holiday.jpg"} <= left


def test_a_map_of_many_shows_the_first_of_each(run, world, monkeypatch):
    monkeypatch.setattr("quality.plots.MOST_DOTS", 3)
    world.paint("1", "1", 4)
    run("evaluate.py", *world.options())
    page = (world.output / "index.html").read_text()
    assert page.count("</title></circle>") == 3 + 3


def test_edge_maps_that_cannot_be_compared(run, tmp_path, world):
    world.paint("1", "1", 2)
    good = world.dataset / "Images/2/train/good"
    edges = good.parent / "pidinet_edges"
    for note, reason in [
        ("pidinet 0123 dark_on_white", "drawn by pidinet and scharr; choose a --detector"),
        ("scharr white_on_dark", "light on dark, where dark on light is expected"),
    ]:
        write_edges(edges / "0.png", np.zeros((64, 64), np.uint8), "dark_on_white", note)
        run("evaluate.py", *world.options())
        assert world.figures()["too_few"][-1].endswith(reason)


def test_without_the_weights_of_pidinet_edges_are_left_out(run, world):
    for path in (world.dataset / "Images").rglob("pidinet_edges/*.png"):
        with Image.open(path) as image:
            image.load()
        image.save(path)  # as the published maps, which say nothing of their detector
    world.paint("1", "1", 2)
    options = [*world.options(), "--weights", world.dataset / "none.pth"]
    run("evaluate.py", *options)
    found = world.figures()
    assert found["edge_detector"] is None
    assert found["sets"]["non-hybrids"]["structure"] is None
    reason = f"structure fidelity: the edge maps are PiDiNet's, and {world.dataset / 'none.pth'}"
    assert found["too_few"][-1].startswith(reason)
    assert "Not measured: the edge maps are PiDiNet" in (world.output / "index.html").read_text()
    output = run("evaluate.py", *options, "--detector", "pidinet", status=2)
    assert f"error: {world.dataset / 'none.pth'}: no such checkpoint" in output
    run("evaluate.py", *options, "--detector", "scharr")
    assert world.figures()["edge_detector"] == "scharr"
