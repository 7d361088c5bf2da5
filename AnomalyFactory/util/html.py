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
PER_PAGE = 50

STYLE = """
nav { position: sticky; top: 0; background: var(--ground); padding: .5rem 0;
      border-bottom: 1px solid var(--line); z-index: 1; }
nav button, nav select { font: inherit; }
nav > * { margin-right: .6rem; }
nav > .columns { margin: .5rem 0 0; }
.columns { display: flex; font-weight: 600; font-size: min(.9em, 3.2vw); }
.columns span { flex: 1; text-align: center; overflow: hidden; text-overflow: ellipsis; }
figure { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem 1rem; margin: .5rem 0;
         break-inside: avoid; }
figure[hidden] { display: none; }
figure img { display: block; background: var(--card); }
figcaption { overflow-wrap: anywhere; }
"""

# All rows stand in the page, so it is readable without a script; the script only hides rows, and
# a browser does not fetch the lazy pictures of hidden ones.
SCRIPT = """
const rows = [...document.querySelectorAll('figure')];
const group = document.querySelector('select');
const [previous, next] = document.querySelectorAll('nav button');
let page = 0;
function show() {
  const wanted = rows.filter(row => !group.value || row.dataset.group === group.value);
  const pages = Math.max(1, Math.ceil(wanted.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const shown = new Set(wanted.slice(page * PER_PAGE, (page + 1) * PER_PAGE));
  rows.forEach(row => { row.hidden = !shown.has(row); });
  document.querySelector('#place').textContent =
    `page ${page + 1} of ${pages}, ${wanted.length} rows`;
  previous.disabled = page === 0;
  next.disabled = page === pages - 1;
}
function turn(pages) { page += pages; show(); scrollTo(0, 0); }
previous.onclick = () => turn(-1);
next.onclick = () => turn(1);
group.onchange = () => { page = 0; show(); };
show();
""".replace("PER_PAGE", str(PER_PAGE))


@dataclass(frozen=True)
class Row:
    """A strip of panels; paths are relative to the page."""

    strip: str
    link: str
    caption: str
    group: str


def write_page(path: Path, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write an HTML page of `rows`, whose strips have one panel per name in `columns`."""
    page = new_page(title, STYLE)
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
