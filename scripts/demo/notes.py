"""Files that a quick start wrote, read back: in the form expected, or refused by name."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AGAIN = "remove .done/ in the run's folder and run quickstart.sh again"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """ValueError that names `path` and the next step where the block fails on its content."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not as the quick start wrote it ({reason}); {AGAIN}") from error


def fit(value: object, form: object) -> object:
    """`value` if it has `form`: a type, a list of one form, or forms by key of a dictionary.

    TypeError or KeyError where it has another. A whole number fits float, and becomes one.
    """
    if isinstance(form, dict):
        fit(value, type(form))
        return value | {key: fit(value[key], inner) for key, inner in form.items()}
    if isinstance(form, list):
        return [fit(item, form[0]) for item in fit(value, list)]
    if form is float and type(value) is int:
        return float(value)
    if not isinstance(value, form):
        raise TypeError(f"{type(value).__name__} where {form.__name__} is expected")
    return value


def read_note(path: Path, form: object) -> dict:
    """The JSON in `path`, of `form`. ValueError for another content."""
    with reading(path):
        return fit(json.loads(path.read_text(encoding="utf-8")), form)
