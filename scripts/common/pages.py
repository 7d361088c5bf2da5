"""Pages for a browser: what all of them share. They fit a phone, print and either colour scheme."""

from pathlib import Path

from dominate import document, tags
from dominate.util import raw

from common.files import atomic

# Colours by name, so that the dark scheme and print change them in one place.
STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #57606a; --ground: #fff;
        --card: #f3f4f6; --line: #d0d7de; --accent: #0b57d0; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --soft: #a4adb8; --ground: #14171a; --card: #20262c;
          --line: #3d464f; --accent: #8ab4f8; }
  img.plot { filter: invert(.92) hue-rotate(180deg); }  /* a plot on white, read as on black */
}
@media print { :root { color-scheme: light; } nav { display: none; } a { color: inherit; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 64rem;
       padding: 1rem; color: var(--text); background: var(--ground); }
h1, h2 { line-height: 1.25; margin: 1.5em 0 .5em; }
h1 { margin-top: .3em; overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible, button:focus-visible, select:focus-visible { outline: 3px solid var(--accent); }
img { max-width: 100%; height: auto; }
.soft, figcaption { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left;
         vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def new_page(title: str, style: str = "") -> document:
    """A page without content, for screens of any size."""
    page = document(title=title)
    page["lang"] = "en"
    with page.head:
        tags.meta(charset="utf-8")
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        tags.style(raw(STYLE + style))
    return page


def save_page(page: document, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(page.render(pretty=False), encoding="utf-8")
