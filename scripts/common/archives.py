"""Put the contents of a downloaded archive in their place.

An archive is a stranger's: it may hold files and folders whose names stay below it, and nothing
else. Anything more (links, devices) is refused before a byte is unpacked.
"""

import shutil
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

from common.files import inside
from common.program import InputError


def check(members: list[tuple[str, int, bool]], folder: Path) -> None:
    """ValueError for one of (name, bytes, whether a file or folder) that has no business there."""
    needed, free = 0, shutil.disk_usage(folder).free
    for name, size, plain in members:
        inside(folder, name)
        if not plain:  # a link may stay inside, and lead out once it is moved to its place
            raise ValueError(f"{name!r} is a link or a device; expected files and folders")
        needed += size
    if needed > free:
        raise ValueError(f"{needed / 1e9:.1f} GB unpacked, but the disk has {free / 1e9:.1f} free")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file below `folder`, never outside it. Raises InputError."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                kinds = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: made elsewhere than on Unix
                members = [
                    (m.filename, m.file_size, stat.S_IFMT(m.external_attr >> 16) in kinds)
                    for m in file.infolist()
                ]
                check(members, folder)
                file.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                check([(m.name, m.size, m.isreg() or m.isdir()) for m in file], folder)
                # The first releases of Python 3.10 and 3.11 have no such filter.
                file.extraction_filter = getattr(tarfile, "data_filter", None)
                file.extractall(folder)
        else:
            raise ValueError("neither a zip nor a tar file")
    except Exception as error:  # the readers raise many types on damaged archives
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error


def install(archive: Path, folder: Path, names: list[str]) -> None:
    """Move to `folder` what lies beside all `names` in the zip or tar file `archive`, however deep.

    An archive that is itself the one name (a weights file) is copied there as it is. Nothing that
    `folder` holds already is overwritten. Raises InputError, leaving `folder` as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that what is unpacked moves there in one step a file or folder.
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
        unpacked = Path(temporary)
        if len(names) == 1 and archive.suffix and archive.suffix == Path(names[0]).suffix:
            shutil.copyfile(archive, unpacked / names[0])
        else:
            unpack(archive, unpacked)
        tree = [unpacked, *sorted(unpacked.rglob("*"))]
        holders = [path for path in tree if all((path / name).exists() for name in names)]
        if not holders:
            contents = [path.relative_to(unpacked).as_posix() for path in tree[1:]]
            found = ", ".join(contents[:10]) or "nothing"
            raise InputError(
                f"{archive}: no folder in it holds {', '.join(names)}; it holds {found}"
            )
        holder = min(holders, key=lambda path: len(path.parts))  # the first, nearest the top
        added = (".", "__MACOSX")  # by systems, to archives
        wanted = [path for path in sorted(holder.iterdir()) if not path.name.startswith(added)]
        for path in wanted:
            if (folder / path.name).exists():
                raise InputError(f"{folder / path.name} is there already; move it away first")
        for path in wanted:
            path.rename(folder / path.name)
