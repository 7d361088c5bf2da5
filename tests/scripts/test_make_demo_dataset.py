"""The demo set: heredity, the pictures, the tables, and the program as a user runs it."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from demo.make_demo_dataset import specimens
from demo.photograph import photograph
from demo.traits import SUBSPECIES, Traits, individual, inherit, vary
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = ("--scale", "0.03")  # one or two of a kind: 12 training and 19 test pictures


def run(output: Path, *options: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "demo.make_demo_dataset",
        "--output",
        output,
        "--workers",
        "2",
        *TINY,
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=SCRIPTS)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A tiny set, drawn once; tests only read it."""
    output = tmp_path_factory.mktemp("demo") / "set"
    done = run(output)
    assert done.returncode == 0, done.stderr
    assert "31 pictures drawn, 0 kept" in done.stderr
    assert "\r" not in done.stderr  # no progress bar where stderr is no terminal
    return output


class Midway:
    """A random generator that always gives the middle."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


def test_a_hybrid_takes_each_trait_by_its_rule():
    lativitta, notabilis = SUBSPECIES["lativitta"].traits, SUBSPECIES["notabilis"].traits
    hybrid = inherit(lativitta, notabilis, Midway())
    assert vars(hybrid) == pytest.approx(
        {
            "band_place": 0.635,
            "band_width": 0.285,
            "band_split": 0.45,
            "band_red": 0.45,  # dominant: the red rim of notabilis
            "yellow": 0.525,
            "spot": 0,
            "dennis": 0.95,  # dominant: as large as in lativitta
            "rays": 0.475,
            "bar": 0,
            "margin": 0,
            "blue": 0,
        }
    )
    white_margin = inherit(SUBSPECIES["cyrbia"].traits, SUBSPECIES["venus"].traits, Midway())
    assert (white_margin.margin, white_margin.bar) == pytest.approx((0, 0.5))  # recessive; between


def test_intermediate_traits_stay_between_the_parents_and_differ():
    rng = np.random.default_rng(0)
    nothing, everything = Traits(*[0.0] * 11), Traits(*[1.0] * 11)
    rays = [inherit(everything, nothing, rng).rays for _ in range(200)]
    assert 0.35 <= min(rays) < 0.37
    assert 0.63 < max(rays) <= 0.65


def test_individuals_vary_around_their_subspecies_but_gain_no_trait():
    rng = np.random.default_rng(0)
    venus = [vary(SUBSPECIES["venus"].traits, rng) for _ in range(400)]
    assert np.mean([one.band_place for one in venus]) == pytest.approx(0.59, abs=0.003)
    assert np.std([one.bar for one in venus]) == pytest.approx(0.07, abs=0.01)
    assert {one.rays for one in venus} == {0.0}
    assert max(one.band_red for one in venus) == 1.0


def test_the_full_set_has_the_counts_of_the_tables():
    full = specimens(seed=0, scale=1)
    train = [one for one in full if one.split == "train"]
    test = [one for one in full if one.split == "test"]
    assert (len(train), len(test)) == (286, 292)
    assert sum(one.parents == ("lativitta", "notabilis") for one in train) == 24
    rows = pd.Series([(one.indicator, len(one.parents)) for one in test]).value_counts().to_dict()
    assert rows == {
        ("major", 1): 60, ("major", 2): 40, ("minor", 1): 72, ("minor", 2): 30,
        ("mimic", 1): 58, ("mimic", 2): 32,
    }  # fmt: skip
    assert {len(specimens(0, scale)) for scale in (2, 3.0)} == {2 * 578, 3 * 578}


def test_numbers_and_order_do_not_tell_what_a_specimen_is():
    full = specimens(seed=3, scale=4)
    hybrid = np.array([len(one.parents) == 2 for one in full])
    numbers = np.array([int(one.camid.removeprefix("DEMO")) for one in full])
    assert sorted(numbers) == list(range(len(full)))
    places = np.array([one.index for one in full])
    test = np.array([one.split == "test" for one in full])
    # Correlations of independent values have a standard deviation of 1 / sqrt(n), here 0.02.
    assert abs(np.corrcoef(hybrid, numbers)[0, 1]) < 0.08
    assert abs(np.corrcoef(test, numbers)[0, 1]) < 0.08
    assert abs(np.corrcoef(hybrid[test], places[test])[0, 1]) < 0.12


def test_a_photograph_is_a_plain_jpeg_that_its_generator_decides():
    def draw(seed: int) -> tuple[bytes, bytes]:
        rng = np.random.default_rng(seed)
        return photograph(individual(("cyrbia",), rng), "A", "DEMO00001", rng)

    assert draw(5) == draw(5) != draw(6)
    image = Image.open(io.BytesIO(draw(5)[0]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (800, 533))
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    ("parents", "seed", "mean"),
    [(("cyrbia",), 5, 175.1326), (("lativitta", "notabilis"), 6, 178.9311)],
)
def test_masks_leave_the_drawing_as_it_was(parents, seed, mean):
    rng = np.random.default_rng(seed)
    traits, species = individual(parents, rng), SUBSPECIES[parents[0]].species
    jpeg, _ = photograph(traits, species, "DEMO00001", rng)
    # The means of the two pictures as they were drawn before there were masks.
    assert np.asarray(Image.open(io.BytesIO(jpeg))).mean() == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("name", SUBSPECIES)
def test_every_subspecies_is_a_dark_specimen_on_a_pale_ground(name):
    rng = np.random.default_rng(1)
    traits, species = SUBSPECIES[name].traits, SUBSPECIES[name].species
    jpeg, _ = photograph(traits, species, "DEMO00001", rng)
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    assert np.median(grey) > 150
    assert 0.05 < (grey < 70).mean() < 0.40


def test_the_training_table_has_the_form_of_the_challenge(demo):
    text = (demo / "train.csv").read_text()
    assert text.startswith(
        "CAMID,file_url,hybrid_stat,split,zenodo_link,md5,subspecies,"
        "parent_subspecies_1,parent_subspecies_2,filename\n"
    )
    table = pd.read_csv(demo / "train.csv", dtype=str, keep_default_na=False)
    assert len(table) == 12
    plain = table[table.hybrid_stat == "non-hybrid"]
    twice = {"2.0", "5.0"}  # cyrbia and lativitta, the most frequent
    assert plain.subspecies.value_counts().to_dict() == {
        f"{number}.0": 2 if f"{number}.0" in twice else 1 for number in range(9)
    }
    assert set(plain.parent_subspecies_1 + plain.parent_subspecies_2) == {""}
    hybrids = table[table.hybrid_stat == "hybrid"]
    row = hybrids[["subspecies", "parent_subspecies_1", "parent_subspecies_2"]].values.tolist()
    assert row == [["", "5.0", "6.0"]]
    assert set(table.split) == {"train"}
    for row in table.itertuples():
        picture = (demo / "train" / "images" / row.filename).read_bytes()
        assert hashlib.md5(picture, usedforsecurity=False).hexdigest() == row.md5
        assert row.filename == f"{row.CAMID}.jpg"


def test_the_reference_table_has_the_form_of_the_challenge(demo):
    table = pd.read_csv(demo / "ref_test.csv")
    assert list(table.columns) == [
        "CAMID", "file_url", "hybrid_stat", "X", "subspecies_ref", "filename", "ssp_indicator",
    ]  # fmt: skip
    hybrid = table.subspecies_ref.str.contains(" x ")
    assert (hybrid == (table.hybrid_stat == 1)).all()
    kinds = table.groupby("ssp_indicator").subspecies_ref.agg(set).to_dict()
    assert kinds["major"] == {
        "lativitta", "notabilis", "notabilis x lativitta", "lativitta x notabilis",
    }  # fmt: skip
    assert kinds["mimic"] == {
        "malleti", "plesseni", "plesseni x malleti", "malleti x plesseni",
    }  # fmt: skip
    assert "hydara x petiverana" in kinds["minor"]
    assert not kinds["minor"] & {"lativitta", "notabilis"}
    names = table.X.astype(str) + "_" + table.CAMID + "_d.jpg"
    assert names.tolist() == table.filename.tolist()
    assert set(names) == {path.name for path in (demo / "test" / "images").iterdir()}


def test_the_set_says_how_the_lists_are_to_be_made(demo):
    options = (demo / "list_options.txt").read_text()
    assert options == "--groups 0,3,5 1,2 4,7,8 6 --signal 6 5 --exclude\n"
    described = json.loads((demo / "demo.json").read_text())
    assert (described["seed"], described["scale"]) == (0, 0.03)
    assert [described["subspecies"][i] for i in described["signal_pair"]] == [
        "lativitta",
        "notabilis",
    ]
    with Image.open(demo / "overview.png") as overview:
        assert overview.format == "PNG"


def test_a_mask_is_white_where_the_specimen_is(demo):
    for split in ("train", "test"):
        images, masks = demo / split / "images", demo / split / "masks"
        assert {path.stem for path in masks.iterdir()} == {path.stem for path in images.iterdir()}
        for path in masks.iterdir():
            with Image.open(path) as picture:
                assert (picture.format, picture.mode, picture.size) == ("PNG", "1", (800, 533))
                mask = np.asarray(picture)
            grey = np.asarray(Image.open((images / path.stem).with_suffix(".jpg")).convert("L"))
            dark = grey < 60
            # Wings are dark where they are not patterned; so are frame and print of the props.
            assert 0.4 < dark[mask].mean() < 1
            assert dark[~mask].mean() < 0.06
            # The line between the two lies on the line between wing and paper, to a pixel.
            core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
            rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
            assert grey[rim & ~mask].mean() - grey[mask & ~core].mean() > 40


def test_a_set_without_masks_gets_them_and_keeps_its_pictures(demo, tmp_path):
    output = shutil.copytree(demo, tmp_path / "set")
    before = contents(output)
    shutil.rmtree(output / "train" / "masks")  # as in a set drawn before there were masks
    cut_short = next((output / "test" / "masks").iterdir())
    cut_short.write_bytes(cut_short.read_bytes()[:100])
    done = run(output)
    assert "13 pictures drawn, 18 kept" in done.stderr
    assert contents(output) == before


def test_one_worker_draws_the_same_bytes_as_two(demo, tmp_path):
    done = run(tmp_path / "set", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "set") == contents(demo)


def test_whole_pictures_are_kept_and_broken_ones_drawn_again(demo, tmp_path):
    output = shutil.copytree(demo, tmp_path / "set")
    before = contents(output)
    pictures = sorted((output / "train" / "images").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:5000])
    leftover = output / "test" / "images" / ".7_DEMO00001_d.123.part.jpg"
    leftover.write_bytes(b"half")
    kept = {path: path.stat().st_mtime_ns for path in pictures[2:]}

    done = run(output)
    assert "2 pictures drawn, 29 kept" in done.stderr
    assert contents(output) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    done = run(output, "--seed", "1")  # another seed: another set, with nothing left of the first
    assert "31 pictures drawn, 0 kept" in done.stderr
    assert "'seed': 0" in done.stderr
    after = contents(output)
    pictures = {after[name] for name in after if name.endswith(".jpg") or "masks/" in name}
    assert not set(before.values()) & pictures
    listed = set(pd.read_csv(output / "train.csv").filename)
    assert {path.name for path in (output / "train" / "images").iterdir()} == listed
    masks = {f"{path.stem}.jpg" for path in (output / "train" / "masks").iterdir()}
    assert masks == listed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "-1"), "--seed is -1; it must be 0 or more"),
        (("--scale", "0"), "--scale is 0.0; it must be above 0"),
        (("--scale", "nan"), "--scale is nan"),
        (("--workers", "0"), "--workers is 0; it must be 1 or more"),
    ],
)
def test_senseless_options_are_refused(tmp_path, options, message):
    done = run(tmp_path / "set", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "set").exists()


def test_folders_that_are_no_demo_set_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "demo.json").write_text("{")
    for name, message in (
        ("file", "is a file; --output names a folder"),
        ("full", "holds files but no demo.json; name an empty folder"),
        ("damaged", "demo.json is damaged"),
    ):
        before = contents(tmp_path)
        done = run(tmp_path / name)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert contents(tmp_path) == before
