"""Files that a quick start wrote, read back: in the form expected, or refused by name."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.challenge_csv import TableError


def stage(*parts: str) -> str:
    """The next step where what a stage of quickstart.sh wrote cannot be used; `parts` name it."""
    return f"remove .done/{'-'.join(parts)} in the run's folder and run quickstart.sh again"


@contextmanager
def reading(path: Path, next_step: str) -> Iterator[None]:
    """An error that names `path` and `next_step` where the block fails on its content.

    FileNotFoundError where there is no such file, ValueError for another content.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {next_step}")
    try:
        yield
    except TableError as error:  # which names the file, and the line in it
        raise ValueError(f"{error}; {next_step}") from error
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: not as the quick start wrote it ({reason}); {next_step}"
        ) from error


def checked(value: object, form: object) -> object:
    """`value` if it has `form`: a type, a list of one form, or forms by key of a dictionary.

    TypeError or KeyError where it has another. A whole number fits float, and becomes one.
    """
    if isinstance(form, dict):
        checked(value, dict)
        return value | {key: checked(value[key], inner) for key, inner in form.items()}
    if isinstance(form, list):
        return [checked(item, form[0]) for item in checked(value, list)]
    if form is float and type(value) is int:
        return float(value)
    if type(value) is not form:  # True is an int to isinstance
        raise TypeError(f"{type(value).__name__} where {form.__name__} is expected")
    return value


def read_note(path: Path, form: object, next_step: str) -> dict:
    """The JSON in `path`, of `form`; see `reading`."""
    with reading(path, next_step):
        return checked(json.loads(path.read_text(encoding="utf-8")), form)
