"""One training at a time in a generator's folder. For Linux and macOS, whose fcntl it uses."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from util.checkpoint import make_folder
from util.distributed import slurm_restarted
from util.errors import InputError, naming

NAME = "training.lock"
UNFINISHED = f".{'[0-9a-f]' * 16}.part*"  # as util/files.py names a file until it is whole


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` alone during the block; what killed savings left in it is removed first.

    The system lets go of the lock when its process ends, however that happens. The lock file also
    says who holds it, for disks whose machines do not see one another's locks: one of another
    machine is left alone, but for that of the same job of Slurm, which has been started again
    elsewhere. Raises InputError when somebody else holds the folder.
    """
    make_folder(folder)
    path = folder / NAME
    file = take(path)
    try:
        for unfinished in folder.glob(UNFINISHED):
            unfinished.unlink()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
        with suppress(OSError):  # it has files now; else leave no trace of a mistaken start
            folder.rmdir()


def take(path: Path) -> TextIO:
    """The lock file, locked and with this process's name in it."""
    while True:
        file = path.open("a+", encoding="utf-8", errors="replace")
        try:
            lock(path, file)
            if is_still(path, file):  # else it was released and removed meanwhile: try again
                refuse_other_machines(path, file)
                with naming(path):
                    file.truncate(0)
                    file.write(f"{platform.node()} {os.getpid()} {own_job()}".rstrip())
                    file.flush()
                return file
        except BaseException:
            with suppress(OSError):  # what could not be written is tried again
                file.close()
            raise
        file.close()


def lock(path: Path, file: TextIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        host, process, _ = holder(file)
        raise InputError(
            f"{path}: a training of this name is running, process {process} on {host}; stop it,"
            " or choose another --name"
        ) from error


def is_still(path: Path, file: TextIO) -> bool:
    """Whether `file` is what lies at `path` now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def refuse_other_machines(path: Path, file: TextIO) -> None:
    host, process, job = holder(file)
    if slurm_restarted() and job == own_job() != "":
        return
    if host not in ("", platform.node()):
        raise InputError(
            f"{path}: a training of this name was started on {host}, process {process}, which"
            f" cannot be seen from {platform.node()}; when it runs no more, remove that file"
        )


def own_job() -> str:
    """The number of the job of Slurm that this is; empty where it is none."""
    return os.environ.get("SLURM_JOB_ID", "")


def holder(file: TextIO) -> tuple[str, str, str]:
    """Machine, process and job that a lock file names, each a short text; empty in a new one."""
    file.seek(0)
    host, process, job = (*file.read(300).split(" "), "", "", "")[:3]
    return host, process, job
