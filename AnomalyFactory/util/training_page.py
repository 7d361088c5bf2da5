"""`training.html`: how a training goes, while it runs and ever after.

While it runs, a browser reads the page anew every REFRESH seconds; when it ends, the page says how.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from util.files import atomic
from util.html import PANEL
from util.pages import STYLE, duration, said
from util.progress import Progress
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
        self.path, self.name = folder / "training.html", name
        self.log, self.samples = log, samples
        self.options, self.machine = options, machine
        self.due = 0.0  # by time.monotonic
        rules = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
        environment = Environment(loader=FileSystemLoader(Path(__file__).parent), **rules)
        environment.filters["said"] = said
        self.template = environment.get_template("training_page.html")

    def is_due(self) -> bool:
        """Whether the last time is long enough ago."""
        return time.monotonic() >= self.due

    def write_if_due(self, progress: Progress) -> None:
        """Write the page of a running training, where it is due."""
        begun = time.monotonic()
        if self.is_due():
            self.write(progress)
            ended = time.monotonic()
            self.due = ended + max(REFRESH, (ended - begun) / SHARE)

    def write(self, progress: Progress, state: str = RUNNING) -> None:
        """Write the page; `state` is RUNNING, DONE, or says why the training stopped early."""
        self.log.draw()
        percent = math.floor(100 * progress.share)  # 100 only at the end
        rows = self.log.rows[-math.ceil(LATEST * len(self.log.rows)) :]
        text = self.template.render(
            name=self.name,
            headline={RUNNING: f"{percent} % trained", DONE: "trained"}.get(state, "stopped"),
            running=state == RUNNING,
            done=state == DONE,
            state=state,
            refresh=REFRESH,
            style=STYLE,
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            progress=progress,
            facts=self.facts(progress, state),
            plot=self.log.plot.name,
            latest=len(rows),
            losses=[
                {
                    "name": name,
                    "meaning": LOSSES.get(name, ""),
                    "first": float(self.log.rows[0][name]),
                    "latest": sum(float(row[name]) for row in rows) / len(rows),
                }
                for name in self.log.names()
            ],
            strips=self.samples.spread(STRIPS),
            all_samples=self.samples.page.name,
            panel=PANEL,
            panels=PANELS,
            options={f"--{name}": value for name, value in self.options.items()},
            machine=self.machine,
        )
        with atomic(self.path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

    def facts(self, progress: Progress, state: str) -> dict[str, str]:
        left = progress.seconds_left
        facts = {
            "epoch": f"{progress.epoch:,} of {progress.epochs:,}",
            "steps": f"{progress.done:,} of {progress.end:,}",
            "images seen": f"{progress.images:,}",
            "speed": f"{progress.speed:.3g} images/s" if progress.speed else "not known yet",
            "time of this run": duration(progress.seconds),
        }
        if state == RUNNING:
            facts["time left"] = "not known yet" if left is None else f"about {duration(left)}"
        if self.log.rows:
            facts["learning rate"] = self.log.rows[-1]["lr"]
        return facts
