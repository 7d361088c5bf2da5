"""`training.html`: how a training of the classifiers goes, and in the end how well they do.

While it runs, a browser reads the page anew every REFRESH seconds.
"""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from dominate import tags
from durable import make_folder
from pages import duration, new_page, save_page, show_facts
from tables import PLOT_FILES, RECALLS_FILE, RESULTS_FILE, SCORES_FILE

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
STYLE = """
figure { margin: 1rem 0; break-inside: avoid; }
caption { text-align: left; font-weight: 600; padding: .8rem 0 .3rem; }
img.wide { max-width: none; width: max(100%, 56rem); }
small { color: var(--soft); white-space: nowrap; }
"""


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
        headline = {RUNNING: "in training", DONE: "trained"}.get(state, "training stopped")
        title = f"Classifiers of hybrids: {headline}"
        page = new_page(title, STYLE, REFRESH if state == RUNNING else None)
        with page:
            tags.h1(title)
            self.show_state(state)
            if state == DONE:
                for folder, meaning in self.evaluations.items():
                    show_evaluation(self.folder, folder, meaning)
                show_loss(self.folder)
            tags.h2("Options")
            show_facts("options", {f"--{name}": value for name, value in self.options.items()})
            tags.h2("Machine")
            show_facts("options", machine())
        make_folder(self.folder)
        save_page(page, self.folder / FILE)
        self.written = time.monotonic()

    def show_state(self, state: str) -> None:
        written = time.strftime("%Y-%m-%d %H:%M:%S")
        if state == RUNNING:
            text = f"The training runs: {self.steps[-1].title}."
            note = (
                f"Written at {written}; the page looks for news every {REFRESH} seconds. A step "
                "that counts nothing may take minutes."
            )
        elif state == DONE:
            text, note = "The training is done.", f"Written at {written}, at its end."
        else:
            text = f"The training stopped early: {state}"
            note = (
                f"Written at {written}. Classifiers that lie here are those of a training before; "
                "the same command starts anew, with the features that were extracted already."
            )
        tags.p(text, cls="state", role="status")
        if state == RUNNING:
            show_step(self.steps[-1])
        if self.facts:
            show_facts("facts", self.facts)
        tags.p(note, cls="soft")
        tags.h2("Steps")
        with tags.div(cls="scroll"), tags.table():
            for step in self.steps:
                with tags.tr():
                    tags.th(step.title, scope="row")
                    seconds = (step.ended or time.monotonic()) - step.begun
                    tags.td(duration(seconds) + ("" if step.ended else " so far"), cls="number")


def show_step(step: Step) -> None:
    """How far the present step is, how fast, and how long it will take."""
    if not step.total:
        return
    label = f"{step.done:,} of {step.total:,} {step.unit}"
    tags.progress(value=step.done, max=step.total, aria_label=label)
    seconds = time.monotonic() - step.begun
    facts = {"so far": label}
    if step.done and seconds > 0:
        facts["speed"] = f"{step.done / seconds:.3g} {step.unit}/s"
        left = (step.total - step.done) * seconds / step.done
        facts["time left"] = f"about {duration(left)} in this step"
    if step.loss is not None:
        facts["loss"] = f"{step.loss:.3g}"
    show_facts("facts", facts)


def show_evaluation(folder: Path, name: str, meaning: str) -> None:
    """The tables and plots that `write_evaluation` left in `folder / name`."""
    tags.h2(name.replace("_", " ").capitalize())
    tags.p(meaning)
    path = folder / name / RESULTS_FILE
    if not path.is_file():
        tags.p(
            "Not scored: both hybrids and non-hybrids must be held out; the log says what lacks."
        )
        return
    results = pd.read_csv(path, keep_default_na=False)
    for kind, rows in results.groupby("images", sort=False):
        first = rows.iloc[0]
        count = f"{first['rows']} images, {first['hybrids']} of them hybrids"
        title = {"all": "all together"}.get(kind, kind)
        show_numbers(f"{title}: {count}", ["classifier"], rows, METRICS)
    recalls = pd.read_csv(folder / name / RECALLS_FILE, keep_default_na=False)
    kind = results["images"].iloc[0]
    groups = recalls[(recalls["classifier"] == "ensemble") & (recalls["images"] == kind)]
    show_numbers(
        f"{kind}: called rightly by the ensemble at its threshold",
        ["hybrid_stat", "group", "rows"],
        groups,
        {"recall": "called rightly"},
    )
    tags.p(
        "In brackets: 95 % of a bootstrap's resamples. All numbers: ",
        tags.a("metrics", href=f"{name}/{RESULTS_FILE}"),
        ", ",
        tags.a("by subspecies and cross", href=f"{name}/{RECALLS_FILE}"),
        ", ",
        tags.a("scores of every image", href=f"{name}/{SCORES_FILE}"),
        ".",
    )
    for file in PLOT_FILES:
        show_plot(f"{name}/{file}", PLOTS[file], wide=file == "score_histograms.png")


def show_numbers(
    title: str, keys: Sequence[str], rows: pd.DataFrame, numbers: Mapping[str, str]
) -> None:
    """A table of `rows`: the columns `keys`, then each of `numbers` with its interval."""
    with tags.div(cls="scroll", tabindex="0", role="region", aria_label=title), tags.table():
        tags.caption(title)
        with tags.tr():
            for name in (*(key.replace("_stat", "") for key in keys), *numbers.values()):
                tags.th(name, scope="col")
        for _, row in rows.iterrows():
            with tags.tr():
                tags.th(str(row[keys[0]]), scope="row")
                for key in keys[1:]:
                    tags.td(str(row[key]))
                for number in numbers:
                    low, high = row[f"{number}_low"], row[f"{number}_high"]
                    tags.td(f"{row[number]:.3f} ", tags.small(f"[{low:.3f}, {high:.3f}]"))


def show_loss(folder: Path) -> None:
    tags.h2("Loss of the linear classifier")
    show_plot(LOSS_PLOT, "Cross-entropy on the rows that it learns from, by epoch")


def show_plot(file: str, caption: str, wide: bool = False) -> None:
    """A plot that a click shows alone; a `wide` one is moved sideways on a phone."""
    with tags.figure():
        with tags.div(cls="scroll"), tags.a(href=file):
            tags.img(src=file, alt=caption, cls="plot wide" if wide else "plot", loading="lazy")
        tags.figcaption(caption)


def machine() -> dict[str, str]:
    """What a training runs on, by the name of the fact."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "GPU": gpu,
        "system": platform.platform(),
        "software": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
