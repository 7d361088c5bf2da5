"""classifier.py: the published constants, one by one."""

import pickle

import classifier
import numpy as np
import published_members
import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture
def rows():
    """40 rows of 6 features; the first feature tells the class."""
    draw = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = draw.normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += 4 * labels
    return features, labels


def test_the_sgd_classifier_is_the_published_one(rows):
    """Everything else is scikit-learn's own choice; fitting in threads changes no bit."""
    fitted = classifier.fit_sgd(*rows, "dinov2_base")
    published = {"loss": "log_loss", "penalty": "l2", "alpha": 1e-3, "eta0": 1e-3}
    published |= {"learning_rate": "adaptive", "n_iter_no_change": 100, "max_iter": 1000}
    published |= {"class_weight": "balanced", "random_state": 42}
    assert fitted.estimator.get_params() == type(fitted.estimator)().get_params() | published
    assert (fitted.method, len(fitted.calibrated_classifiers_)) == ("sigmoid", 5)
    expected = classifier.make_sgd().fit(*rows)
    expected.backbone_ = "dinov2_base"
    assert pickle.dumps(fitted) == pickle.dumps(expected)


def test_the_linear_classifier_against_a_plain_loop(rows):
    count = len(rows[1])
    features, labels = map(torch.tensor, rows)
    size = count * 9 // 10  # 90 % of the rows
    torch.manual_seed(42)
    network = published_members.LinearClassifier(6)
    draw = torch.Generator().manual_seed(42)
    adam = torch.optim.Adam(network.parameters(), lr=0.0001)
    expected = []
    for _ in range(5):
        chosen = torch.randperm(count, generator=draw)[:size]
        probabilities = network(features[chosen]).log_softmax(dim=1)
        loss = -probabilities[torch.arange(size), labels[chosen]].mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        expected.append(loss.item())

    fitted, losses = classifier.fit_linear(features.numpy(), labels.numpy(), 5, CPU)
    assert losses == pytest.approx(expected, abs=1e-6)
    # Not the weights: biases before a BatchNorm have gradients of rounding alone, and Adam makes
    # whole steps of these.
    scores = (each.eval()(features) for each in (fitted, network))
    torch.testing.assert_close(*scores, atol=1e-4, rtol=1e-4)
    features[3, 0] = np.inf
    with pytest.raises(ValueError, match="the loss is nan in epoch 1; look for features"):
        classifier.fit_linear(features.numpy(), labels.numpy(), 2, CPU)
