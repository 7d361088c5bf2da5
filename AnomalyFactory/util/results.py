"""The folder of painted images: which of them are whole, and what they were painted from."""

import json
import re
from pathlib import Path

import numpy as np
from data.datasets import RESULT_SIZE
from data.lists import Pair
from PIL import Image
from tqdm import tqdm

from util.errors import InputError
from util.files import atomic
from util.html import Row, write_page, write_strip

PNG_END = b"IEND\xaeB`\x82"
COLUMNS = ("structure", "reference", "result", "mask")


class Results:
    """Results of one list: AF_*.png in `folder`, strips for its page in gallery/{list}/."""

    def __init__(self, folder: Path, list_name: str, with_page: bool):
        self.folder, self.list_name, self.with_page = folder, list_name, with_page
        self.gallery = folder / "gallery" / list_name

    def begin(self, source: dict[str, object], names: list[str]) -> None:
        """Remove what an earlier run painted from another `source`, and note the present one.

        The note names every file of the list, so nothing else in the folder is touched.
        """
        self.gallery.mkdir(parents=True, exist_ok=True)
        note = self.gallery / "painted.json"
        if note.exists():
            try:
                before = json.loads(note.read_text(encoding="utf-8"))
                old_source, old_names = dict(before["source"]), list(before["names"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{note}: not a note of this program ({error}); remove {self.folder}"
                ) from error
            changed = [key for key in source if old_source.get(key) != source[key]]
            if changed:
                tqdm.write(f"{self.folder}: {', '.join(changed)} changed, painting anew")
                for name in old_names:
                    if re.fullmatch(r"AF_[^/\\]+_gen\d+\.png", name):
                        (self.folder / name).unlink(missing_ok=True)
                for strip in self.gallery.glob("*.jpg"):
                    strip.unlink()
        with atomic(note) as temporary:
            temporary.write_text(json.dumps({"source": source, "names": names}), encoding="utf-8")

    def is_whole(self, pair: Pair) -> bool:
        """Whether nothing of `pair` is left to paint."""
        if self.with_page and not self.strip(pair).exists():
            return False
        try:
            with (self.folder / pair.generated_name).open("rb") as file:
                file.seek(-len(PNG_END), 2)
                return file.read() == PNG_END
        except OSError:  # not there, or shorter than that
            return False

    def write(self, pair: Pair, panels: list[np.ndarray]) -> None:
        """Write one result; `panels` are uint8 RGB images in the order of COLUMNS."""
        if self.with_page:
            write_strip(self.strip(pair), panels)
        image = Image.fromarray(panels[COLUMNS.index("result")])
        if image.size != (RESULT_SIZE, RESULT_SIZE):
            image = image.resize((RESULT_SIZE, RESULT_SIZE), Image.Resampling.BICUBIC)
        with atomic(self.folder / pair.generated_name) as temporary:
            image.save(temporary)

    def write_page(self, pairs: list[Pair]) -> Path:
        """Write the page of all `pairs` beside the results; its path."""
        rows = [
            Row(
                strip=self.strip(pair).relative_to(self.folder).as_posix(),
                link=pair.generated_name,
                caption=pair.generated_name.removesuffix(".png"),
                group=f"{pair.structure_subspecies} x {pair.reference_subspecies}",
            )
            for pair in pairs
        ]
        page = self.folder / f"{self.list_name}.html"
        write_page(page, self.list_name, COLUMNS, rows)
        return page

    def strip(self, pair: Pair) -> Path:
        return self.gallery / f"{pair.index:05d}.jpg"
