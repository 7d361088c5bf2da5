"""Put the contents of a downloaded archive in their place.

An archive is a stranger's: it may hold files and folders whose names stay below it, and nothing
else. Anything more (links, devices) is refused before a byte is unpacked.
"""

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from common.files import inside
from common.program import InputError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file below `folder`, never outside it. Raises InputError."""
    try:
        if zipfile.is_zipfile(archive):  # zipfile makes files and folders of whatever is in one
            with zipfile.ZipFile(archive) as file:
                for name in file.namelist():
                    inside(folder, name)
                file.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                for member in file:
                    inside(folder, member.name)
                    # A link may stay inside, and lead out once it is moved to its place.
                    if not (member.isreg() or member.isdir()):
                        raise ValueError(f"{member.name!r} is a link or a device; expected files")
                # The first releases of Python 3.10 and 3.11 have no such filter.
                file.extraction_filter = getattr(tarfile, "data_filter", None)
                file.extractall(folder)
        else:
            raise ValueError("neither a zip nor a tar file; perhaps a page that says why")
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
