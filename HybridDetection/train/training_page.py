"""`training.html`: how a training of the classifiers goes, and in the end how well they do.

While it runs, a browser reads the page anew every REFRESH seconds.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import submission  # noqa: F401  puts the report's folder, too, on the path
import pandas as pd
from model import LINEAR_FILE
from pages import save_page
from tables import RECALLS_FILE, RESULTS_FILE

LOSS_PLOT = "linear_loss.png"
REFRESH = 15  # seconds


@dataclass
class TrainingPage:
    """Writes the page into `folder`. As a context it notes in the end how the training ended."""

    folder: Path
    options: Mapping[str, object]
    evaluations: Mapping[str, str]  # by folder in `folder`, what is said of it
    facts: dict[str, str] = field(default_factory=dict)  # what else is known by now
    steps: dict[str, float] = field(default_factory=dict)  # when each began, by time.monotonic

    def __enter__(self) -> "TrainingPage":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if self.steps:  # else nothing was begun, and a page of before stays
            self.write("done" if error is None else f"{kind.__name__}: {error}")

    def begin(self, title: str) -> None:
        """Write the page as the next step begins."""
        self.steps[title] = time.monotonic()
        self.write()

    def write(self, state: str = "running") -> None:
        """Write the page; a `state` but running and done says why the training stopped early."""
        times = [*self.steps.values(), time.monotonic()]
        lasted = [timedelta(seconds=round(end - begin)) for begin, end in pairwise(times)]
        shown = self.evaluations.items() if state == "done" else ()
        self.folder.mkdir(parents=True, exist_ok=True)
        save_page(
            self.folder / "training.html",
            "training.html",
            state=state,
            refresh=REFRESH,
            kept=(self.folder / LINEAR_FILE).is_file(),
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            steps=dict(zip(self.steps, lasted, strict=True)),
            known=self.facts,
            evaluations=[evaluation(self.folder, *one) for one in shown],
            loss_plot=LOSS_PLOT,
            options={f"--{name}": value for name, value in self.options.items()},
        )


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
