"""What a training tells of itself while it goes on: its losses, its samples, and when it fails."""

import argparse
import math
import os
import platform
import signal
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from util.background import Background, Fetched
from util.distributed import Process
from util.errors import InputError, message_of
from util.training_page import DONE, Progress, TrainingPage
from util.visualizer import LossLog, SamplePage

LAG = 3  # steps after which a GPU's losses are read: it is busy with those in between


class LateStep(NamedTuple):
    """A training step whose losses are on their way."""

    number: int  # from 1
    epoch: int
    rate: float  # the learning rate
    names: tuple[str, ...]  # of the losses
    losses: Fetched
    is_logged: bool


class Report:
    """Reads the losses of every step, LAG steps late on a GPU; writes the loss log, the samples and
    the page of the training when they are due, which one process does.

    As a context, outside that of its background, it also notes on the page what ended a training
    early.
    """

    def __init__(
        self,
        opt: argparse.Namespace,
        folder: Path,
        start: Progress,
        process: Process,
        background: Background,  # of one thread
    ):
        self.opt, self.folder, self.process, self.background = opt, folder, process, background
        self.progress = start
        self.page = None
        if process.first:
            self.log = LossLog(folder, start.images)
            self.samples = SamplePage(folder, opt.name, start.images)
            if not opt.no_html:
                facts = vars(opt), machine(process)
                self.page = TrainingPage(folder, opt.name, self.log, self.samples, *facts)
                self.page.write_if_due(start)
        self.lag = LAG if process.device.type == "cuda" else 0
        self.unread: deque[LateStep] = deque()
        self.started = time.monotonic()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object):
        if self.page and error is not None:
            self.page.write(self.progress, f"{kind.__name__}: {message_of(error)}")

    def after_step(self, model: Any, epoch: int, done: int) -> None:
        """Take up the step of an AnomalyFactory that was the training's `done`-th."""
        opt = self.opt
        self.progress = replace(self.progress, done=done, seconds=time.monotonic() - self.started)
        step = LateStep(
            number=done,
            epoch=epoch,
            rate=model.optimizer_G.param_groups[0]["lr"],
            names=tuple(model.last_losses),
            losses=Fetched(model.losses()),
            is_logged=due(done, opt.batchSize, opt.print_freq),
        )
        self.unread.append(step)
        while len(self.unread) > self.lag:
            self.read(self.unread.popleft())
        if self.page is None:
            return
        if due(done, opt.batchSize, opt.display_freq):
            panels = Fetched({name: batch[:1] for name, batch in model.panels().items()})
            self.background.submit(self.show, epoch, done * opt.batchSize, panels)
        if self.page.is_due():
            self.background.submit(self.page.write_if_due, self.progress)

    def read_all(self) -> None:
        """Read what is still on its way, and wait until it is written. Waits for a GPU.

        What a training saves next is gone on from, so its samples must not be written later: a
        kill between the two would leave them out.
        """
        while self.unread:
            self.read(self.unread.popleft())
        self.background.wait()

    def read(self, step: LateStep) -> None:
        """Log the losses of `step` where they are due. Raises InputError when one is not finite:
        all weights are lost one step later."""
        losses = dict(zip(step.names, step.losses.get().tolist(), strict=True))
        images = step.number * self.opt.batchSize
        for name, value in losses.items():
            if not math.isfinite(value):
                raise InputError(
                    f"step {step.number}, epoch {step.epoch}: the loss {name} is {value}, so the"
                    f" training has failed. {self.folder} keeps what was saved before: go on from"
                    f" there with --continue_train and a --lr below {step.rate:g}"
                )
        if step.is_logged and self.process.first:
            self.log.add({"images": images, "epoch": step.epoch, "lr": step.rate} | losses)
            text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            speed = self.progress.speed
            tqdm.write(f"epoch {step.epoch}, {images:,} images, {speed:.1f} images/s: {text}")

    def show(self, epoch: int, images: int, panels: Fetched) -> None:
        self.samples.add(epoch, images, panels.get())

    def draw(self) -> None:
        """Have the plot of the log drawn anew."""
        self.background.submit(self.log.draw)

    def close(self, received: int | None) -> None:
        """Show a training that ended by itself, or by the signal that it `received`."""
        if self.page is None:
            self.log.draw()
        elif self.progress.done >= self.progress.end:
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
