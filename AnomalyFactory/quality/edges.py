"""The detector that looks for edges in painted images: the one that drew the edge maps."""

from dataclasses import dataclass
from pathlib import Path

import torch
from models.pidinet import pidinet_detector
from models.scharr import scharr_edges
from PIL import Image
from util.errors import InputError

from quality.inputs import Dataset
from quality.measure import Detector

NOTE = "extract_edges"  # the PNG text chunk in which extract_edges.py says how it drew a map
UNKNOWN = "pidinet"  # drew the maps that say nothing: the published ones
POLARITY = "dark_on_white"  # what the generators expect, and what is compared here


@dataclass(frozen=True)
class EdgeFinder:
    """A detector by its name; without one, the reason for which there is none."""

    name: str
    detect: Detector | None
    reason: str = ""


def edge_finder(
    dataset: Dataset, wanted: str | None, weights: Path, device: torch.device
) -> EdgeFinder:
    """The detector that is `wanted`, else the one that drew the maps of the data set, which has
    some.

    Raises InputError when PiDiNet is wanted by name and its `weights` cannot be used.
    """
    notes = {note_of(path) for path in dataset.edges.values()}
    drawn_by = sorted({note.split()[0] for note in notes})
    if any(POLARITY not in note.split() for note in notes if " " in note):
        return EdgeFinder("", None, "edge maps are light on dark, where dark on light is expected")
    if wanted is None and len(drawn_by) > 1:
        found = " and ".join(drawn_by)
        return EdgeFinder("", None, f"the edge maps were drawn by {found}; choose a --detector")
    name = wanted or drawn_by[0]
    if name == "scharr":
        return EdgeFinder(name, scharr_edges)
    try:
        return EdgeFinder(name, pidinet_detector(weights, device))
    except InputError as error:
        if wanted:
            raise
        advice = "fetch the weights: scripts/download_models.sh pidinet"
        return EdgeFinder(name, None, f"the edge maps are PiDiNet's, and {error}; {advice}")


def note_of(path: Path) -> str:
    """How an edge map says it was drawn, detector first; UNKNOWN where it does not."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return str(image.info.get(NOTE, "")).strip() or UNKNOWN
    except Exception:  # Pillow's plugins raise many types; it is named when it is to be read
        return UNKNOWN
