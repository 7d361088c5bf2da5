"""published_members.load_sgd: pickles of old and new scikit-learn, and what only looks like one."""

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import published_members
import pytest
from classifier import make_sgd
from sklearn.linear_model import SGDClassifier

FORGED = object()


@dataclass
class Old:
    """An object as scikit-learn 1.4 pickled it: where its class was, what it held."""

    module: str
    name: str
    state: dict = field(default_factory=dict)


class OldPickler(pickle._Pickler):
    """Writes the names of scikit-learn 1.4 and numpy 1, whatever versions are installed."""

    def save(self, value, **options):
        if isinstance(value, Old):
            self.call(f"{value.module}\n{value.name}", ())
            if value.state:
                self.save(value.state)
                self.write(pickle.BUILD)
        elif isinstance(value, np.ndarray):
            self.call("numpy.core.multiarray\n_reconstruct", (np.ndarray, (0,), b"b"))
            self.save((1, value.shape, value.dtype, False, value.tobytes()))
            self.write(pickle.BUILD)
        elif isinstance(value, np.float64):
            self.call("numpy.core.multiarray\nscalar", (value.dtype, value.tobytes()))
        elif isinstance(value, np.dtype):
            self.call("numpy\ndtype", (value.str[1:], False, True))
            self.save((3, "<", None, None, None, -1, -1, 0))
            self.write(pickle.BUILD)
        else:
            super().save(value, **options)

    def call(self, name: str, arguments: tuple) -> None:
        self.write(pickle.GLOBAL + f"{name}\n".encode())
        self.save(arguments)
        self.write(pickle.REDUCE)


def old_fold(weights: dict[int, float], intercept: float, **changes) -> Old:
    """A fitted SGDClassifier: weight by position, all others zero; `changes` replace attributes."""
    coef = np.zeros((1, 1536), "<f4")
    for position, weight in weights.items():
        coef[0, position] = weight
    state = {
        "loss": "log_loss",
        "coef_": coef,
        "intercept_": np.array([intercept]),
        "classes_": np.array([0, 1]),
        "_loss_function_": Old("sklearn.linear_model._sgd_fast", "Log"),
    }
    return Old("sklearn.linear_model._stochastic_gradient", "SGDClassifier", state | changes)


def old_ensemble(*folds: tuple[Old, dict]) -> Old:
    """A fitted CalibratedClassifierCV of `folds` and the attributes of their calibrators."""
    place = "sklearn.calibration"
    members = []
    for fold, platt in folds:
        calibrators = [Old(place, "_SigmoidCalibration", platt)]
        state = {"estimator": fold, "calibrators": calibrators}
        members.append(Old(place, "_CalibratedClassifier", state))
    return Old(place, "CalibratedClassifierCV", {"calibrated_classifiers_": members})


@pytest.fixture
def write(tmp_path):
    def write_pickle(content: Old) -> Path:
        path = tmp_path / "sgd_clf.pkl"
        with path.open("wb") as file:
            OldPickler(file, 3).dump(content)
        return path

    return write_pickle


def test_an_old_calibrated_pickle_by_hand(write):
    first, second = old_fold({0: 1, 1: -2}, 0.5), old_fold({0: 0.5, 1: 3}, -1)
    platt = {"a_": np.float64(-1.5), "b_": np.float64(0.25)}
    content = old_ensemble((first, platt), (second, {"a_": np.float64(-2), "b_": np.float64(0)}))
    scorer = published_members.load_sgd(write(content))
    features = np.zeros((3, 1536), np.float32)
    features[0, 0] = features[1, 1] = 1
    # The folds decide 1.5 and -0.5, -1.5 and 2, 0.5 and -1; p = mean of 1 / (1 + e^(a d + b)):
    # (1/(1+e^-2) + 1/(1+e))/2, (1/(1+e^2.5) + 1/(1+e^-4))/2, (1/(1+e^-0.5) + 1/(1+e^2))/2.
    expected = [0.574869, 0.528936, 0.370831]
    assert scorer.hybrid_probability(features) == pytest.approx(expected, abs=1e-6)
    assert scorer.origin == published_members.Origin("dinov2_base", None)
    bare = published_members.load_sgd(write(first))
    expected = [0.817574, 0.182426, 0.622459]  # 1 / (1 + e^-1.5), 1 / (1 + e^1.5), 1 / (1 + e^-0.5)
    assert bare.hybrid_probability(features) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [("sgd_clf_sklearn142.pkl", "proba"), ("baseline_dino_sgd_clf.pkl", "baseline_proba")],
)
def test_published_pickles_give_the_published_probabilities(shared, file_name, expected):
    golden = np.load(shared / "sgd/expected.npz")
    scorer = published_members.load_sgd(shared / "sgd" / file_name, "dinov2_base")
    probabilities = scorer.hybrid_probability(golden["features"])
    assert np.abs(probabilities - golden[expected][:, 1]).max() < 1e-6


@pytest.mark.parametrize(
    "make", [make_sgd, lambda: SGDClassifier(loss="log_loss", random_state=0)], ids=["cv", "bare"]
)
def test_todays_pickles_give_scikit_learns_probabilities(tmp_path, make):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 1536)).astype(np.float32)
    labels = (features[:, 0] + 0.5 * rng.standard_normal(60) > 0).astype(int)
    classifier = make().fit(features, labels)
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(classifier))
    scorer = published_members.load_sgd(path, "dinov2_base")
    expected = classifier.predict_proba(features)[:, 1]
    assert np.abs(scorer.hybrid_probability(features) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coef_": np.zeros((1, 768))}, r"coef_ has the shape \(1, 768\), expected \(1, 1536\)"),
        ({"coef_": np.full((1, 1536), np.nan)}, "coef_ holds a value that is not finite"),
        ({"coef_": [[0.0] * 1536]}, "coef_ is a list, expected numbers"),
        ({"intercept_": np.zeros(2)}, r"intercept_ has the shape \(2,\), expected \(1,\)"),
        ({"classes_": np.array([0, 1, 2])}, r"classes_ has the shape \(3,\), expected \(2,\)"),
        ({"classes_": np.array([1, 0])}, "a classifier of the classes 0 and 1"),
        ({"a_": np.zeros(2)}, r"a_ has the shape \(2,\), expected \(\)"),
        ({"a_": np.float64(np.nan)}, "a_ holds a value that is not finite"),
        ({"b_": "0.5"}, "b_ is a str, expected numbers"),
    ],
)
def test_arrays_of_another_shape_or_value_are_refused(write, changes, message):
    platt = {"a_": -1.0, "b_": 0.0}
    platt |= {name: value for name, value in changes.items() if name in platt}
    fold = old_fold({}, 0, **{k: value for k, value in changes.items() if k not in platt})
    refuse(write(old_ensemble((fold, platt))), message)


def refuse(path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sgd_clf\.pkl: not an SGD classifier .*{message}"):
        published_members.load_sgd(path)


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_what_is_no_classifier_is_refused_and_runs_nothing(tmp_path):
    path = tmp_path / "sgd_clf.pkl"
    features = np.random.default_rng(0).standard_normal((20, 1536))
    above = (features[:, 0] > 0).astype(int)
    calibrated = make_sgd().fit(np.zeros((20, 1536)), np.arange(20) % 2)
    calibrated.calibrated_classifiers_ = calibrated.calibrated_classifiers_[:1] * 1000
    path.write_bytes(pickle.dumps(calibrated))
    assert len(published_members.load_sgd(path).weights) == 1000
    calibrated.calibrated_classifiers_ += calibrated.calibrated_classifiers_[:1]
    huge = pickle.PROTO + b"\x03" + pickle.NONE + b"r\xff\xff\xff\x7f" + pickle.STOP
    for content, message in (
        (b"", ""),
        (b"not a pickle", ""),
        (pickle.dumps({"coef_": [1.0]}), ""),
        (pickle.dumps(Payload(tmp_path / "owned")), "mkdir"),
        (pickle.dumps(calibrated), "1,001 folds, expected 1,000"),
        (huge, "2,147,483,647 objects in 9 bytes"),  # before memory is set aside
        (pickle.dumps(SGDClassifier(loss="hinge").fit(features, above)), "Hinge has no place"),
        (pickle.dumps(SGDClassifier(loss="log_loss").fit(features, above + 1)), "0 and 1"),
    ):
        path.write_bytes(content)
        refuse(path, message)
    assert not (tmp_path / "owned").exists()


def test_a_forged_array_is_refused_before_it_is_read(tmp_path):
    """One 8-byte void whose only field claims to be a pointer to a Python object."""

    class Forged(pickle._Pickler):
        def save(self, value, **options):
            if value is not FORGED:
                return super().save(value, **options)
            self.save(np.dtype)
            self.save(("V8", False, True))
            self.write(pickle.REDUCE)
            super().save((3, "|", None, ("x",), {"x": (np.dtype("O"), 0)}, 8, 1, 0))
            self.write(pickle.BUILD)

    path = tmp_path / "sgd_clf.pkl"
    with path.open("wb") as file:
        forged = Forged(file, 3)
        forged.write(pickle.PROTO + bytes([3]))
        forged.save(np._core.multiarray._reconstruct)
        forged.save((np.ndarray, (0,), b"b"))
        forged.write(pickle.REDUCE)
        forged.save((1, (1,), FORGED, False, b"AAAAAAAA"))
        forged.write(pickle.BUILD + pickle.STOP)
    refuse(path, r"an array of \|V8 has no place in an SGD classifier")


def test_a_forged_address_is_never_read(write):
    """numpy would take an object with __array_interface__ for an array at that address."""
    interface = {"shape": (1, 1536), "typestr": "<f8", "data": (64, False), "version": 3}
    forged = Old("sklearn.linear_model._sgd_fast", "Log", {"__array_interface__": interface})
    refuse(write(old_fold({}, 0, coef_=forged)), "coef_ is a Log, expected numbers")
