"""Pages for a browser: templates/ says what stands in them, static/style.css how they look.

They fit a phone, print, and follow the reader's colour scheme. All text is escaped.
"""

from pathlib import Path

from files import atomic
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


def render(template: str, **values: object) -> str:
    """The page of a template. A value that it names and does not get is an error."""
    rules = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, **rules)
    # A page of one file has the style sheet in it; the report links to its own copy.
    style = Markup((STATIC / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **values)


def save_page(path: Path, template: str, **values: object) -> None:
    """Write the page of a template; bytes in the name of a file that are no UTF-8 as `\\udcff`."""
    with atomic(path) as temporary:
        text = render(template, **values)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
