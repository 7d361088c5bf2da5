"""What is done otherwise on one device than on another. No GPU is needed to ask."""

import ctypes
import platform

import torch


def layout(device: torch.device) -> torch.memory_format:
    """How networks and images in training lie in memory.

    A GPU's tensor cores read channels last. On a CPU group_norm takes three times as long so, and
    its backward pass six times.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def chosen_amp(asked: bool | None, device: torch.device, before: bool | None = None) -> bool:
    """Whether to compute in bfloat16: as is asked for, else as was `before`, else on GPUs that have
    it, those from 2020 on (Ampere)."""
    if asked is not None:
        return asked
    if before is not None:
        return before
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def prepare(exact: bool = False) -> None:
    """Set how cuDNN convolves; does nothing to a CPU.

    As fast as it can: the fastest way for each size is searched for once, and float32 may be
    multiplied in TF32, which has 10 bits. `exact` is for photos of many sizes and for results that
    are rounded down: no search, and all of float32's bits.
    """
    torch.backends.cudnn.benchmark = not exact
    torch.backends.cudnn.conv.fp32_precision = "ieee" if exact else "tf32"


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the system.

    Each layer's output is tens of megabytes. Returned and asked for again, its pages are zeroed
    every time: half of PiDiNet's time on a 500x333 photo.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max = -1, -4  # from malloc.h
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_mmap_max, 0)
