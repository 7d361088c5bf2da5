"""Linear layers by oneDNN. PyTorch takes MKL's products, which on AMD's processors with AVX-512 use
half of what they can do; elsewhere the two are alike."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

THERE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """rows (..., d) times the transpose of weight (k, d), plus bias (k,): (..., k)."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


class Linear(torch.autograd.Function):
    """`product`, and its gradients where rows are (n, d)."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
        ctx.save_for_backward(rows, weight)
        return product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor):
        rows, weight = ctx.saved_tensors
        of_rows = product(gradient, weight.t(), None) if ctx.needs_input_grad[0] else None
        return of_rows, product(gradient.t(), rows.t(), None), gradient.sum(dim=0)


class LinearByOneDnn(TorchFunctionMode):
    """Within the block, linear layers in float32 on a CPU are oneDNN's, where PyTorch has it."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if THERE and function is F.linear and not kwargs and all(map(is_plain, args)):
            return Linear.apply(*args)
        return function(*args, **(kwargs or {}))


def is_plain(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and tensor.is_cpu and tensor.dtype == torch.float32
