"""Pages for a browser: what all of them share, and those of pictures, one strip of panels per row,
with paging and a filter by group. They fit a phone, print and either colour scheme."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from util.files import atomic

PANEL = 128  # pixels of a panel's side
TEMPLATES = Environment(  # by their paths below AnomalyFactory/
    loader=FileSystemLoader(Path(__file__).parents[1]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Row:
    """A strip of panels; paths are relative to the page."""

    strip: str
    link: str
    caption: str
    group: str


def write_page(path: Path, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write an HTML page of `rows`, whose strips have one panel per name in `columns`."""
    look = {"width": PANEL * len(columns), "panel": PANEL}
    page = TEMPLATES.get_template("util/gallery.html")
    write_text(path, page.render(title=title, columns=columns, rows=rows, **look))


def write_strip(path: Path, images: Sequence[np.ndarray]) -> None:
    """Write uint8 RGB `images` side by side as a JPEG, each a panel of PANEL x PANEL."""
    size = (PANEL, PANEL)
    panels = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    buffer = io.BytesIO()  # Pillow takes a file that a full disk cut short for whole
    Image.fromarray(np.hstack(panels)).save(buffer, "JPEG", quality=88)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write `text` as it is, but for what names of files have that is not UTF-8: `\\udcff`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
