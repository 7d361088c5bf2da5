"""The check for shortcuts, on made-up photographs in which wings or ground tell the subspecies."""

import csv
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import shortcuts
import torch
from data_utils import COLUMNS
from PIL import Image
from shortcuts import ADVICE, VIEWS, Result, call_each, report_backgrounds

GREY, BLUE = (205, 205, 205), (150, 180, 205)  # papers
ORANGE, YELLOW = (210, 110, 30), (235, 225, 140)  # bands
CPU = torch.device("cpu")


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


def draw_table(root: Path) -> Path:
    """A CSV of 12 hybrids, on blue paper, 12 others of two subspecies, and a painting."""
    rows = []
    for number in range(24):
        hybrid, second = number % 2, number // 2 % 2
        name = f"{number}.png"
        status = ("non-hybrid", "hybrid")[hybrid]
        draw(
            root / "Images" / status / name, (GREY, BLUE)[hybrid], (ORANGE, YELLOW)[second], number
        )
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
def check(tmp_path, monkeypatch, caplog, capsys):
    """Run the program with the light backbone, in this process; status, output and messages."""

    def run_check(*arguments: object) -> tuple[int, str, str]:
        command = [
            *("check_shortcuts.py", "--output", tmp_path / "out", "--device", "cpu"),
            *("--backbone", "efficientnet_lite0", *arguments),
        ]
        monkeypatch.setattr(shortcuts, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(shortcuts, "ONE_BY_ONE", 0)  # for speed
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        caplog.clear()
        status = shortcuts.main()
        printed = capsys.readouterr()
        return status, printed.out, caplog.text + printed.err

    return run_check


def values(out: Path, told: str = "subspecies") -> dict[str, float]:
    table = pd.read_csv(out / "shortcuts.csv").query("told == @told")
    assert list(table["view"]) == list(VIEWS)
    return dict(zip(table["view"], table["value"], strict=True))


def test_a_ground_that_tells_the_subspecies_is_found_out(tmp_path, check):
    """One lab photographs cyrbia, another erato; their wings are alike."""
    photos = tmp_path / "photos"
    for number in range(24):
        name, paper = [("cyrbia", GREY), ("erato", BLUE)][number % 2]
        draw(photos / name / f"{number}.png", paper, (ORANGE, YELLOW)[number // 2 % 2], number)
    (photos / "venus").mkdir()
    shutil.copy(photos / "erato/1.png", photos / "venus/alone.png")
    Image.new("RGB", (90, 60), "white").save(photos / "erato/empty.png")
    (photos / "erato/text.jpg").write_text("no image")
    status, printed, messages = check("--photographs", photos)
    assert status == 0, messages
    assert "left out, as the only photograph of their subspecies: venus" in messages
    assert "empty.png: no specimen found with confidence (nothing found)" in messages
    assert "text.jpg: not a readable image" in messages
    share = values(tmp_path / "out")
    assert share["whole"] > 0.9
    assert share["background"] > 0.9
    assert share["outline"] < 0.8
    assert share["cutout"] < 0.8
    assert "the background alone tells the subspecies with accuracy 1.00 (chance 0.50" in printed
    assert printed.rstrip().endswith(f"24 photographs): {ADVICE}")
    table = pd.read_csv(tmp_path / "out/shortcuts.csv")
    assert (table["chance"] == 0.5).all() and (table["photographs"] == 24).all()
    for view in VIEWS:
        assert len(list((tmp_path / "out" / view).glob("*.png"))) == 25
    with Image.open(tmp_path / "out/outline/00000_0.png") as outline:
        assert outline.size == (224, 224)


def test_hybrids_of_a_classifiers_csv(tmp_path, check):
    status, printed, messages = check("--csv", draw_table(tmp_path / "set"))
    assert status == 0, messages
    assert "1 images are missing and are left out: gone.png" in messages
    area, share = values(tmp_path / "out", "hybrids"), values(tmp_path / "out")
    assert area["background"] > 0.95
    assert area["cutout"] < 0.8
    assert share["cutout"] > 0.9  # the bands tell 8 from 9
    assert share["background"] < 0.8
    rows = pd.read_csv(tmp_path / "out/shortcuts.csv")
    assert rows.query("told == 'hybrids'")["photographs"].tolist() == [24] * 4
    assert rows.query("told == 'subspecies'")["photographs"].tolist() == [12] * 4
    assert "the background alone tells the hybrids with ROC AUC" in printed


@pytest.mark.parametrize(("there", "seen"), [(200, 200), (240, 200)])
def test_a_training_looks_at_the_background_of_a_sample(tmp_path, monkeypatch, caplog, there, seen):
    caplog.set_level("INFO")
    looked_at = []

    def see(photographs, views, folder, workers):
        assert (views, workers, folder.is_dir()) == (["background"], 3, True)
        looked_at.append((photographs, folder))
        return photographs, []

    def tell(photographs, views, *_):
        if len(looked_at) == 2:
            raise OSError("disk full")
        return [Result(*views, "hybrids", 40, "ROC AUC", 0.6, 0.5, 0.75, 0.5)]

    monkeypatch.setattr(shortcuts, "see", see)
    monkeypatch.setattr(shortcuts, "tell", tell)
    photographs = pd.DataFrame({"path": [Path(f"{number}.png") for number in range(there)]})
    for _ in range(2):
        report_backgrounds(photographs, tmp_path / "told.csv", "dinov2_base", CPU, Path("cache"), 3)
    assert "no check of what the background alone tells: disk full" in caplog.text
    assert "the background alone tells the hybrids with ROC AUC 0.60" in caplog.text
    assert pd.read_csv(tmp_path / "told.csv")["value"].tolist() == [0.6]
    (first, folder), (second, _) = looked_at
    assert not folder.exists()
    assert first.equals(second)
    drawn = [int(path.stem) for path in first["path"]]
    assert len(set(drawn)) == seen
    assert drawn == sorted(drawn)
    assert (drawn == list(range(seen))) == (there == seen)  # else not only the first ones


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--photographs", "{tmp}/none"), "No such file or directory"),
        (("--photographs", "{tmp}/one"), "nothing to tell apart; expected two subspecies, in a"),
        (("--photographs", "{tmp}/two", "--output", "{tmp}/two/out"), "lies among the photographs"),
        (("--photographs", "{tmp}/two"), "nothing to tell apart; expected two subspecies, in a"),
    ],
)
def test_what_cannot_be_checked_is_refused(tmp_path, check, options, message):
    draw(tmp_path / "one/cyrbia/1.png", GREY, ORANGE, 1)
    draw(tmp_path / "one/cyrbia/2.png", GREY, ORANGE, 2)
    draw(tmp_path / "two/cyrbia/1.png", GREY, ORANGE, 1)
    draw(tmp_path / "two/erato/1.png", GREY, ORANGE, 2)
    status, _, messages = check(*(option.format(tmp=tmp_path) for option in options))
    assert status == 1
    assert message in messages
    assert not (tmp_path / "out/shortcuts.csv").exists()


def test_the_views():
    rgb = np.full((100, 200, 3), (200, 190, 180), np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[40:60, 60:140] = True
    mask[40, 60:120] = False
    rgb[mask] = (30, 20, 10)
    rgb[:10, :10] = (255, 0, 0)
    views = {name: view(rgb, mask) for name, view in VIEWS.items()}
    assert np.array_equal(views["whole"], rgb)
    changed = (views["background"] != rgb).any(axis=2)
    assert np.array_equal(changed, mask)  # around it, the paint is of the paper's colour
    assert views["background"][0, 0].tolist() == [255, 0, 0]
    rgb[35, 100] = rgb[37, 100] = (0, 0, 0)  # an antenna, near and far: 5 % of 80 pixels is 4
    background = VIEWS["background"](rgb, mask)
    assert background[37, 100].tolist() == [200, 190, 180]
    assert background[35, 100].tolist() == [0, 0, 0]
    assert (views["outline"][mask] == (40, 30, 20)).all()
    assert (views["outline"][~mask] == 220).all()
    assert views["cutout"].shape == (87, 87, 3)


@pytest.mark.parametrize(("n", "fits"), [(100, 100), (101, 5)])
def test_many_photographs_are_left_out_in_parts(monkeypatch, n, fits):
    """Which are then called by a classifier that did not see them."""
    asked = []

    def predicting(estimator, features, codes, cv, method):
        asked.append([(estimator.loss, estimator.random_state), method])
        folds = list(cv.split(features, codes))
        assert len(folds) == fits
        assert sorted(row for _, test in folds for row in test) == list(range(n))
        return np.eye(3)[codes[::-1]]

    monkeypatch.setattr(shortcuts, "cross_val_predict", predicting)
    names = np.array(["a", "b", "c"], object)[np.arange(n) % 3]
    called, decisions = call_each(np.zeros((n, 2)), names)
    assert called.tolist() == names[::-1].tolist()
    assert decisions.shape == (n, 3)
    assert asked == [[("log_loss", 42), "decision_function"]]


def test_the_sentence():
    result = Result("background", "subspecies", 83, "accuracy", 0.57, 0.46, 0.67, 0.17)
    assert result.sentence() == (
        "the background alone tells the subspecies with accuracy 0.57 (chance 0.17, 95 % interval "
        "0.46 to 0.67, 83 photographs): cut the specimens out, or balance who photographed them"
    )
    assert result._replace(low=0.17).sentence().endswith("83 photographs), which may be chance")
