"""metrics.py, evaluation.py and scripts/score_predictions.py: the challenge's arithmetic."""

import json
from subprocess import CompletedProcess

import evaluation
import metrics
import model
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics


def test_threshold_is_the_smallest_that_keeps_the_tnr():
    scores = np.arange(1, 41) / 40
    labels = np.zeros(40, int)
    assert metrics.threshold_at_tnr(scores, labels) == 38 / 40  # 38 of 40 are 95 %
    assert metrics.threshold_at_tnr(scores[:39], labels[:39]) == 38 / 40  # 37 of 39 are not
    with_hybrids = np.append(scores, [0.001, 0.97]), np.append(labels, [1, 1])
    assert metrics.threshold_at_tnr(*with_hybrids) == 38 / 40


def test_evaluate():
    """A score at the threshold is no hybrid."""
    scores = np.array([0.1, 0.2, 0.6, 0.6, 0.7, 0.9])
    labels = np.array([0, 0, 0, 1, 1, 1])
    result = metrics.evaluate(scores, labels)
    assert result == pytest.approx(
        {
            "tpr_at_tnr95": 2 / 3,
            "threshold": 0.6,
            "pr_auc": (1 + 1 + 3 / 4) / 3,
            "roc_auc": 8.5 / 9,
            "f1": 4 / 5,  # above 0.6 lie 0.7 and 0.9, two of three hybrids and nothing else
            "accuracy": 5 / 6,
        }
    )


def random_rows(draw, count):
    """Scores with many equal ones, and labels of both classes."""
    labels = draw.integers(0, 2, count)
    labels[:2] = [0, 1]
    return draw.integers(0, 12, count) / 12, labels


def test_the_metrics_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    for _ in range(30):
        scores, labels = random_rows(draw, 40)
        result = metrics.evaluate(scores, labels)
        called = scores > result["threshold"]
        expected = {
            "tpr_at_tnr95": sklearn_metrics.recall_score(labels, called),
            "threshold": result["threshold"],
            "pr_auc": sklearn_metrics.average_precision_score(labels, scores),
            "roc_auc": sklearn_metrics.roc_auc_score(labels, scores),
            "f1": sklearn_metrics.f1_score(labels, called, zero_division=0),
            "accuracy": sklearn_metrics.accuracy_score(labels, called),
        }
        assert result == pytest.approx(expected)


def test_the_metrics_of_a_resample_are_those_of_its_rows():
    scores, labels = random_rows(np.random.default_rng(1), 30)
    counts = metrics.resample(np.arange(30), labels)
    with np.errstate(all="raise"):  # nothing is divided by zero and left out afterwards
        resampled = metrics.evaluate(scores, labels, counts)
    for number in range(0, len(counts), 100):
        rows = np.repeat(np.arange(30), counts[number])
        expected = metrics.evaluate(scores[rows], labels[rows])
        assert {name: values[number] for name, values in resampled.items()} == pytest.approx(
            expected
        )


def test_groups_are_resampled_whole_and_both_classes_are_there():
    groups = np.array(["a", "b", "a", "c", "c"])
    labels = np.array([0, 1, 0, 0, 1])
    counts = metrics.resample(groups, labels)
    assert np.array_equal(counts[:, 0], counts[:, 2])
    assert np.array_equal(counts[:, 3], counts[:, 4])
    assert (counts[:, 0] + counts[:, 1] + counts[:, 3] == 3).all()  # three groups are drawn
    assert ((counts[:, 1] + counts[:, 4]) > 0).all()
    assert ((counts[:, 0] + counts[:, 3]) > 0).all()
    assert len(counts) == pytest.approx(1000 * (1 - 2 / 27), abs=30)  # without aaa and bbb
    assert np.array_equal(counts, metrics.resample(groups, labels))


def test_resamples_are_a_thousand_of_seed_42():
    """The published intervals; both classes in each group, so that no draw is left out."""
    groups, labels = np.repeat(["a", "b", "c"], 2), np.array([0, 1] * 3)
    drawn = np.random.default_rng(42).multinomial(3, [1 / 3] * 3, 1000)
    assert np.array_equal(metrics.resample(groups, labels), np.repeat(drawn, 2, axis=1))


def test_wilsons_interval():
    assert metrics.wilson(19, 32) == pytest.approx((0.422600, 0.744804), abs=1e-6)
    assert metrics.wilson(0, 10) == pytest.approx((0, 0.277533), abs=1e-6)
    assert metrics.wilson(10, 10) == pytest.approx((0.722467, 1), abs=1e-6)


def test_the_interval_of_a_recall():
    """80 of 100 hybrids are found: the interval is that of a share of 100, 0.80 +- 0.08."""
    labels = np.array([0] * 100 + [1] * 100)
    scores = np.array([0.1] * 100 + [0.9] * 80 + [0.0] * 20)
    counts = metrics.resample(np.arange(200), labels)
    low, high = metrics.interval(metrics.evaluate(scores, labels, counts)["tpr_at_tnr95"])
    assert (low, high) == pytest.approx((0.72, 0.88), abs=0.015)


def test_challenge_scores_by_hand():
    indicators = np.array(["major"] * 4 + ["minor"] * 3 + ["mimic"] * 4)
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1])
    scores = np.array([0.3, 0.9, 0.33, 0.2, 0.35, 0.5, 0.3, 0.9, 0.5, 0.95, 0.4])
    assert evaluation.challenge_scores(scores, labels, indicators) == pytest.approx(
        {
            "A_score_major_recall": 1 / 3,  # one threshold, 0.35, for A
            "A_score_minor_recall": 1 / 2,
            "A_PRC_AUC": (1 + 1 + 3 / 4 + 4 / 6 + 5 / 7) / 5,
            "A_PRC_AUC_major": (1 + 1 + 3 / 4) / 3,
            "A_PRC_AUC_minor": (1 + 2 / 3) / 2,
            "mimic_recall": 1 / 2,  # another, 0.9, for B
            "mimic_PRC_AUC": (1 + 2 / 4) / 2,
            "challenge_score": 3 / (3 + 2 + 2),
        }
    )


def test_a_recall_of_zero_makes_the_challenge_score_zero():
    indicators = np.array(["major", "major", "minor", "minor", "mimic", "mimic"])
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.9])
    result = evaluation.challenge_scores(scores, np.array([0, 1] * 3), indicators)
    assert result["A_score_minor_recall"] == 0
    assert result["challenge_score"] == 0


def test_a_group_without_hybrids_is_named():
    indicators = np.array(["major", "major", "mimic", "mimic"])
    with pytest.raises(ValueError, match="no minor hybrids"):
        evaluation.challenge_scores(np.ones(4), np.array([0, 1] * 2), indicators)


def moves_one_by_one(scores, labels, indicators):
    """What `one_hybrid_moves` says, by scoring everything anew for each hybrid."""
    now = evaluation.challenge_scores(scores, labels, indicators)
    furthest = dict.fromkeys(now, 0.0)
    for row in np.flatnonzero(labels == 1):
        for extreme in (-np.inf, np.inf):
            moved = scores.copy()
            moved[row] = extreme
            for name, value in evaluation.challenge_scores(moved, labels, indicators).items():
                furthest[name] = max(furthest[name], abs(value - now[name]))
    return furthest


@pytest.mark.parametrize("values", [3, 12, 10_000])
def test_how_far_one_hybrid_moves_is_the_furthest_of_all(values):
    """With many equal scores, some, and hardly any."""
    draw = np.random.default_rng(values)
    for count in (12, 15, 40, 70):
        indicators = np.array(["major", "minor", "mimic"] * count)[:count]
        labels = draw.integers(0, 2, count)
        labels[:6] = [0, 0, 0, 1, 1, 1]
        scores = draw.integers(0, values, count) / values
        expected = moves_one_by_one(scores, labels, indicators)
        moves = evaluation.one_hybrid_moves(scores, labels, indicators)
        assert list(moves) == list(expected)
        assert moves == pytest.approx(expected, abs=1e-12)


def test_how_far_one_hybrid_moves_the_numbers():
    """Six hybrids, of each kind one found and one missed: recalls of a half, a challenge score too.

    With one more found it is 3 / (1 + 2 + 2), with one less 0.
    """
    indicators = np.repeat(["major", "minor", "mimic"], 3)
    labels = np.array([0, 1, 1] * 3)
    scores = np.array([0.5, 0.9, 0.1] * 3)
    moves = evaluation.one_hybrid_moves(scores, labels, indicators)
    assert moves["A_score_major_recall"] == moves["A_score_minor_recall"] == 1 / 2
    assert moves["mimic_recall"] == 1 / 2
    assert moves["challenge_score"] == pytest.approx(1 / 2)
    # Found first and third of three: the areas are (1 + 2/3) / 2; at the top both, 1; the first
    # last, (1/2 + 2/3) / 2.
    assert moves["mimic_PRC_AUC"] == pytest.approx(1 / 4)
    assert np.array_equal(scores, [0.5, 0.9, 0.1] * 3)


def test_recall_by_cross():
    """Both directions are one cross; the mimics have another threshold than species A."""
    shown = ["a", "b", "a x b", "b x a", "c x b", "m", "m x n", "n x m", "m x n"]
    labels = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1])
    indicators = np.array(["major", "minor", "major", "major", "minor", *["mimic"] * 4])
    scores = np.array([0.3, 0.2, 0.4, 0.3, 0.25, 0.6, 0.5, 0.7, 0.6])
    assert evaluation.cross_recalls(scores, labels, indicators, np.array(shown)) == {
        "a x b": {"ssp_indicator": "major", "hybrids": 2, "recall": 1 / 2},
        "b x c": {"ssp_indicator": "minor", "hybrids": 1, "recall": 0.0},
        "m x n": {"ssp_indicator": "mimic", "hybrids": 3, "recall": 1 / 3},
    }


@pytest.fixture
def score(monkeypatch, capsys):
    """Run the program in this process, for speed."""

    def run_scores(predictions, reference, *arguments):
        options = ("--predictions", predictions, "--reference", reference, *arguments)
        command = ["evaluation.py", *map(str, options)]
        monkeypatch.setattr("sys.argv", command)
        return CompletedProcess(command, evaluation.main(), *capsys.readouterr())

    return run_scores


@pytest.mark.parametrize("name", ["ref_val_smooth", "ref_test_rounded"])
def test_the_official_numbers(score, shared, tmp_path, name):
    done = score(
        shared / f"scoring/predictions_{name}.txt",
        shared / f"challenge/{name.rpartition('_')[0]}.csv",
        *("--output", tmp_path / "scores.json"),
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    expected = json.loads((shared / f"scoring/scores_{name}.json").read_text())
    assert scores.keys() - expected.keys() == {"one_hybrid", "crosses"}
    assert scores["one_hybrid"].keys() == expected.keys()
    for key, value in expected.items():
        assert scores[key] == pytest.approx(value, abs=1e-9)
        assert f"{key:<22} {value:.4f}" in done.stdout
    crosses = scores["crosses"]
    minor = [cross for cross in crosses.values() if cross["ssp_indicator"] == "minor"]
    found = sum(cross["hybrids"] * cross["recall"] for cross in minor)
    share = found / sum(cross["hybrids"] for cross in minor)
    assert share == pytest.approx(expected["A_score_minor_recall"], abs=1e-9)
    signal = crosses["lativitta x notabilis"]
    assert signal["recall"] == pytest.approx(expected["A_score_major_recall"], abs=1e-9)
    line = f"lativitta x notabilis        {signal['recall']:.4f} of {signal['hybrids']} major"
    assert line in done.stdout


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "ref.csv"
    rows = ["filename,hybrid_stat,ssp_indicator"]
    for group in ("major", "minor", "mimic"):
        rows += [f"{group}_{label}.jpg,{label},{group}" for label in (0, 1)]
    path.write_text("\n".join(rows) + "\n")
    return path


PREDICTIONS = [
    f"{group}_{label}.jpg,{label}.25" for group in ("major", "minor", "mimic") for label in (0, 1)
]


def test_the_program_as_a_user_runs_it(run, repository, reference, tmp_path):
    (tmp_path / "predictions.txt").write_text("\n".join(PREDICTIONS))
    program = repository / "scripts/score_predictions.py"
    options = ("--predictions", "predictions.txt", "--reference", "ref.csv")
    done = run(program, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "challenge_score        1.0000  1.0000" in done.stdout  # each group has one hybrid
    done = run(program, "--reference", "ref.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "the following arguments are required: --predictions" in done.stderr


def test_each_image_is_called_by_the_threshold_of_its_species(score, reference, tmp_path):
    """Of species A 0.5 is the highest non-hybrid's score, of the mimics 0.2; equal is not above."""
    scores = [0.5, 0.6, 0.1, 0.5, 0.2, 0.3]
    names = [line.partition(",")[0] for line in PREDICTIONS]
    lines = [f"{name},{value}" for name, value in zip(names, scores, strict=True)]
    (tmp_path / "predictions.txt").write_text("\n".join(lines))
    done = score(tmp_path / "predictions.txt", reference, "--calls", tmp_path / "calls.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls.csv").read_text().splitlines() == [
        "filename,ssp_indicator,hybrid_stat,score,threshold,called",
        "major_0.jpg,major,0,0.5,0.5,0",
        "major_1.jpg,major,1,0.6,0.5,1",
        "minor_0.jpg,minor,0,0.1,0.5,0",
        "minor_1.jpg,minor,1,0.5,0.5,0",
        "mimic_0.jpg,mimic,0,0.2,0.2,0",
        "mimic_1.jpg,mimic,1,0.3,0.2,1",
    ]
    rows = reference.read_text().replace("ssp_indicator", "ssp_indicator,subspecies_ref")
    reference.write_text("\n".join(f"{row},a x b" for row in rows.split()))
    reference.write_text(reference.read_text().replace("_ref,a x b", "_ref"))
    score(tmp_path / "predictions.txt", reference, "--calls", tmp_path / "calls.csv")
    assert "major_1.jpg,a x b,major,1,0.6,0.5,1" in (tmp_path / "calls.csv").read_text()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (PREDICTIONS[:4], "2 of 6 images of"),
        (PREDICTIONS[:2], "(first: minor_0.jpg, minor_1.jpg, mimic_0.jpg)"),
        ([*PREDICTIONS, PREDICTIONS[0]], "line 7: major_0.jpg is scored twice"),
        (["major_0.jpg"], "line 1: 'major_0.jpg' is not filename,score"),
        (["major_0.jpg,nan"], "line 1: 'major_0.jpg,nan' is not filename,score"),
        (["filename,score,sgd"], "is not filename,score; of a details.csv, say --members"),
    ],
)
def test_bad_predictions_are_named(score, reference, tmp_path, lines, message):
    (tmp_path / "predictions.txt").write_text("\n".join(lines))
    done = score(tmp_path / "predictions.txt", reference, "--output", tmp_path / "scores.json")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "scores.json").exists()


def test_missing_files_say_where_they_come_from(score, reference, tmp_path):
    predictions, none = tmp_path / "predictions.txt", tmp_path / "none.csv"
    for arguments, message in [
        ((predictions, reference), f"{predictions}: no such file; ingestion.py writes predictions"),
        ((none, reference, "--members", "sgd"), f"{none}: no such file; ingestion.py --details"),
    ]:
        done = score(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"score_predictions: {message}")
    predictions.write_text("\n".join(PREDICTIONS))
    assert f"{none}: no such file; ref_val.csv and ref_test.csv" in score(predictions, none).stderr


DETAILS = """filename,score,sgd,linear,subspecies
major_0.jpg,0.9,0.1,0.2,0.5
major_1.jpg,0.1,0.30006,0.25,
"""


def test_scores_of_some_members_are_as_ingestion_writes_them(tmp_path):
    """The larger of the published members; 1 - (1 - 0.2) (1 - 0.5) with the third."""
    path = tmp_path / "details.csv"
    path.write_text(DETAILS)
    scores = evaluation.read_details(path, ["sgd", "linear"])
    assert scores == {"major_0.jpg": 0.2, "major_1.jpg": 0.3001}
    path.write_text(DETAILS.replace(",\n", ",0.25\n"))
    scores = evaluation.read_details(path, ["sgd", "linear", "subspecies"])
    assert scores == {"major_0.jpg": 0.6, "major_1.jpg": 0.475}
    assert evaluation.read_details(path, ["sgd"])["major_0.jpg"] == 0.1
    path.write_text(DETAILS.replace("0.1,0.2", "1,0"))  # the bounds are probabilities, too
    assert evaluation.read_details(path, ["sgd"])["major_0.jpg"] == 1
    assert evaluation.read_details(path, ["linear"])["major_0.jpg"] == 0
    assert evaluation.MEMBERS == tuple(model.MEMBER_FILES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", "line 3: '' is no probability of subspecies"),
        ("0.5", "1.5", "line 2: '1.5' is no probability of subspecies"),
        ("0.5", "-0.5", "line 2: '-0.5' is no probability of subspecies"),
        ("subspecies", "other", "line 1: no column subspecies"),
    ],
)
def test_bad_details_are_named(score, reference, tmp_path, old, new, message):
    path = tmp_path / "details.csv"
    path.write_text(DETAILS.replace(old, new))
    done = score(path, reference, "--members", "sgd", "linear", "subspecies")
    assert done.returncode == 1
    assert f"{path}, {message}" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ssp_indicator", "group", "line 1: no column ssp_indicator"),
        ("major_1.jpg,1", "major_1.jpg,yes", "line 3: hybrid_stat is 'yes', expected 0 or 1"),
        (",mimic", ",mimick", "unknown ssp_indicator"),
    ],
)
def test_a_bad_reference_is_named(score, reference, tmp_path, old, new, message):
    reference.write_text(reference.read_text().replace(old, new, 1))
    (tmp_path / "predictions.txt").write_text("\n".join(PREDICTIONS))
    done = score(tmp_path / "predictions.txt", reference)
    assert done.returncode == 1
    assert message in done.stderr


def test_scoring_waits_for_no_network(repository, run):
    """PyTorch and scikit-learn take seconds to import."""
    code = "import sys, evaluation; print({'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    done = run("-c", code, cwd=repository / "HybridDetection/train")
    assert done.stdout.strip() == "set()", done.stderr
