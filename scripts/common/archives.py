"""Put the contents of a downloaded archive in their place.

    PYTHONPATH=scripts python -m common.archives ARCHIVE FOLDER NAME [NAME ...]

finds the folder of the zip or tar ARCHIVE that holds all the NAMEs, however deep it lies, and
moves what is in it to FOLDER. An ARCHIVE that is itself the one NAME (a weights file) is moved
there as it is. Nothing that FOLDER holds already is overwritten.
"""

import argparse
import logging
import lzma
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

UNREADABLE = (  # what a damaged archive raises
    OSError,
    EOFError,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

log = logging.getLogger("archives")


class ArchiveError(Exception):
    """An archive that cannot be used; the message names it and says why."""


def check_space(archive: Path, needed: int, folder: Path) -> None:
    """Raise ArchiveError unless the disk of `folder` has room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{archive}: {needed / 1e9:.1f} GB unpacked, but {folder} has {free / 1e9:.1f} GB free"
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file below `folder`, never outside it. Raises ArchiveError."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                check_space(archive, sum(member.file_size for member in file.infolist()), folder)
                file.extractall(folder)  # drops "..", drives and leading slashes; makes no links
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                check_space(archive, sum(member.size for member in file), folder)
                file.extractall(folder, filter="data")  # refuses what would leave the folder
        else:
            with archive.open("rb") as file:
                start = file.read(60)
            raise ArchiveError(f"{archive}: neither a zip nor a tar file; it begins {start!r}")
    except UNREADABLE as error:
        raise ArchiveError(f"{archive}: cannot be unpacked ({error})") from error


def find_holder(folder: Path, names: list[str]) -> Path | None:
    """The folder nearest the top of the tree `folder` that holds all `names`, or None."""
    tree = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    holders = [path for path in tree if all((path / name).exists() for name in names)]
    return min(holders, key=lambda path: (len(path.parts), path), default=None)


def is_weights(archive: Path) -> bool:
    """Whether the zip file is what torch.save writes: a pickle beside its tensors."""
    if not zipfile.is_zipfile(archive):
        return False
    with zipfile.ZipFile(archive) as file:
        return any(name.count("/") == 1 and name.endswith("/data.pkl") for name in file.namelist())


def install(archive: Path, folder: Path, names: list[str]) -> None:
    """Do what the head of this file says. Raises ArchiveError, leaving `folder` as it was."""
    if not archive.is_file():
        raise ArchiveError(f"{archive}: no such file")
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that what is unpacked moves there in one step a file or folder.
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as name:
        holder = Path(name)
        if len(names) == 1 and (archive.name == names[0] or is_weights(archive)):
            shutil.copyfile(archive, holder / names[0])
        else:
            unpack(archive, holder)
            found = find_holder(holder, names)
            if found is None:
                inside = sorted(p.relative_to(holder).as_posix() for p in holder.rglob("*"))
                raise ArchiveError(
                    f"{archive}: no folder in it holds {', '.join(names)}; it holds "
                    f"{', '.join(inside[:10]) or 'nothing'}"
                )
            holder = found
        wanted = [
            path
            for path in sorted(holder.iterdir())
            if not path.name.startswith((".", "__MACOSX"))  # what systems add to archives
        ]
        for path in wanted:
            if (folder / path.name).exists():
                raise ArchiveError(f"{folder / path.name} is there already; move it away first")
        for path in wanted:
            path.rename(folder / path.name)
            log.info("%s", folder / path.name)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="archives: %(message)s")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, help="the downloaded file")
    parser.add_argument("folder", type=Path, help="where its contents belong")
    parser.add_argument("names", nargs="+", help="files or folders that must be in it")
    args = parser.parse_args()
    try:
        install(args.archive, args.folder, args.names)
    except (ArchiveError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
