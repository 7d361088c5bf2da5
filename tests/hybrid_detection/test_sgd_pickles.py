"""published_members.load_sgd: pickles of old and new scikit-learn, and what only looks like one."""

import copy
import pickle
from pathlib import Path

import numpy as np
import published_members
import pytest
from classifier import make_sgd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import SGDClassifier

FORGED = object()
FITTED = make_sgd().fit(np.zeros((20, 1536)), np.arange(20) % 2)


def ensemble(count: int = 1) -> CalibratedClassifierCV:
    """A calibrated classifier of so many folds that decide 0, with slope -1 and offset 0."""
    made = copy.copy(FITTED)
    made.calibrated_classifiers_ = []
    for fold in copy.deepcopy(FITTED.calibrated_classifiers_[:count]):
        fold.estimator.coef_, fold.estimator.intercept_ = np.zeros((1, 1536)), np.zeros(1)
        fold.calibrators[0].a_, fold.calibrators[0].b_ = -1.0, 0.0
        made.calibrated_classifiers_.append(fold)
    return made


@pytest.fixture
def write(tmp_path):
    def write_pickle(content: object) -> Path:
        path = tmp_path / "sgd_clf.pkl"
        path.write_bytes(pickle.dumps(content))
        return path

    return write_pickle


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [("sgd_clf_sklearn142.pkl", "proba"), ("baseline_dino_sgd_clf.pkl", "baseline_proba")],
)
def test_published_pickles_give_the_published_probabilities(shared, file_name, expected):
    golden = np.load(shared / "sgd/expected.npz")
    scorer = published_members.load_sgd(shared / "sgd" / file_name)
    probabilities = scorer.hybrid_probability(golden["features"])
    assert np.abs(probabilities - golden[expected][:, 1]).max() < 1e-6


@pytest.mark.parametrize(
    "make", [make_sgd, lambda: SGDClassifier(loss="log_loss", random_state=0)], ids=["cv", "bare"]
)
def test_todays_pickles_give_scikit_learns_probabilities(write, make):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 1536)).astype(np.float32)
    labels = (features[:, 0] + 0.5 * rng.standard_normal(60) > 0).astype(int)
    classifier = make().fit(features, labels)
    scorer = published_members.load_sgd(write(classifier))
    expected = classifier.predict_proba(features)[:, 1]
    assert np.abs(scorer.hybrid_probability(features) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coef_": np.zeros((1, 768))}, r"coef_ has the shape \(1, 768\), expected \(1, 1536\)"),
        ({"coef_": np.full((1, 1536), np.nan)}, "coef_ holds a value that is not finite"),
        ({"intercept_": np.zeros(2)}, r"intercept_ has the shape \(2,\), expected \(1,\)"),
        ({"classes_": np.array([1, 0])}, "a classifier of the classes 0 and 1"),
        ({"a_": np.zeros(2)}, r"a_ has the shape \(2,\), expected \(\)"),
        ({"b_": "0.5"}, "b_ is a str, expected numbers"),
    ],
)
def test_arrays_of_another_shape_or_value_are_refused(write, changes, message):
    content = ensemble()
    (fold,) = content.calibrated_classifiers_
    for name, value in changes.items():
        setattr(fold.calibrators[0] if name in ("a_", "b_") else fold.estimator, name, value)
    refuse(write(content), message)


def refuse(path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=rf"sgd_clf\.pkl: not an SGD classifier .*{message}"):
        published_members.load_sgd(path)


def test_what_is_no_classifier_is_refused(write):
    """What would run something is among the hostile files of tests/faults."""
    features = np.random.default_rng(0).standard_normal((20, 1536))
    above = (features[:, 0] > 0).astype(int)
    many = ensemble()
    many.calibrated_classifiers_ *= 1000
    assert len(published_members.load_sgd(write(many)).weights) == 1000
    many.calibrated_classifiers_ += many.calibrated_classifiers_[:1]
    for content, message in (
        ({"coef_": [1.0]}, ""),
        (many, "1,001 folds, expected 1,000"),
        (SGDClassifier(loss="hinge").fit(features, above), "Hinge has no place"),
        (SGDClassifier(loss="log_loss").fit(features, above + 1), "0 and 1"),
    ):
        refuse(write(content), message)


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
    forged = SGDClassifier()
    forged.__array_interface__ = {"shape": (1, 1536), "typestr": "<f8", "data": (64, False)}
    content = ensemble()
    content.calibrated_classifiers_[0].estimator.coef_ = forged
    refuse(write(content), "coef_ is a SGDClassifier, expected numbers")
