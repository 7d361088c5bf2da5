"""classifier.py: the published constants, one by one."""

import math
import pickle
import warnings

import classifier
import joblib
import numpy as np
import published_members
import pytest
import torch
import training
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline


@pytest.fixture
def rows():
    """40 rows of 6 features; the first feature tells the class."""
    draw = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = draw.normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += 4 * labels
    return features, labels


def test_the_sgd_classifier_is_the_published_one(rows):
    fitted = classifier.fit_classifier("sgd", *rows, "dinov2_base")
    parameters = fitted.get_params()
    published = {
        "loss": "log_loss",
        "penalty": "l2",
        "alpha": 1e-3,
        "eta0": 1e-3,
        "learning_rate": "adaptive",
        "n_iter_no_change": 100,
        "max_iter": 1000,
        "class_weight": "balanced",
    }
    assert {name: parameters[f"estimator__{name}"] for name in published} == published
    assert parameters["method"] == "sigmoid"
    assert len(fitted.calibrated_classifiers_) == 5
    assert parameters["estimator__random_state"] == 42
    # Everything else is scikit-learn's own choice.
    changed = {name for name in published} | {"random_state"}
    defaults = type(fitted.estimator)().get_params()
    for name in set(defaults) - changed:
        assert parameters[f"estimator__{name}"] == defaults[name], name


def test_the_sgd_classifier_is_that_of_scikit_learns_own_call(rows):
    fitted = classifier.fit_classifier("sgd", *rows, "dinov2_base")
    expected = classifier.make_sgd().fit(*rows)
    expected.backbone_ = "dinov2_base"
    assert pickle.dumps(fitted) == pickle.dumps(expected)


def test_the_folds_are_fitted_in_threads_on_all_cores(rows, monkeypatch):
    seen = []

    class Looking:
        def fit(self, features, labels):
            backend, _ = joblib.parallel.get_active_backend()
            seen.append((type(backend).__name__, joblib.effective_n_jobs()))
            return self

    monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda: 3)
    monkeypatch.setitem(classifier.CLASSIFIERS, "looking", Looking)
    classifier.fit_classifier("looking", *rows, "dinov2_base")
    assert seen == [("ThreadingBackend", 3)]


def test_the_linear_classifier_against_a_plain_loop(rows):
    features, labels = map(torch.tensor, rows)
    torch.manual_seed(42)
    network = published_members.LinearClassifier(6)
    draw = torch.Generator().manual_seed(42)
    adam = torch.optim.Adam(network.parameters(), lr=0.0001)
    expected = []
    for _ in range(5):
        chosen = torch.randperm(40, generator=draw)[:36]  # 90 % of the rows
        probabilities = network(features[chosen]).log_softmax(dim=1)
        loss = -probabilities[torch.arange(36), labels[chosen]].mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        expected.append(loss.item())

    fitted, losses = classifier.fit_linear(*rows, epochs=5, device=torch.device("cpu"))
    assert losses == pytest.approx(expected, abs=1e-6)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(fitted.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("count", [20, 50])
def test_each_step_takes_90_percent_of_the_rows(monkeypatch, count):
    sizes = []

    def counting(logits, targets):
        sizes.append(len(targets))
        return torch.nn.functional.cross_entropy(logits, targets)

    monkeypatch.setattr(classifier, "F", type("F", (), {"cross_entropy": staticmethod(counting)}))
    features = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    classifier.fit_linear(features, np.arange(count) % 2, 3, torch.device("cpu"))
    assert sizes == [count * 9 // 10] * 3


def test_200_epochs(monkeypatch):
    monkeypatch.setattr("sys.argv", ["training.py"])
    assert training.parse_arguments().NEPOCH == 200


def test_a_loss_that_is_no_number_is_an_error(rows):
    features, labels = rows
    features[3, 0] = np.inf
    with pytest.raises(ValueError, match="the loss is nan in epoch 1, expected a finite number"):
        classifier.fit_linear(features, labels, 2, torch.device("cpu"))


def test_the_alternatives_of_the_starting_kit(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no deprecated option of scikit-learn
        fitted = {
            name: classifier.fit_classifier(name, *rows, "dinov2_base")
            for name in ("svm", "knn", "gaussian")
        }
    assert type(fitted["knn"]) is KNeighborsClassifier
    assert fitted["knn"].n_neighbors == 5
    assert type(fitted["gaussian"]) is GaussianProcessClassifier
    assert fitted["gaussian"].random_state == 0
    assert type(fitted["svm"]) is Pipeline
    scaler, calibrated = fitted["svm"].named_steps.values()
    features = scaler.transform(rows[0])
    assert features.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-6)
    assert features.std(axis=0) == pytest.approx(np.ones(6), abs=1e-6)
    (member,) = calibrated.calibrated_classifiers_  # one machine, fitted to all rows
    machine = member.estimator
    assert (machine.C, machine.gamma, machine.class_weight) == (1, "scale", "balanced")
    assert machine.kernel == "rbf"
    for name, alternative in fitted.items():
        probabilities = alternative.predict_proba(rows[0])
        assert probabilities.shape == (40, 2), name
        assert not math.isnan(probabilities.sum())
