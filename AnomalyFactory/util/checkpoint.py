"""Weights and training states on disk: written whole, read without trusting them."""

import os
import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import torch
from torch import nn

from util.background import Fetched
from util.errors import InputError
from util.files import atomic

Tensors = dict[str, torch.Tensor]


def save(content: Any, path: Path) -> None:
    """Write `content` to `path`, which is either the old file or the new one, never half of it.

    Nor does a power cut leave half of it: hours of training hang on it, so its bytes are on the
    disk before it takes its name, and the name is before this returns. All tensors in it lie on the
    CPU, so any machine can read it. Equal content gives equal bytes: torch.save writes a path's
    name into the file, but not that of an open file.
    """
    make_folder(path.parent)
    content = Fetched(content).get()
    with atomic(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # PyTorch's own, about an OSError of the disk
            raise error.__context__ or error from None
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make the folder `path`, and those above it, where they are not there.

    No power cut takes their names.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(folder: Path) -> None:
    """Have the names in `folder` outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require(path: Path) -> None:
    """Raise InputError when `path` is not there."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Raises InputError for a missing file or anything unsafe."""
    require(path)
    try:
        check_size(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise many types on damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint that can be loaded safely ({reason})"
        ) from error


def check_size(path: Path) -> None:
    """ValueError for a zip that unpacks to more than its size: `save` compresses nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"{path.stat().st_size:,} bytes that unpack to {unpacked:,}")


def load_weights(path: Path) -> Tensors:
    """The state dict in `path`. Raises InputError when it holds anything else."""
    weights = load(path)
    if not weights:
        raise InputError(f"{path}: expected a state dict, found an empty {type(weights).__name__}")
    return as_tensors(weights, path)


def as_tensors(weights: Any, path: Path) -> Tensors:
    """`weights`, read from `path`. Raises InputError unless they are tensors by name."""
    if not isinstance(weights, dict):
        raise InputError(f"{path}: expected a state dict, found {type(weights).__name__}")
    for key, value in weights.items():
        if not isinstance(key, str):
            raise InputError(f"{path}: expected names of tensors, found {type(key).__name__}")
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{path}: expected a tensor at {key!r}, found {type(value).__name__}")
    return weights


SIZES = (
    "are the options that size the network (--ngf, --ndf, --n_blocks_global,"
    " --n_downsample_global, --n_layers_D, --num_D) those of its training?"
)


def fit(network: nn.Module, weights: Tensors, path: Path, advice: str = SIZES) -> None:
    """Load `weights`, read from `path`, into `network`.

    Raises InputError with `advice` for a misfit.
    """
    own = network.state_dict()
    counts = {key for key, value in own.items() if not value.is_floating_point()}
    check_shapes(weights, {key: value.shape for key, value in own.items()}, path, advice, counts)
    network.load_state_dict(weights)


def moments(optimizer: torch.optim.Adam) -> Tensors:
    """What Adam remembers of its steps: `{number of the weight}.{name}`."""
    return {
        f"{number}.{name}": value
        for number, memory in optimizer.state_dict()["state"].items()
        for name, value in memory.items()
    }


def fit_moments(optimizer: torch.optim.Adam, found: Tensors, path: Path) -> None:
    """Load `found`, which `moments` gave, read from `path`. Raises InputError for a misfit."""
    names = ("step", "exp_avg", "exp_avg_sq")
    groups = optimizer.state_dict()["param_groups"]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    shapes = {
        f"{number}.{name}": torch.Size() if name == "step" else weight.shape
        for number, weight in enumerate(weights)
        for name in names
    }
    check_shapes(found, shapes, path, "expected what Adam remembers of these networks")
    state = {
        number: {name: laid_out_as(weight, found[f"{number}.{name}"]) for name in names}
        for number, weight in enumerate(weights)
    }
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def numbers_in(value: torch.Tensor) -> str:
    if value.is_floating_point():
        return "floats"
    return "complex numbers" if value.is_complex() else "integers"


def laid_out_as(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`value` in the memory layout of `weight`, which a fused step needs; a number as it is."""
    if not value.dim() or value.stride() == weight.stride():
        return value
    return torch.empty_like(weight).copy_(value)


def check_shapes(
    found: Tensors,
    expected: Mapping[str, tuple[int, ...]],
    path: Path,
    advice: str,
    counts: Set[str] = frozenset(),
) -> None:
    """Raise InputError with `advice` unless `found`, read from `path`, is as `expected`.

    All must be floats but `counts`, such as BatchNorm's of its batches, which are integers. Numbers
    that are not finite are refused with another advice.
    """
    for key, shape in expected.items():
        if key not in found:
            raise InputError(f"{path}: has no {key!r}; {advice}")
        if found[key].shape != shape:
            raise InputError(
                f"{path}: {key!r} is {list(found[key].shape)}, expected {list(shape)}; {advice}"
            )
        wanted = "integers" if key in counts else "floats"
        if found[key].layout != torch.strided or numbers_in(found[key]) != wanted:
            raise InputError(
                f"{path}: {key!r} is {found[key].layout} {found[key].dtype}, expected {wanted};"
                f" {advice}"
            )
        if found[key].is_meta or not found[key].isfinite().all():
            raise InputError(
                f"{path}: {key!r} holds a value that is no finite number; fetch the file again, or"
                " go back to an earlier one of the training"
            )
    for key in found:
        if key not in expected:
            raise InputError(f"{path}: {key!r} has no place; {advice}")
