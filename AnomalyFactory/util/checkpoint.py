"""Weights and training states on disk: written whole, read without trusting them."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from util.errors import InputError
from util.files import atomic


def save(content: Any, path: Path) -> None:
    """Write `content` to `path`, which is either the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        torch.save(content, temporary)


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Raises InputError for a missing file or anything unsafe."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint that can be loaded safely ({reason})"
        ) from error


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in `path`. Raises InputError when it holds anything else."""
    weights = load(path)
    if not isinstance(weights, dict) or not weights:
        raise InputError(f"{path}: expected a state dict, found {type(weights).__name__}")
    for key, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{path}: expected a tensor at {key!r}, found {type(value).__name__}")
    return weights


def fit(network: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Load `weights`, read from `path`, into `network`. Raises InputError for a misfit."""
    expected = network.state_dict()
    for key, value in expected.items():
        if key not in weights:
            raise InputError(f"{path}: has no {key!r}; {size_advice(network)}")
        if weights[key].shape != value.shape:
            raise InputError(
                f"{path}: {key!r} is {list(weights[key].shape)}, expected {list(value.shape)};"
                f" {size_advice(network)}"
            )
    for key in weights:
        if key not in expected:
            raise InputError(f"{path}: {key!r} has no place; {size_advice(network)}")
    network.load_state_dict(weights)


def size_advice(network: nn.Module) -> str:
    return (
        f"is it a {type(network).__name__} and are the options that size it (--ngf, --ndf,"
        " --n_blocks_global, --n_downsample_global, --n_layers_D, --num_D) those of its training?"
    )
