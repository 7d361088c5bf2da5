"""Everything that a report is made of."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quality.edges import EdgeFinder
from quality.figures import Figure, Nearest
from quality.inputs import Dataset
from quality.measure import Painted, Photos


@dataclass(frozen=True)
class Report:
    """Everything that the page and the tables are made of."""

    dataset: Dataset
    photos: Photos
    painted: Painted
    nearest: Nearest
    looks: np.ndarray  # (n,) how painted each image looks
    finder: EdgeFinder
    backbone: str
    found: int  # painted images, of which those in `painted` were drawn
    sources: list[str]  # how they were painted
    figures: dict[str, Figure]
    colours_within: float
    pairs: list[Figure]
    images: list[Figure]
    left_out: list[str]
    too_few: list[str]


def how_painted(results: Path) -> list[str]:
    """What the notes that test.py leaves say of options and generator, a line each list."""
    lines = []
    for note in sorted(results.rglob("painted.json")):
        if not note.is_file():  # opening a pipe would wait for ever
            continue
        try:
            source = dict(json.loads(note.read_text(encoding="utf-8"))["source"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # a note that says nothing is no reason to say nothing of the images
        options = [
            f"--{name}" if value is True else f"--{name} {value}"
            for name, value in source.items()
            if name not in ("checkpoint", "list") and value not in (None, False)
        ]
        generator = str(source.get("checkpoint", "unknown"))[:12]
        lines.append(f"{note.parent.name}: generator {generator}, {' '.join(options)}")
    return lines
