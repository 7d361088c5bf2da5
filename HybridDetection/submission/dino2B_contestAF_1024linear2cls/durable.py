"""What is reported as done outlives a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make the folder `path`, and those above it, where they are not there.

    No power cut takes their names.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name `path` where it names nothing, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Have what the file `path` holds, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
