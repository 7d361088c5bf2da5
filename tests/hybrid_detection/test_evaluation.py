"""metrics.py, evaluation.py and scripts/score_predictions.py: the challenge's arithmetic."""

import json
import re

import evaluation
import metrics
import model
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics


def test_threshold_is_the_smallest_that_keeps_the_tnr():
    scores = np.arange(1, 41) / 40
    labels = np.zeros(40, int)
    assert metrics.threshold_at_tnr(scores, labels) == 38 / 40  # 38 of 40 are 95 %
    assert metrics.threshold_at_tnr(scores[:39], labels[:39]) == 38 / 40  # 37 of 39 are not
    with_hybrids = np.append(scores, [0.001, 0.97]), np.append(labels, [1, 1])
    assert metrics.threshold_at_tnr(*with_hybrids) == 38 / 40


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 11), st.booleans()), min_size=1, max_size=40))
def test_the_metrics_are_those_of_scikit_learn(rows):
    """With many equal scores; a score at the threshold is no hybrid's."""
    scores, labels = np.array([*rows, (5, True), (6, False)], int).T
    result = metrics.evaluate(scores / 12, labels)
    called = scores / 12 > result["threshold"]
    expected = {
        "tpr_at_tnr95": sklearn_metrics.recall_score(labels, called),
        "threshold": result["threshold"],
        "pr_auc": sklearn_metrics.average_precision_score(labels, scores),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, scores),
        "f1": sklearn_metrics.f1_score(labels, called, zero_division=0),
        "accuracy": sklearn_metrics.accuracy_score(labels, called),
    }
    assert result == pytest.approx(expected)
    counts = metrics.resample(np.arange(len(labels)), labels)[::200]
    with np.errstate(all="raise"):  # nothing is divided by zero and left out afterwards
        resampled = metrics.evaluate(scores, labels, counts)
    for number, count in enumerate(counts):
        drawn = np.repeat(np.arange(len(labels)), count)
        alone = metrics.evaluate(scores[drawn], labels[drawn])
        assert {name: values[number] for name, values in resampled.items()} == pytest.approx(alone)


def test_the_intervals():
    """A thousand resamples of seed 42 keep groups whole; draws without a class are left out."""
    groups, labels = np.repeat(["a", "b", "c"], 2), np.array([0, 1] * 3)
    drawn = np.random.default_rng(42).multinomial(3, [1 / 3] * 3, 1000)
    assert np.array_equal(metrics.resample(groups, labels), np.repeat(drawn, 2, axis=1))
    labels = np.array([0, 0, 1, 1, 0, 1])
    both = (drawn[:, 0] < 3) & (drawn[:, 1] < 3)
    assert np.array_equal(metrics.resample(groups, labels), np.repeat(drawn[both], 2, axis=1))
    assert metrics.wilson(19, 32) == pytest.approx((0.422600, 0.744804), abs=1e-6)
    labels = np.array([0] * 100 + [1] * 100)  # 80 of 100 hybrids are found: 0.80 +- 0.08
    scores = np.array([0.1] * 100 + [0.9] * 80 + [0.0] * 20)
    counts = metrics.resample(np.arange(200), labels)
    low, high = metrics.interval(metrics.evaluate(scores, labels, counts)["tpr_at_tnr95"])
    assert (low, high) == pytest.approx((0.72, 0.88), abs=0.015)


def test_challenge_scores_by_hand():
    indicators = np.array(["major"] * 4 + ["minor"] * 3 + ["mimic"] * 4)
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1])
    scores = np.array([0.3, 0.9, 0.33, 0.2, 0.35, 0.5, 0.3, 0.9, 0.5, 0.95, 0.4])
    found = evaluation.challenge_scores(scores, labels, indicators)
    areas = (1 + 1 + 3 / 4 + 4 / 6 + 5 / 7) / 5, (1 + 1 + 3 / 4) / 3, (1 + 2 / 3) / 2
    # One threshold, 0.35, for A; another, 0.9, for B.
    expected = [1 / 3, 1 / 2, *areas, 1 / 2, (1 + 2 / 4) / 2, 3 / (3 + 2 + 2)]
    assert list(found.values()) == pytest.approx(expected)
    scores[5] = 0.1  # no minor hybrid is found
    assert evaluation.challenge_scores(scores, labels, indicators)["challenge_score"] == 0
    labels[5:7] = 0
    with pytest.raises(ValueError, match="no minor hybrids"):
        evaluation.challenge_scores(scores, labels, indicators)
    # Both directions are one cross.
    shown = ["a", "b", "a x b", "b x a", "c x b", "m", "m x n", "n x m", "m x n"]
    labels = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1])
    indicators = np.array(["major", "minor", "major", "major", "minor", *["mimic"] * 4])
    scores = np.array([0.3, 0.2, 0.4, 0.3, 0.25, 0.6, 0.5, 0.7, 0.6])
    assert evaluation.cross_recalls(scores, labels, indicators, np.array(shown)) == {
        "a x b": {"ssp_indicator": "major", "hybrids": 2, "recall": 1 / 2},
        "b x c": {"ssp_indicator": "minor", "hybrids": 1, "recall": 0.0},
        "m x n": {"ssp_indicator": "mimic", "hybrids": 3, "recall": 1 / 3},
    }


def test_intervals_are_of_specimens_with_thresholds_of_each_draw(monkeypatch):
    """As drawn one by one, of rows that come twice a specimen, with equal scores."""
    monkeypatch.setattr(metrics, "RESAMPLES", 200)
    draw = np.random.default_rng(0)
    kinds = np.repeat(["major", "minor", "mimic"], 16)
    labels, scores = np.tile([0, 0, 1, 1], 12), draw.integers(0, 9, 48) / 8
    specimens = np.repeat([f"S{number:02d}" for number in range(24)], 2)
    columns = {"score": scores, "hybrid_stat": labels, "ssp_indicator": kinds, "CAMID": specimens}
    columns["filename"] = [f"{number:02d}.jpg" for number in range(48)]
    found = evaluation.with_intervals(pd.DataFrame(columns))
    columns["md5"] = [f"{number // 2:032x}" for number in range(48)]
    for blank in ("", " "):  # the content says as much, and without it each is one
        columns["CAMID"] = [blank] * 48
        assert evaluation.with_intervals(pd.DataFrame(columns)) == found
    columns["md5"] = ["none"] * 48
    assert evaluation.with_intervals(pd.DataFrame(columns)) != found
    drawn = []
    for counts in metrics.resample(specimens, labels):
        rows = np.repeat(np.arange(48), counts)
        if len({(kinds[row], labels[row]) for row in rows}) == 6:
            some = scores[rows], labels[rows], kinds[rows]
            numbers = evaluation.challenge_scores(*some)
            for name, kind in evaluation.ROC_AUCS.items():
                chosen = some[2] == kind
                numbers[name] = metrics.roc_auc(some[0][chosen], some[1][chosen])
            drawn.append(numbers)
    assert 150 < len(drawn) < 200  # draws that lack a class are left out
    for name, (_, *bounds) in found.items():
        values = np.array([numbers[name] for numbers in drawn])
        assert bounds == pytest.approx(np.quantile(values, [0.025, 0.975]))
    plain = evaluation.challenge_scores(scores, labels, kinds)
    assert {name: found[name][0] for name in plain} == pytest.approx(plain)
    assert list(found) == [*plain, *evaluation.ROC_AUCS]


@pytest.fixture
def score(call):
    def run_scores(predictions, reference, *arguments):
        options = ("--predictions", predictions, "--reference", reference, *arguments)
        return call(evaluation.main, *options)

    return run_scores


@pytest.mark.parametrize("name", ["ref_val_smooth", "ref_test_rounded"])
def test_the_official_numbers(score, shared, tmp_path, name):
    done = score(
        shared / f"scoring/predictions_{name}.txt",
        shared / f"challenge/{name.rpartition('_')[0]}.csv",
        *("--output", tmp_path / "scores.json", "--intervals"),
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    intervals = scores.pop("intervals")
    assert all(low < value < high for value, low, high in intervals.values())
    assert intervals["challenge_score"][0] == scores["challenge_score"]
    expected = json.loads((shared / f"scoring/scores_{name}.json").read_text())
    assert list(scores) == [*evaluation.NUMBERS, "challenge_score", "crosses"]
    assert scores.keys() - expected.keys() == {"crosses"}
    assert {key: scores[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    for key, value in expected.items():
        assert f"{key:<22} {value:.4f}" in done.stdout
    signal = scores["crosses"]["lativitta x notabilis"]
    recall = expected["A_score_major_recall"]
    assert signal["recall"] == pytest.approx(recall, abs=1e-9)
    assert f"lativitta x notabilis        {recall:.4f} of {signal['hybrids']} major" in done.stdout


NAMES = [f"{group}_{label}.jpg" for group in ("major", "minor", "mimic") for label in (0, 1)]
REFERENCE = "filename,hybrid_stat,ssp_indicator\n" + "".join(
    f"{name},{name[6]},{name[:5]}\n" for name in NAMES
)
PREDICTIONS = "\n".join(f"{name},{name[6]}.25" for name in NAMES)


@pytest.fixture
def reference(tmp_path):
    (tmp_path / "predictions.txt").write_text(PREDICTIONS)
    (tmp_path / "ref.csv").write_text(REFERENCE)
    return tmp_path / "ref.csv"


def test_what_takes_seconds_to_import_is_not_waited_for(run, repository):
    code = "import sys, evaluation; print({'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    done = run("-c", code, cwd=repository / "HybridDetection/train")
    assert done.stdout.strip() == "set()", done.stderr


def test_each_image_is_called_by_the_threshold_of_its_species(score, reference, tmp_path):
    """Of species A 0.5 is the highest non-hybrid's score, of the mimics 0.2; equal is not above."""
    predictions = tmp_path / "predictions.txt"
    scores = [0.5, 0.6, 0.1, 0.5, 0.2, 0.3]
    predictions.write_text("\n".join(map("{},{}".format, NAMES, scores)))
    calls = ("--calls", tmp_path / "calls.csv")
    assert score(predictions, reference, *calls).returncode == 0
    lines = (tmp_path / "calls.csv").read_text().split()
    assert lines[0] == "filename,ssp_indicator,hybrid_stat,score,threshold,called"
    called = ("0.5,0.5,0", "0.6,0.5,1", "0.1,0.5,0", "0.5,0.5,0", "0.2,0.2,0", "0.3,0.2,1")
    expected = zip(REFERENCE.split()[1:], called, strict=True)
    for line, (row, numbers) in zip(lines[1:], expected, strict=True):
        assert line == ",".join([*np.array(row.split(","))[[0, 2, 1]], numbers])
    reference.write_text(REFERENCE.replace("\n", ",a x b\n").replace("a x b", evaluation.CROSS, 1))
    score(predictions, reference, *calls)
    assert "major_1.jpg,a x b,major,1,0.6,0.5,1" in (tmp_path / "calls.csv").read_text()


DETAILS = """filename,score,sgd,linear,subspecies
major_0.jpg,0.9,0.1,0.2,0.5
major_1.jpg,0.1,0.30006,0.25,
"""


def test_scores_of_some_members_are_as_ingestion_writes_them(tmp_path):
    assert evaluation.MEMBERS == tuple(model.MEMBERS)
    path = tmp_path / "details.csv"
    path.write_text(DETAILS)
    scores = evaluation.read_details(path, ["sgd", "linear"])
    assert scores == {"major_0.jpg": 0.2, "major_1.jpg": 0.3001}
    path.write_text(DETAILS.replace(",\n", ",0.25\n"))
    scores = evaluation.read_details(path, ["sgd", "linear", "subspecies"])
    assert scores == {"major_0.jpg": 0.5, "major_1.jpg": 0.3001}
    path.write_text(DETAILS.replace(",", ";").replace(".", ",").replace(",jpg", ".jpg"))
    assert evaluation.read_details(path, ["sgd"]) == {"major_0.jpg": 0.1, "major_1.jpg": 0.3001}
    path.write_text(DETAILS.replace("0.1,0.2", "1,0"))  # the bounds are probabilities, too
    scores = [evaluation.read_details(path, [name])["major_0.jpg"] for name in ("sgd", "linear")]
    assert scores == [1, 0]


CROSSES = REFERENCE.replace("\n", ",a x b\n").replace("a x b", evaluation.CROSS, 1)
ALL = ("--members", "sgd", "linear", "subspecies")


@pytest.mark.parametrize(
    ("file", "content", "options", "message"),
    [
        ("predictions.txt", PREDICTIONS[:50], (), "3 of 6 images of .* prediction .first: minor_1"),
        ("predictions.txt", f"{PREDICTIONS}\nMajor_0.jpg,1", (), "line 7: .* line 1 already, as m"),
        ("predictions.txt", DETAILS.replace("r_1", "r_0"), ALL[:3], "line 3: .* on line 2 already"),
        ("ref.csv", REFERENCE.replace("r_1", "r_0"), (), "line 3: major_0.jpg stands on line 2 a"),
        ("ref.csv", CROSSES.replace("a x b", "a x A"), (), "line 3: a hybrid is 'a x A', expected"),
        ("predictions.txt", DETAILS, (), "is not filename,score; of a details.csv, say --members"),
        ("predictions.txt", "a.jpg,0,5\n", (), "line 1: 'a.jpg,0,5' is .* with a decimal point"),
        ("predictions.txt", "a.jpg;0,25", (), "line 1: 'a.jpg;0,25' is not filename,score with"),
        ("predictions.txt", PREDICTIONS.upper(), (), "6 of 6 .*, but 'MAJOR_0.JPG' is there"),
        ("predictions.txt", DETAILS, ALL, "line 3: '' is no probability of subspecies"),
        ("predictions.txt", DETAILS.replace("0.5", "1.5"), ALL, "line 2: '1.5' is no probability"),
        ("ref.csv", None, (), "no such file; ref_val.csv and ref_test.csv come from the challenge"),
        ("ref.csv", REFERENCE.replace("1,major", "yes,major"), (), "line 3: hybrid_stat is 'yes'"),
    ],
)
def test_what_cannot_be_scored_is_named(score, reference, file, content, options, message):
    path = reference.with_name(file)
    path.unlink()
    if content is not None:
        path.write_text(content)
    scores = reference.with_name("scores.json")
    done = score(reference.with_name("predictions.txt"), reference, *options, "--output", scores)
    assert done.returncode == 1
    assert done.stderr.startswith(f"score_predictions: {path}")
    assert re.search(message, done.stderr), done.stderr
    assert not scores.exists()
