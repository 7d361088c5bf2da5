"""memory.py: pages of freed memory are kept within the block, and not beyond."""

import platform
import resource

import pytest
import torch
from memory import freed_memory_kept


def layers():
    """What layers leave: 16 MB, from which the next is made, and which is then freed."""
    values = torch.ones(2**22)
    for _ in range(4):
        values = values + 1


def new_pages():
    """How many pages the system has to bring for what was freed just before."""
    for _ in range(20):  # the heap settles
        layers()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_pages_are_kept_within_the_block():
    with freed_memory_kept():
        kept = new_pages()
    returned = new_pages()
    assert kept < 5
    assert returned >= 4  # 8, where the system gives pages of 2 MB


def test_elsewhere_nothing_changes(monkeypatch):
    def never(_):
        raise AssertionError

    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", never)
    with freed_memory_kept():
        pass
