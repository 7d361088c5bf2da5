"""Weights and training states on disk: written whole, read without trusting them."""

import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from util.errors import InputError
from util.files import atomic

Tensors = dict[str, torch.Tensor]
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam remembers of each weight
SIZES = (
    "are the options that size the network (--ngf, --ndf, --n_blocks_global,"
    " --n_downsample_global, --n_layers_D, --num_D) those of its training?"
)


def save(content: Any, path: Path) -> None:
    """Write `content` whole to `path`, for good, its tensors for any machine. Equal content gives
    equal bytes: torch.save writes a path's name into the file, but not that of an open file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, durable=True) as temporary, temporary.open("wb") as file:
        try:
            torch.save(on_cpu(content), file)
        except RuntimeError as error:  # PyTorch's own, about an OSError of the disk
            raise error.__context__ or error from None


def on_cpu(content: Any) -> Any:
    """`content` with every tensor in its dictionaries on the CPU, laid out plainly: files are alike
    from any device."""
    if isinstance(content, torch.Tensor):
        return content.detach().to("cpu", memory_format=torch.contiguous_format)
    if isinstance(content, dict):
        return {key: on_cpu(value) for key, value in content.items()}
    return content


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Raises InputError for a missing file or anything unsafe."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; train it, or scripts/download_models.sh")
    try:
        refuse_text(path)
        if zipfile.is_zipfile(path):  # `save` compresses nothing: what is small stays small
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                    raise ValueError("it unpacks to more than its size")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise many types on damaged bytes
        raise InputError(
            f"{path}: not a checkpoint that can be loaded safely ({reason_of(error)})"
        ) from error


def refuse_text(path: Path) -> None:
    """ValueError where `path` holds nothing, or what is often found in place of weights."""
    with path.open("rb") as file:
        start = file.read(200).strip().lower()
    if not start:
        raise ValueError("it is empty: fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError("it is a Git LFS pointer to the file: `git lfs pull` fetches that")
    if start.startswith(b"<"):
        raise ValueError("it is a web page, perhaps of a refused download: fetch the file again")


def reason_of(error: Exception) -> str:
    """What torch.load says, without its advice to run what a file asks for."""
    if "weights_only" not in str(error):
        return (str(error) or repr(error)).splitlines()[0]
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked is None:
        return "damaged, or of another kind: fetch it again, or save a state_dict() alone"
    return f"it asks for {asked[1]}, and only tensors are read: save a state_dict() alone"


def load_weights(path: Path) -> Tensors:
    """The state dict in `path`. Raises InputError when it holds anything else."""
    return as_tensors(load(path), path)


def as_tensors(weights: Any, path: Path) -> Tensors:
    """`weights`, read from `path`, without DataParallel's prefix. Raises InputError unless they
    are tensors by name."""
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items()
    ):
        raise InputError(f"{path}: expected a state dict, which is tensors by name")
    if all(key.startswith("module.") for key in weights):
        return {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def fit(network: nn.Module, weights: Tensors, path: Path, advice: str = SIZES) -> None:
    """Load `weights`, read from `path`, into `network`. Raises InputError for a misfit, with
    `advice`, and for a value that is no finite real number."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        misfit = textwrap.shorten(" ".join(str(error).splitlines()[1:]), 300)
        raise InputError(f"{path}: {misfit}; {advice}") from error
    check_numbers(weights, network.state_dict(), path)


def check_numbers(found: Tensors, places: Tensors, path: Path) -> None:
    """Raise InputError unless `found`, which was copied to `places`, are finite real numbers there:
    a copy would round integers and cut off imaginary parts in silence."""
    for key, place in places.items():
        if place.is_floating_point() > found[key].is_floating_point() or not place.isfinite().all():
            raise InputError(f"{path}: {key!r} holds other than finite floats; take another file")


def moments(optimizer: torch.optim.Adam) -> Tensors:
    """What Adam remembers of its steps: `{number of the weight}.{name}`."""
    return by_name(optimizer.state_dict()["state"])


def by_name(memory: dict[int, Tensors]) -> Tensors:
    return {f"{n}.{name}": value for n, kept in memory.items() for name, value in kept.items()}


def fit_moments(optimizer: torch.optim.Adam, found: Tensors, path: Path) -> None:
    """Load `found`, which `moments` gave, read from `path`. Raises InputError for a misfit."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    # In the memory layout of its weight, which a fused step needs; `step` is a plain number.
    memory = {
        number: {name: torch.empty_like(weight) for name in MOMENTS} | {"step": torch.tensor(0.0)}
        for number, weight in enumerate(weights)
    }
    places = by_name(memory)
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in places.items()}:
        raise InputError(f"{path}: does not hold what Adam remembers of these networks; {SIZES}")
    for key, place in places.items():
        place.copy_(found[key])
    check_numbers(found, places, path)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})
