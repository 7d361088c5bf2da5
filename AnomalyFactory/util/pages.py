"""Pages for a browser: what all of them share. They fit a phone, print and either colour scheme."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from util.files import atomic

HERE = Path(__file__).parent
STYLE = (HERE / "style.css").read_text(encoding="utf-8")
TEMPLATES = Environment(  # by their paths below AnomalyFactory/
    loader=FileSystemLoader(HERE.parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_text(path: Path, text: str) -> None:
    """Write `text` as it is, but for what names of files have that is not UTF-8: `\\udcff`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


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
