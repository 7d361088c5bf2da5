"""Put the contents of a downloaded archive in their place.

    PYTHONPATH=scripts python -m common.archives ARCHIVE FOLDER NAME [NAME ...]

finds the folder of the zip or tar ARCHIVE that holds all the NAMEs, however deep it lies, and
moves what is in it to FOLDER. An ARCHIVE that is itself the one NAME (a weights file) is moved
there as it is. Nothing that FOLDER holds already is overwritten.

An archive is a stranger's: it may hold files and folders whose names stay below it, each name
once, and nothing else. Anything more (links, devices) is refused before a byte is unpacked.
"""

import argparse
import errno
import logging
import lzma
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.files import inside

UNREADABLE = (  # what a damaged archive raises
    OSError,
    EOFError,
    RuntimeError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

LONGEST_HEADER = 2**20  # bytes; a header says names and dates

log = logging.getLogger("archives")


# Errors of the disk that is written to; others that the readers raise are of spoilt archives.
OF_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
}


class ArchiveError(Exception):
    """An archive that cannot be used; the message names it and says why."""


class SpoiltArchive(ArchiveError):
    """One that is damaged, or another than was asked for: fetched anew, it may be the right one."""


@dataclass(frozen=True)
class Member:
    """What an archive says of one thing in it."""

    name: str
    kind: str  # "file" or "folder"; anything else is refused under that name
    size: int  # bytes once unpacked
    open: Callable[[], IO[bytes]]


def zip_members(file: zipfile.ZipFile) -> Iterable[Member]:
    """The members of a zip file, whose Unix mode, where it has one, says what each is."""
    kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    for info in file.infolist():
        kind = kinds.get(stat.S_IFMT(info.external_attr >> 16), "special file")
        if kind == "file" and info.is_dir():
            kind = "folder"
        yield Member(info.filename, kind, info.file_size, lambda info=info: file.open(info))


class ShortHeaders(tarfile.TarInfo):
    """A member of a tar file whose long name and notes, which tarfile reads whole, are bounded."""

    def _proc_member(self, file: tarfile.TarFile) -> tarfile.TarInfo:
        if not (self.isreg() or self.isdir()) and self.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"{self.name!r} has {self.size:,} bytes of header")
        return super()._proc_member(file)


def open_tar(archive: Path) -> tarfile.TarFile:
    """The tar file `archive`, compressed or not. Raises SpoiltArchive where it is none."""
    try:
        return tarfile.open(archive, tarinfo=ShortHeaders)
    except tarfile.ReadError as error:
        with archive.open("rb") as file:
            start = file.read(60)
        raise SpoiltArchive(
            f"{archive}: neither a zip nor a tar file; it begins {start!r}"
        ) from error


def tar_members(file: tarfile.TarFile) -> Iterable[Member]:
    """The members of a tar file."""
    for info in file:
        if info.isdir():
            kind = "folder"
        elif info.isfile():
            kind = "file"
        else:
            kind = "link" if info.issym() or info.islnk() else "special file"
        yield Member(info.name, kind, info.size, lambda info=info: file.extractfile(info))


def check_members(members: list[Member], folder: Path) -> dict[Path, Member]:
    """Each member by its place below `folder`. Raises ValueError for one that has no business.

    OSError where the disk has no room for them.
    """
    places: dict[Path, Member] = {}
    for member in members:
        if member.kind not in ("file", "folder"):
            raise ValueError(f"{member.name!r} is a {member.kind}; expected files and folders")
        if "\\" in member.name:
            raise ValueError(f"{member.name!r} has a backslash in its name")
        place = inside(folder, member.name)
        if place in places:
            raise ValueError(f"{member.name!r} is in it twice")
        places[place] = member
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{needed / 1e9:.1f} GB unpacked, but {folder} has {free / 1e9:.1f} GB free",
        )
    return places


def unpack_members(members: Iterable[Member], folder: Path) -> None:
    """Write the members below `folder`: all of them are checked first."""
    for place, member in check_members(list(members), folder).items():
        if member.kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, place.open("xb") as target:
            shutil.copyfileobj(source, target, 2**20)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file below `folder`, never outside it. Raises ArchiveError."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                unpack_members(zip_members(file), folder)
        else:
            with open_tar(archive) as file:
                unpack_members(tar_members(file), folder)
    except (*UNREADABLE, ValueError) as error:
        of_disk = isinstance(error, OSError) and error.errno in OF_DISK
        kind = ArchiveError if of_disk else SpoiltArchive
        raise kind(f"{archive}: cannot be unpacked ({error})") from error


def find_holder(folder: Path, names: list[str]) -> Path | None:
    """The folder nearest the top of the tree `folder` that holds all `names`, or None."""
    tree = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    holders = [path for path in tree if all((path / name).exists() for name in names)]
    return min(holders, key=lambda path: (len(path.parts), path), default=None)


def is_weights(archive: Path) -> bool:
    """Whether the zip file is what torch.save writes: a pickle beside its tensors."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except (*UNREADABLE, ValueError):
        return False
    return any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names)


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
                contents = sorted(p.relative_to(holder).as_posix() for p in holder.rglob("*"))
                raise SpoiltArchive(
                    f"{archive}: no folder in it holds {', '.join(names)}; it holds "
                    f"{', '.join(contents[:10]) or 'nothing'}"
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
