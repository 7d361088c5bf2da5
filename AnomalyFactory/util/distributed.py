"""One process, or one of several: torchrun's, which a program starts itself for several GPUs."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import joblib
import torch
import torch.distributed as dist

from util.errors import InputError

PATIENCE = timedelta(hours=2)  # that processes wait for one whose share takes longer


@dataclass(frozen=True)
class Process:
    """This process's device and its place among all."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> slice:
        """What of a list is this process's to do."""
        return slice(self.rank, None, self.world)

    @property
    def quiet(self) -> bool | None:
        """For tqdm's `disable`: a bar in the first process only, and only on a terminal."""
        return None if self.first else True

    def add_up(self, tensor: torch.Tensor) -> None:
        """Replace `tensor` by the sum of those of all processes."""
        if self.world > 1:
            try:
                dist.all_reduce(tensor)
            except RuntimeError as error:
                raise ConnectionError("another process has ended, which says why") from error

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give each tensor the mean of its values in all processes."""
        for tensor in tensors if self.world > 1 else ():
            self.add_up(tensor)
            tensor /= self.world

    def sum(self, number: int) -> int:
        """The sum of the numbers of all processes."""
        total = torch.tensor(number, device=self.device)
        self.add_up(total)
        return int(total)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in at least one process."""
        return flag if self.world == 1 else self.sum(int(flag)) > 0

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)

    def stop(self) -> None:
        """Leave together: torchrun ends the others as soon as one process has left."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


def start(gpu_ids: list[int]) -> Process:
    """Take the device, the CPU without `gpu_ids`, and join the other processes. For several GPUs
    this process becomes torchrun, where it is not started by it: one process for each GPU."""
    # PyTorch counts the cores of the machine, though a container may use but a few.
    torch.set_num_threads(min(torch.get_num_threads(), joblib.cpu_count()))
    device = torch.device("cpu")
    if gpu_ids:
        found = torch.cuda.device_count()
        for missing in (gpu for gpu in gpu_ids if gpu >= found):
            raise InputError(
                f"--gpu_ids: GPU {missing} is not there, this machine has {found}. Use"
                " --gpu_ids -1 to work on the CPU"
            )
        count = f"--nproc_per_node={len(gpu_ids)}"
        if len(gpu_ids) > 1 and not dist.is_torchelastic_launched():
            torchrun = ["-m", "torch.distributed.run", "--standalone", count]
            os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])
        if len(gpu_ids) != local_world():
            raise InputError(f"--gpu_ids: one for each of {local_world()} processes, or {count}")
        device = torch.device("cuda", gpu_ids[int(os.environ.get("LOCAL_RANK", 0))])
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Process(device)
    backend, own = ("nccl", device) if gpu_ids else ("gloo", None)
    dist.init_process_group(backend, timeout=PATIENCE, device_id=own)
    return Process(device, dist.get_rank(), dist.get_world_size())


def local_world() -> int:
    """How many processes there are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def restarted() -> bool:
    """Whether torchrun has started the processes again after an error, or Slurm the whole job."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(int(os.environ.get(count, 0)) > 0 for count in counts)
