"""training.py on small data sets with the light backbone."""

import errno
import pickle
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cutout
import data_utils
import numpy as np
import pandas as pd
import pytest
import torch
import training
from classifier import save_linear, training_id
from dataset import Rows, check_grounds
from model_utils import FeatureCache
from PIL import Image
from published_members import LinearClassifier, Origin

EVALUATION = set(
    "classifier_evaluation_results.csv classifier_recalls.csv classifier_scores.csv "
    "score_histograms.png roc.png precision_recall.png".split()
)
EVALUATIONS = ("held_out_photographs", "published_split")
MEMBERS = ("sgd_clf.pkl", "clf1024.pth", "subspecies.npz")
OUTPUTS = {*MEMBERS[:2], "linear_loss.png", "training_index.npz"} | {
    f"{folder}/{name}" for folder in EVALUATIONS for name in EVALUATION
}


def contents(folder):
    """What lies in `folder` by name, but the page, which tells the time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".html")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def read_rows(path):
    return pd.read_csv(path).to_dict("records")


def test_two_trainings_leave_the_same_files(train, dataset, tmp_path, monkeypatch):
    """One with paths as they are typed, and one with Lists/; what is not usable is left out."""
    shutil.copy(dataset / "Images/hybrid/hybrid_01.png", dataset / "Images/hybrid/same.png")
    (dataset / "Images/hybrid/hybrid_00.png").unlink()
    (dataset / "Images/non-hybrid/non-hybrid_03.png").write_bytes(b"no picture")
    with (dataset / "List/butterfly_anomaly_AF.csv").open("a") as file:
        file.write(",,hybrid,train,,,,,,same.png\n")
    monkeypatch.chdir(tmp_path)

    def run(save, root):
        also = ("--CLF_SAVE_DIR", save, "--CACHE_DIR", f"cache-{save}")
        # One at a time, as the last bits of a feature depend on the size of its batch.
        return train(root, *also, "--BATCH_SIZE", 1)

    done = run("alone", dataset.name)
    assert done.returncode == 0, done.stderr
    assert "1 images are missing and are left out: hybrid_00.png" in done.stderr
    assert "1 images cannot be read and are left out: non-hybrid_03.png" in done.stderr
    assert "25 images: 12 hybrid, 0 painted" in done.stderr
    assert "no check of what the background alone tells: nothing to tell apart" in done.stderr
    (cache,) = Path("cache-alone").glob("efficientnet_lite0-*.sqlite")
    assert len(FeatureCache(cache, 1280).known()) == 24

    (dataset / "List").rename(dataset / "Lists")
    done = run("again", dataset)
    assert done.returncode == 0, done.stderr
    alone, again = (contents(tmp_path / save) for save in ("alone", "again"))
    assert set(alone) == OUTPUTS
    assert alone == again

    results = read_rows(tmp_path / "alone/published_split/classifier_evaluation_results.csv")
    assert [row["classifier"] for row in results] == ["sgd", "linear", "ensemble"]
    metrics = ["tpr_at_tnr95", "threshold", "pr_auc", "roc_auc", "f1", "accuracy"]
    assert list(results[0]) == ["images", "classifier", "rows", "hybrids"] + [
        f"{metric}{bound}" for metric in metrics for bound in ("", "_low", "_high")
    ]
    assert float(results[0]["roc_auc"]) == 1.0  # orange and blue are easily told apart
    with np.load("alone/training_index.npz") as index:  # the photographs of non-hybrids
        kept = [f"non-hybrid_{number:02d}.png" for number in range(14) if number != 3]
        assert (index["names"].tolist(), set(index["groups"])) == (kept, {"8"})


@pytest.fixture
def fits(monkeypatch):
    """What is fitted during a training: by function, the features and the result of each call."""
    fitted = {}

    def noting(function, place, calls):
        def fit(*given):
            calls.append((given[place], function(*given)))
            return calls[-1][1]

        return fit

    for name, place in (("fit_sgd", 0), ("fit_linear", 0), ("fit_subspecies", 1)):
        fitted[name] = []
        monkeypatch.setattr(training, name, noting(getattr(training, name), place, fitted[name]))
    return fitted


def test_nothing_is_evaluated_on_what_it_was_fitted_on(train, world, fits, tmp_path):
    """And every score is that of its file; painted images share photographs with each other."""
    folder = tmp_path / "classifiers"
    folder.mkdir()
    (folder / "shortcuts.csv").write_text("of a training before")
    done = train(world.root, "--preprocess", "cutout")
    assert done.returncode == 0, done.stderr
    assert "what the background alone tells" not in done.stderr  # that of cutouts is flat
    assert not (folder / "shortcuts.csv").exists()
    names = {feature.tobytes(): name for name, feature in world.features.items()}
    taught = {
        kind: [
            [names[np.atleast_2d(seen)[0].tobytes()] for seen in features] for features, _ in calls
        ]
        for kind, calls in fits.items()
    }
    views = {names[seen[0].tobytes()]: len(seen) for seen in fits["fit_subspecies"][0][0]}
    assert views == {name: 1 if name.startswith("AF_") else 5 for name in world.features}
    everything = [row["filename"] for row in world.rows]
    split = data_utils.split_rows(np.array([row["hybrid_stat"] == "hybrid" for row in world.rows]))
    held_out = {name: read_rows(folder / name / "classifier_scores.csv") for name in EVALUATIONS}
    sources = {
        row["filename"]: {row.get(column, row["filename"]) for column in ("structure", "reference")}
        for row in world.rows
    }
    photographs = held_out["held_out_photographs"]
    held = {row["filename"] for row in photographs if row["images"] == "photographs"}
    assert len(held) == 12  # 20 % of 60 photographs
    assert [look.view for look in world.looks] == ["cutout", "wings", "wings"]
    wanted = [name for name in everything if sources[name] <= held]
    assert [row["filename"] for row in photographs] == wanted
    published = [everything[row] for row in split.held_out]
    assert [row["filename"] for row in held_out["published_split"]] == published

    in_order = [name for name in everything if not sources[name] & held]
    honest = taught["fit_sgd"][1]
    assert sorted(honest) == sorted(in_order)
    assert honest != in_order  # calibration's folds are blocks of them
    structure_of = {row["filename"]: row.get("structure", row["filename"]) for row in world.rows}
    saved, twin = (sgd for _, sgd in fits["fit_sgd"])
    assert saved.cv is None and len(twin.cv) == 5  # the saved one is calibrated as published
    for learn, test in twin.cv:
        asked = {structure_of[honest[place]] for place in test}
        assert not any(sources[honest[place]] & asked for place in learn)
    fit = [everything[row] for row in split.fit]
    learnt = [everything, honest, [everything[row] for row in split.train]]
    assert taught == {"fit_sgd": [fit, honest], "fit_linear": learnt, "fit_subspecies": learnt}

    for number, name in enumerate(EVALUATIONS, start=1):
        sgd, (linear, _) = fits["fit_sgd"][number % 2][1], fits["fit_linear"][number][1]
        subspecies = fits["fit_subspecies"][number][1]
        rows = held_out[name]
        feature = np.stack([world.features[row["filename"]] for row in rows])
        expected = {
            "sgd": sgd.predict_proba(feature)[:, 1],
            "linear": linear.hybrid_probability(torch.tensor(feature)),
            "subspecies": subspecies.hybrid_probability(feature),
        }
        expected["published"] = np.maximum(expected["sgd"], expected["linear"])
        expected["ensemble"] = np.maximum(expected["published"], expected["subspecies"])
        assert list(rows[0])[4:] == list(expected)
        for classifier, scores in expected.items():
            found = [float(row[classifier]) for row in rows]
            assert len(set(found)) > 3
            assert found == pytest.approx(scores, abs=2e-6), (name, classifier)

    results = read_rows(folder / "held_out_photographs/classifier_evaluation_results.csv")
    (shown,) = (
        row for row in results if (row["images"], row["classifier"]) == ("photographs", "ensemble")
    )
    with np.load(folder / "subspecies.npz") as file:
        memory = [str(file[name]) for name in ("backbone", "training", "preprocess")]
        assert float(file["threshold"]) == pytest.approx(float(shown["threshold"]), abs=1e-6)
        assert np.array_equal(file["weights"], fits["fit_subspecies"][0][1].weights)
    sgd = pickle.loads((folder / "sgd_clf.pkl").read_bytes())
    assert memory == ["efficientnet_lite0", sgd.training_, "cutout"]
    linear = torch.load(folder / "clf1024.pth", weights_only=True)._metadata[""]
    assert [linear[name] for name in ("backbone", "training", "preprocess")] == memory
    assert not (folder / "training_index.npz").exists()  # there are no images


def test_what_is_of_a_training_before_goes(train, world, tmp_path):
    """Sources come from the lists where the CSV has none; without them nothing is held out."""
    for row in world.rows:
        row["subspecies"] = row["subspecies"].replace("9.0", "8.0")
    world.write(data_utils.COLUMNS)
    folder = tmp_path / "classifiers"
    folder.mkdir()
    (folder / "subspecies.npz").touch()
    held_out, published = (folder / name for name in EVALUATIONS)
    done = train(world.root)
    assert {path.name for path in held_out.iterdir()} == EVALUATION, done.stderr
    assert "no member that knows the subspecies: the CSV names 1 subspecies" in done.stderr
    assert not (folder / "subspecies.npz").exists()

    shutil.rmtree(tmp_path / "Images4TrainAFnonhybrid")
    done = train(world.root)
    assert "no evaluation on held-out photographs: the CSV does not say from which" in done.stderr
    assert list(held_out.iterdir()) == []
    assert {path.name for path in published.iterdir()} == EVALUATION


def test_the_id_is_that_of_what_was_trained():
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns = ("hybrid_stat", "subspecies", "parent_subspecies_1", "parent_subspecies_2")
    table = pd.DataFrame({column: ["8", "9"] * 2 for column in columns})

    def made(features=features, table=table, start=None, settings=("dinov2_base", "photograph", 9)):
        labels = np.zeros(4, int)
        return training_id(Rows(table, [], features, *[labels] * 4), start, *settings)

    assert made() == made(features.copy(), table.copy())
    ids = [made(), made(features + 1)]
    ids += [made(table=table.assign(**{column: "10"})) for column in columns]
    ids += [made(start={"weight": torch.full((2,), value)}) for value in (0.0, 1.0)]
    for settings in (("b", "photograph", 9), ("b", "cutout", 9), ("b", "photograph", 10)):
        ids.append(made(settings=settings))
    assert len(set(ids)) == 11


def test_painted_cutouts_beside_whole_photographs_are_refused(specimen, tmp_path):
    whole = specimen(tmp_path / "whole.png")
    cut = tmp_path / "cut.png"
    cutout.cut_out(Image.open(whole))[0].resize((256, 256)).save(cut)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    painted = np.array([False, True, True])
    message = re.escape(f"{tmp_path / 'bad.png'} are cutouts, and photographs such as {whole} are")
    with pytest.raises(ValueError, match=f"{message} not.*train with --preprocess cutout"):
        check_grounds(painted, [whole, tmp_path / "bad.png", cut])
    for paths in ([cut, cut, whole], [whole, whole, whole]):
        check_grounds(painted, paths)
    check_grounds(painted[1:], [cut, cut])


def test_the_options(monkeypatch, capsys, repository):
    """The defaults are the published ones; what is out of range is refused."""
    monkeypatch.setattr(sys, "argv", ["training.py"])
    defaults = training.parse_arguments()
    assert defaults.CACHE_DIR == repository / "Datasets/.feature_cache"
    assert defaults.preprocess == "photograph"
    assert (defaults.NEPOCH, defaults.BATCH_SIZE, defaults.CTN) == (200, 32, False)
    assert defaults.backbone == "dinov2_base"
    for name, value in (("--NCLS", "3"), ("--NEPOCH", "0"), ("--BATCH_SIZE", "0")):
        monkeypatch.setattr(sys, "argv", ["training.py", name, value])
        with pytest.raises(SystemExit, match="2"):
            training.parse_arguments()
        assert name in capsys.readouterr().err


def test_ctn_continues_the_linear_classifier(train, world, tmp_path):
    world.features = {name: np.tile(row, 10) for name, row in world.features.items()}
    state = LinearClassifier(1280).state_dict()
    state["classifier.1.num_batches_tracked"] += 4
    save_linear(state, Origin("efficientnet_lite0"), tmp_path / "clf1024.pth")
    continued = ("--CTN", "--CTN_SAVE_DIR", tmp_path)
    done = train(world.root, *continued)
    steps = torch.load(tmp_path / "classifiers/clf1024.pth", weights_only=True)
    assert int(steps["classifier.1.num_batches_tracked"]) == 7
    assert "trained afresh, not the continued one" in done.stderr
    for others, said in [
        (("--preprocess", "cutout"), "trained on photographs, but the preprocess is cutout"),
        (("--CTN_SAVE_DIR", "nowhere"), "nowhere/clf1024.pth: not a PyTorch weights file ("),
    ]:
        done = train(world.root, *continued, *others, save="other")
        assert done.returncode == 1
        assert said in done.stderr
    assert not (tmp_path / "other").exists()


def spoil_a_feature(world, _):
    world.features[world.rows[7]["filename"]][5] = np.inf


def spoil_a_score(_, patch):
    """A classifier that gives one image no number."""

    def predict_proba(features):
        return np.where(np.arange(len(features)) == 3, np.nan, 0.5)[:, None].repeat(2, axis=1)

    broken = SimpleNamespace(score=lambda *_: 0.5, predict_proba=predict_proba)
    patch.setattr(training, "fit_sgd", lambda *_: broken)


def fill_the_disk(_, patch):
    def full(*_):
        raise OSError(errno.ENOSPC, "disk full")

    patch.setattr(training, "save_linear", full)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_a_feature, r"(jpg|png) and 0 more images: a feature of efficientnet_lite0 is NaN"),
        (spoil_a_score, r"\.(png|jpg) and 0 more images: the score of sgd is NaN"),
        (fill_the_disk, r"disk full: '.*classifiers/clf1024\.pth'"),
    ],
)
def test_a_training_that_fails_leaves_all_as_it_was(
    train, world, tmp_path, monkeypatch, spoil, message
):
    spoil(world, monkeypatch)
    folder = tmp_path / "classifiers"
    folder.mkdir()
    for name in MEMBERS:
        (folder / name).write_text("from before")
    done = train(world.root)
    assert done.returncode == 1
    assert re.search(message, done.stderr), done.stderr
    assert contents(folder) == dict.fromkeys(MEMBERS, b"from before")


def test_photographs_of_ones_own_and_what_a_person_said_of_them(train, world, tmp_path):
    """The CSV lies beside them. What is painted from a photograph that is another now is left out,
    and a new photograph is learnt."""
    table = world.root / "Images/photographs.csv"
    world.csv.rename(table)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/hybrid000.jpg").write_text("another")  # of a name that training has
    for name in ("hybrid001.jpg", "hybrid002.jpg"):
        next((world.root / "Images").rglob(name)).write_text(name)  # each is another photograph
    file = tmp_path / "corrections.csv"
    rows = ["hybrid001.jpg,,non-hybrid,9", "hybrid002.jpg,,unsure,"]
    rows += [f"hybrid000.jpg,{tmp_path / 'new'},hybrid,8 x 9", ""]
    file.write_text("\n".join(["filename,folder,person,person_subspecies", *rows]))
    given = ("--DATA_FILE", table, "--preprocess", "cutout", "--corrections", file)
    given += ("--evaluate", "held_out_photographs")
    done = train(tmp_path / "nowhere", *given)
    assert done.returncode == 0, done.stderr
    gone = {"hybrid001.jpg", "hybrid002.jpg"}
    painted = sum(bool({row.get("structure"), row.get("reference")} & gone) for row in world.rows)
    told = "corrections: 1 photographs relabelled, 1 added, 1 left out as unsure, and "
    assert f"{told}{painted} images painted from such" in done.stderr
    hybrids = sum(row["hybrid_stat"] == "hybrid" for row in world.rows) - 1 - painted
    assert f"{180 - painted} images: {hybrids} hybrid, {120 - painted} painted" in done.stderr
    scores = pd.read_csv(tmp_path / "classifiers/held_out_photographs/classifier_scores.csv")
    assert len(scores) and not set(scores["filename"]) & {"hybrid002.jpg"}
    page = (tmp_path / "classifiers/training.html").read_text()
    assert "no classifier judged here" in page and "The published 20 %" not in page
