"""The folder of painted images: which of them are whole, and what they were painted from."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from util.errors import InputError, refuse_special
from util.files import atomic
from util.html import Row, write_page, write_strip

# A result's name, as any file system has it; the number is the line of the list.
NAME = re.compile(r"AF_[^/\\\0\ud800-\udfff]+_gen(\d+)\.png")
PNG_END = b"IEND\xaeB`\x82"
PNG_LEVEL = 1  # of compression: a quarter of the usual time, for files an eighth larger
KEY = "AnomalyFactory"  # PNG text chunk with the digest of what an image was painted from
HEAD = 256  # bytes at the beginning of a PNG; the chunk lies within
MARK = re.compile(rb"tEXt" + KEY.encode() + rb"\0([0-9a-f]{64})")
COLUMNS = ("structure", "reference", "result", "mask")
Source = dict[str, object]  # all that shapes an image, by the names that a user knows


class Results:
    """Results of one list: AF_*.png in `folder`, strips for its page in gallery/{list}/.

    Every image bears the digest of its source, and the names of its structure and its reference:
    lists can be made anew after it. The note painted.json there says which source is painted, and
    over which. Nothing is removed, only replaced: an image of another source stays until its own
    new one is whole.
    """

    def __init__(
        self,
        folder: Path,
        list_name: str,
        pairs: Mapping[str, tuple[str, str]],  # structure and reference of each image of the list
        source: Source,  # what they are to be painted from; None counts as absent
        size: int,  # pixels of an image's side
        with_page: bool,
    ):
        """Raises InputError when the folder's note is not one of this program."""
        self.folder, self.list_name, self.size, self.with_page = folder, list_name, size, with_page
        self.gallery = folder / "gallery" / list_name
        self.note = note_path(folder, list_name)
        self.source = without_none(source)
        text = json.dumps(self.source, sort_keys=True)
        self.mark = hashlib.sha256(text.encode()).hexdigest()
        before, noted, replaced = self.read_note()
        self.pairs = pairs
        self.names = sorted({*pairs, *noted})
        # Notes of before images bore digests name one source only, and what it replaces not.
        self.takes_unmarked = replaced is None and before == self.source
        self.replaces = before if before != self.source else replaced or {}

    def read_note(self) -> tuple[Source, list[str], Source | None]:
        """Source and names of the note, and the source that is being replaced."""
        note = read_note(self.folder, self.list_name)
        if note is None:
            return self.source, [], {}
        return note["source"], note["names"], note.get("replaces")

    def begin(self, overwrite: bool) -> None:
        """Note what is painted now. Unless it may `overwrite` them, raises InputError when the
        folder has images of another source."""
        others = self.others()
        if others and not overwrite:
            raise InputError(
                f"{self.folder}: {self.describe(others)}. --overwrite paints them anew, each"
                " staying until it is; another --results_dir leaves them alone"
            )
        if self.takes_unmarked:
            return
        self.gallery.mkdir(parents=True, exist_ok=True)
        note = {
            "source": self.source,
            "names": self.names,
            "replaces": self.replaces if others else {},
        }
        with atomic(self.note) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def check_unmixed(self) -> None:
        """Raise InputError when images of another source are left beside the painted ones."""
        others = self.others()
        if not others:
            return
        advice = "--overwrite without --how_many paints anew what is in the list"
        unlisted = [name for name in others if name not in self.pairs]
        if unlisted:
            advice += f"; {len(unlisted)}, such as {unlisted[0]}, are not in it: move them away"
        raise InputError(f"{self.folder}: not finished, {self.describe(others)}. {advice}")

    def describe(self, others: list[str]) -> str:
        """What is different about images of another source."""
        what = f"{len(others)} results of {self.list_name}, such as {others[0]}, are of another"
        if not self.replaces:
            return f"{what} painting, and no note says of which"
        changes = [
            f"{key} was {str(self.replaces.get(key))[:12]}, now {str(self.source.get(key))[:12]}"
            for key in {**self.source, **self.replaces}
            if self.replaces.get(key) != self.source.get(key)
        ]
        return f"{what} painting: {', '.join(changes)}"

    def others(self) -> list[str]:
        """The images that are there and of another source."""
        heads = {name: self.ends(name)[0] for name in self.names}
        return [name for name, head in heads.items() if head is not None and not self.is_ours(head)]

    def is_whole(self, name: str) -> bool:
        """Whether nothing of the image `name` is left to paint."""
        if self.with_page and not self.strip(name).exists():
            return False
        head, end = self.ends(name)
        return head is not None and self.is_ours(head) and end == PNG_END

    def is_ours(self, head: bytes) -> bool:
        """Whether an image that begins with `head` is of this source."""
        found = MARK.search(head)
        return found[1].decode() == self.mark if found else self.takes_unmarked

    def ends(self, name: str) -> tuple[bytes | None, bytes]:
        """The first and the last bytes of an image; None and nothing when it is not there."""
        path = self.folder / name
        refuse_special(path)
        try:
            with path.open("rb") as file:
                head = file.read(HEAD)
                file.seek(max(0, file.seek(0, 2) - len(PNG_END)))
                return head, file.read()
        except FileNotFoundError:
            return None, b""

    def write(self, name: str, panels: list[np.ndarray]) -> None:
        """Write one result; `panels` are uint8 RGB images in the order of COLUMNS."""
        if self.with_page:  # first: a new image stands for a new strip
            write_strip(self.strip(name), panels)
        else:
            self.strip(name).unlink(missing_ok=True)  # it shows what is replaced now
        image = Image.fromarray(panels[COLUMNS.index("result")])
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        info = PngInfo()
        info.add_text(KEY, self.mark)  # first, so that it lies within HEAD
        for column, source in zip(COLUMNS, self.pairs[name], strict=False):
            info.add_text(column, source)
        with atomic(self.folder / name) as temporary:
            image.save(temporary, pnginfo=info, compress_level=PNG_LEVEL)

    def write_page(self, groups: dict[str, str]) -> Path:
        """Write the page of all images in `groups`, by name, beside them; its path."""
        rows = [
            Row(
                strip=self.strip(name).relative_to(self.folder).as_posix(),
                link=name,
                caption=name.removesuffix(".png"),
                group=group,
            )
            for name, group in groups.items()
        ]
        page = self.folder / f"{self.list_name}.html"
        write_page(page, self.list_name, COLUMNS, rows)
        return page

    def strip(self, name: str) -> Path:
        return self.gallery / f"{NAME.fullmatch(name)[1]}.jpg"


def note_path(folder: Path, list_name: str) -> Path:
    return folder / "gallery" / list_name / "painted.json"


def read_note(folder: Path, list_name: str) -> dict[str, Any] | None:
    """What the note on a list's results in `folder` says: `source`, `names` and, of newer ones,
    `replaces`; None where there is no note. Raises InputError when it is not one."""
    path = note_path(folder, list_name)
    if not path.exists():
        return None
    refuse_special(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        note = {"source": without_none(dict(found["source"])), "names": list(found["names"])}
        if not all(map(NAME.fullmatch, note["names"])):
            raise ValueError("a name that is no result's")
        if "replaces" in found:
            note["replaces"] = dict(found["replaces"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: not a note of this program ({error}); move {folder} away, or choose another"
            " --results_dir"
        ) from error
    return note


def noted_source(folder: Path, list_name: str) -> Source | None:
    """What the results of a list in `folder` are painted from, where a note says so."""
    note = read_note(folder, list_name)
    return note and note["source"]


def without_none(source: Source) -> Source:
    return {key: value for key, value in source.items() if value is not None}
