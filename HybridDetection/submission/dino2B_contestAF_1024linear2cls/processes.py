"""Which process this is among those of one run: torchrun starts several, else it is alone; and the
cores that it may use."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import joblib
import torch
import torch.distributed as dist

CORES = joblib.cpu_count()  # that this process may use, by its affinity and its container's quota
PATIENCE = timedelta(days=7)  # for the slowest process; torchrun ends all when one fails


def use_own_cores() -> None:
    """PyTorch counts the cores of the machine, though a container may use but a few."""
    torch.set_num_threads(min(torch.get_num_threads(), CORES))


def torchrun_process() -> tuple[int, int]:
    """The number of this process, from 0, and how many they are."""
    if "LOCAL_RANK" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def torchrun_device(wanted: str | None) -> str | None:
    """The device `wanted`, None for the best; of several GPUs, this process's own."""
    if torchrun_process()[1] > 1 and wanted in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return wanted


@contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """torchrun_process, once all are there. They exchange a few words; files share the work out."""
    if torchrun_process()[1] > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield torchrun_process()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def of_first(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` gives in the first process, the only one to call it, once all are here.

    An OSError or ValueError is raised there, and ends the others without a word.
    """
    if not dist.is_initialized():
        return function(*arguments)
    dist.barrier()
    outcomes = [None]
    if dist.get_rank() == 0:
        try:
            outcomes = [function(*arguments)]
        except (OSError, ValueError) as error:
            outcomes = [error]
    dist.broadcast_object_list(outcomes)
    if isinstance(outcomes[0], OSError | ValueError):
        raise outcomes[0] if dist.get_rank() == 0 else SystemExit(1)
    return outcomes[0]
