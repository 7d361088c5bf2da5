"""`training.html`: how a training goes, while it runs and ever after.

While it runs, a browser reads the page anew every REFRESH seconds; when it ends, the page says how.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from util.pages import PANEL, TEMPLATES, duration, write_text
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
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return -(-self.done // self.steps_per_epoch)

    @property
    def speed(self) -> float:
        """Images a second in this run; 0 before its first step."""
        steps = self.done - self.before
        return steps * self.batch_size / self.seconds if steps and self.seconds > 0 else 0.0


class TrainingPage:
    """Writes the page of the training `name` in `folder`, from its log and its samples."""

    def __init__(
        self,
        folder: Path,
        name: str,
        log: LossLog,
        samples: SamplePage,
        options: Mapping[str, object],
        machine: Mapping[str, str],
    ):
        self.path, self.log, self.samples = folder / "training.html", log, samples
        named = {f"--{name}": value for name, value in options.items()}
        self.course = {"name": name, "options": named, "machine": machine}
        self.due = 0.0  # by time.monotonic

    def write_if_due(self, progress: Progress) -> None:
        """Write the page of a running training, where the last time is long enough ago."""
        begun = time.monotonic()
        if begun >= self.due:
            self.write(progress)
            ended = time.monotonic()
            self.due = ended + max(REFRESH, (ended - begun) / SHARE)

    def write(self, progress: Progress, state: str = RUNNING) -> None:
        """Write the page; `state` is RUNNING, DONE, or says why the training stopped early."""
        self.log.draw()
        done, end = progress.done, progress.end
        percent = min(100, 100 * done // end) if end else 100  # 100 only at the end
        rows = self.log.rows[-math.ceil(LATEST * len(self.log.rows)) :]
        text = TEMPLATES.get_template("util/training_page.html").render(
            **self.course,
            headline={RUNNING: f"{percent} % trained", DONE: "trained"}.get(state, "stopped"),
            running=state == RUNNING,
            done=state == DONE,
            state=state,
            refresh=REFRESH,
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            progress=progress,
            facts=self.facts(progress, state),
            plot=self.log.plot.name,
            latest=len(rows),
            losses=[
                (
                    name,
                    LOSSES.get(name, ""),
                    [float(row[name]) for row in (self.log.rows[0], *rows)],
                )
                for name in self.log.names()
            ],
            strips=self.samples.spread(STRIPS),
            all_samples=self.samples.page.name,
            panel=PANEL,
            panels=PANELS,
        )
        write_text(self.path, text)

    def facts(self, progress: Progress, state: str) -> dict[str, str]:
        speed, epochs = progress.speed, progress.end // progress.steps_per_epoch
        facts = {
            "epoch": f"{progress.epoch:,} of {epochs:,}",
            "steps": f"{progress.done:,} of {progress.end:,}",
            "images seen": f"{progress.images:,}",
            "speed": f"{speed:.3g} images/s" if speed else "not known yet",
            "time of this run": duration(progress.seconds),
        }
        if state == RUNNING:
            left = (progress.end - progress.done) * progress.batch_size
            facts["time left"] = f"about {duration(left / speed)}" if speed else "not known yet"
        if self.log.rows:
            facts["learning rate"] = self.log.rows[-1]["lr"]
        return facts
