"""Where weights lie, and how they are read without trusting them."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
MODELS = [parent / "Models" for parent in HERE.parents[2:3]]  # absent once packed for Codabench
PARALLEL = "module."  # what torch.nn.DataParallel puts before the name of each weight
TRAINING = "python HybridDetection/train/training.py, in the repository's root"


def search_folders(models_folder: str) -> list[Path]:
    """Where weights may lie: beside this file, then in Models/`models_folder`."""
    return [HERE, *(models / models_folder for models in MODELS)]


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The plain state dict in `path`, without DataParallel's prefix; ValueError for any other
    content.
    """
    try:
        size = path.stat().st_size
        if is_safetensors(path):
            from safetensors.torch import load_file  # which timm brings

            return load_file(path)
        refuse_text(path)
        if zipfile.is_zipfile(path):  # torch.save compresses nothing
            check_unpacked(path, size)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on files that are no checkpoint
        raise ValueError(f"{path}: not a PyTorch weights file ({reason_of(error)})") from error
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{path}: not a plain state dict")
    if any(tensor.numel() * tensor.element_size() > size for tensor in state.values()):
        raise ValueError(f"{path}: has a tensor of more numbers than the file holds")
    if state and all(str(key).startswith(PARALLEL) for key in state):
        state = {key.removeprefix(PARALLEL): tensor for key, tensor in state.items()}
    return state


def is_safetensors(path: Path) -> bool:
    """Whether `path` begins as such a file: with the length of its JSON, and that."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


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
    refuse_text(path)
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
