"""The check for shortcuts: what is hidden, who is asked, what is said of the answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shortcuts
import torch
from model_utils import Look
from PIL import Image
from shortcuts import ADVICE, VIEWS, Result, report_backgrounds, tell
from worlds import draw_specimen, write_table

CPU = torch.device("cpu")


@pytest.fixture
def check(tmp_path, monkeypatch, call):
    """Run the program on views of which whole and background tell odd from even file names; gives
    status, output and messages.
    """

    def extract_features(paths, looks, device, batch_size, workers, cache):
        assert looks == {Look("efficientnet_lite0"): slice(None)}
        assert (device.type, workers) == ("cpu", 0)
        assert cache == shortcuts.REPOSITORY / "Datasets/.feature_cache"
        kinds = np.array([int(path.stem.rpartition("_")[2].strip("S")) % 2 for path in paths])
        features = np.random.default_rng(0).normal(size=(len(paths), 8))
        if paths[0].parent.name in ("whole", "background"):
            features[:, 0] += 18 * kinds - 9
        return [features], {}

    def run_check(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(shortcuts, "extract_features", extract_features)
        usual = ("--output", tmp_path / "out", "--device", "cpu")
        done = call(shortcuts.main, *usual, "--backbone", "efficientnet_lite0", *arguments)
        return done.returncode, done.stdout, done.stderr

    return run_check


def values(table: pd.DataFrame) -> dict[str, float]:
    assert list(table["view"]) == list(VIEWS) == ["whole", "background", "ground", "cutout"]
    return dict(zip(table["view"], table["value"], strict=True))


def test_a_ground_that_tells_the_subspecies_is_found_out(tmp_path, check):
    photos = tmp_path / "photos"
    for number in range(24):
        draw_specimen(photos / ("cyrbia", "erato")[number % 2] / f"{number}.png", (90, number, 20))
    draw_specimen(photos / "venus/99.png")
    Image.new("RGB", (90, 60), "white").save(photos / "erato/empty.png")
    (photos / "erato/text.jpg").write_text("no image")
    draw_specimen(photos / "loose.png")
    (photos / "erato/x.HEIC").touch()
    status, printed, messages = check("--photographs", photos)
    assert status == 1, messages  # as photographs are passed over
    assert "passed over: 1 .HEIC, 1 in no sub-folder; save photographs as" in messages
    assert "left out, as the only specimen of their subspecies: venus" in messages
    assert "empty.png: no specimen found with confidence (nothing found)" in messages
    assert "text.jpg: not a readable image" in messages
    table = pd.read_csv(tmp_path / "out/shortcuts.csv")
    share = values(table)
    assert share["whole"] == share["background"] == 1 > 0.8 > max(share["ground"], share["cutout"])
    assert "the background alone tells the subspecies with accuracy 1.00 (chance 0.50" in printed
    assert (
        f"24 photographs of 24 specimens): {ADVICE}\nthe ground alone tells the subspecies with"
        in printed
    )
    assert (table["chance"] == 0.5).all() and (table["photographs"] == 24).all()
    for view in VIEWS:
        seen = list((tmp_path / "out" / view).glob("*.png"))
        assert len(seen) == 25 and Image.open(seen[0]).size == (224, 224)


@pytest.mark.parametrize("folder", ["Images", "originals"])
def test_hybrids_of_a_classifiers_and_the_challenges_csv(tmp_path, check, folder):
    """Five hybrids and seven others, of 8 and 9; a painting is not asked, nor what is gone."""
    names = [f"S{number:03d}.png" for number in (1, 3, 5, 7, 9, 0, 2, 4, 6, 8, 10, 12)]
    painting = "AF_9_8_gen00000.png"
    (tmp_path / "List").mkdir()
    write_table(tmp_path / "List/rows.csv", [*names, painting, "gone.png"], 5)
    for number, name in enumerate((*names, painting)):
        draw_specimen(tmp_path / folder / name, (90, number, 20))
    named = () if folder == "Images" else ("--photographs", tmp_path / folder)
    status, printed, messages = check("--csv", tmp_path / "List/rows.csv", *named)
    assert status == 0, messages
    assert "1 images are missing and are left out: gone.png" in messages
    rows = pd.read_csv(tmp_path / "out/shortcuts.csv")
    hybrids, others = rows.query("told == 'hybrids'"), rows.query("told == 'subspecies'")
    assert (hybrids["photographs"] == 12).all() and (others["photographs"] == 7).all()
    area = values(hybrids)
    assert area["background"] == area["whole"] == 1  # as their numbers are odd
    assert max(area["cutout"], values(others)["background"]) < 0.8
    assert (others["chance"] == 4 / 7).all() and (hybrids["chance"] == 0.5).all()
    assert "the background alone tells the hybrids with ROC AUC" in printed
    by_chance = Result("ground", "hybrids", 4, "ROC AUC", 0.6, 0.5, 0.7, 0.5, 2)
    assert by_chance.sentence().endswith("4 photographs of 2 specimens), which may be chance")


def test_a_training_looks_at_the_background_of_a_sample(tmp_path, monkeypatch, caplog):
    """Of 200, always the same, and not just of the first ones."""
    caplog.set_level("INFO")
    drawn = []

    def see(photographs, views, folder, workers):
        drawn.append([int(path.stem) for path in photographs["path"]])
        return photographs, []

    def tell(photographs, views, *_):
        return [Result(*views, "hybrids", 40, "ROC AUC", 0.6, 0.55, 0.75, 0.5, 30)]

    monkeypatch.setattr(shortcuts, "see", see)
    monkeypatch.setattr(shortcuts, "tell", tell)
    photographs = pd.DataFrame({"path": [Path(f"{number}.png") for number in range(240)]})
    for some in (photographs, photographs, photographs[:200]):
        report_backgrounds(some, tmp_path / "told.csv", "dinov2_base", CPU, Path("cache"), 3)
    assert drawn[0] == drawn[1] == sorted(set(drawn[0])) != drawn[2] == list(range(200))
    assert len(drawn[0]) == 200
    assert "the background alone tells the hybrids with ROC AUC 0.60" in caplog.text
    assert pd.read_csv(tmp_path / "told.csv")["value"].tolist() == [0.6]


def test_what_cannot_be_checked_is_refused(tmp_path, check):
    names = ("one/cyrbia/1", "one/cyrbia/2", "two/cyrbia/1", "two/erato/2")
    for number, name in enumerate((*names, "twice/a/1_d", "twice/a/1_v", "twice/b/2")):
        draw_specimen(tmp_path / f"{name}.png", (90, number, 20))
    draw_specimen(tmp_path / "same/a/1.png")
    draw_specimen(tmp_path / "same/b/2.png")
    for folder, output, message in (
        ("none", "out", "none: no such folder"),
        ("one/cyrbia", "out", "cyrbia, one a subspecies: no images"),
        ("one", "out", "nothing to tell apart; expected two subspecies, in a"),
        ("two", "two/out", "lies among the photographs"),
        ("two", "out", "nothing to tell apart; expected two subspecies, in a"),
        ("twice", "out", "nothing to tell apart; expected two subspecies, in a"),
        ("same", "out", "b/2.png: content "),
        ("same", "out", " is b, but a in a/1.png; correct one, keep one, or"),
        ("two", "out", "erato/2.png: CAMID png is erato, but cyrbia in cyrbia/1.png; correct"),
    ):
        options = ("--photographs", tmp_path / folder, "--output", tmp_path / output)
        options += ("--specimen", "png") if "CAMID" in message else ()
        status, _, messages = check(*options)
        assert status == 1 and message in messages
    assert check()[0] == 2
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
    rgb[35, 100] = rgb[37, 100] = (0, 0, 0)  # an antenna, near and far: 5 % of 80 pixels is 4
    background = VIEWS["background"](rgb, mask)
    assert background[37, 100].tolist() == [200, 190, 180]
    assert background[35, 100].tolist() == [0, 0, 0]
    assert views["ground"].tolist() == [[[200, 190, 180]]]  # three corners of four, 8 pixels each
    rgb[-7:, -8:] = rgb[:7, -8:] = (255, 0, 0)  # most of two more corners
    assert VIEWS["ground"](rgb, mask).tolist() == [[[255, 0, 0]]]
    assert views["cutout"].shape == (87, 87, 3)


def test_a_second_photograph_of_each_specimen_makes_nothing_surer(monkeypatch):
    """What is said of two that look the same is what is said of one."""
    features = np.random.default_rng(0).normal(size=(24, 1))
    hybrid = np.arange(24) % 3 == 0
    rows = {"subspecies": np.where(hybrid, "", np.where(np.arange(24) % 2, "a", "b"))}
    rows |= {"hybrid": hybrid.astype(int), "specimen": [f"S{row}" for row in range(24)]}
    once = pd.DataFrame(rows | {"whole": range(24)})

    def call(features, labels, specimens):
        return np.where(features[:, 0] > 0, "a", "b"), features[:, 0]

    monkeypatch.setattr(shortcuts, "call_each", call)
    monkeypatch.setattr(shortcuts, "extract_features", lambda rows, *_: ([features[rows]], {}))
    found = [
        tell(seen, ["whole"], "efficientnet_lite0", CPU, Path("cache"))
        for seen in (once, pd.concat([once, once], ignore_index=True))
    ]
    assert [result.photographs for results in found for result in results] == [16, 24, 32, 48]
    for alone, two in zip(*found, strict=True):
        assert (two.specimens, two.chance) == (alone.specimens, alone.chance)
        assert [two.value, two.low, two.high] == pytest.approx([alone.value, alone.low, alone.high])


def test_a_hundred_specimens_and_more_are_dealt_whole():
    """Else a classifier would know each photograph by its twin."""
    rng = np.random.default_rng(0)
    features = np.tile(rng.normal(size=(101, 300)), (2, 1))
    names = np.tile(rng.choice(["a", "b"], 101), 2).astype(object)
    specimens = np.tile([f"S{number}" for number in range(101)], 2)
    called, _ = shortcuts.call_each(features, names, specimens)
    assert 0.3 < np.mean(called == names) < 0.7
