"""Where weights lie, and how they are read without trusting them."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
MODELS = [parent / "Models" for parent in HERE.parents[2:3]]  # absent once packed for Codabench
TRAINING = "python HybridDetection/train/training.py, in the repository's root"


def search_folders(models_folder: str) -> list[Path]:
    """Where weights may lie: beside this file, then in Models/`models_folder`."""
    return [HERE, *(models / models_folder for models in MODELS)]


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The plain state dict in `path`; ValueError for any other content."""
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):  # torch.save compresses nothing
            check_unpacked(path, size)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise ValueError(f"{path}: not a PyTorch weights file ({error})") from error
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{path}: not a plain state dict")
    if any(tensor.numel() * tensor.element_size() > size for tensor in state.values()):
        raise ValueError(f"{path}: has a tensor of more numbers than the file holds")
    return state


def check_unpacked(path: Path, most: int) -> None:
    """ValueError where what is in a zip file claims more than `most` bytes."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > most:
        raise ValueError(f"unpacks to {unpacked:,} bytes, expected {most:,} at the most")


def load_checked(
    network: nn.Module,
    load: Callable[[Any], Any],
    state: dict[str, torch.Tensor],
    source: Path | str,
) -> None:
    """`load(state)` into `network`; ValueError, naming `source`, for misfits, NaN and infinity."""
    try:
        load(state)
    except (ArithmeticError, LookupError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{source}: does not fit the network: {error}") from error
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            remedy = "fetch the file or train again"
            raise ValueError(f"{source}: {name} holds a value that is not finite; {remedy}")


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """The plain arrays of an .npz file; ValueError where they claim more than `most` bytes.

    On hostile bytes zip's and npy's readers raise almost anything.
    """
    check_unpacked(path, most)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as float64; ValueError unless it holds finite numbers in this `shape`.

    Only numbers and arrays are looked at: numpy follows any pointer that another object names.
    """
    if not isinstance(value, float | np.ndarray | np.generic):
        raise ValueError(f"{name} is a {type(value).__name__}, expected numbers")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {array.dtype}, expected numbers")
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite")
    return array.astype(np.float64)
