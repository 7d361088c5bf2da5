"""What a training tells of itself while it goes on: its losses, its samples, and when it fails."""

import argparse
import math
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from models.anomaly_factory import AnomalyFactory
from tqdm import tqdm

from util.background import Background, Fetched
from util.distributed import Process
from util.errors import InputError
from util.visualizer import LossLog, SamplePage

LAG = 3  # steps after which a GPU's losses are read: it is busy with those in between


class Step(NamedTuple):
    """A training step whose losses are on their way."""

    number: int  # from 1
    epoch: int
    rate: float  # the learning rate
    names: tuple[str, ...]  # of the losses
    losses: Fetched
    is_logged: bool


class Report:
    """Reads the losses of every step, LAG steps late on a GPU; writes the loss log and the samples
    when they are due, which one process does."""

    def __init__(
        self,
        opt: argparse.Namespace,
        folder: Path,
        images: int,  # seen so far
        process: Process,
        background: Background,  # of one thread
    ):
        self.opt, self.folder, self.process, self.background = opt, folder, process, background
        if process.first:
            self.log = LossLog(folder, images)
            self.page = SamplePage(folder, opt.name, images)
        self.lag = LAG if process.device.type == "cuda" else 0
        self.unread: deque[Step] = deque()
        self.started, self.images_before = time.monotonic(), images

    def after_step(self, model: AnomalyFactory, epoch: int, done: int) -> None:
        """Take up the step that was the training's `done`-th."""
        opt = self.opt
        is_logged = due(done, opt.batchSize, opt.print_freq)
        losses = Fetched(model.losses(of_all=is_logged))
        rate = model.optimizer_G.param_groups[0]["lr"]
        names = tuple(model.last_losses)
        self.unread.append(Step(done, epoch, rate, names, losses, is_logged))
        while len(self.unread) > self.lag:
            self.read(self.unread.popleft())
        shows = self.process.first and not opt.no_html
        if shows and due(done, opt.batchSize, opt.display_freq):
            panels = Fetched({name: batch[:1] for name, batch in model.panels().items()})
            self.background.submit(self.show, epoch, done * opt.batchSize, panels)

    def read_all(self) -> None:
        """Read what is still on its way. Waits for a GPU."""
        while self.unread:
            self.read(self.unread.popleft())

    def read(self, step: Step) -> None:
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
            seconds = time.monotonic() - self.started
            speed = (images - self.images_before) / seconds
            text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            tqdm.write(f"epoch {step.epoch}, {images:,} images, {speed:.1f} images/s: {text}")

    def show(self, epoch: int, images: int, panels: Fetched) -> None:
        self.page.add(epoch, images, panels.get())

    def draw(self) -> None:
        """Have the plot of the log drawn anew."""
        self.background.submit(self.log.draw)


def due(done: int, batch_size: int, every: int) -> bool:
    """Whether the last step's batch reached a multiple of `every` images."""
    return done * batch_size // every > (done - 1) * batch_size // every
