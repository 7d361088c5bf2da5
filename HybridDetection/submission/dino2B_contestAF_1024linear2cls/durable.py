"""What is reported as done outlives a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make the folder `path`, and those above it, where it is not there; its name outlives one."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of writing, such as that of a full disk, name no file; in this, they name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename:
            raise
        raise OSError(f"{path}: {error}") from error


def sync(path: Path) -> None:
    """Have what the file `path` holds, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
