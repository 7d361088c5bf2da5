"""Errors that are the user's to mend: one line that says what is wrong, no traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from util.files import ImageError


class InputError(ValueError):
    """Something given cannot be used; the message names it, what was expected and what to do."""


@contextmanager
def reported(program: str) -> Iterator[None]:
    """Turn InputError, ImageError and OSError into a line on stderr and exit status 2; Ctrl-C
    where nothing is to be saved into status 130."""
    try:
        yield
    except (InputError, ImageError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error
