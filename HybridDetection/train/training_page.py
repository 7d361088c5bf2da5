"""`training.html`: how a training of the classifiers goes, and in the end how well they do.

While it runs, a browser reads the page anew every REFRESH seconds.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import submission  # noqa: F401  puts the report's folder, too, on the path
import pandas as pd
import torch
from pages import duration, save_page
from tables import RECALLS_FILE, RESULTS_FILE, SCORES_FILE

FILE = "training.html"
LOSS_PLOT = "linear_loss.png"
REFRESH = 15  # seconds

RUNNING, DONE = "running", "done"
METRICS = {  # of an evaluation, as a reader calls them
    "tpr_at_tnr95": "hybrids found at 95 % TNR",
    "pr_auc": "PR AUC",
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy",
}
PLOTS = {
    "score_histograms.png": "Scores of hybrids and non-hybrids, with the threshold of 95 % TNR",
    "roc.png": "Share of hybrids found by share of non-hybrids called hybrids",
    "precision_recall.png": "Precision by share of hybrids found",
}
FILES = {
    "metrics": RESULTS_FILE,
    "by subspecies and cross": RECALLS_FILE,
    "scores of every image": SCORES_FILE,
}


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self.steps:  # else nothing was begun, and a page of before stays
            self.end_step()
            self.write(DONE if error is None else f"{kind.__name__}: {error}")

    def begin(self, title: str) -> None:
        """Write the page as the next step begins."""
        self.end_step()
        self.steps.append(Step(title, time.monotonic()))
        self.write()

    def end_step(self) -> None:
        if self.steps:
            self.steps[-1].ended = time.monotonic()

    def advance(self, done: int, total: int, unit: str, loss: float | None = None) -> None:
        """Note how far the present step is; write the page where the last time is long ago."""
        step = self.steps[-1]
        step.done, step.total, step.unit, step.loss = done, total, unit, loss
        if time.monotonic() >= self.written + REFRESH:
            self.write()

    def write(self, state: str = RUNNING) -> None:
        """Write the page; `state` is RUNNING, DONE, or says why the training stopped early."""
        if self.silent:
            return
        evaluations = self.evaluations if state == DONE else {}
        self.folder.mkdir(parents=True, exist_ok=True)
        save_page(
            self.folder / FILE,
            "training.html",
            state=state,
            headline={RUNNING: "in training", DONE: "trained"}.get(state, "training stopped"),
            refresh=REFRESH if state == RUNNING else None,
            written=time.strftime("%Y-%m-%d %H:%M:%S"),
            steps=self.steps,
            progress=self.steps[-1].progress(),
            known=self.facts,
            evaluations=[evaluation(self.folder, *one) for one in evaluations.items()],
            loss_plot=LOSS_PLOT,
            options={f"--{name}": value for name, value in self.options.items()},
            machine=machine(),
        )
        self.written = time.monotonic()


def evaluation(folder: Path, name: str, meaning: str) -> dict[str, object]:
    """What the page shows of the tables and plots that lie in `folder / name`, if they do."""
    shown = {"folder": name, "meaning": meaning, "tables": [], "files": FILES, "plots": PLOTS}
    path = folder / name / RESULTS_FILE
    if not path.is_file():
        return shown
    results = pd.read_csv(path, keep_default_na=False)
    for images, rows in results.groupby("images", sort=False):
        first = rows.iloc[0]
        count = f"{first['rows']} images, {first['hybrids']} of them hybrids"
        title = {"all": "all together"}.get(images, images)
        shown["tables"].append(table(f"{title}: {count}", ["classifier"], rows, METRICS))
    recalls = pd.read_csv(folder / name / RECALLS_FILE, keep_default_na=False)
    images = results["images"].iloc[0]
    groups = recalls[(recalls["classifier"] == "ensemble") & (recalls["images"] == images)]
    title = f"{images}: called rightly by the ensemble at its threshold"
    keys = ["hybrid_stat", "group", "rows"]
    shown["tables"].append(table(title, keys, groups, {"recall": "called rightly"}))
    return shown


def table(
    title: str, keys: Sequence[str], rows: pd.DataFrame, numbers: Mapping[str, str]
) -> dict[str, object]:
    """Of `rows` the columns `keys`, then each of `numbers` with its interval."""
    cells = [
        (
            [str(row[key]) for key in keys],
            [(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in numbers],
        )
        for _, row in rows.iterrows()
    ]
    heads = [*(key.replace("_stat", "") for key in keys), *numbers.values()]
    return {"title": title, "heads": heads, "rows": cells}


def machine() -> dict[str, str]:
    """What a training runs on, by the name of the fact."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "GPU": gpu,
        "system": platform.platform(),
        "software": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
