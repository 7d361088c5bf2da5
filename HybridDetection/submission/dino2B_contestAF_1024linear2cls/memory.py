"""Memory that is freed and asked for again, as a network's layers do batch after batch."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block, glibc keeps large freed pieces; afterwards it returns them to the system.

    A layer's output for a batch is tens of megabytes. Returned and asked for again, its pages are
    zeroed each time: more than half of efficientnet_lite0's time on a batch of 32 on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, as malloc.h numbers it
        libc.mallopt(-4, 0)  # M_MMAP_MAX
    try:
        yield
    finally:
        return_freed_memory()


def return_freed_memory() -> None:
    """From now on, as glibc does by itself: for a process that is forked within such a block."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 128 * 1024)
        libc.mallopt(-4, 65536)
        libc.malloc_trim(0)
