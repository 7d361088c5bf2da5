"""Errors that are the user's to mend: one line that says what is wrong, no traceback."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from util.files import ImageError


class InputError(ValueError):
    """Something given cannot be used; the message names it, what was expected and what to do."""


@contextmanager
def reported(program: str) -> Iterator[None]:
    """Turn InputError, ImageError and OSError into a line on stderr and exit status 2; Ctrl-C
    where nothing is to be saved into status 130."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # one that is closed is None
        stream.reconfigure(errors="backslashreplace")  # the name of a file may be no UTF-8
    try:
        yield
    except BaseException as error:
        # Lets go of a DataLoader, which ends its workers then. They are deaf to SIGTERM, and
        # Python would wait for them at its exit for ever.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(130) from error
        if not isinstance(error, InputError | ImageError | OSError):
            raise
        print(f"{program}: error: {message_of(error)}", file=sys.stderr)
        raise SystemExit(2) from error


def message_of(error: BaseException) -> str:
    text = str(error)
    if text.startswith("Caught "):  # from a DataLoader's worker: after a traceback and its type
        return text.splitlines()[-1].partition(": ")[2]
    return text


def refuse_special(path: Path) -> None:
    """Raise InputError for what is there and is no file: opening a pipe would wait for ever."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a folder, a pipe or a device; move it away")
