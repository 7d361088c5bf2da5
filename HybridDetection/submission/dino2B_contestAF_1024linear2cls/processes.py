"""This process among those of one run: torchrun starts several, else it is alone."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(days=7)  # for the slowest process; torchrun ends all when one fails


@dataclass(frozen=True)
class Processes:
    rank: int = 0  # of this process, from 0
    count: int = 1
    local_rank: int = 0  # on this machine

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, wanted: str | None) -> str | None:
        """The GPU of this process, where a machine has several processes and none is wanted."""
        if self.count > 1 and wanted in (None, "cuda") and torch.cuda.is_available():
            return f"cuda:{self.local_rank % torch.cuda.device_count()}"
        return wanted

    def of_first(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` gives in the first process, the only one to call it.

        An OSError or ValueError is raised there, and ends the others without a word.
        """
        outcome = None
        if self.first:
            try:
                outcome = function(*arguments)
            except (OSError, ValueError) as error:
                outcome = error
        if self.count > 1:
            outcomes = [outcome]
            dist.broadcast_object_list(outcomes)
            outcome = outcomes[0]
        if isinstance(outcome, OSError | ValueError):
            raise outcome if self.first else SystemExit(1)
        return outcome

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def leave(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()


def join() -> Processes:
    """This process's place, as torchrun says in the environment; waits for the others."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if any(name not in os.environ for name in names):
        return Processes()
    processes = Processes(*(int(os.environ[name]) for name in names))
    if processes.count > 1:  # they exchange a few words on the CPU; the work is shared out by files
        dist.init_process_group("gloo", timeout=PATIENCE)
    return processes
