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
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch.save compresses nothing
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > size:
                raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise ValueError(f"{path}: not a PyTorch weights file ({error})") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
    ):
        raise ValueError(f"{path}: not a plain state dict")
    for key, tensor in state.items():
        counter = tensor.dtype == torch.int64 and tensor.ndim == 0  # of batch normalisation
        floats = tensor.is_floating_point() and tensor.layout == torch.strided
        if tensor.is_meta or not (floats or counter):
            raise ValueError(f"{path}: {key} is {tensor.dtype} {tensor.layout}, expected floats")
        if tensor.numel() * tensor.element_size() > size:  # a view that repeats its numbers
            raise ValueError(f"{path}: {key} is {tuple(tensor.shape)}, more than the file holds")
    return state


def load_checked(
    network: nn.Module,
    load: Callable[[Any], Any],
    state: dict[str, torch.Tensor],
    source: Path | str,
) -> None:
    """`load(state)` into `network`; ValueError, naming `source`, for misfits, NaN and infinity."""
    try:
        load(state)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{source}: does not fit the network: {error}") from error
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{source}: {name} holds a value that is not finite; fetch the file or train again"
            )


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """The plain arrays of an .npz file; ValueError where they claim more than `most` bytes.

    On hostile bytes zip's and npy's readers raise almost anything.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise ValueError(f"{size:,} bytes of arrays, expected {most:,} at the most")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as float64; ValueError unless it holds finite numbers in this `shape`.

    Only numbers and arrays are looked at: numpy follows any pointer that another object names.
    """
    if not isinstance(value, float | np.ndarray | np.generic):
        raise ValueError(f"{name} is a {type(value).__name__}, expected numbers")
    array = np.array(value, np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite")
    return array


def texts(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`value`; ValueError unless it holds short texts in this `shape`."""
    if value.dtype.kind != "U" or value.shape != shape:
        raise ValueError(f"{name} is {value.dtype} {value.shape}, expected texts {shape}")
    if any(len(text) > 100 or not text.isprintable() for text in value.ravel().tolist()):
        raise ValueError(f"{name} holds a text that is long or not printable")
    return value
