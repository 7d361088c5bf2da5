"""Pages for a browser: what all of them share. They fit a phone, print and either colour scheme."""

from collections.abc import Mapping
from pathlib import Path

from dominate import document, tags
from dominate.util import raw

from util.files import atomic

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def new_page(title: str, style: str = "", refresh: int | None = None, kind: str = "") -> document:
    """A page without content, for screens of any size; read again every `refresh` seconds. The
    style sheet has rules for each `kind` of page."""
    page = document(title=title)
    page.body["class"] = kind
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
