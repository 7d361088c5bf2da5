"""Pages of pictures: one strip of panels per row, with paging and a filter by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from dominate import tags
from dominate.util import raw
from PIL import Image

from util.images import write_jpeg
from util.pages import new_page, save_page

PANEL = 128  # pixels of a panel's side
SCRIPT = (Path(__file__).parent / "gallery.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """A strip of panels; paths are relative to the page."""

    strip: str
    link: str
    caption: str
    group: str


def write_page(path: Path, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write an HTML page of `rows`, whose strips have one panel per name in `columns`."""
    page = new_page(title, kind="gallery")
    width = PANEL * len(columns)
    with page:
        tags.h1(title)
        with tags.nav():
            with tags.select(aria_label="show"):
                tags.option("all", value="")
                for group in dict.fromkeys(row.group for row in rows):  # in the order of the rows
                    tags.option(group)
            tags.button("previous")
            tags.button("next")
            tags.span(f"{len(rows)} rows", id="place", role="status")
            with tags.div(cls="columns", style=f"max-width: {width}px"):
                for column in columns:
                    tags.span(column)
        for row in rows:
            with tags.figure(data_group=row.group):
                strip_picture(row.strip, row.link, f"{row.caption}: {', '.join(columns)}", width)
                tags.figcaption(row.caption)
        tags.script(raw(SCRIPT))
    save_page(page, path)


def strip_picture(strip: str, link: str, text: str, width: int) -> None:
    """A strip `width` pixels wide where the screen is, with the `text` that says what it shows."""
    with tags.a(href=quote(link)):
        tags.img(src=quote(strip), alt=text, width=width, height=PANEL, loading="lazy")


def write_strip(path: Path, images: Sequence[np.ndarray]) -> None:
    """Write uint8 RGB `images` side by side as a JPEG, each a panel of PANEL x PANEL."""
    size = (PANEL, PANEL)
    panels = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    write_jpeg(path, Image.fromarray(np.hstack(panels)))
