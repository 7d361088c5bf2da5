"""training.py on a small data set with the light backbone."""

import csv
import re
import shutil
import sqlite3

import data_utils
import model
import numpy as np
import pytest
import torch

OUTPUTS = {
    "sgd_clf.pkl",
    "clf1024.pth",
    "classifier_evaluation_results.csv",
    "classifier_scores.csv",
    "score_histograms.png",
    "roc.png",
    "precision_recall.png",
    "linear_loss.png",
}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cached_images(cache):
    (path,) = cache.glob("efficientnet_lite0-*.sqlite")
    connection = sqlite3.connect(path)
    count = connection.execute("SELECT COUNT(*) FROM features").fetchone()[0]
    connection.close()
    return count


def test_two_runs_give_the_same_files(train, dataset, tmp_path):
    for save in ("first", "second"):
        cache = tmp_path / f"cache-{save}"  # the features are extracted twice, too
        kinds = ("sgd", "svm", "knn", "gaussian")
        done = train(dataset, "--CACHE_DIR", cache, "--classifiers", *kinds, save=save)
        assert done.status == 0, done.errors
    first = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    assert set(first) == OUTPUTS
    assert first == second

    with (tmp_path / "first/classifier_evaluation_results.csv").open() as file:
        results = list(csv.DictReader(file))
    assert [row["classifier"] for row in results] == [
        "sgd",
        "svm",
        "knn",
        "gaussian",
        "linear",
        "ensemble",
    ]
    assert list(results[0]) == [
        "classifier",
        "tpr_at_tnr95",
        "threshold",
        "pr_auc",
        "roc_auc",
        "f1",
        "accuracy",
    ]
    assert float(results[0]["roc_auc"]) == 1.0  # orange and blue are easily told apart
    with (tmp_path / "first/classifier_scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 6  # 20 % of 26 rows
    for row in scores:
        larger = max(float(row["sgd"]), float(row["linear"]))
        assert float(row["ensemble"]) == pytest.approx(larger, abs=1e-6)


def test_the_files_load_and_remember_their_backbone(train, dataset, tmp_path):
    assert train(dataset).status == 0
    folder = tmp_path / "classifiers"
    model.load_linear(folder / "clf1024.pth", "efficientnet_lite0")
    model.load_sgd(folder / "sgd_clf.pkl", "efficientnet_lite0")
    for load, name in [(model.load_linear, "clf1024.pth"), (model.load_sgd, "sgd_clf.pkl")]:
        with pytest.raises(ValueError, match="trained on features of efficientnet_lite0"):
            load(folder / name, "dinov2_base")
    state = torch.load(folder / "clf1024.pth", weights_only=True)
    model.LinearClassifier(1280).load_state_dict(state)  # as published code loads it


def test_a_changed_csv_extracts_only_what_is_new(train, dataset, draw, tmp_path):
    assert train(dataset).status == 0
    assert cached_images(tmp_path / "cache") == 26
    shutil.copy(dataset / "Images/hybrid/hybrid_00.png", dataset / "Images/hybrid/same.png")
    draw(dataset / "Images/hybrid/new.png")
    with (dataset / "List/butterfly_anomaly_AF.csv").open("a") as file:
        file.write(",,hybrid,,,,,,,same.png\n,,hybrid,,,,,,,new.png\n")
    done = train(dataset)
    assert done.status == 0, done.errors
    assert "28 images (14 hybrid)" in done.errors
    assert cached_images(tmp_path / "cache") == 27


def test_a_damaged_cache_is_named(train, dataset, tmp_path):
    assert train(dataset).status == 0
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    done = train(dataset)
    assert done.status == 1
    assert f"{path}: damaged feature cache" in done.errors


def test_unusable_images_are_reported_and_left_out(train, dataset):
    (dataset / "Images/hybrid/hybrid_00.png").unlink()
    (dataset / "Images/non-hybrid/non-hybrid_03.png").write_bytes(b"no picture")
    done = train(dataset)
    assert done.status == 0, done.errors
    assert "1 images are missing and are left out: hybrid_00.png" in done.errors
    assert "1 images cannot be read and are left out: non-hybrid_03.png" in done.errors
    assert "24 images (11 hybrid)" in done.errors


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


def test_ctn_without_a_classifier_is_an_error(train, dataset, tmp_path):
    done = train(dataset, "--CTN", "--CTN_SAVE_DIR", tmp_path)
    assert done.status == 1
    assert f"CTN continues {tmp_path / 'clf1024.pth'}, but there is no such file" in done.errors


def test_lists_is_found_too(train, dataset):
    (dataset / "List").rename(dataset / "Lists")
    assert train(dataset).status == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hybrid_stat", "status", "line 1: no column hybrid_stat"),
        (",,hybrid,", ",,maybe,", "line 2: hybrid_stat is 'maybe', expected non-hybrid or hybrid"),
        ("hybrid_01.png", "hybrid_00.png", "line 3: hybrid_00.png stands on line 2 already"),
        ("hybrid_01.png", "./hybrid_00.png", "line 3: ./hybrid_00.png stands on line 2 already"),
        ("hybrid_01.png", "../../secret.png", "line 3: filename '../../secret.png' leaves"),
        ("hybrid_01.png", "/etc/passwd", "line 3: filename '/etc/passwd' leaves"),
        ("hybrid_01.png", "", "line 3: filename '' leaves"),
    ],
)
def test_a_bad_csv_names_the_line(dataset, old, new, message):
    path = dataset / "List/butterfly_anomaly_AF.csv"
    edit(path, old, new)
    with pytest.raises(ValueError, match=re.escape(f"{path}, {message}")):
        data_utils.read_table(path)


@pytest.mark.parametrize("content", ["", "\0\0", "filename\n"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        data_utils.read_table(path)


def test_the_split_is_fixed_and_stratified():
    labels = np.array([0] * 300 + [1] * 100)
    split = data_utils.split_rows(labels)
    parts = [split.fit, split.check, split.held_out]
    assert [len(part) for part in parts] == [256, 64, 80]
    assert [int(labels[part].sum()) for part in parts] == [64, 16, 20]
    assert sorted(np.concatenate(parts)) == list(range(400))
    assert np.array_equal(split.held_out, data_utils.split_rows(labels).held_out)


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
    assert "2 hybrid and 14 non-hybrid images are left; at least 10" in done.errors


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
