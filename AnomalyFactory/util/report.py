"""What a training tells of itself: its losses, its samples, and `training.html`, how it goes.

While it runs, a browser reads the page anew every REFRESH seconds; when it ends, the page says how.
"""

import argparse
import math
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from util.distributed import Process
from util.errors import InputError, message_of
from util.pages import PANEL, TEMPLATES, write_text
from util.visualizer import PANELS, LossLog, SamplePage

REFRESH = 15  # seconds
SHARE = 0.01  # of the training's time that writing the page may take
STRIPS = 12  # samples on the page
LATEST = 0.1  # share of the loss log that the mean of its latest losses is over
RUNNING, DONE = "running", "done"

LOSSES = {
    "G_GAN": "the discriminator takes painted images for photographs",
    "G_GAN_Feat": "the discriminator sees the same in painted images and photographs",
    "G_VGG": "VGG19 sees the same in painted images and photographs",
    "G_L1": "painted images have the colours of their photographs, pixel by pixel",
    "D_real": "photographs are told to be photographs",
    "D_fake": "painted images are told to be painted",
}


class Report:
    """Writes the loss log, the samples and the page of a training when they are due, which one
    process does.

    As a context it also notes on the page what ended a training early.
    """

    def __init__(
        self,
        opt: argparse.Namespace,
        folder: Path,
        process: Process,
        before: int,  # steps that this run found already done
        end: int,  # steps in all
        steps: int,  # of an epoch
    ):
        self.opt, self.folder, self.process = opt, folder, process
        self.done, self.before, self.end, self.steps = before, before, end, steps
        self.page = folder / "training.html" if process.first and not opt.no_html else None
        if process.first:
            self.log = LossLog(folder, self.images)
            self.samples = SamplePage(folder, opt.name, self.images)
        self.started, self.due = time.monotonic(), 0.0
        self.write_if_due()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object):
        if self.page and error is not None:
            self.write(f"{kind.__name__}: {message_of(error)}")

    @property
    def images(self) -> int:
        return self.done * self.opt.batchSize

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return -(-self.done // self.steps)

    def speed(self, seconds: float) -> float:
        """Images a second in this run, which took so long; 0 before its first step."""
        return (self.done - self.before) * self.opt.batchSize / seconds if seconds > 0 else 0.0

    def after_step(self, model: Any, done: int) -> None:
        """Take up the step of an AnomalyFactory that was the training's `done`-th."""
        self.done = done
        if due(done, self.opt.batchSize, self.opt.print_freq):
            losses = self.losses(model)
            if self.process.first:
                rate = model.optimizer_G.param_groups[0]["lr"]
                self.log.add({"images": self.images, "epoch": self.epoch, "lr": rate} | losses)
                text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                speed = f"{self.speed(time.monotonic() - self.started):.1f} images/s"
                tqdm.write(f"epoch {self.epoch}, {self.images:,} images, {speed}: {text}")
        if self.page and due(done, self.opt.batchSize, self.opt.display_freq):
            self.samples.add(self.epoch, self.images, model.panels())
        self.write_if_due()

    def losses(self, model: Any) -> dict[str, float]:
        """Those of the last step by name, over all processes, which call this together.

        Raises InputError when one is not finite: all weights are lost one step later.
        """
        values = dict(zip(model.last_losses, model.losses().tolist(), strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                rate = model.optimizer_G.param_groups[0]["lr"]
                raise InputError(
                    f"step {self.done}, epoch {self.epoch}: the loss {name} is {value}, so the"
                    f" training has failed. {self.folder} keeps what was saved before: go on from"
                    f" there with --continue_train and a --lr below {rate:g}"
                )
        return values

    def close(self, stopper: signal.Signals) -> None:
        """Show a training that ended by itself, or else by this signal."""
        if self.page:
            self.write(DONE if self.done >= self.end else f"it received {stopper.name}.")

    def write_if_due(self) -> None:
        """Write the page of a running training, where the last time is long enough ago."""
        begun = time.monotonic()
        if self.page and begun >= self.due:
            self.write(RUNNING)
            ended = time.monotonic()
            self.due = ended + max(REFRESH, (ended - begun) / SHARE)

    def write(self, state: str) -> None:
        """Write the page; `state` is RUNNING, DONE, or says why the training stopped early."""
        facts = self.facts(state)
        self.log.draw()
        log = self.log.read()
        latest = log.tail(math.ceil(LATEST * len(log)))
        percent = min(100, 100 * self.done // self.end) if self.end else 100  # 100 only at the end
        text = TEMPLATES.get_template("util/training_page.html").render(
            name=self.opt.name,
            options={f"--{name}": value for name, value in vars(self.opt).items()},
            headline={RUNNING: f"{percent} % trained", DONE: "trained"}.get(state, "stopped"),
            running=state == RUNNING,
            done=state == DONE,
            state=state,
            refresh=REFRESH,
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            steps=(self.done, self.end),
            facts=facts | ({} if log.empty else {"learning rate": log["lr"].iloc[-1]}),
            plot=self.log.plot.name,
            latest=len(latest),
            losses=[
                (name, meaning, log[name].iloc[0], latest[name].mean())
                for name, meaning in LOSSES.items()
                if name in log
            ],
            strips=self.samples.spread(STRIPS),
            all_samples=self.samples.page.name,
            panel=PANEL,
            panels=PANELS,
        )
        write_text(self.page, text)

    def facts(self, state: str) -> dict[str, str]:
        seconds = time.monotonic() - self.started
        speed = self.speed(seconds)
        facts = {
            "epoch": f"{self.epoch:,} of {self.end // self.steps:,}",
            "steps": f"{self.done:,} of {self.end:,}",
            "images seen": f"{self.images:,}",
            "speed": f"{speed:.3g} images/s" if speed else "not known yet",
            "time of this run": str(timedelta(seconds=round(seconds))),
            "computes on": machine(self.process),
        }
        if state == RUNNING:
            left = (self.end - self.done) * self.opt.batchSize / (speed or math.nan)
            facts["time left"] = str(timedelta(seconds=round(left))) if speed else "not known yet"
        return facts


def machine(process: Process) -> str:
    """What a training computes on."""
    on_gpu = process.device.type == "cuda"
    return f"{process.world} x {torch.cuda.get_device_name(process.device) if on_gpu else 'CPU'}"


def due(done: int, batch_size: int, every: int) -> bool:
    """Whether the last step's batch reached a multiple of `every` images."""
    return done * batch_size // every > (done - 1) * batch_size // every
