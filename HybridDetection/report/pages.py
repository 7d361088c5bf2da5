"""Pages for a browser: templates/ says what stands in them, static/style.css how they look.

They fit a phone, print, and follow the reader's colour scheme. All text is escaped.
"""

from itertools import pairwise
from pathlib import Path

from files import atomic
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


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
    units = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    for (size, name), (smaller, below) in pairwise(units):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // smaller} {below}"
    return f"{seconds} s"


def render(template: str, **values: object) -> str:
    """The page of a template. A value that it names and does not get is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"said": said, "duration": duration}
    # A page of one file has the style sheet in it; the report links to its own copy.
    style = Markup((STATIC / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **values)


def save_page(path: Path, template: str, **values: object) -> None:
    """Write the page of a template; bytes in the name of a file that are no UTF-8 as `\\udcff`."""
    with atomic(path) as temporary:
        text = render(template, **values)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
