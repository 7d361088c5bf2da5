"""`training.html`: how a training of the classifiers goes, and in the end how well they do.

While it runs, a browser reads the page anew every REFRESH seconds.
"""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import submission  # noqa: F401  puts the report's folder, too, on the path
import pandas as pd
import torch
from pages import duration, save_page
from tables import RECALLS_FILE, RESULTS_FILE

LOSS_PLOT = "linear_loss.png"
REFRESH = 15  # seconds


@dataclass
class Step:
    """A part of a training, such as the extraction of features."""

    title: str
    begun: float  # seconds, by time.monotonic
    ended: float | None = None
    done: int = 0  # of `total`, in `unit`s; 0 of 0 where nothing is counted
    total: int = 0
    unit: str = ""
    loss: float | None = None  # the latest, where there is one

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.begun

    def progress(self) -> dict[str, str]:
        """How far it is, how fast, and how long it will take."""
        facts = {"so far": f"{self.done:,} of {self.total:,} {self.unit}"}
        if self.done and self.seconds > 0:
            facts["speed"] = f"{self.done / self.seconds:.3g} {self.unit}/s"
            left = (self.total - self.done) * self.seconds / self.done
            facts["time left"] = f"about {duration(left)} in this step"
        if self.loss is not None:
            facts["loss"] = f"{self.loss:.3g}"
        return facts


@dataclass
class TrainingPage:
    """Writes the page into `folder`. As a context it notes in the end how the training ended."""

    folder: Path
    options: Mapping[str, object]
    evaluations: Mapping[str, str]  # by folder in `folder`, what is said of it
    facts: dict[str, str] = field(default_factory=dict)  # what else is known by now
    steps: list[Step] = field(default_factory=list)
    written: float = 0.0  # seconds, by time.monotonic
    silent: bool = False  # writes nothing: another process of this training does

    def __enter__(self) -> "TrainingPage":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if self.steps:  # else nothing was begun, and a page of before stays
            self.steps[-1].ended = time.monotonic()
            self.write("done" if error is None else f"{kind.__name__}: {error}")

    def begin(self, title: str) -> None:
        """Write the page as the next step begins."""
        now = time.monotonic()
        if self.steps:
            self.steps[-1].ended = now
        self.steps.append(Step(title, now))
        self.write()

    def advance(self, done: int, total: int, unit: str, loss: float | None = None) -> None:
        """Note how far the present step is; write the page where the last time is long ago."""
        step = self.steps[-1]
        step.done, step.total, step.unit, step.loss = done, total, unit, loss
        if time.monotonic() >= self.written + REFRESH:
            self.write()

    def write(self, state: str = "running") -> None:
        """Write the page; a `state` but running and done says why the training stopped early."""
        if self.silent:
            return
        shown = self.evaluations.items() if state == "done" else ()
        self.folder.mkdir(parents=True, exist_ok=True)
        save_page(
            self.folder / "training.html",
            "training.html",
            state=state,
            refresh=REFRESH,
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            steps=self.steps,
            progress=self.steps[-1].progress(),
            known=self.facts,
            evaluations=[evaluation(self.folder, *one) for one in shown],
            loss_plot=LOSS_PLOT,
            options={f"--{name}": value for name, value in self.options.items()},
            machine={
                "processor": f"{platform.machine()}, {os.cpu_count()} cores",
                "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
                "system": platform.platform(),
                "software": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
            },
        )
        self.written = time.monotonic()


def evaluation(folder: Path, name: str, meaning: str) -> dict[str, object]:
    """What the page shows of the tables that lie in `folder / name`, if they do."""
    shown = {"folder": name, "meaning": meaning, "results": {}}
    if (folder / name / RESULTS_FILE).is_file():
        results = pd.read_csv(folder / name / RESULTS_FILE, keep_default_na=False)
        for images, rows in results.groupby("images", sort=False):
            shown["results"][images] = rows.to_dict("records")
        recalls = pd.read_csv(folder / name / RECALLS_FILE, keep_default_na=False)
        first = (recalls["classifier"] == "ensemble") & (recalls["images"] == results["images"][0])
        shown["recalls"] = recalls[first].to_dict("records")
    return shown
