"""The demo set: heredity, the pictures, the tables, and the program as a user runs it."""

import hashlib
import io
import json
import os
import shutil
from argparse import Namespace
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from common.program import InputError
from demo.make_demo_dataset import make, prepare_folder, specimens
from demo.paper import COLLECTIONS, collection_of
from demo.photograph import photograph
from demo.traits import OF_A, SIGNAL_PAIR, SUBSPECIES, individual, inherit
from PIL import Image
from worlds import HEADER

SCALE = 0.03  # one to three of a kind: 14 training and 20 test pictures


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A tiny set, drawn once; tests only read it."""
    output = tmp_path_factory.mktemp("demo") / "set"
    make(Namespace(output=output, seed=0, scale=SCALE, layout="wings", workers=2))
    return output


def test_a_hybrid_takes_each_trait_by_its_rule():
    midway = Namespace(uniform=lambda low, high: (low + high) / 2)  # its random numbers
    hybrid = inherit(*(SUBSPECIES[name].traits for name in SIGNAL_PAIR), midway)
    # Dennis and rays are dominant, a mere rim of red is not.
    expected = {"band_place": 0.635, "band_width": 0.285, "band_split": 0.51, "band_red": 0.225}
    expected |= {"yellow": 0.525, "dennis": 0.95, "rays": 0.95}
    assert vars(hybrid) == pytest.approx(dict.fromkeys(vars(hybrid), 0) | expected)
    bar = inherit(SUBSPECIES["cyrbia"].traits, SUBSPECIES["venus"].traits, midway)
    assert (bar.margin, bar.bar, bar.blue) == pytest.approx((0.19, 0.35, 0.875))  # traces; between


def test_the_full_set_has_the_counts_of_the_tables():
    assert SIGNAL_PAIR == ("lativitta", "notabilis")
    full = specimens(seed=0, scale=1)
    # In no order, so that neither place nor number tells what a specimen is.
    assert [(one.camid, one.name) for one in full[:3]] == [
        *(("DEMO00295", "lativitta"), ("DEMO00190", "lativitta"), ("DEMO00251", "venus"))
    ]
    train = [one for one in full if one.split == "train"]
    assert (len(train), len(full)) == (286, 286 + 292)
    assert sum(one.name == " x ".join(SIGNAL_PAIR) for one in train) == 24
    rows = [(one.indicator, len(one.parents)) for one in full if one.split == "test"]
    expected = {("major", 1): 58, ("major", 2): 40, ("minor", 1): 71, ("minor", 2): 30}
    assert Counter(rows) == expected | {("mimic", 1): 61, ("mimic", 2): 32}
    assert {len(specimens(0, scale)) for scale in (2, 3.0)} == {2 * 578, 3 * 578}


@pytest.mark.parametrize(("pinned", "mean"), [(True, 135.5523), (False, 123.5086)])
def test_a_photograph_is_what_its_generator_decides(pinned, mean):
    def draw(seed: int) -> tuple[bytes, bytes]:
        rng = np.random.default_rng(seed)
        traits = individual(SIGNAL_PAIR, rng)
        return photograph(traits, "A", "DEMO00001", COLLECTIONS["lime"], rng, pinned)

    assert draw(5) == draw(5) != draw(6)
    image = Image.open(io.BytesIO(draw(5)[0]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (600, 400))
    assert np.asarray(image).mean() == pytest.approx(mean, abs=1e-4)


def test_the_ground_goes_with_the_collection():
    """Most non-hybrids of the test lie on green or white paper, all hybrids on grey."""
    rng = np.random.default_rng(0)
    grey = {COLLECTIONS[name] for name in ("grey", "grey with disc", "bluish grey")}
    lies = {(split, status): [] for split in ("train", "test") for status in ("plain", "hybrid")}
    for one in specimens(seed=0, scale=4):
        status = "plain" if len(one.parents) == 1 else "hybrid"
        lies[one.split, status].append(collection_of(one.name, one.split, rng) in grey)
    shares = {key: np.mean(values) for key, values in lies.items()}
    assert shares["train", "hybrid"] == shares["test", "hybrid"] == 1
    assert shares["train", "plain"] == pytest.approx(0.69, abs=0.05)  # 0.65 in the challenge
    assert shares["test", "plain"] == pytest.approx(0.33, abs=0.05)  # 0.36


def test_the_tables_have_the_form_of_the_challenge(demo):
    assert (demo / "train.csv").read_text().startswith(f"{HEADER}\n")
    train = pd.read_csv(demo / "train.csv", dtype=str, keep_default_na=False)
    plain = train[train.hybrid_stat == "non-hybrid"]
    counts = plain.subspecies.value_counts().to_dict()
    assert counts == dict.fromkeys(OF_A, 1) | {"cyrbia": 2, "lativitta": 3}  # the most frequent
    parents = ["subspecies", "parent_subspecies_1", "parent_subspecies_2"]
    hybrids = train[train.hybrid_stat == "hybrid"]
    assert hybrids[parents].to_numpy().tolist() == [["", *SIGNAL_PAIR]] * 16  # at the least
    assert set(train.split) == {"train"}
    for row in train.itertuples():
        picture = (demo / "train" / "images" / row.filename).read_bytes()
        assert hashlib.md5(picture, usedforsecurity=False).hexdigest() == row.md5
        assert row.filename == f"{row.CAMID}.jpg"

    test = pd.read_csv(demo / "ref_test.csv")
    assert ",".join(test) == ("CAMID,file_url,hybrid_stat,X,subspecies_ref,filename,ssp_indicator")
    assert (test.subspecies_ref.str.contains(" x ") == (test.hybrid_stat == 1)).all()
    shown = test.groupby("ssp_indicator").subspecies_ref.agg(set)
    both = {"lativitta x notabilis", "notabilis x lativitta"}
    assert shown["major"] == {"lativitta", "notabilis"} | both
    assert "hydara x petiverana" in shown["minor"] and "plesseni x malleti" in shown["mimic"]
    names = test.X.astype(str) + "_" + test.CAMID + "_d.jpg"
    assert names.tolist() == test.filename.tolist()
    assert set(names) == {path.name for path in (demo / "test" / "images").iterdir()}

    options = (demo / "list_options.txt").read_text()
    assert options == (
        "--groups amalfreda,erato,lativitta chestertonii,cyrbia hydara,petiverana,phyllis,venus "
        "notabilis --signal notabilis lativitta --exclude\n"
    )
    assert json.loads((demo / "demo.json").read_text())["signal_pair"] == [*SIGNAL_PAIR]
    assert Image.open(demo / "overview.png").size == (1198, 1081)


def test_a_mask_is_white_where_the_wings_are(demo):
    masks = sorted(demo.glob("*/masks/*.png"))
    assert len(masks) == len(list(demo.glob("*/images/*.jpg"))) == 29 + 20
    wings = []
    for path in masks:
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "1", (600, 400))
            mask = np.asarray(picture).astype(np.uint8)
        wings.append(cv2.connectedComponents(mask)[0] - 1)
        light = np.asarray(Image.open(path.parents[1] / f"images/{path.stem}.jpg")).max(axis=2)
        # The line between the two lies on the line between wing and paper, to a pixel.
        core, rim = cv2.erode(mask, np.ones((3, 3))) > 0, cv2.dilate(mask, np.ones((3, 3))) > 0
        assert light[rim & (mask == 0)].mean() - light[(mask > 0) & ~core].mean() > 20
    assert set(wings) == {2, 4}  # each is a piece by itself; of some, one side alone is there


def test_what_is_missing_is_drawn_the_same_and_another_set_anew(demo, tmp_path):
    output = shutil.copytree(demo, tmp_path / "set")
    before = contents(output)
    pictures = sorted((output / "train/images").iterdir())
    pictures[0].unlink()
    next((output / "test/masks").iterdir()).unlink()
    os.utime(pictures[1], (0, 0))
    make(Namespace(output=output, seed=0, scale=SCALE, layout="wings", workers=1))
    assert (contents(output), pictures[1].stat().st_mtime) == (before, 0)
    for changed in ((1, SCALE, "wings"), (1, 0.04, "wings"), (1, 0.04, "pinned")):
        (output / "test/images/left.jpg").touch()
        prepare_folder(output, *changed)
        assert not [name for name in contents(output) if name.count("/") == 2]


def test_folders_that_are_refused(tmp_path):
    """A file, and a folder of somebody's, are left alone."""
    (tmp_path / "file").write_text("text")
    for name in ("file", ""):
        with pytest.raises(InputError, match=f"{name} holds no demo.json; --output names an empt"):
            prepare_folder(tmp_path / name, 0, 1.0)
    assert contents(tmp_path) == {"file": b"text"}
