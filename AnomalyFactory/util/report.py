"""What a training tells of itself while it goes on: its losses, its samples, and when it fails."""

import argparse
import math
import os
import platform
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from util.distributed import Process
from util.errors import InputError, message_of
from util.training_page import DONE, Progress, TrainingPage
from util.visualizer import LossLog, SamplePage


class Report:
    """Writes the loss log, the samples and the page of a training when they are due, which one
    process does.

    As a context it also notes on the page what ended a training early.
    """

    def __init__(
        self, opt: argparse.Namespace, folder: Path, start: Progress, process: Process
    ) -> None:
        self.opt, self.folder, self.process, self.progress = opt, folder, process, start
        self.page = None
        if process.first:
            self.log = LossLog(folder, start.images)
            self.samples = SamplePage(folder, opt.name, start.images)
            if not opt.no_html:
                facts = vars(opt), machine(process)
                self.page = TrainingPage(folder, opt.name, self.log, self.samples, *facts)
                self.page.write_if_due(start)
        self.started = time.monotonic()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object):
        if self.page and error is not None:
            self.page.write(self.progress, f"{kind.__name__}: {message_of(error)}")

    def after_step(self, model: Any, done: int) -> None:
        """Take up the step of an AnomalyFactory that was the training's `done`-th."""
        opt = self.opt
        self.progress = replace(self.progress, done=done, seconds=time.monotonic() - self.started)
        epoch, images = self.progress.epoch, self.progress.images
        if due(done, opt.batchSize, opt.print_freq):
            losses = self.losses(model)
            if self.process.first:
                rate = model.optimizer_G.param_groups[0]["lr"]
                self.log.add({"images": images, "epoch": epoch, "lr": rate} | losses)
                text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                speed = self.progress.speed
                tqdm.write(f"epoch {epoch}, {images:,} images, {speed:.1f} images/s: {text}")
        if self.page is None:
            return
        if due(done, opt.batchSize, opt.display_freq):
            self.samples.add(epoch, images, model.panels())
        self.page.write_if_due(self.progress)

    def losses(self, model: Any) -> dict[str, float]:
        """Those of the last step by name, over all processes, which call this together.

        Raises InputError when one is not finite: all weights are lost one step later.
        """
        values = dict(zip(model.last_losses, model.losses().tolist(), strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                rate = model.optimizer_G.param_groups[0]["lr"]
                raise InputError(
                    f"step {self.progress.done}, epoch {self.progress.epoch}: the loss {name} is"
                    f" {value}, so the training has failed. {self.folder} keeps what was saved"
                    f" before: go on from there with --continue_train and a --lr below {rate:g}"
                )
        return values

    def close(self, received: int | None) -> None:
        """Show a training that ended by itself, or by the signal that it `received`."""
        if self.page is None:
            return
        if self.progress.done >= self.progress.end:
            self.page.write(self.progress, DONE)
        else:  # the signal may have reached another process
            name = signal.Signals(received or signal.SIGTERM).name
            self.page.write(self.progress, f"it received {name}.")


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


def due(done: int, batch_size: int, every: int) -> bool:
    """Whether the last step's batch reached a multiple of `every` images."""
    return done * batch_size // every > (done - 1) * batch_size // every
