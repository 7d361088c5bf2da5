"""One training at a time in a generator's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from util.errors import InputError

UNFINISHED = f".{'[0-9a-f]' * 16}.part*"  # as util/files.py names a file until it is whole


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` alone during the block, else raise InputError; what killed savings left in it
    is removed first. The system lets go when the process ends, however that happens."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "training.lock"
    try:
        with FileLock(path, timeout=0):
            for unfinished in folder.glob(UNFINISHED):
                unfinished.unlink()
            yield
    except Timeout as error:
        raise InputError(
            f"{path}: a training of this name is running; stop it, or choose another --name"
        ) from error
