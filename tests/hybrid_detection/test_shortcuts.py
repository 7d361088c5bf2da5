"""The check for shortcuts, on made-up photographs in which wings or ground tell the subspecies."""

import csv
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import shortcuts
import training
from data_utils import COLUMNS
from PIL import Image
from shortcuts import (
    ADVICE,
    VIEWS,
    Photographs,
    Result,
    call_each,
    make_view,
    sentence,
    tell_backgrounds,
)

GREY, BLUE = (205, 205, 205), (150, 180, 205)  # papers
ORANGE, YELLOW = (210, 110, 30), (235, 225, 140)  # bands


def draw(path: Path, paper, band, seed: int) -> None:
    """A photograph of a specimen of random size and place with bands of one colour."""
    rng = np.random.default_rng(seed)
    picture = np.full((160, 240, 3), paper, np.float32)
    x, y, size = rng.uniform(105, 135), rng.uniform(70, 90), rng.uniform(0.8, 1.1)
    for side in (-1, 1):
        for dx, dy, length, width in [(36, -12, 34, 17), (26, 20, 24, 17)]:
            centre = (round(x + side * dx * size), round(y + dy * size))
            axes = (round(length * size), round(width * size))
            cv2.ellipse(picture, centre, axes, 0, 0, 360, (28, 20, 14), cv2.FILLED)
            inner = (axes[0] // 2, axes[1] // 3)
            cv2.ellipse(picture, centre, inner, 0, 0, 360, band, cv2.FILLED)
    picture += rng.normal(0, 2, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def check(tmp_path, monkeypatch, caplog, capsys):
    """Run the program with the light backbone, in this process; status, output and messages."""

    def run_check(*arguments: object) -> tuple[int, str, str]:
        command = [
            *("check_shortcuts.py", "--output", tmp_path / "out", "--cache", tmp_path / "cache"),
            *("--backbone", "efficientnet_lite0", "--device", "cpu", "--workers", 1, *arguments),
        ]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        caplog.clear()
        status = shortcuts.main()
        printed = capsys.readouterr()
        return status, printed.out, caplog.text + printed.err

    return run_check


def values(out: Path, told: str = "subspecies") -> dict[str, float]:
    table = pd.read_csv(out / "shortcuts.csv").query("told == @told")
    assert tuple(table["view"]) == VIEWS
    return dict(zip(table["view"], table["value"], strict=True))


def test_a_ground_that_tells_the_subspecies_is_found_out(tmp_path, check):
    photos = tmp_path / "photos"
    for number in range(24):  # one lab photographs cyrbia, another erato; their wings are alike
        name, paper = [("cyrbia", GREY), ("erato", BLUE)][number % 2]
        band = (ORANGE, YELLOW)[number // 2 % 2]
        draw(photos / name / f"{number}.png", paper, band, number)
    status, printed, _ = check("--photographs", photos)
    assert status == 0
    share = values(tmp_path / "out")
    assert share["whole"] > 0.9
    assert share["background"] > 0.9
    assert share["outline"] < 0.8
    assert share["cutout"] < 0.8
    assert "the background alone tells the subspecies in 100 % of cases (chance 50 %" in printed
    assert printed.rstrip().endswith(
        "24 photographs): cut the specimens out, or balance who photographed them"
    )
    table = pd.read_csv(tmp_path / "out/shortcuts.csv")
    assert (table["chance"] == 0.5).all() and (table["photographs"] == 24).all()
    for view in VIEWS:
        assert len(list((tmp_path / "out" / view).glob("*.png"))) == 24


def test_a_ground_that_tells_nothing_is_cleared(tmp_path, check):
    photos = tmp_path / "photos"
    for number in range(24):
        name, band = [("cyrbia", ORANGE), ("erato", YELLOW)][number % 2]
        paper = (GREY, BLUE)[number // 2 % 2]
        draw(photos / name / f"{number}.png", paper, band, number)
    (photos / "venus").mkdir()
    shutil.copy(photos / "erato/1.png", photos / "venus/alone.png")
    Image.new("RGB", (90, 60), "white").save(photos / "erato/empty.png")
    (photos / "erato/text.jpg").write_text("no image")
    status, printed, messages = check("--photographs", photos)
    assert status == 0
    share = values(tmp_path / "out")
    assert share["background"] < 0.75
    assert share["cutout"] > 0.9
    assert printed.rstrip().endswith("24 photographs), which may be chance")
    assert "left out, as the only photograph of their subspecies: venus" in messages
    assert "empty.png: no specimen found with confidence (nothing found)" in messages
    assert "text.jpg: not a readable image" in messages


def draw_table(root: Path, blue: str) -> Path:
    """A CSV of 12 hybrids, 12 others of two subspecies, and a painting.

    On blue paper are the "hybrids", or the one "subspecies" and half of the hybrids, or "none".
    """
    rows = []
    for number in range(24):
        hybrid, second = number % 2, number // 2 % 2
        name = f"{number}.png"
        status = ("non-hybrid", "hybrid")[hybrid]
        paper = (GREY, BLUE)[{"hybrids": hybrid, "subspecies": second, "none": 0}[blue]]
        draw(root / "Images" / status / name, paper, (ORANGE, YELLOW)[second], number)
        subspecies = "" if hybrid else ("8.0", "9.0")[second]
        rows.append({"filename": name, "hybrid_stat": status, "subspecies": subspecies})
    painting = "AF_9_8_gen00000.png"
    draw(root / "Images/hybrid" / painting, GREY, ORANGE, 99)
    rows.append({"filename": painting, "hybrid_stat": "hybrid", "subspecies": "9_8"})
    rows.append({"filename": "gone.png", "hybrid_stat": "hybrid", "subspecies": ""})
    (root / "List").mkdir()
    with (root / "List/rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(row | {"split": "train"} for row in rows)
    return root / "List/rows.csv"


@pytest.fixture
def table(tmp_path) -> Path:
    return draw_table(tmp_path / "Images4TrainClassifier", "hybrids")


def test_hybrids_of_a_classifiers_csv(tmp_path, check, table):
    status, printed, messages = check("--csv", table)
    assert status == 0
    assert "1 photographs are not in" in messages
    area, share = values(tmp_path / "out", "hybrids"), values(tmp_path / "out")
    assert area["background"] > 0.95
    assert area["cutout"] < 0.8
    assert share["cutout"] > 0.9  # the bands tell 8 from 9
    assert share["background"] < 0.8
    rows = pd.read_csv(tmp_path / "out/shortcuts.csv")
    assert rows.query("told == 'hybrids'")["photographs"].tolist() == [24] * 4
    assert rows.query("told == 'subspecies'")["photographs"].tolist() == [12] * 4
    assert "the background alone tells the hybrids with a ROC AUC of" in printed


@pytest.mark.parametrize("blue", ["subspecies", "hybrids", "none"])
def test_training_says_whether_the_background_alone_tells(tmp_path, train, blue):
    csv_path = draw_table(tmp_path / "Images4TrainClassifier", blue)
    done = train(csv_path.parents[1], "--DATA_FILE", csv_path.name)
    assert done.status == 0, done.errors
    rows = pd.read_csv(tmp_path / "classifiers/shortcuts.csv")
    assert rows["view"].tolist() == ["background", "background"]
    assert rows["photographs"].tolist() == [12, 24]  # without the painting
    for told, low, chance in zip(rows["told"], rows["low"], rows["chance"], strict=True):
        assert (low > chance) == (told == blue)
    lines = [line for line in done.errors.splitlines() if "the background alone tells" in line]
    assert [line.endswith(ADVICE) for line in lines] == [blue == "subspecies", blue == "hybrids"]
    assert "the background alone tells the subspecies in " in lines[0]
    assert "the background alone tells the hybrids with a ROC AUC of " in lines[1]
    assert len(list((tmp_path / "cache").glob("*.f32"))) == 1


def test_training_on_cutouts_asks_no_background(tmp_path, train, table):
    left = tmp_path / "classifiers/shortcuts.csv"
    left.parent.mkdir()
    left.write_text("of a training before")
    done = train(table.parents[1], "--DATA_FILE", table.name, "--preprocess", "cutout")
    assert done.status == 0, done.errors
    assert "the background alone tells" not in done.errors
    assert not left.exists()


def test_training_goes_on_where_no_specimen_is_found(tmp_path, train, dataset):
    left = tmp_path / "classifiers/shortcuts.csv"
    left.parent.mkdir()
    left.write_text("of a training before")
    done = train(dataset)
    assert done.status == 0, done.errors
    (line,) = (line for line in done.errors.splitlines() if "specimen" in line)
    assert "no check of what the background alone tells: " in line
    assert f"{dataset / 'Images'}: nothing to tell apart; expected two subspecies" in line
    assert not left.exists()


def test_training_goes_on_where_the_check_cannot_be_made(tmp_path, train, dataset, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(training, "tell_backgrounds", full)
    done = train(dataset)
    assert done.status == 0
    assert "no check of what the background alone tells: disk full" in done.errors
    assert (tmp_path / "classifiers/sgd_clf.pkl").exists()


@pytest.mark.parametrize(("there", "seen"), [(200, 200), (240, 200)])
def test_a_training_looks_at_a_sample(monkeypatch, there, seen):
    looked_at = []

    def see(photographs, views, folder, workers):
        assert (views, workers) == (["background"], 3)
        assert folder.is_dir()
        looked_at.append((photographs, folder))
        return photographs, {}, []

    monkeypatch.setattr(shortcuts, "see", see)
    monkeypatch.setattr(shortcuts, "tell", lambda *arguments: arguments[2:])
    numbers = np.arange(there)
    photographs = Photographs(
        Path(), [Path(f"{number}.png") for number in numbers], numbers.astype(object), numbers % 2
    )
    for _ in range(2):
        told = tell_backgrounds(photographs, "dinov2_base", "cpu", Path("cache"), 3)
        assert told == ("dinov2_base", "cpu", Path("cache"))
    (first, folder), (second, _) = looked_at
    assert not folder.exists()
    assert first.paths == second.paths
    drawn = [int(path.stem) for path in first.paths]
    assert len(set(drawn)) == seen
    assert drawn == sorted(drawn) == first.names.tolist()
    assert first.hybrid.tolist() == [number % 2 for number in drawn]
    assert (drawn == list(range(seen))) == (there == seen)  # else not only the first ones


def test_your_own_masks_hide_what_they_cover(tmp_path, check):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for number in range(4):
        path = Path(("cyrbia", "erato")[number % 2]) / f"{number}.png"
        draw(photos / path, GREY, ORANGE, number)
        mask = np.zeros((160, 240), np.uint8)
        mask[40:80, 40:120] = 255
        (masks / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / path)
    assert check("--photographs", photos, "--masks", masks)[0] == 0
    outline = np.asarray(Image.open(tmp_path / "out/outline/00000_0.png"))
    assert outline[60, 60].tolist() == [40, 30, 20]  # 224 pixels show 240x160
    assert outline[150, 180].tolist() == [220, 220, 220]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--photographs", "{tmp}/none"), "no such folder"),
        (("--photographs", "{tmp}/one"), "images in 1 subfolders, expected one subfolder for each"),
        (("--photographs", "{tmp}/two", "--output", "{tmp}/two/out"), "lies among the photographs"),
        (("--photographs", "{tmp}/two", "--masks", "{tmp}/none"), "none: no such folder"),
        (("--photographs", "{tmp}/two"), "nothing to tell apart; expected two subspecies of two"),
    ],
)
def test_what_cannot_be_checked_is_refused(tmp_path, check, options, message):
    draw(tmp_path / "one/cyrbia/1.png", GREY, ORANGE, 1)
    draw(tmp_path / "two/cyrbia/1.png", GREY, ORANGE, 1)
    draw(tmp_path / "two/erato/1.png", GREY, ORANGE, 2)
    status, _, messages = check(*(option.format(tmp=tmp_path) for option in options))
    assert status == 1
    assert message in messages
    assert not (tmp_path / "out/shortcuts.csv").exists()


def test_the_program_has_its_name_among_the_scripts(repository, run):
    done = run(repository / "scripts/check_shortcuts.py", "--help")
    assert done.returncode == 0
    assert "usage: check_shortcuts.py" in done.stdout


def test_the_views():
    rgb = np.full((100, 200, 3), (200, 190, 180), np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[40:60, 60:140] = True
    mask[40, 60:120] = False
    rgb[mask] = (30, 20, 10)
    rgb[:10, :10] = (255, 0, 0)
    views = {view: make_view(view, rgb, mask) for view in VIEWS}
    assert tuple(views) == VIEWS
    assert np.array_equal(views["whole"], rgb)
    changed = (views["background"] != rgb).any(axis=2)
    assert np.array_equal(changed, mask)  # around it, the paint is of the paper's colour
    assert views["background"][0, 0].tolist() == [255, 0, 0]
    rgb[35, 100] = rgb[37, 100] = (0, 0, 0)  # an antenna, near and far: 5 % of 80 pixels is 4
    background = make_view("background", rgb, mask)
    assert background[37, 100].tolist() == [200, 190, 180]
    assert background[35, 100].tolist() == [0, 0, 0]
    assert (views["outline"][mask] == (40, 30, 20)).all()
    assert (views["outline"][~mask] == 220).all()
    assert views["cutout"].shape == (87, 87, 3)


@pytest.mark.parametrize(("n", "fits"), [(100, 100), (102, 5)])
def test_many_photographs_are_left_out_in_parts(monkeypatch, n, fits):
    trained_on = []

    class Fake:
        def fit(self, features, labels):
            trained_on.append(set(features[:, 0]))
            return self

        def predict(self, features):
            assert not trained_on[-1] & set(features[:, 0])
            return features[:, 0] % 2

        def decision_function(self, features):
            return features[:, 0]

    monkeypatch.setattr(shortcuts, "make_sgd", lambda: SimpleNamespace(estimator=Fake()))
    features = np.arange(n)[:, None]
    called, decisions = call_each(features, np.arange(n) // 2 % 2)
    assert len(trained_on) == fits
    assert called.tolist() == [i % 2 for i in range(n)]
    assert decisions.tolist() == list(range(n))


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            Result("background", "subspecies", 83, "accuracy", 0.57, 0.46, 0.67, 0.17),
            "the background alone tells the subspecies in 57 % of cases (chance 17 %, 95 % "
            "interval 46 % to 67 %, 83 photographs): cut the specimens out, or balance who "
            "photographed them",
        ),
        (
            Result("background", "hybrids", 40, "ROC AUC", 0.6, 0.5, 0.75, 0.5),
            "the background alone tells the hybrids with a ROC AUC of 0.60 (chance 0.50, 95 % "
            "interval 0.50 to 0.75, 40 photographs), which may be chance",
        ),
    ],
)
def test_the_sentence(result, text):
    assert sentence(result) == text
