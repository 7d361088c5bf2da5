"""Weights and training states on disk: written whole, read without trusting them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from util.errors import InputError
from util.files import atomic


def save(content: Any, path: Path) -> None:
    """Write `content` to `path`, which is either the old file or the new one, never half of it.

    Equal content gives equal bytes: torch.save writes a path's name into the file, but not that
    of an open file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for unfinished in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):  # a save was killed
        unfinished.unlink()
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def require(path: Path) -> None:
    """Raise InputError when `path` is not there."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Raises InputError for a missing file or anything unsafe."""
    require(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise many types on damaged bytes
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


SIZES = (
    "are the options that size the network (--ngf, --ndf, --n_blocks_global,"
    " --n_downsample_global, --n_layers_D, --num_D) those of its training?"
)


def fit(
    network: nn.Module, weights: dict[str, torch.Tensor], path: Path, advice: str = SIZES
) -> None:
    """Load `weights`, read from `path`, into `network`.

    Raises InputError with `advice` for a misfit.
    """
    expected = network.state_dict()
    for key, value in expected.items():
        if key not in weights:
            raise InputError(f"{path}: has no {key!r}; {advice}")
        if weights[key].shape != value.shape:
            raise InputError(
                f"{path}: {key!r} is {list(weights[key].shape)}, expected {list(value.shape)};"
                f" {advice}"
            )
    for key in weights:
        if key not in expected:
            raise InputError(f"{path}: {key!r} has no place; {advice}")
    network.load_state_dict(weights)
