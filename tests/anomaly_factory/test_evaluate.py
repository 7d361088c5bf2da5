"""evaluate.py as a user runs it: what it finds in painted images, and what it says of bad input."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import quality.backbone
from browser import SCREENS, flaws
from extract_edges import write_edges
from faults.hostile import NAMES
from models.scharr import scharr_edges
from PIL import Image
from quality import formulas
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


def add_photo(dataset: Path, subspecies: str, name: str, image: np.ndarray) -> None:
    folder = dataset / "Images" / subspecies / "train"
    (folder / "good").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / "good" / f"{name}.png")
    edges = folder / "pidinet_edges" / f"{name}.png"
    write_edges("scharr dark_on_white", (edges, scharr_edges(image[None])[0]))


class World:
    """A data set, and painted images of it: the non-hybrids are their structures' photographs,
    the hybrids their references'."""

    def __init__(self, folder: Path, count: int, crossed: int):
        self.dataset, self.results = folder / "dataset", folder / "results"
        self.output = folder / "report"
        self.names = [*map(str, range(count - 1)), STRANGE]
        crosses = [f"x{number}" for number in range(crossed)]
        for subspecies, names in {"1": self.names, "2": self.names, "1_2": crosses}.items():
            for number, name in enumerate(names):
                add_photo(self.dataset, subspecies, name, butterfly(subspecies, number))

    def photo(self, subspecies: str, number: int) -> Path:
        return self.dataset / f"Images/{subspecies}/train/good/{self.names[number]}.png"

    def map(self, subspecies: str, number: int) -> Path:
        return self.photo(subspecies, number).parents[1] / f"pidinet_edges/{self.names[number]}.png"

    def paint(self, i: str, j: str, count: int) -> list[Path]:
        """Paint structures 0, 1, ... of `i` with the next one of `j`, as test.py writes them."""
        pairs = list(zip(self.names, self.names[1:] + self.names[:1], strict=True))[:count]
        names = {f"AF_{i}_{j}_gen{number:05d}.png": pair for number, pair in enumerate(pairs)}
        results = Results(self.results / (i + j), f"list_{i}_{j}", names, {}, False)
        results.begin(overwrite=False)
        for number, name in enumerate(names):
            of, place = (i, number) if i == j else (j, (number + 1) % len(self.names))
            image = np.asarray(Image.open(self.photo(of, place)).resize((256, 256)))
            results.write(name, [image, image, image, image])
        return [self.results / (i + j) / name for name in names]

    def options(self) -> list[object]:
        where = ["--results", self.results, "--dataset", self.dataset, "--output", self.output]
        return [*where, "--gpu_ids", -1]

    def figures(self) -> dict:
        return json.loads((self.output / "figures.json").read_text())


@pytest.fixture(scope="module")
def report(tmp_path_factory, run) -> World:
    """The report of a small world, by the real network and a short bootstrap."""
    world = World(tmp_path_factory.mktemp("evaluate"), count=20, crossed=20)
    for pair in ("11", "22", "12"):
        world.paint(*pair, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulas, "DRAWS", 20)
        output = run("evaluate.py", *world.options())
    assert f"page: {world.output / 'index.html'}" in output
    return world


def rows(world: World, name: str = "images") -> list[dict[str, str]]:
    with (world.output / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_copies_of_photographs_are_found_out(report):
    found = report.figures()
    assert (found["painted"], found["photographs"], found["left_out"]) == (60, 60, [])
    assert found["edge_detector"] == "scharr"
    copies = found["sets"]["non-hybrids"]
    assert (copies["painted"], copies["photographs"]) == (40, 40)
    assert copies["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    assert copies["told_apart"]["value"] == pytest.approx(0.5, abs=0.05)
    assert copies["memorised"]["close"]["value"] == 1
    assert copies["structure"]["f1"]["value"] == pytest.approx(1, abs=0.02)
    assert copies["structure"]["f1_of_another"] < 0.9
    hybrids = found["sets"]["hybrids"]  # that are their references
    photographed = found["sets"]["hybrids of photographed crosses"]
    assert (hybrids["painted"], hybrids["photographs"]) == (20, 40)
    colours = hybrids["appearance"]
    assert colours["distance"]["value"] < 0.4 * colours["distance_before"] > 8
    assert hybrids["structure"]["f1"]["value"] < 0.9
    assert (photographed["painted"], photographed["photographs"]) == (20, 20)
    assert photographed["against"] == "photographs of hybrids of the same cross"
    assert photographed["kid"]["value"] > copies["kid"]["value"]

    pairs = [list(row.values()) for row in rows(report, "pairs")]
    assert list(rows(report, "pairs")[0])[-3:] == ["nearest_photograph", "close", "looks_painted"]
    assert [row[:3] for row in pairs] == [["1", "1", "20"], ["1", "2", "20"], ["2", "2", "20"]]
    assert [row[-2] for row in pairs] == ["1"] * 3
    last = rows(report)[19]
    assert last["image"] == "AF_1_1_gen00019.png"
    assert (last["structure"], last["reference"]) == (STRANGE, "0")
    assert last["nearest_photograph"] == f"1/{STRANGE}"
    assert float(last["nearest_distance"]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_reads_well(report, open_page, scheme, width):
    page = open_page(report.output / "index.html", scheme, width)
    assert flaws(page, report.output) == []


def test_what_the_page_shows(report, open_page):
    page = open_page(report.output / "index.html")
    assert page.locator("h2").all_inner_texts() == [
        *["In short", "Painted or photographed?", "Fréchet distance", "KID"],
        *["Close to a photograph", "Edges", "Colours", "By pair", "Method"],
    ]
    worst, best = (page.locator("#structure ~ .examples").nth(place) for place in (0, 1))
    assert worst.locator(".example").count() == 4
    assert "F1 1.00" in best.locator("figcaption").first.inner_text()
    picture = worst.locator("img").first
    assert picture.get_attribute("alt").endswith("painted, edges found")
    picture.scroll_into_view_if_needed()
    size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert picture.evaluate(size) == [640, 128]
    assert page.locator("img.plot").count() == 4

    pairs = page.locator(".wide tbody tr")
    heading = page.get_by_role("button", name="before painting")
    heading.click()
    before = pairs.locator(":nth-child(5)").all_text_contents()
    assert before == sorted(before, key=float, reverse=True)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    heading.press("Enter")
    assert pairs.locator(":nth-child(5)").all_text_contents() == before[::-1]
    page.get_by_role("button", name="structure x reference").click()
    assert pairs.locator(":nth-child(1)").all_text_contents() == ["2 x 2", "1 x 2", "1 x 1"]


# ---- bad input, with a network that is a mean colour ---------------------------------------------


def strip(images: Iterable[Path]) -> None:
    """Leave them without what they say of themselves, as the published ones are."""
    for path in images:
        Image.open(path).copy().save(path)


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    def extractor(*_: object) -> Callable:
        return lambda images: np.stack([image.mean(axis=(0, 1)) for image in images])

    monkeypatch.setattr(quality.backbone, "feature_extractor", extractor)
    return World(tmp_path, count=4, crossed=0)


def test_nothing_can_be_judged(run, world):
    def refused(message: str) -> None:
        output = run("evaluate.py", *world.options(), status=2)
        assert f"error: {world.dataset.parent}" in output and message in output
        assert not world.output.exists()

    world.results.mkdir()
    refused("results: no painted image AF_*_*_gen*.png in it")
    paintings, second = world.paint("1", "1", 2), world.map("1", 0).with_suffix(".jpg")
    shutil.copy(world.map("1", 0), second)
    refused("/0.png are both pidinet_edges of 0; rename one")
    second.unlink()
    for path in {*world.dataset.rglob("good/*.png")} - {world.photo("1", 0)}:
        path.write_bytes(b"no picture")
    refused("dataset: 1 of its 8 photographs can be read; two at least")
    for path in paintings:
        path.write_bytes(b"no picture")
    refused("results: none of its 2 painted images can be used; the first: ")
    shutil.rmtree(world.dataset)
    refused("dataset: no photographs in Images/SUBSPEC")


def test_what_cannot_be_used_is_named_and_the_rest_evaluated(run, world):
    paintings = world.paint("1", "1", 4)
    paintings[1].write_bytes(b"no picture")
    world.photo("1", 3).write_bytes(b"no picture")  # the structure of 3, the reference of 2
    world.paint("1", "2", 1)[0].replace(world.results / "AF_1_3_gen00000.png")
    [torn] = world.paint("2", "2", 1)
    torn.write_bytes(torn.read_bytes()[:-2000])
    shutil.copy(paintings[0], world.results / paintings[0].name)
    output = run("evaluate.py", *world.options(), status=1)
    found = world.figures()
    assert found["painted"] == 1
    assert found["left_out"] == [line for line in output.splitlines() if "left out" in line]
    spoilt = world.photo("1", 3)
    for path, problem in [
        (world.results / paintings[0].name, f"left out, {paintings[0]} has the same name"),
        (paintings[1], f"left out, {paintings[1]}: not a readable PNG"),
        (world.results / "AF_1_3_gen00000.png", "left out, the reference '1' of subspecies '3'"),
        *((path, "not a readable image") for path in (spoilt, torn)),
        *((path, "left out, a photograph that it was painted from") for path in paintings[2:]),
    ]:
        assert any(line.startswith(f"{path}: {problem}") for line in found["left_out"]), path
    page = (world.output / "index.html").read_text()
    assert "7 files were left out" in page and "AF_1_3_gen00000.png" in page


def test_published_images_are_looked_up_in_the_lists(run, world):
    """They do not say what they were painted from; a line of a list does, by the image's name."""
    paintings = world.paint("1", "2", 4)
    strip(paintings)
    structures = [world.map("1", number) for number in range(4)]
    references = [world.photo("2", place) for place in (1, 2, 3, 0)]
    for name, others in (
        ("test_one", references[:3]),
        ("test_two", [*references[:2], world.photo("2", 0)]),
    ):
        folder = world.dataset / "Lists" / name
        folder.mkdir(parents=True)
        for column, paths in (("edges", structures), ("color_ref", others)):
            lines = (path.relative_to(world.dataset).as_posix() for path in paths[:3])
            (folder / f"test_{column}.txt").write_text("\n".join(lines))
    output = run("evaluate.py", *world.options(), status=1)
    found = {row["image"]: (row["structure"], row["reference"]) for row in rows(world)}
    assert found == {f"AF_1_2_gen0000{n}.png": (f"{n}", f"{n + 1}") for n in (0, 1)}
    for path, why in zip(paintings[2:], ("lists that disagree", "no list"), strict=True):
        assert f"{path}: left out, it does not say what it was painted from, and {why}" in output


def test_so_many_are_drawn_at_random_and_too_few_are_said(run, world):
    world.paint("1", "1", 4)
    world.paint("1", "2", 4)
    chosen, where = [], world.options()[:4]
    world.output = world.results / "evaluation"  # by default; its pictures are not painted
    for place in (world.photo("1", 0), world.map("1", 0)):  # hidden files are no images
        place.with_name(".0123456789abcdef.part.png").write_bytes(b"")
    for seed in (0, 0, 1):
        run("evaluate.py", *where, "--gpu_ids", -1, "--how_many", 2, "--seed", seed)
        chosen.append([row["image"] for row in rows(world)])
        assert [name[:6] for name in chosen[-1]] == [*["AF_1_1"] * 2, *["AF_1_2"] * 2]
    assert chosen[0] == chosen[1] != chosen[2]
    page = (world.output / "index.html").read_text()
    assert "4 painted images, chosen by chance from 8, held" in page
    hybrids = world.figures()["sets"]["hybrids"]
    assert {hybrids[key] for key in ("frechet", "kid", "halves", "told_apart")} == {None}
    assert page.count("too few images") == 2 * 3


def test_hostile_names_break_no_table_and_no_page(run, world):
    kind = os.fsdecode(b'<script>\n",\r\x1b[2J\xff')
    # Lists are in UTF-8, and so is what is painted from them; the last name is not.
    world.names = [name.removesuffix(".png") for name in NAMES[:-1]]
    for subspecies in ("1", kind):
        for number, name in enumerate(world.names):
            add_photo(world.dataset, subspecies, name, butterfly("1", number))
    painting = world.paint("1", "1", len(world.names))[0]
    for unknown in (f"{kind}_{kind}", f"1_{kind * 2}"):  # the second names no subspecies
        shutil.copy(painting, world.results / f"AF_{unknown}_gen00000.png")
    output = run("evaluate.py", *world.options(), status=1)
    assert output.count("left out, ") == len(world.figures()["left_out"]) == 1
    table = rows(world)
    assert len(table) == len(world.names) + 1
    for column, names in {"structure": world.names, "structure_subspecies": ["1", kind]}.items():
        shown = {name.replace("\r", "\\r").replace("\udcff", "\\udcff") for name in names}
        assert {row[column] for row in table} == shown
    assert (world.output / "index.html").read_text(encoding="utf-8").count("<script") == 1


def test_edge_maps_that_cannot_be_compared(run, world):
    world.paint("1", "1", 2)
    write_edges("pidinet 0123", (world.map("2", 0), np.zeros((64, 64), np.uint8)))
    output = run("evaluate.py", *world.options(), status=2)
    assert "dataset: edge maps drawn by pidinet and scharr; choose a --detector" in output
    strip(world.dataset.rglob("pidinet_edges/*.png"))  # the published maps are PiDiNet's
    weights = world.dataset / "none.pth"
    output = run("evaluate.py", *world.options(), "--weights", weights, status=2)
    for part in (f"error: {weights}: no such checkpoint", "models.sh pidinet", "--detector scharr"):
        assert part in output
    run("evaluate.py", *world.options(), "--detector", "scharr")
    assert world.figures()["edge_detector"] == "scharr"
    (world.dataset / "Images/1/train/good/9.CR2").touch()
    output = run("evaluate.py", *world.options(), "--detector", "scharr", status=1)
    assert "passed over: 1 .CR2; save photographs as" in output
