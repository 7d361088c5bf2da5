"""One process, or one of several under torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from util.errors import InputError


@dataclass(frozen=True)
class Process:
    """This process's device and its place among all."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first process runs the block, then all others: they find what it has fetched."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def gather(self, value: Any) -> list[Any]:
        """The `value` of every process, in all of them."""
        values = [value] * self.world
        if self.world > 1:
            dist.all_gather_object(values, value)
        return values

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """`values` averaged over all processes."""
        if self.world > 1:
            values = values.clone()  # all_reduce writes into its argument
            dist.all_reduce(values)
        return values / self.world

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in at least one process."""
        if self.world == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def stop(self) -> None:
        """Leave together: torchrun ends the others as soon as one process has left."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


def start(gpu_ids: list[int]) -> Process:
    """Join torchrun's group if there is one and take the device; no `gpu_ids` means CPU.

    Raises InputError when a GPU that is asked for is not there.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if not gpu_ids:
        device = torch.device("cpu")
    else:
        found = torch.cuda.device_count()
        missing = [gpu for gpu in gpu_ids if gpu >= found]
        if missing:
            raise InputError(
                f"--gpu_ids {','.join(map(str, gpu_ids))}: GPU {missing[0]} is not there, this"
                f" machine has {found}. Use --gpu_ids -1 to work on the CPU"
            )
        if len(gpu_ids) != local_world:
            raise InputError(
                f"--gpu_ids names {len(gpu_ids)} GPUs for {local_world} processes. Start one for"
                f" each: torchrun --standalone --nproc_per_node={len(gpu_ids)} (the shell scripts"
                " do so)"
            )
        device = torch.device("cuda", gpu_ids[int(os.environ.get("LOCAL_RANK", 0))])
        torch.cuda.set_device(device)
        # Without --amp results are float32; TF32, cuDNN's default, has 10 bits.
        torch.backends.cudnn.allow_tf32 = False
    if world == 1:
        return Process(device)
    dist.init_process_group("nccl" if gpu_ids else "gloo")
    return Process(device, dist.get_rank(), world)
