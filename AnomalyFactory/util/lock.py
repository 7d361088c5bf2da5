"""One training at a time in a generator's folder."""

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from util.errors import InputError

NAME = "training.lock"
UNFINISHED = f".{'[0-9a-f]' * 16}.part*"  # as util/files.py names a file until it is whole


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` alone during the block; what killed savings left in it is removed first.

    The lock file says which process holds the folder. One whose process has gone is taken over.
    Raises InputError when the process runs, or runs on another machine, where nobody can tell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    take(path)
    try:
        for unfinished in folder.glob(UNFINISHED):
            unfinished.unlink()
        yield
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it has files now; else leave no trace of a mistaken start
            folder.rmdir()


def take(path: Path) -> None:
    while True:
        try:
            with path.open("x") as file:
                file.write(f"{platform.node()} {os.getpid()} {beginning(os.getpid())}")
            return
        except FileExistsError:
            with suppress(FileNotFoundError):  # released or taken over at this moment: try again
                remove_stale(path)


def remove_stale(path: Path) -> None:
    """Remove the lock in `path` if its process has gone; else raise InputError."""
    text = path.read_text(errors="replace")
    try:
        host, process, began = text.split()
        running = beginning(int(process)) == began
    except ValueError as error:
        raise InputError(
            f"{path}: does not say who holds it ({text!r}); when no training of this name runs,"
            " remove that file"
        ) from error
    if host != platform.node():
        raise InputError(
            f"{path}: a training of this name was started on {host}, process {process}, which"
            f" cannot be seen from {platform.node()}; when it runs no more, remove that file"
        )
    if running:
        raise InputError(
            f"{path}: a training of this name is running, process {process} on {host}; stop it,"
            " or choose another --name"
        )
    aside = path.with_name(f".{secrets.token_hex(8)}.part.lock")
    path.rename(aside)
    if aside.read_text(errors="replace") != text:  # another start was faster: this is its lock
        aside.rename(path)
        raise InputError(f"{path}: another training of this name has just begun")
    aside.unlink()


def beginning(process: int) -> str | None:
    """When this machine's `process` began, in ticks since the machine did; None if it has ended.

    Numbers of processes are used again; a number and its beginning are not.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # after its name, which may hold anything
    return None if state == "Z" else fields[18]  # Z: ended, and nobody has asked how
