"""Photographs as the pictures that networks look at, made by worker processes."""

import ctypes
import logging
import multiprocessing
import os
import platform
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from backbones import IMAGE_SIZE, make_picture
from files import ImageError, open_image
from spelling import but_there

AHEAD = 2  # batches in the making while the caller is busy with one
FORK = multiprocessing.get_context("fork")  # spawned ones would each import torch anew

Made = np.ndarray | str  # a picture (k * 224, 224, 3) uint8, or why a file gives none

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    indices: list[int]  # positions of the pictures in the list of paths
    pictures: torch.Tensor  # (len(indices), k * 224, 224, 3) uint8
    failures: dict[int, str]  # position -> why that file is no image


def load_pictures(
    paths: Sequence[Path],
    view: str,
    batch_size: int,
    workers: int,
    batches: Iterable[list[int]] | None = None,
    smallest_side: int | None = None,  # as open_image has it
) -> Iterator[Batch]:
    """Pictures in order, `batch_size` at a time, made by `workers` processes (0: in this one).

    All of `paths`, or those in `batches` of positions. A file that kills the process which decodes
    it is among the failures.
    """
    make_picture(view)  # refuses what is unknown, and imports for all workers at once
    if batches is None:
        starts = range(0, len(paths), batch_size)
        batches = (list(range(i, min(i + batch_size, len(paths)))) for i in starts)
    task = partial(open_picture, view=view, smallest_side=smallest_side)
    if workers == 0:
        made = ((batch, [task(paths[i]) for i in batch]) for batch in batches)
    else:
        made = shared_out(task, paths, batches, workers)
    for positions, outcomes in made:
        said = dict(zip(positions, outcomes, strict=True))
        good = {i: picture for i, picture in said.items() if not isinstance(picture, str)}
        empty = np.empty((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        pictures = torch.from_numpy(np.stack(list(good.values())) if good else empty)
        failures = {i: reason for i, reason in said.items() if i not in good}
        yield Batch(list(good), pictures, failures)


def open_picture(
    source: Path | BinaryIO,
    view: str,
    smallest_side: int | None = None,
    name: object = None,
) -> Made:
    """What libraries warn of, and that no specimen was cut out, is logged with the file's name."""
    name = name or source
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            picture = make_picture(view)(open_image(source, smallest_side, name))
    except ImageError as error:
        return f"{error}{but_there(source) if isinstance(source, Path) else ''}"
    except MemoryError:
        return f"{name}: too large to resize in the memory that is left"
    for message in dict.fromkeys(str(warning.message) for warning in warned):
        log.warning("%s: %s", name, message)
    return np.asarray(picture)


# ---- processes ----------------------------------------------------------------------------------


def shared_out(
    task: Callable[[Path], Made],
    paths: Sequence[Path],
    batches: Iterable[list[int]],
    workers: int,
) -> Iterator[tuple[list[int], list[Made]]]:
    """Each batch with what `task` makes of it, in order, from a pool that works ahead.

    Where a process of the pool is killed, each open file has a process to itself, and one that
    ends this, too, is named. A fresh pool goes on with the rest.
    """
    coming = iter(batches)
    asked: deque[list[int]] = deque()
    futures: dict[int, Future[Made]] = {}  # of the files in `asked`
    pool = make_pool(workers)
    try:
        while True:
            while len(asked) <= AHEAD and (batch := next(coming, None)) is not None:
                asked.append(batch)
            if not asked:
                return
            try:
                for position in (i for batch in asked for i in batch if i not in futures):
                    futures[position] = pool.submit(task, paths[position])
                outcomes = [futures[position].result() for position in asked[0]]
            except BrokenProcessPool:
                pool.shutdown()
                for position in (i for batch in asked for i in batch):
                    if position not in futures or is_broken(futures[position]):
                        futures[position] = alone(task, paths[position])
                pool = make_pool(workers)
                continue
            for position in asked[0]:
                del futures[position]
            yield asked.popleft(), outcomes
    finally:
        pool.shutdown(cancel_futures=True)


def make_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, FORK, begin_worker)


def begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program, and that its pool
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Finding a specimen asks for the same memory again and again. What is larger than a photograph
    # of 10 megapixels is returned: one huge one shall not stay a worker's size.
    set_malloc(trim_threshold=2**26, mmap_threshold=2**25, mmap_max=65536)
    torch.set_num_threads(1)
    if "cv2" in sys.modules:  # OpenCV, for cutouts and wings: the workers share the cores already
        sys.modules["cv2"].setNumThreads(0)  # 1 waits for ever for threads that no fork has


def end_with_parent() -> None:
    """A killed program leaves no workers that wait for it for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def is_broken(future: Future) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def alone(task: Callable[[Path], Made], path: Path) -> Future[Made]:
    with make_pool(1) as pool:
        future = pool.submit(task, path)
    if is_broken(future):
        future = Future()
        future.set_result(f"{path}: a process that decoded nothing else was killed")
    return future


# ---- memory -------------------------------------------------------------------------------------


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block, glibc keeps what is freed; afterwards it returns it to the system.

    A layer's output for a batch is tens of megabytes. Returned and asked for again, its pages are
    zeroed each time: more than half of efficientnet_lite0's time on a batch of 32 on a CPU.
    """
    set_malloc(trim_threshold=2**31 - 1, mmap_max=0)
    try:
        yield
    finally:
        set_malloc(trim_threshold=128 * 1024, mmap_max=65536)  # where glibc starts
        if libc := glibc():
            libc.malloc_trim(0)


def set_malloc(**options: int) -> None:
    """Set what glibc's mallopt knows as M_TRIM_THRESHOLD and so on, in bytes or pieces."""
    numbers = {"trim_threshold": -1, "mmap_threshold": -3, "mmap_max": -4}  # of malloc.h
    if libc := glibc():
        for name, value in options.items():
            libc.mallopt(numbers[name], value)


def glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
