"""The folder of painted images: their names, which of them are whole, and of what painting."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from util.errors import InputError
from util.files import ImageError, atomic
from util.images import png_texts
from util.pages import Row, write_page, write_strip

NAME = re.compile(r"AF_(?P<i>[^/\\]+?)_(?P<j>[^/\\]+)_gen(?P<index>\d{5,})\.png")
RESULT_SIZE = 256  # pixels of an image's side
PNG_END = b"IEND\xaeB`\x82"
PNG_LEVEL = 1  # of compression: a quarter of the usual time, for files an eighth larger
KEY = "AnomalyFactory"  # PNG text chunk with the list and the source of an image
COLUMNS = ("structure", "reference", "result", "mask")
Source = dict[str, Any]  # all that shapes an image, by the names that a user knows


def result_name(i: str, j: str, index: int) -> str:
    """The image in line `index` of a list: structure of subspecies i, colours of subspecies j."""
    return f"AF_{i}_{j}_gen{index:05d}.png"


class Results:
    """Results of one list: AF_*.png in `folder`, strips for its page in gallery/{list}/.

    Every image bears its list and source and the names of what it was painted from. An image of
    another source stays until its own new one is whole.
    """

    def __init__(
        self,
        folder: Path,
        list_name: str,
        pairs: Mapping[str, tuple[str, str]],  # structure and reference of each image of the list
        source: Source,  # what they are to be painted from; None counts as absent
        with_page: bool,
    ):
        self.folder, self.list_name, self.with_page = folder, list_name, with_page
        self.pairs, self.gallery = pairs, folder / "gallery" / list_name
        self.source = {key: value for key, value in source.items() if value is not None}

    def begin(self, overwrite: bool) -> None:
        """Make the folder. Unless it may `overwrite` them, raises InputError when it has images of
        another source."""
        if not overwrite:
            advice = "--overwrite paints them anew, each staying until it is; another --results_dir"
            self.check_unmixed(f"{advice} leaves them alone")
        (self.gallery if self.with_page else self.folder).mkdir(parents=True, exist_ok=True)

    def check_unmixed(self, advice: str) -> None:
        """Raise InputError, with `advice`, when there are images of another source: those in the
        list, and those of a list of this name."""
        others = {}
        for path in sorted(self.folder.glob("AF_*.png")):
            list_name, source = painted_from(path)
            ours = path.name in self.pairs or list_name == self.list_name
            if NAME.fullmatch(path.name) and ours and not self.is_current(path.name):
                others[path.name] = source
        if not others:
            return
        name, before = next(iter(others.items()))
        changes = [
            f"{key} was {str(before.get(key))[:12]}, now {str(self.source.get(key))[:12]}"
            for key in {**self.source, **before}
            if before.get(key) != self.source.get(key)
        ]
        changes = ", ".join(changes) if before else "they do not say of which"
        if unlisted := [name for name in others if name not in self.pairs]:
            advice += f"; {len(unlisted)}, such as {unlisted[0]}, are not in it: move them away"
        raise InputError(
            f"{self.folder}: {len(others)} results of {self.list_name}, such as {name}, are of"
            f" another painting: {changes or 'of another list'}. {advice}"
        )

    def is_current(self, name: str) -> bool:
        return painted_from(self.folder / name) == (self.list_name, self.source)

    def is_whole(self, name: str) -> bool:
        """Whether nothing of the image `name` is left to paint."""
        if (self.with_page and not self.strip(name).exists()) or not self.is_current(name):
            return False
        with (self.folder / name).open("rb") as file:
            file.seek(-len(PNG_END), 2)
            return file.read() == PNG_END

    def write(self, name: str, panels: list[np.ndarray]) -> None:
        """Write one result; `panels` are uint8 RGB images in the order of COLUMNS."""
        if self.with_page:  # first: a new image stands for a new strip
            write_strip(self.strip(name), panels)
        else:
            self.strip(name).unlink(missing_ok=True)  # it shows what is replaced now
        image = Image.fromarray(panels[COLUMNS.index("result")])
        if image.size != (RESULT_SIZE, RESULT_SIZE):
            image = image.resize((RESULT_SIZE, RESULT_SIZE), Image.Resampling.BICUBIC)
        info = PngInfo()
        info.add_text(KEY, json.dumps([self.list_name, self.source]))
        for column, source in zip(COLUMNS, self.pairs[name], strict=False):
            info.add_text(column, source)
        with atomic(self.folder / name) as temporary:
            image.save(temporary, pnginfo=info, compress_level=PNG_LEVEL)

    def write_page(self, groups: dict[str, str]) -> Path:
        """Write the page of all images in `groups`, by name, beside them; its path."""
        strips = self.gallery.relative_to(self.folder)
        rows = [
            Row(f"{strips}/{self.strip(name).name}", name, name.removesuffix(".png"), group)
            for name, group in groups.items()
        ]
        page = self.folder / f"{self.list_name}.html"
        write_page(page, self.list_name, COLUMNS, rows)
        return page

    def strip(self, name: str) -> Path:
        return self.gallery / f"{NAME.fullmatch(name)['index']}.jpg"


def painted_from(path: Path) -> tuple[str, Source]:
    """List and source that an image bears; empty where it bears none, or is absent."""
    try:
        list_name, source = json.loads(png_texts(path)[KEY])
        return list_name, dict(source)
    except (ImageError, KeyError, TypeError, RecursionError, json.JSONDecodeError):
        return "", {}
