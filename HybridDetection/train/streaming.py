"""A full-batch step of the linear classifier on more rows than memory holds, block by block.

What makes a step of many rows one step is batch normalisation: each layer's mean and variance are
those of all rows, and gradients flow through them. Both are had exactly, block by block, with
nothing kept of a block but sums:

1. Statistics, first layer first. With those of the layers before it fixed, a pass over all blocks
   gives a layer's mean and variance, each block's joined to the others' as Chan, Golub and LeVeque
   (1979) say. Three passes for three layers.
2. Gradients of the statistics, last layer first. The loss is a function of the weights and of the
   six vectors m_k and v_k, which are taken for variables of their own. A pass gives the gradients
   of the mean cross-entropy by m_k and v_k; what they do by way of later layers, whose statistics
   depend on them, comes in as a gradient on the inputs z of these layers, as
       dm/dz = 1/n   and   dv/dz = 2 (z - m) / n.
   Three passes.
3. Gradients of the weights: the same once more, with all the statistics' gradients known. One pass.

Seven passes take 3.4 times the arithmetic of a step whose layers' outputs are all in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from feature_cache import Features, blocks
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BlockReader:
    """Reads rows of features (n, d) and labels (n,), as often as they are asked for."""

    features: Features
    labels: np.ndarray
    rows: np.ndarray  # (m,) numbers of those to read
    block_rows: int
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for block in blocks(len(self.rows), self.block_rows):
            rows = self.rows[block]
            inputs = torch.as_tensor(self.features[rows], device=self.device)
            yield inputs, torch.as_tensor(self.labels[rows], dtype=torch.long, device=self.device)


Moments = tuple[torch.Tensor, torch.Tensor]  # mean (width,) and biased variance (width,)


def forward(
    network: nn.Sequential, inputs: torch.Tensor, moments: list[Moments]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The network's output for a block, and what came into each normalisation.

    These use `moments`, in their order; at the first one without, its input is the output.
    """
    values, normalised = inputs, []
    for layer in network:
        if not isinstance(layer, nn.BatchNorm1d):
            values = layer(values)
            continue
        if len(normalised) == len(moments):
            return values, normalised
        mean, variance = moments[len(normalised)]
        normalised.append(values)
        scale = layer.weight * (variance + layer.eps).rsqrt()
        values = torch.addcmul(layer.bias - mean * scale, values, scale)
    return values, normalised


@torch.no_grad()
def measure(network: nn.Sequential, read: BlockReader, moments: list[Moments]) -> Moments:
    """The moments, over all rows, of what comes into the first normalisation without any."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for inputs, _ in read:
        values, _ = forward(network, inputs, moments)
        origin = values[0]  # rows less this one are small, and lose no digits in float32
        variance, middle = torch.var_mean(values - origin, dim=0, correction=0)
        rows = len(values)
        step = origin.cpu().double() + middle.cpu().double() - mean
        apart = step**2 * (count * rows / (count + rows))  # of the block from those before
        squares = squares + variance.cpu().double() * rows + apart
        mean = mean + step * (rows / (count + rows))
        count += rows
    return mean.float().to(read.device), (squares / count).float().to(read.device)


def outputs_and_gradients(
    network: nn.Sequential,
    block: tuple[torch.Tensor, torch.Tensor],
    moments: list[Moments],
    known: list[Moments],  # gradients by the moments of the last normalisations
    count: int,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A block's share of the loss with the inputs of the last normalisations, and the gradient of
    each: 1 and, by way of the moments, what the head of this file says.
    """
    inputs, targets = block
    logits, normalised = forward(network, inputs, moments)
    loss = F.cross_entropy(logits, targets, reduction="sum") / count
    outputs, gradients = [loss], [torch.ones_like(loss)]
    later = len(moments) - len(known)
    for values, (mean, _), (by_mean, by_variance) in zip(
        normalised[later:], moments[later:], known, strict=True
    ):
        outputs.append(values)
        gradients.append((by_mean + 2 * by_variance * (values.detach() - mean.detach())) / count)
    return outputs, gradients


def streamed_backward(network: nn.Sequential, read: BlockReader) -> float:
    """The mean cross-entropy over all rows; adds its gradients to those of the parameters and
    moves the running statistics, as a full-batch forward and backward would.
    """
    count = len(read)
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm1d)]
    moments: list[Moments] = []
    for _ in norms:
        moments.append(measure(network, read, moments))
    for norm, (mean, variance) in zip(norms, moments, strict=True):
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
        norm.num_batches_tracked += 1

    known: list[Moments] = []
    for number in reversed(range(len(norms))):
        variables = tuple(moment.requires_grad_() for moment in moments[number])
        total = [torch.zeros_like(variable) for variable in variables]
        for block in read:
            outputs, gradients = outputs_and_gradients(network, block, moments, known, count)
            shares = torch.autograd.grad(outputs, variables, gradients)
            for gradient, share in zip(total, shares, strict=True):
                gradient += share
        moments[number] = tuple(variable.detach() for variable in variables)
        known.insert(0, tuple(total))
    loss = 0.0
    for block in read:
        outputs, gradients = outputs_and_gradients(network, block, moments, known, count)
        torch.autograd.backward(outputs, gradients)
        loss += outputs[0].item()
    return loss
