"""What is done otherwise on one device than on another. No GPU is needed to ask."""

import ctypes
import platform

import torch


def layout(device: torch.device) -> torch.memory_format:
    """How networks and images in training lie in memory: a GPU's tensor cores read channels last;
    on a CPU group_norm takes three to six times as long so."""
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
    """Set how cuDNN convolves: as fast as it can, in TF32 (10 bits). `exact` is for photos of many
    sizes and for results that are rounded down: no search for the fastest way, all of float32."""
    torch.backends.cudnn.benchmark = not exact
    torch.backends.cudnn.conv.fp32_precision = "ieee" if exact else "tf32"


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: returned and asked for again, their pages are zeroed
    every time, which is half of PiDiNet's time on a 500x333 photo."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max = -1, -4  # from malloc.h
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_mmap_max, 0)
