"""How far a training is, how fast it goes, and on what machine."""

import os
import platform
from dataclasses import dataclass

import torch

from util.distributed import Process


@dataclass(frozen=True)
class Progress:
    """A training after `done` of `end` steps, of which this run found `before` already done."""

    done: int
    end: int
    before: int
    batch_size: int
    steps_per_epoch: int
    seconds: float  # since this run began its first step

    @property
    def images(self) -> int:
        return self.done * self.batch_size

    @property
    def share(self) -> float:
        """From 0 to 1; a training that has nothing to do is done, as is one that did more."""
        return min(1.0, self.done / self.end) if self.end else 1.0

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return -(-self.done // self.steps_per_epoch)

    @property
    def epochs(self) -> int:
        return self.end // self.steps_per_epoch

    @property
    def speed(self) -> float:
        """Images a second in this run; 0 before its first step."""
        steps = self.done - self.before
        return steps * self.batch_size / self.seconds if steps and self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the speed of this run so far; None while that is not known."""
        left = (self.end - self.done) * self.batch_size
        return left / self.speed if self.speed else None


def machine(process: Process) -> dict[str, str]:
    """What a training runs on, by the name of the fact."""
    name = "CPU"
    if process.device.type == "cuda":
        name = torch.cuda.get_device_name(process.device)
    return {
        "computes on": f"{process.world} x {name}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "software": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
