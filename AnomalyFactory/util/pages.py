"""Pages for a browser: what all of them share. They fit a phone, print and either colour scheme."""

from collections.abc import Mapping
from pathlib import Path

from dominate import document, tags
from dominate.util import raw

from util.files import atomic

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
progress { width: 100%; height: 1.4rem; accent-color: var(--accent); }
dt { color: var(--soft); font-size: .9em; }
dd { margin: 0; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.3rem, 1fr)); gap: .6rem;
         margin: 1rem 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .5rem .8rem;
             break-inside: avoid; }
.facts dd { font-weight: 600; }
.options { columns: 22rem; }
.options div { display: flex; justify-content: space-between; gap: 1rem; break-inside: avoid;
               border-bottom: 1px solid var(--line); padding: .15rem 0; }
.options dt { font-family: ui-monospace, monospace; white-space: nowrap; }
.options dd { text-align: right; }
.state { font-size: 1.15em; overflow-wrap: anywhere; }
"""


def new_page(title: str, style: str = "", refresh: int | None = None) -> document:
    """A page without content, for screens of any size; read again every `refresh` seconds."""
    page = document(title=title)
    page["lang"] = "en"
    with page.head:
        tags.meta(charset="utf-8")
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        if refresh is not None:
            tags.meta(http_equiv="refresh", content=str(refresh))
        tags.style(raw(STYLE + style))
    return page


def save_page(page: document, path: Path) -> None:
    """Write `page`; bytes in the name of a file that are no UTF-8 as `\\udcff`."""
    text = page.render(pretty=False)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def show_facts(kind: str, facts: Mapping[str, object]) -> None:
    """Values under their names: of the `kind` "facts" on cards, "options" in rows."""
    with tags.dl(cls=kind):
        for name, value in facts.items():
            with tags.div():
                tags.dt(name)
                tags.dd(said(value))


def said(value: object) -> str:
    """A value, such as an option's, as a reader says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def duration(seconds: float) -> str:
    """`seconds` in its two largest units: 42 s, 3 min 5 s, 2 h 5 min, 3 d 4 h."""
    seconds = round(seconds)
    for size, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // smaller} {smaller_name}"
    return f"{seconds} s"
