"""`training.html`: how a training goes, while it runs and ever after.

While it runs, a browser reads the page anew every REFRESH seconds; when it ends, the page says how.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path

from dominate import tags

from util.html import PANEL, strip_picture
from util.pages import duration, new_page, save_page, show_facts
from util.progress import Progress
from util.visualizer import PANELS, LossLog, SamplePage

REFRESH = 15  # seconds
SHARE = 0.01  # of the training's time that writing the page may take
STRIPS = 12  # samples on the page
LATEST = 0.1  # share of the loss log that the mean of its latest losses is over

LOSSES = {
    "G_GAN": "the discriminator takes painted images for photographs",
    "G_GAN_Feat": "the discriminator sees the same in painted images and photographs",
    "G_VGG": "VGG19 sees the same in painted images and photographs",
    "G_L1": "painted images have the colours of their photographs, pixel by pixel",
    "D_real": "photographs are told to be photographs",
    "D_fake": "painted images are told to be painted",
}
RUNNING, DONE = "running", "done"
STYLE = """
ol { list-style: none; padding: 0; display: grid; gap: .8rem 1rem;
     grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; break-inside: avoid; }
figure img { display: block; background: var(--card); }
"""


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
        headline = {RUNNING: f"{percent} % trained", DONE: "trained"}.get(state, "stopped")
        refresh = REFRESH if state == RUNNING else None
        page = new_page(f"{self.name}: {headline}", STYLE, refresh)
        with page:
            tags.h1(f"{self.name} in training" if state == RUNNING else f"{self.name}: {headline}")
            self.show_state(progress, state)
            self.show_losses()
            self.show_samples()
            tags.h2("Options")
            show_facts("options", {f"--{name}": value for name, value in self.options.items()})
            tags.h2("Machine")
            show_facts("options", self.machine)
        save_page(page, self.path)

    def show_state(self, progress: Progress, state: str) -> None:
        written = time.strftime("%Y-%m-%d %H:%M:%S")
        if state == RUNNING:
            text = "The training runs. "
            note = (
                f"Written at {written}; the page looks for news every {REFRESH} seconds. Should "
                "that time stand still for minutes, the training was killed."
            )
        elif state == DONE:
            text, note = "The training is done.", f"Written at {written}, at its end."
        else:
            text = f"The training stopped early: {state}"
            note = f"Written at {written}; --continue_train goes on from the last save."
        tags.p(text, cls="state", role="status")
        label = f"{progress.done:,} of {progress.end:,} steps done"
        tags.progress(value=progress.done, max=max(progress.end, 1), aria_label=label)
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
        show_facts("facts", facts)
        tags.p(note, cls="soft")

    def show_losses(self) -> None:
        tags.h2("Losses")
        if not self.log.rows:
            tags.p("No report yet: --print_freq says after how many images there is one.")
            return
        latest = self.log.rows[-math.ceil(LATEST * len(self.log.rows)) :]
        tags.img(
            src=self.log.plot.name,
            alt="Curves of the losses by images seen; the table below has their first and last.",
            cls="plot",
            width=832,
        )
        with tags.div(cls="scroll"), tags.table():
            with tags.tr():
                tags.th("loss", scope="col")
                tags.th("is small when", scope="col")
                tags.th("first", scope="col", cls="number")
                tags.th(f"latest {len(latest)}, mean", scope="col", cls="number")
            for name in self.log.names():
                mean = sum(float(row[name]) for row in latest) / len(latest)
                with tags.tr():
                    tags.th(name, scope="row")
                    tags.td(LOSSES.get(name, ""))
                    tags.td(f"{float(self.log.rows[0][name]):.3f}", cls="number")
                    tags.td(f"{mean:.3f}", cls="number")
        tags.p(
            "G_GAN falls as D_real and D_fake rise: generator and discriminator play against each "
            "other. Where the discriminator can tell nothing, each of the three is 0.25 for each "
            "of its --num_D scales.",
            cls="soft",
        )

    def show_samples(self) -> None:
        rows = self.samples.spread(STRIPS)
        if not rows:
            return
        tags.h2("Samples over time")
        columns = ", ".join(PANELS)
        tags.p(f"Each is the first of the batch at hand. From left to right: {columns}.")
        width = PANEL * len(PANELS)
        with tags.ol():
            for row in rows:
                with tags.li(), tags.figure():
                    strip_picture(row.strip, row.link, f"{row.caption}: {columns}", width)
                    tags.figcaption(row.caption)
        tags.p(tags.a("All samples", href=self.samples.page.name))
