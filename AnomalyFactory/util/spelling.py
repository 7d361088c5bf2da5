"""Texts and file names as other systems write them: spreadsheets, Windows, macOS."""

import codecs
import unicodedata
from functools import lru_cache
from pathlib import Path, PurePath


def decode(raw: bytes) -> str:
    """The text in UTF-8, or in UTF-16 behind its mark; UnicodeDecodeError for anything else."""
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if wide else "utf-8-sig")


def spelling(name: str) -> str:
    """What the ways to write a file's name share: its accents, capitals, slashes, outer blanks."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).casefold()


def but(name: str, there: str) -> str:
    """What an error says of the missing `name` where `there` is likely meant."""
    composed = [unicodedata.normalize("NFC", text) for text in (name, there)]
    how = "in case, suffix, blanks or slashes"
    if composed[0] == composed[1]:
        how = "in how its accents are stored (Unicode NFC or NFD)"
    return f", but {there!r} is there, which differs {how}: write it so, or rename it"


def but_there(path: Path) -> str:
    """`but` of the file which the missing `path` means in another spelling; empty without one."""
    if path.exists():
        return ""
    try:
        folder = found = next(parent for parent in path.parents if parent.is_dir())
        name = str(path.relative_to(folder))
        for part in spelling(name).split("/"):
            known = spellings(found, found.stat().st_mtime_ns)
            found /= known.get(part) or known[PurePath(part).stem]
    except (KeyError, OSError):
        return ""
    return but(name, found.relative_to(folder).as_posix())


@lru_cache(4)
def spellings(folder: Path, changed: int) -> dict[str, str]:
    """The names in `folder` by spelling, without suffix, too, as of when it last `changed`."""
    names = [path.name for path in folder.iterdir()]
    stems = {spelling(PurePath(name).stem): name for name in names}
    return stems | {spelling(name): name for name in names}
