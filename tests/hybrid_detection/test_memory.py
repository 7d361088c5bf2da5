"""memory.py: pages of freed memory are kept within the block, and not beyond."""

import platform
import subprocess
import sys
from pathlib import Path

import memory
import pytest

# In a process of its own: what else goes on in that of the tests brings pages, too.
MEASURED = """
import resource
import torch
from memory import freed_memory_kept

def layers(size):  # leave so many numbers each, from which the next is made, and are then freed
    values = torch.ones(size)
    for _ in range(4):
        values = values + 1

def new_pages(size):  # that the system has to bring for what was freed just before
    for _ in range(20):  # the heap settles
        layers(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept():
    print(new_pages(2**22))
print(new_pages(2**24))  # more than the block may have left a hole for
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_pages_are_kept_within_the_block():
    folder = Path(memory.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kept, returned = map(int, done.stdout.split())
    assert kept < 5
    assert returned >= 4  # 8, where the system gives pages of 2 MB
