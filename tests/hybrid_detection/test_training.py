"""training.py on a small data set with the light backbone."""

import argparse
import csv
import errno
import pickle
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import cutout
import data_utils
import ingestion
import numpy as np
import pandas as pd
import published_members
import pytest
import torch
import training
from PIL import Image

EVALUATION = {
    "classifier_evaluation_results.csv",
    "classifier_recalls.csv",
    "classifier_scores.csv",
    "score_histograms.png",
    "roc.png",
    "precision_recall.png",
}
EVALUATIONS = ["held_out_photographs", "published_split"]
OUTPUTS = {"sgd_clf.pkl", "clf1024.pth", "linear_loss.png", "training_index.npz"} | {
    f"{folder}/{name}" for folder in EVALUATIONS for name in EVALUATION
}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


PAGE = "training.html"


def contents(folder):
    """What lies in `folder` by name, but the page, which tells the time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != PAGE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def read_rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def cached_images(cache):
    (path,) = cache.glob("efficientnet_lite0-*.sqlite")
    connection = sqlite3.connect(path)
    count = connection.execute("SELECT COUNT(*) FROM places").fetchone()[0]
    connection.close()
    return count


def test_two_runs_give_the_same_files(train, dataset, tmp_path):
    for save in ("first", "second"):
        cache = tmp_path / f"cache-{save}"  # the features are extracted twice, too
        kinds = ("sgd", "svm", "knn", "gaussian")
        done = train(
            dataset, "--CACHE_DIR", cache, "--classifiers", *kinds, save=save, with_plots=True
        )
        assert done.status == 0, done.errors
    first, second = (contents(tmp_path / save) for save in ("first", "second"))
    assert set(first) == OUTPUTS
    assert first == second

    results = read_rows(tmp_path / "first/published_split/classifier_evaluation_results.csv")
    order = ["sgd", "svm", "knn", "gaussian", "linear", "ensemble"]
    assert [row["classifier"] for row in results] == order
    metrics = ["tpr_at_tnr95", "threshold", "pr_auc", "roc_auc", "f1", "accuracy"]
    assert list(results[0]) == ["images", "classifier", "rows", "hybrids"] + [
        f"{metric}{bound}" for metric in metrics for bound in ("", "_low", "_high")
    ]
    assert float(results[0]["roc_auc"]) == 1.0  # orange and blue are easily told apart
    scores = read_rows(tmp_path / "first/published_split/classifier_scores.csv")
    assert [row["filename"] for row in scores] == [
        "hybrid_08.png",  # train_test_split(range(26), test_size=0.2, random_state=42)
        "non-hybrid_04.png",
        "hybrid_00.png",
        "non-hybrid_12.png",
        "hybrid_11.png",
        "hybrid_09.png",
    ]
    for row in scores:
        larger = max(float(row["sgd"]), float(row["linear"]))
        assert float(row["ensemble"]) == pytest.approx(larger, abs=1e-6)


def test_the_files_load_and_remember_their_backbone(train, dataset, tmp_path):
    assert train(dataset).status == 0
    folder = tmp_path / "classifiers"
    published_members.load_linear(folder / "clf1024.pth", "efficientnet_lite0")
    published_members.load_sgd(folder / "sgd_clf.pkl", "efficientnet_lite0")
    for load, name in [
        (published_members.load_linear, "clf1024.pth"),
        (published_members.load_sgd, "sgd_clf.pkl"),
    ]:
        with pytest.raises(ValueError, match="trained on features of efficientnet_lite0"):
            load(folder / name, "dinov2_base")
    state = torch.load(folder / "clf1024.pth", weights_only=True)
    published_members.LinearClassifier(1280).load_state_dict(state)  # as published code loads it
    assert re.fullmatch("[0-9a-f]{16}", origin(folder))


def origin(folder):
    """What both classifiers remember of their training."""
    with (folder / "sgd_clf.pkl").open("rb") as file:
        sgd = pickle.load(file)
    linear = torch.load(folder / "clf1024.pth", weights_only=True)._metadata[""]
    memory = (sgd.backbone_, sgd.training_, sgd.preprocess_)
    assert (linear["backbone"], linear["training"], linear["preprocess"]) == memory
    return sgd.training_


@pytest.mark.parametrize("preprocess", ["photograph", "cutout"])
def test_all_members_remember_what_they_look_at(train, kinds, tmp_path, preprocess):
    done = train(kinds.root, "--preprocess", preprocess)
    assert done.status == 0, done.errors
    folder = tmp_path / "classifiers"
    with (folder / "sgd_clf.pkl").open("rb") as file:
        assert pickle.load(file).preprocess_ == preprocess
    linear = torch.load(folder / "clf1024.pth", weights_only=True)
    assert linear._metadata[""]["preprocess"] == preprocess
    with np.load(folder / "subspecies.npz") as file:
        assert str(file["preprocess"]) == preprocess
        assert str(file["training"]) == origin(folder)


def test_training_looks_at_cutouts_where_it_is_asked_to(train, dataset, specimen, tmp_path):
    """Features, and so scores, are those of the same photographs cut out by hand."""
    for path in sorted((dataset / "Images").rglob("*.png")):
        number = int(path.stem[-2:])
        specimen(path, (60, 30, 4 * number) if path.stem.startswith("non") else (4 * number, 60, 9))
    assert train(dataset, "--preprocess", "cutout", save="asked").status == 0
    for path in (dataset / "Images").rglob("*.png"):
        image, _, confidence = cutout.cut_out(Image.open(path))
        assert confidence > 0.5
        image.save(path)
    assert train(dataset, save="by_hand").status == 0
    asked, by_hand = (read_scores(tmp_path / name) for name in ("asked", "by_hand"))
    assert asked == pytest.approx(by_hand, abs=1e-5)
    assert len(set(asked)) > 3
    assert len(list((tmp_path / "cache").glob("efficientnet_lite0-*.sqlite"))) == 2
    # The features are the same, but not what is scored with them.
    assert origin(tmp_path / "asked") != origin(tmp_path / "by_hand")


def test_painted_cutouts_beside_whole_photographs_are_refused(train, dataset, specimen, tmp_path):
    """Training would learn the ground; with --preprocess cutout both lie on the same."""
    photographs = sorted((dataset / "Images/hybrid").iterdir())
    for path in photographs:
        specimen(path)
    painted = dataset / "Images/hybrid/AF_8_9_gen00000.png"
    cutout.cut_out(Image.open(photographs[0]))[0].resize((256, 256)).save(painted)
    rows = dataset / "List/butterfly_anomaly_AF.csv"
    row = dict.fromkeys(data_utils.COLUMNS, "") | {
        "filename": painted.name,
        "hybrid_stat": "hybrid",
    }
    with rows.open("a", newline="") as file:
        csv.DictWriter(file, data_utils.COLUMNS).writerow(
            row | {"subspecies": "8_9", "split": "train"}
        )
    done = train(dataset)
    assert done.status == 1
    assert f"{painted} are cutouts, and photographs such as {photographs[0]} are" in done.errors
    assert "train with --preprocess cutout" in done.errors
    assert not (tmp_path / "classifiers/clf1024.pth").exists()
    assert train(dataset, "--preprocess", "cutout").status == 0
    for path in (dataset / "Images").rglob("*_[01]?.png"):  # cutouts are beside cutouts
        cutout.cut_out(Image.open(specimen(path)))[0].save(path)
    assert train(dataset).status == 0


def read_scores(folder):
    rows = read_rows(folder / "published_split/classifier_scores.csv")
    return [float(row[name]) for row in rows for name in ("sgd", "linear")]


def test_of_several_processes_the_first_trains(train, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    helper = train(dataset, save="helper")
    assert helper.status == 0, helper.errors
    assert not (tmp_path / "helper").exists()
    assert cached_images(tmp_path / "cache") == 26
    monkeypatch.setenv("RANK", "0")
    assert train(dataset, save="shared").status == 0
    monkeypatch.delenv("WORLD_SIZE")
    assert train(dataset, save="alone").status == 0
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


def test_training_in_blocks_evaluates_the_same(train, dataset, tmp_path, monkeypatch):
    """Features are looked at, scored and made the training's id of block by block."""
    assert train(dataset, save="whole").status == 0
    monkeypatch.setattr(training, "BLOCK_ROWS", 4)
    assert train(dataset, save="blocks").status == 0
    assert origin(tmp_path / "whole") == origin(tmp_path / "blocks")
    whole, blocks = (read_scores(tmp_path / name) for name in ("whole", "blocks"))
    assert blocks == pytest.approx(whole, abs=2e-6)


def test_the_id_is_that_of_what_was_trained():
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = pd.DataFrame(
        {
            "hybrid_stat": ["non-hybrid", "hybrid"] * 2,
            "subspecies": ["8", ""] * 2,
            "parent_subspecies_1": ["", "8"] * 2,
            "parent_subspecies_2": ["", "9"] * 2,
        }
    )
    others = [table.assign(**{column: "10"}) for column in table]
    options = argparse.Namespace(backbone="dinov2_base", preprocess="photograph", NEPOCH=200)
    state = {"weight": torch.zeros(2)}
    training_id = training.training_id(features, table, None, options)
    assert re.fullmatch("[0-9a-f]{16}", training_id)
    assert training_id == training.training_id(features.copy(), table.copy(), None, options)
    ids = [
        training.training_id(features + 1, table, None, options),
        *(training.training_id(features, other, None, options) for other in others),
        training.training_id(features, table, state, options),
        training.training_id(features, table, {"weight": torch.ones(2)}, options),
        *(
            training.training_id(
                features, table, None, argparse.Namespace(**(vars(options) | changed))
            )
            for changed in ({"backbone": "other"}, {"preprocess": "cutout"}, {"NEPOCH": 100})
        ),
    ]
    assert len({training_id, *ids}) == 11


@pytest.fixture
def fits(monkeypatch):
    """What is fitted during a training, with the rows that it is fitted on."""
    fitted = []

    def noting(name):
        function = getattr(training, name)

        def fit(*arguments):
            result = function(*arguments)
            fitted.append((name, arguments, result))
            return result

        monkeypatch.setattr(training, name, fit)

    noting("fit_linear")
    noting("fit_classifier")
    return fitted


def filenames(world, features):
    """The images that the rows of `features` belong to."""
    names = {feature.tobytes(): name for name, feature in world.features.items()}
    return [names[row.tobytes()] for row in features]


def test_nothing_is_fitted_on_what_it_is_evaluated_on(train, world, fits, tmp_path):
    assert train(world.root, "--classifiers", "sgd", "knn").status == 0
    others = [(a[0], filenames(world, a[1])) for name, a, _ in fits if name == "fit_classifier"]
    linears = [filenames(world, a[0]) for name, a, _ in fits if name == "fit_linear"]
    everything = [row["filename"] for row in world.rows]
    split = data_utils.split_rows(np.array([row["hybrid_stat"] == "hybrid" for row in world.rows]))
    fit = [everything[row] for row in split.fit]
    assert others[:2] == [("sgd", fit), ("knn", fit)]
    assert [name for name, _ in others[2:]] == ["sgd", "knn"]
    photographs = others[2][1]
    assert others[3][1] == photographs
    assert linears == [everything, photographs, [everything[row] for row in split.train]]

    rows = read_rows(tmp_path / "classifiers/published_split/classifier_scores.csv")
    assert [row["filename"] for row in rows] == [everything[row] for row in split.held_out]

    rows = read_rows(tmp_path / "classifiers/held_out_photographs/classifier_scores.csv")
    sources = {
        row["filename"]: {row.get(column, row["filename"]) for column in ("structure", "reference")}
        for row in world.rows
    }
    held = {row["filename"] for row in rows if row["images"] == "photographs"}
    assert len(held) == 24  # 20 % of 120 photographs
    wanted = [name for name in everything if sources[name] <= held]
    assert [row["filename"] for row in rows] == wanted
    assert photographs == [name for name in everything if not sources[name] & held]


def test_every_score_is_that_of_its_file(train, world, fits, tmp_path):
    assert train(world.root, "--classifiers", "sgd", "knn").status == 0
    linears = [result[0] for name, _, result in fits if name == "fit_linear"]
    others = [result for name, _, result in fits if name == "fit_classifier"]
    fitted = {
        "held_out_photographs": (*others[2:], linears[1]),
        "published_split": (*others[:2], linears[2]),
    }
    for folder, (sgd, knn, linear) in fitted.items():
        rows = read_rows(tmp_path / "classifiers" / folder / "classifier_scores.csv")
        assert len({row["sgd"] for row in rows}) > len(rows) // 2
        for row in rows:
            feature = world.features[row["filename"]][None]
            scores = {
                "sgd": sgd.predict_proba(feature)[0, 1],
                "knn": knn.predict_proba(feature)[0, 1],
                "linear": linear.hybrid_probability(torch.tensor(feature))[0],
            }
            scores["ensemble"] = max(scores["sgd"], scores["linear"])
            for name, score in scores.items():
                assert float(row[name]) == pytest.approx(score, abs=2e-6), (row, name)


def test_the_member_that_knows_the_subspecies_is_written(train, kinds, fits, tmp_path):
    assert train(kinds.root, save="first").status == 0
    assert train(kinds.root, save="second").status == 0
    first, second = (contents(tmp_path / save) for save in ("first", "second"))
    assert set(first) == OUTPUTS - {"training_index.npz"} | {"subspecies.npz"}  # no images there
    assert first == second
    with np.load(tmp_path / "first/subspecies.npz") as file:
        assert file["subspecies"].tolist() == ["8", "9"]
        assert str(file["backbone"]) == "efficientnet_lite0"
        assert str(file["training"]) == origin(tmp_path / "first")
        threshold = float(file["threshold"])
        axes, means = file["axes"], file["means"]

    folder = tmp_path / "first/held_out_photographs"
    results = read_rows(folder / "classifier_evaluation_results.csv")
    names = ["sgd", "linear", "subspecies", "published", "ensemble"]
    for images in ("photographs", "painted", "all"):
        assert [row["classifier"] for row in results if row["images"] == images] == names
    (shown,) = (
        row for row in results if (row["images"], row["classifier"]) == ("photographs", "ensemble")
    )
    assert threshold == pytest.approx(float(shown["threshold"]), abs=1e-6)
    for row in read_rows(folder / "classifier_scores.csv"):
        larger = max(float(row["sgd"]), float(row["linear"]))
        assert float(row["published"]) == pytest.approx(larger, abs=2e-6)
        noisy_or = 1 - (1 - larger) * (1 - float(row["subspecies"]))
        assert float(row["ensemble"]) == pytest.approx(noisy_or, abs=4e-6)

    # What is saved learns from all photographs.
    looks = {"8": [], "9": []}
    for row in kinds.rows:
        if row["filename"].startswith("non-hybrid"):
            looks[row["subspecies"][0]].append(kinds.features[row["filename"]].astype(float))
    expected = np.stack([np.mean(looks[name], axis=0) for name in ("8", "9")]) @ axes
    assert means == pytest.approx(expected)


def test_the_member_is_evaluated_by_fits_that_saw_none_of_it(train, kinds, monkeypatch):
    learnt = []
    fit_subspecies = training.fit_subspecies

    def watched(table, features, backbone):
        learnt.append(table["filename"].tolist())
        return fit_subspecies(table, features, backbone)

    monkeypatch.setattr(training, "fit_subspecies", watched)
    done = train(kinds.root)
    assert done.status == 0, done.errors
    everything = [row["filename"] for row in kinds.rows]
    split = data_utils.split_rows(np.array([row["hybrid_stat"] == "hybrid" for row in kinds.rows]))
    photographs, published, saved = learnt
    assert saved == everything
    assert published == [everything[row] for row in split.train]
    scores = read_rows(
        Path(kinds.root.parent / "classifiers/held_out_photographs/classifier_scores.csv")
    )
    assert not {row["filename"] for row in scores} & set(photographs)


def test_without_two_subspecies_none_is_written_and_an_old_one_goes(train, world, tmp_path):
    folder = tmp_path / "classifiers"
    folder.mkdir()
    (folder / "subspecies.npz").touch()
    done = train(world.root)
    assert done.status == 0, done.errors
    message = "no member that knows the subspecies: the CSV names 1 subspecies of non-hybrid"
    assert message in done.errors
    assert not (folder / "subspecies.npz").exists()
    assert (folder / "sgd_clf.pkl").exists()


MEMBERS = ("sgd_clf.pkl", "clf1024.pth", "subspecies.npz")


@pytest.fixture
def members_of_before(tmp_path) -> Iterator[Path]:
    """The folder of a training that is not to write its members."""
    folder = tmp_path / "classifiers"
    folder.mkdir()
    for name in MEMBERS:
        (folder / name).write_text("from before")
    yield folder
    assert contents(folder) == dict.fromkeys(MEMBERS, b"from before")


@pytest.mark.parametrize(
    ("fails", "name"), [("save_subspecies", "subspecies.npz"), ("save_linear", "clf1024.pth")]
)
def test_a_training_that_cannot_write_leaves_all_members_of_before(
    train, kinds, members_of_before, monkeypatch, fails, name
):
    def full(*_):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(training, fails, full)
    done = train(kinds.root)
    assert done.status == 1
    assert f"disk full: '{members_of_before / name}'" in done.errors


def areas(folder):
    rows = read_rows(folder / "classifier_evaluation_results.csv")
    return {(row["images"], row["classifier"]): float(row["roc_auc"]) for row in rows}


def test_the_published_split_flatters_and_held_out_photographs_do_not(train, world, tmp_path):
    """Classes that only who knows the photographs can know are found, but not on new ones."""
    assert train(world.root, "--classifiers", "sgd", "knn", "--NEPOCH", 30).status == 0
    published = areas(tmp_path / "classifiers/published_split")
    honest = areas(tmp_path / "classifiers/held_out_photographs")
    assert set(honest) == set(published)
    for images in ("painted", "all"):
        for name in ("sgd", "knn", "linear", "ensemble"):
            assert published[images, name] > 0.9
            assert 0.25 < honest[images, name] < 0.75


def test_sources_come_from_the_lists_where_the_csv_has_none(train, world, tmp_path):
    assert train(world.root, save="columns").status == 0
    world.write(data_utils.COLUMNS)
    assert train(world.root, save="lists").status == 0
    columns, lists = (contents(tmp_path / save) for save in ("columns", "lists"))
    assert columns == lists

    shutil.rmtree(tmp_path / "Images4TrainAFnonhybrid")
    done = train(world.root, save="lists")
    assert done.status == 0, done.errors
    assert "no evaluation on held-out photographs: the CSV does not say from which" in done.errors
    left = {path.name for path in (tmp_path / "lists/held_out_photographs").iterdir()}
    assert left == set()  # nothing of the training before
    assert {path.name for path in (tmp_path / "lists/published_split").iterdir()} == EVALUATION


def test_kinds_without_hybrids_are_not_scored(train, world, tmp_path):
    """Photographs of non-hybrids alone, as where every hybrid is painted."""
    photographs = [row for row in world.rows if row["filename"].startswith("non-hybrid")]
    for row in world.rows:
        if row["hybrid_stat"] == "hybrid" and "structure" in row:
            for column in ("structure", "reference"):
                row[column] = f"non-{row[column]}"
    painted = [row for row in world.rows if "structure" in row]
    world.rows = photographs + painted
    world.write([*data_utils.COLUMNS, "structure", "reference"])
    done = train(world.root)
    assert done.status == 0, done.errors
    assert re.search(
        "on held-out photographs, photographs: not scored, 0 hybrids among 12 images", done.errors
    )
    found = areas(tmp_path / "classifiers/held_out_photographs")
    assert {images for images, _ in found} == {"painted", "all"}


def test_recalls_by_subspecies_and_cross(train, world, tmp_path):
    assert train(world.root).status == 0
    folder = tmp_path / "classifiers/held_out_photographs"
    thresholds = {
        (row["images"], row["classifier"]): float(row["threshold"])
        for row in read_rows(folder / "classifier_evaluation_results.csv")
    }
    scores = read_rows(folder / "classifier_scores.csv")
    recalls = read_rows(folder / "classifier_recalls.csv")
    assert len(recalls) == 3 * 2 * 3  # kinds of image, subspecies and cross, classifiers
    for row in recalls:
        assert row["group"] == {"hybrid": "8 x 9", "non-hybrid": "8"}[row["hybrid_stat"]]
        mine = [
            float(score[row["classifier"]]) > thresholds[row["images"], row["classifier"]]
            for score in scores
            if score["hybrid_stat"] == row["hybrid_stat"]
            and row["images"] in ("all", score["images"])
        ]
        assert int(row["rows"]) == len(mine)
        called = sum(mine) / len(mine)
        right = called if row["hybrid_stat"] == "hybrid" else 1 - called
        # Scores and thresholds in the files have six decimals: one image may fall on its threshold.
        assert float(row["recall"]) == pytest.approx(right, abs=1.5 / len(mine))
        assert float(row["recall_low"]) <= float(row["recall"]) <= float(row["recall_high"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_no_number_names_its_image(train, world, members_of_before, value):
    name = world.rows[7]["filename"]
    world.features[name][5] = value
    done = train(world.root)
    assert done.status == 1
    expected = f"{name} and 0 more images: a feature of efficientnet_lite0 is NaN or infinite"
    assert expected in done.errors


def test_a_score_that_is_no_number_names_its_image(train, world, members_of_before, monkeypatch):
    class Broken:
        def __init__(self, *_):
            pass

        def score(self, *_):
            return 0.5

        def predict_proba(self, features):
            probabilities = np.full((len(features), 2), 0.5)
            probabilities[3] = np.nan
            return probabilities

    monkeypatch.setattr(training, "fit_classifier", Broken)
    done = train(world.root)
    assert done.status == 1
    assert re.search(r"\.(png|jpg) and 0 more images: the score of sgd is NaN", done.errors)


def test_paths_that_are_typed_start_at_the_working_directory(
    train, dataset, tmp_path, monkeypatch, repository
):
    """The same in training.py and in ingestion.py; the constants start at the repository."""
    monkeypatch.chdir(tmp_path)
    folders = ("--CLF_SAVE_DIR", "made/classifiers", "--CACHE_DIR", "made/cache")
    done = train(dataset.name, *folders)
    assert done.status == 0, done.errors
    assert (tmp_path / "made/classifiers/clf1024.pth").is_file()
    assert cached_images(tmp_path / "made/cache") == 26
    done = train(dataset.name, *folders, "--CTN", "--CTN_SAVE_DIR", "nowhere")
    assert f"CTN continues {Path('nowhere/clf1024.pth')}, but" in done.errors

    options = ("--backbone", "efficientnet_lite0", "--classifiers", "made/classifiers")
    options = (*options, "--workers", "0", "--device", "cpu")
    images = f"{dataset.name}/Images/hybrid"
    monkeypatch.setattr(sys, "argv", ["ingestion.py", images, "made", *options])
    assert ingestion.main() == 0
    assert len((tmp_path / "made/predictions.txt").read_text().splitlines()) == 12

    monkeypatch.setattr(sys, "argv", ["training.py"])
    defaults = training.parse_arguments()
    assert defaults.ROOT_DATA_DIR == repository / "Datasets/Images4TrainClassifier"
    assert defaults.CLF_SAVE_DIR == defaults.CTN_SAVE_DIR == repository / "Models/classifiers"
    assert defaults.preprocess == "photograph"
    assert defaults.CACHE_DIR == repository / "Datasets/.feature_cache"


def test_a_changed_csv_extracts_only_what_is_new(train, dataset, draw, tmp_path):
    assert train(dataset).status == 0
    assert cached_images(tmp_path / "cache") == 26
    shutil.copy(dataset / "Images/hybrid/hybrid_00.png", dataset / "Images/hybrid/same.png")
    draw(dataset / "Images/hybrid/new.png")
    with (dataset / "List/butterfly_anomaly_AF.csv").open("a") as file:
        file.write(",,hybrid,train,,,,,,same.png\n,,hybrid,train,,,,,,new.png\n")
    done = train(dataset)
    assert done.status == 0, done.errors
    assert "28 images: 14 hybrid, 0 painted" in done.errors
    assert cached_images(tmp_path / "cache") == 27


def test_a_damaged_cache_is_named(train, dataset, tmp_path):
    assert train(dataset).status == 0
    for path in (tmp_path / "cache").glob("*.sqlite"):
        whole = path.read_bytes()
        path.write_bytes(b"not a database, but long enough to be read as one" * 100)
        done = train(dataset)
        assert done.status == 1
        assert f"{path}: damaged feature cache" in done.errors
        path.write_bytes(whole)


def test_unusable_images_are_reported_and_left_out(train, dataset):
    (dataset / "Images/hybrid/hybrid_00.png").unlink()
    (dataset / "Images/non-hybrid/non-hybrid_03.png").write_bytes(b"no picture")
    done = train(dataset)
    assert done.status == 0, done.errors
    assert "1 images are missing and are left out: hybrid_00.png" in done.errors
    assert "1 images cannot be read and are left out: non-hybrid_03.png" in done.errors
    assert "24 images: 11 hybrid, 0 painted" in done.errors


def test_ctn_continues_the_linear_classifier(train, dataset, tmp_path):
    assert train(dataset, save="first").status == 0
    done = train(dataset, "--CTN", "--CTN_SAVE_DIR", tmp_path / "first", save="second")
    assert done.status == 0, done.errors
    steps = {
        name: torch.load(tmp_path / name / "clf1024.pth", weights_only=True)
        for name in ("first", "second")
    }
    key = "classifier.1.num_batches_tracked"
    assert (int(steps["first"][key]), int(steps["second"][key])) == (3, 6)
    assert "trained afresh, not the continued one" in done.errors
    assert origin(tmp_path / "first") != origin(tmp_path / "second")


def test_ctn_refuses_a_classifier_of_another_preprocess(train, dataset, tmp_path):
    state, whole = (
        published_members.LinearClassifier(1280).state_dict(),
        published_members.Origin("efficientnet_lite0"),
    )
    training.save_linear(state, whole, tmp_path / "clf1024.pth")
    continued = ("--CTN", "--CTN_SAVE_DIR", tmp_path)
    done = train(dataset, "--preprocess", "cutout", *continued, save="second")
    assert done.status == 1
    message = "clf1024.pth was trained on photographs, but the preprocess is cutout: use --prep"
    assert message in done.errors
    assert not (tmp_path / "second").exists()


def test_ctn_without_a_classifier_is_an_error(train, dataset, tmp_path):
    done = train(dataset, "--CTN", "--CTN_SAVE_DIR", tmp_path)
    assert done.status == 1
    assert f"CTN continues {tmp_path / 'clf1024.pth'}, but there is no such file" in done.errors


def test_lists_is_found_too(train, dataset):
    (dataset / "List").rename(dataset / "Lists")
    assert train(dataset).status == 0


def test_the_program_as_a_user_runs_it(run, repository, dataset, tmp_path):
    """A file name that leaves the image folder ends the run before it writes anything."""
    edit(dataset / "List/butterfly_anomaly_AF.csv", "hybrid_01.png", "../secret.png")
    program = repository / "HybridDetection/train/training.py"
    done = run(
        "training.py",
        *("--ROOT_DATA_DIR", dataset, "--CLF_SAVE_DIR", tmp_path / "out"),
        cwd=program.parent,
    )
    assert done.returncode == 1
    assert "line 3: filename '../secret.png' leaves" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_too_few_images_of_a_class(train, dataset):
    path = dataset / "List/butterfly_anomaly_AF.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(row for row in rows if "hybrid_0" not in row or "non" in row))
    done = train(dataset)
    assert done.status == 1
    assert "the 16 images in all: 2 hybrid and 14 non-hybrid; at least 5" in done.errors


def test_a_missing_csv_says_how_to_make_it(train, dataset):
    (dataset / "List/butterfly_anomaly_AF.csv").unlink()
    done = train(dataset)
    assert done.status == 1
    assert "scripts/make_classifier_csv.py writes it" in done.errors


@pytest.mark.parametrize("arguments", [("--NCLS", "3"), ("--NEPOCH", "0"), ("--BATCH_SIZE", "0")])
def test_an_option_out_of_range_is_refused(train, dataset, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        train(dataset, *arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err
