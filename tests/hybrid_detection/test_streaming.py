"""streaming.py: a step block by block is the full-batch step."""

import classifier
import numpy as np
import published_members
import pytest
import streaming
import torch
from torch.nn import functional as F

COUNT, WIDTH = 61, 7
CPU = torch.device("cpu")


@pytest.fixture
def rows():
    draw = np.random.default_rng(0)
    features = 2 + draw.normal(size=(COUNT, WIDTH)) * np.arange(1, WIDTH + 1)
    return features.astype(np.float32), (features[:, 0] > 2).astype(int)


def network():
    torch.manual_seed(3)
    made = published_members.LinearClassifier(WIDTH).train()
    for layer in made.classifier:
        if isinstance(layer, torch.nn.BatchNorm1d):  # weights and statistics that training left
            layer.weight.data.uniform_(0.5, 2)
            layer.bias.data.uniform_(-1, 1)
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    return made


def full_batch(rows, chosen):
    made = network()
    loss = F.cross_entropy(made(torch.tensor(rows[0][chosen])), torch.tensor(rows[1][chosen]))
    loss.backward()
    return made, loss.item()


@pytest.mark.parametrize("block_rows", [1, 2, 7, 20, 30, 59, 60, 61])
def test_gradients_and_running_statistics_are_those_of_the_full_batch(rows, block_rows):
    """60 rows: blocks that divide them, last blocks of 1, 4 and 30, and all at once."""
    chosen = np.sort(np.random.default_rng(1).permutation(COUNT)[:60])
    expected, loss = full_batch(rows, chosen)
    streamed = network()
    read = streaming.BlockReader(*rows, chosen, block_rows, CPU)
    sizes = [len(targets) for _, targets in read]
    assert sizes[:-1] == [min(block_rows, 60)] * (len(sizes) - 1)
    assert sum(sizes) == len(read) == 60
    assert streaming.streamed_backward(streamed.classifier, read) == pytest.approx(loss, abs=1e-6)
    for name, parameter in expected.named_parameters():
        gradient = dict(streamed.named_parameters())[name].grad
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-5, msg=name)
    for name, buffer in expected.named_buffers():
        own = dict(streamed.named_buffers())[name]
        torch.testing.assert_close(own, buffer, atol=1e-6, rtol=1e-5, msg=name)


def test_gradients_add_up_as_those_of_backward_do(rows):
    made = network()
    read = streaming.BlockReader(*rows, np.arange(COUNT), 20, CPU)
    streaming.streamed_backward(made.classifier, read)
    once = [parameter.grad.clone() for parameter in made.parameters()]
    streaming.streamed_backward(made.classifier, read)
    for parameter, gradient in zip(made.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient, atol=1e-6, rtol=1e-5)


def test_a_mean_far_from_zero_costs_no_digits(rows):
    """Sums of squares would lose them: 3,000 squared less 3,000 squared."""
    features = rows[0] * 0.01 + 3000
    read = streaming.BlockReader(features, rows[1], np.arange(COUNT), 9, CPU)
    mean, variance = streaming.measure(torch.nn.Sequential(torch.nn.BatchNorm1d(WIDTH)), read, [])
    assert mean.numpy() == pytest.approx(features.mean(axis=0, dtype=float), rel=1e-6)
    assert variance.numpy() == pytest.approx(features.var(axis=0, dtype=float), rel=1e-5)


@pytest.mark.parametrize("block_rows", [54, 20, 9])
def test_training_in_blocks_is_training(rows, block_rows):
    """A step takes 55 of 61 rows: blocks leave last ones of 1, 15 and 1."""
    expected, losses = classifier.fit_linear(*rows, 3, CPU)
    fitted, own = classifier.fit_linear(*rows, 3, CPU, block_rows=block_rows)
    assert own == pytest.approx(losses, abs=1e-6)
    assert not fitted.training
    # A bias before a normalisation changes nothing: its gradient is rounding alone, of which Adam
    # makes steps, and the running mean follows. Of a few weights that is so, too.
    idle = [f"classifier.{layer}" for layer in ("0.bias", "3.bias", "6.bias")]
    for name, tensor in expected.state_dict().items():
        if name not in idle and not name.endswith("running_mean"):
            apart = (fitted.state_dict()[name] - tensor).abs().double().numpy()
            assert np.quantile(apart, 0.99) < 1e-5, name
    inputs = torch.tensor(rows[0])
    logits = [each.train()(inputs).detach().numpy() for each in (expected, fitted)]
    assert np.abs(logits[0] - logits[1]).max() < 1e-5


def test_rows_that_fit_are_taken_at_once(rows, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(classifier, "streamed_backward", never)
    classifier.fit_linear(*rows, 2, CPU, block_rows=55)  # 90 % of 61
    with pytest.raises(AssertionError):
        classifier.fit_linear(*rows, 2, CPU, block_rows=54)


def test_the_published_set_is_one_block():
    assert round(12947 * classifier.ROWS_PER_EPOCH) <= classifier.BLOCK_ROWS
    assert classifier.BLOCK_ROWS == 16_384  # 1 GB of memory, and what the README says


def test_training_continues_in_blocks(rows):
    first, _ = classifier.fit_linear(*rows, 2, CPU)
    start = first.state_dict()
    expected = classifier.fit_linear(*rows, 2, CPU, start)[1]
    assert classifier.fit_linear(*rows, 2, CPU, start, block_rows=10)[1] == pytest.approx(
        expected, abs=1e-6
    )


def test_a_loss_that_is_no_number_stops_a_streamed_training(rows):
    rows[0][:, 0] = np.inf
    with pytest.raises(ValueError, match="the loss is nan in epoch 1"):
        classifier.fit_linear(*rows, 2, CPU, block_rows=10)
