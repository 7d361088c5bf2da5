"""How the programs here start and end, and what they call an error of the user's."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from common.files import ImageError

ROOT = Path(__file__).resolve().parents[2]


class InputError(Exception):
    """Something the user must put right; the message names it and says how."""


def positive(text: str) -> int:
    """The number of an option that must be 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return int(text)


def start(
    run: Callable[[argparse.Namespace], int], parse: Callable[[], argparse.Namespace]
) -> NoReturn:
    """Exit with what `run` gives; an error of the user's ends with its message and status 1."""
    logging.basicConfig(level=logging.INFO, format=f"{Path(sys.argv[0]).stem}: %(message)s")
    try:
        sys.exit(run(parse()))
    except (InputError, ImageError, OSError) as error:
        logging.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.error("stopped; run the same command to go on")
        sys.exit(130)


def become(program: str) -> NoReturn:
    """Go on as `program`, relative to the repository, with the arguments of this one."""
    os.execv(sys.executable, [sys.executable, str(ROOT / program), *sys.argv[1:]])
