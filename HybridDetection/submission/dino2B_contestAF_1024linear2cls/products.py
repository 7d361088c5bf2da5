"""Linear layers by oneDNN. PyTorch takes MKL's products, which on AMD's processors with AVX-512 use
half of what they can do; on older ones without, the two are alike."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """rows (..., d) times the transpose of weight (k, d), plus bias (k,): (..., k)."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


class OneDnnLinear(torch.autograd.Function):
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
    """Within the block, linear layers are oneDNN's where PyTorch has it: those with a bias, of
    float32 on a CPU; with gradients, of rows (n, d) alone. Autocast does not turn these into
    bfloat16.
    """

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if function is F.linear and HAS_ONEDNN and can_take(args):
            return OneDnnLinear.apply(*args)
        return function(*args, **(kwargs or {}))


def can_take(args: tuple[torch.Tensor | None, ...]) -> bool:
    if len(args) != 3 or any(arg is None or not arg.is_cpu for arg in args):
        return False
    floats = all(arg.dtype == torch.float32 for arg in args)
    return floats and (args[0].dim() == 2 or not torch.is_grad_enabled())
