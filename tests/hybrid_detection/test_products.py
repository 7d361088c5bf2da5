"""products.py: oneDNN's linear layers give PyTorch's numbers and gradients, where it is there."""

from contextlib import nullcontext

import backbones
import products
import pytest
import torch
from backbones import AT_ONCE, extract
from products import LinearByOneDnn
from torch import nn
from torch.nn import functional as F

CPU = torch.device("cpu")


@pytest.fixture
def taken(monkeypatch) -> list[tuple[int, ...]]:
    """The shapes of the weights that oneDNN multiplies with."""
    if not products.HAS_ONEDNN:
        pytest.skip("this PyTorch has no oneDNN")
    shapes, product = [], products.product

    def note(rows, weight, bias):
        shapes.append(tuple(weight.shape))
        return product(rows, weight, bias)

    monkeypatch.setattr(products, "product", note)
    return shapes


def test_gradients_are_those_of_pytorchs_own_layers(taken):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    rows, found = torch.randn(11, 5), []
    for block in (LinearByOneDnn(), nullcontext()):
        rows.grad = None
        rows.requires_grad_()
        network.zero_grad()
        with block:
            loss = network(rows).square().sum()
        loss.backward()
        found.append([loss.detach(), rows.grad, *(each.grad for each in network.parameters())])
    torch.testing.assert_close(*found)
    # Forward, then the gradients of each layer's rows and weights.
    assert taken == [(7, 5), (3, 7), (7, 3), (7, 11), (5, 7), (5, 11)]
    with LinearByOneDnn():
        network(rows.detach()).sum().backward()
    assert taken[6:] == [(7, 5), (3, 7), (7, 3), (7, 11), (5, 11)]  # none of rows that want none


def test_other_products_are_left_to_pytorch(taken):
    rows, layer, bare = torch.rand(2, 3), nn.Linear(3, 4), nn.Linear(3, 4, bias=False)
    cubes, weight = torch.rand(2, 5, 3), layer.weight
    expected = layer(rows), bare(rows), F.linear(rows, weight), layer(cubes)
    with LinearByOneDnn():
        torch.testing.assert_close((layer(rows), bare(rows)), expected[:2])
        torch.testing.assert_close((F.linear(rows, weight), layer(cubes)), expected[2:])
        layer(cubes).sum().backward()
        with torch.inference_mode():
            torch.testing.assert_close(layer(cubes), expected[3])
        assert taken == [(4, 3), (4, 3)]  # one with a bias; of cubes only without gradients
        assert layer.double()(rows.double()).dtype == torch.float64
        assert layer.bfloat16()(rows.bfloat16()).dtype == torch.bfloat16
        assert nn.Linear(3, 4, device="meta")(rows.to("meta")).shape == (2, 4)  # as on a GPU
    assert len(taken) == 2


def test_a_pytorch_without_onednn_does_by_itself(monkeypatch):
    monkeypatch.setattr(products, "HAS_ONEDNN", False)
    monkeypatch.setattr(products, "product", None)
    rows, layer = torch.rand(2, 3), nn.Linear(3, 4)
    expected = layer(rows)
    with LinearByOneDnn():
        assert torch.equal(layer(rows), expected)


def test_a_backbones_layers_are_taken_and_on_a_cpu_a_few_images_at_once(taken, monkeypatch):
    monkeypatch.setattr(backbones, "IMAGE_SIZE", 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    network, counts = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), []
    network.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    draw = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3 * AT_ONCE + 1, 4, 4, 3), dtype=torch.uint8, generator=draw)
    found = extract(network, pictures, "dinov2_base", CPU)
    assert counts == [3 * AT_ONCE, 1]
    assert taken == [(5, 48), (5, 48)]
    alone = [extract(network, picture[None], "dinov2_base", CPU) for picture in pictures]
    torch.testing.assert_close(found, torch.cat(alone))
