"""published_members.load_sgd: pickles of old and new scikit-learn, and what only looks like one."""

import io
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import published_members
import pytest
from classifier import make_sgd
from sklearn.linear_model import SGDClassifier


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
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            self.write(pickle.EMPTY_TUPLE + pickle.REDUCE)
            if value.state:
                self.save(value.state)
                self.write(pickle.BUILD)
        elif isinstance(value, np.ndarray):
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
            self.write(pickle.GLOBAL + b"numpy\nndarray\n")
            self.save((0,))
            self.save(b"b")
            self.write(pickle.TUPLE3 + pickle.REDUCE + pickle.MARK)
            self.save(1)
            self.save(value.shape)
            self.save_dtype(value.dtype)
            self.save(False)
            self.save(value.tobytes())
            self.write(pickle.TUPLE + pickle.BUILD)
        elif isinstance(value, np.float64):
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\nscalar\n")
            self.save_dtype(value.dtype)
            self.save(value.tobytes())
            self.write(pickle.TUPLE2 + pickle.REDUCE)
        else:
            super().save(value, **options)

    def save_dtype(self, dtype):
        self.write(pickle.GLOBAL + b"numpy\ndtype\n")
        self.save((dtype.str[1:], False, True))
        self.write(pickle.REDUCE)
        self.save((3, "<", None, None, None, -1, -1, 0))
        self.write(pickle.BUILD)


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
        "_sklearn_version": "1.4.2",
    }
    return Old("sklearn.linear_model._stochastic_gradient", "SGDClassifier", state | changes)


def old_ensemble(folds: list[tuple[Old, dict]]) -> Old:
    """A fitted CalibratedClassifierCV of `folds` and the attributes of their calibrators."""
    members = [
        Old(
            "sklearn.calibration",
            "_CalibratedClassifier",
            {
                "estimator": fold,
                "calibrators": [Old("sklearn.calibration", "_SigmoidCalibration", platt)],
            },
        )
        for fold, platt in folds
    ]
    return Old(
        "sklearn.calibration", "CalibratedClassifierCV", {"calibrated_classifiers_": members}
    )


def two_folds() -> Old:
    return old_ensemble(
        [
            (old_fold({0: 1, 1: -2}, 0.5), {"a_": np.float64(-1.5), "b_": np.float64(0.25)}),
            (old_fold({0: 0.5, 1: 3}, -1), {"a_": np.float64(-2), "b_": np.float64(0)}),
        ]
    )


@pytest.fixture
def write(tmp_path):
    def write_pickle(content: Old) -> Path:
        buffer = io.BytesIO()
        OldPickler(buffer, 3).dump(content)
        path = tmp_path / "sgd_clf.pkl"
        path.write_bytes(buffer.getvalue())
        return path

    return write_pickle


def test_an_old_calibrated_pickle_by_hand(write):
    scorer = published_members.load_sgd(write(two_folds()))
    features = np.zeros((3, 1536), np.float32)
    features[0, 0] = features[1, 1] = 1
    # The folds decide 1.5 and -0.5, -1.5 and 2, 0.5 and -1; p = mean of 1 / (1 + e^(a d + b)):
    # (1/(1+e^-2) + 1/(1+e))/2, (1/(1+e^2.5) + 1/(1+e^-4))/2, (1/(1+e^-0.5) + 1/(1+e^2))/2.
    expected = [0.574869, 0.528936, 0.370831]
    assert scorer.hybrid_probability(features) == pytest.approx(expected, abs=1e-6)
    assert scorer.origin == published_members.Origin("dinov2_base", None)


def test_an_old_bare_pickle_by_hand(write):
    scorer = published_members.load_sgd(write(old_fold({0: 1, 1: -2}, 0.5)))
    features = np.zeros((2, 1536), np.float32)
    features[0, 0] = features[1, 1] = 1
    expected = [0.817574, 0.182426]  # 1 / (1 + e^-1.5) and 1 / (1 + e^1.5)
    assert scorer.hybrid_probability(features) == pytest.approx(expected, abs=1e-6)


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
        ({"coef_": np.zeros(1536)}, r"coef_ has the shape \(1536,\), expected \(1, 1536\)"),
        ({"coef_": np.zeros((1, 768))}, r"coef_ has the shape \(1, 768\), expected \(1, 1536\)"),
        ({"coef_": np.full((1, 1536), np.nan)}, "coef_ holds a value that is not finite"),
        ({"coef_": [[0.0] * 1536]}, "coef_ is a list, expected numbers"),
        ({"intercept_": np.zeros(2)}, r"intercept_ has the shape \(2,\), expected \(1,\)"),
        ({"intercept_": np.array([np.inf])}, "intercept_ holds a value that is not finite"),
        ({"classes_": np.array([0, 1, 2])}, r"classes_ has the shape \(3,\), expected \(2,\)"),
        ({"classes_": np.array([1, 0])}, r"of the classes 0 and 1, found \[1.0, 0.0\]"),
        ({"a_": np.zeros(2)}, r"a_ has the shape \(2,\), expected \(\)"),
        ({"a_": np.float64(np.nan)}, "a_ holds a value that is not finite"),
        ({"b_": "0.5"}, "b_ is a str, expected numbers"),
    ],
)
def test_arrays_of_another_shape_or_value_are_refused(write, changes, message):
    platt = {"a_": -1.0, "b_": 0.0}
    platt |= {name: value for name, value in changes.items() if name in platt}
    fold = old_fold({}, 0, **{k: value for k, value in changes.items() if k not in platt})
    with pytest.raises(ValueError, match=rf"sgd_clf\.pkl: not an SGD classifier .*{message}"):
        published_members.load_sgd(write(old_ensemble([(fold, platt)])))


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl: not an SGD classifier.*mkdir"):
        published_members.load_sgd(path, "dinov2_base")
    assert not (tmp_path / "owned").exists()


def test_a_forged_array_is_refused_before_it_is_read(tmp_path):
    """One 8-byte void whose only field claims to be a pointer to a Python object."""
    buffer = io.BytesIO()
    forged = pickle._Pickler(buffer, 3)
    forged.write(pickle.PROTO + bytes([3]))
    forged.save(np._core.multiarray._reconstruct)
    forged.save((np.ndarray, (0,), b"b"))
    forged.write(pickle.REDUCE + pickle.MARK)
    forged.save(1)
    forged.save((1,))
    forged.save(np.dtype)
    forged.save(("V8", False, True))
    forged.write(pickle.REDUCE)
    forged.save((3, "|", None, ("x",), {"x": (np.dtype("O"), 0)}, 8, 1, 0))
    forged.write(pickle.BUILD)
    forged.save(False)
    forged.save(b"AAAAAAAA")
    forged.write(pickle.TUPLE + pickle.BUILD + pickle.STOP)
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"an array of \|V8 has no place in an SGD classifier"):
        published_members.load_sgd(path)


def test_a_forged_address_is_never_read(write):
    """numpy would take an object with __array_interface__ for an array at that address."""
    interface = {"shape": (1, 1536), "typestr": "<f8", "data": (64, False), "version": 3}
    forged = Old("sklearn.linear_model._sgd_fast", "Log", {"__array_interface__": interface})
    with pytest.raises(ValueError, match="coef_ is a Log, expected numbers"):
        published_members.load_sgd(write(old_fold({}, 0, coef_=forged)))


def test_claims_are_refused_before_memory_is_set_aside(tmp_path):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.PROTO + b"\x03" + pickle.NONE + b"r\xff\xff\xff\x7f" + pickle.STOP)
    with pytest.raises(ValueError, match=r"2,147,483,647 objects in 9 bytes"):
        published_members.load_sgd(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"coef_": [1.0]})])
def test_what_is_no_classifier_is_refused(tmp_path, content):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl: not an SGD classifier"):
        published_members.load_sgd(path, "dinov2_base")


@pytest.mark.parametrize(
    ("loss", "classes", "message"),
    [("hinge", [0, 1], "Hinge has no place"), ("log_loss", [1, 2], r"of the classes 0 and 1")],
)
def test_another_classifier_is_refused(tmp_path, loss, classes, message):
    features = np.random.default_rng(0).standard_normal((20, 1536))
    labels = np.array(classes)[(features[:, 0] > 0).astype(int)]
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(SGDClassifier(loss=loss).fit(features, labels)))
    with pytest.raises(ValueError, match=message):
        published_members.load_sgd(path, "dinov2_base")
