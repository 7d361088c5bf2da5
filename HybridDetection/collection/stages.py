"""What is done to each shard of a collection: decoded by a task, scored and written by an actor.

A shard, some images that are written as one file, travels between the two as a table of one row,
which nothing splits or joins.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))  # in Ray's workers, too
import submission  # noqa: F401  puts the submission folder on the path
import numpy as np
import pyarrow
import torch
from backbones import BACKBONES, IMAGE_SIZE, make_picture
from files import MAX_PIXELS, ImageError, atomic, open_image
from ingestion import PARENTS
from model import Model
from PIL import Image
from pyarrow import parquet
from scoring import MEMBERS, Scored, by_halves, outcomes_of

IMAGE_COLUMN = "image"
IDENTIFIER_COLUMNS = ("uuid", "identifier")  # the first that a Parquet file has names its images
SIZE_COLUMNS = ("resized_size", "original_size")  # height and width of pixels that are not encoded
PICTURE = (IMAGE_SIZE, IMAGE_SIZE, 3)
ROWS_AT_ONCE = 16  # of a Parquet file: more would only take memory
TEXTS = {"identifier", "parent_1", "parent_2", "parents", "error"}  # among the columns


@dataclass(frozen=True)
class Source:
    """What one task reads from its beginning to its end."""

    path: Path  # a folder or a Parquet file
    names: list[str]  # of images in the folder; none for a Parquet file
    group: int  # the row group of the Parquet file
    shards: dict[str, range]  # by the names of their files: which of the source's images


def schema(feature_size: int | None = None) -> pyarrow.Schema:
    """The columns of a shard; the last one holds features, where their size is given."""
    names = ["identifier", "score", *MEMBERS, *PARENTS, "error"]
    kinds = {name: pyarrow.string() if name in TEXTS else pyarrow.float64() for name in names}
    if feature_size is not None:
        kinds["features"] = pyarrow.list_(pyarrow.float32(), feature_size)
    return pyarrow.schema(kinds)


def decode(batch: Mapping[str, Iterable[Source]], preprocess: str) -> Iterator[pyarrow.Table]:
    """A row for each shard of the sources in the column `item`.

    Its columns: the shard's `file`, the `identifiers` of its images, their `errors` (none: fine),
    and `pictures`, (n, 224, 224, 3) bytes of those that are fine.
    """
    picture = make_picture(preprocess)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # the tasks share the cores already
    for source in batch["item"]:
        images, place = images_of(source), 0
        for file, places in source.shards.items():
            identifiers, errors, pictures = [], [], []
            for identifier, content, sizes in islice(
                images, places.start - place, places.stop - place
            ):
                identifiers.append(identifier)
                try:
                    pictures.append(np.asarray(picture(open_cell(content, sizes, identifier))))
                    errors.append(None)
                except ImageError as error:
                    errors.append(str(error))
            place = places.stop
            pixels = b"".join(one.tobytes() for one in pictures)
            yield pyarrow.table(
                {
                    "file": [file],
                    "identifiers": [identifiers],
                    "errors": pyarrow.array([errors], pyarrow.list_(pyarrow.string())),
                    "pictures": pyarrow.array([pixels], pyarrow.large_binary()),
                }
            )


def images_of(source: Source) -> Iterator[tuple[str, Any, list]]:
    """Of each image its identifier, its file or content, and the sizes that are said of it.

    Of a Parquet file a few at a time, so that no row group fills the memory.
    """
    for name in source.names:
        # What is no text, as names of files may be, is spelt out.
        yield name.encode("utf-8", "backslashreplace").decode(), source.path / name, []
    if source.names:
        return
    with parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=2**20) as file:
        names = file.schema_arrow.names
        named = next(name for name in IDENTIFIER_COLUMNS if name in names)
        sized = [name for name in SIZE_COLUMNS if name in names]
        columns = [named, IMAGE_COLUMN, *sized]
        for batch in file.iter_batches(ROWS_AT_ONCE, [source.group], columns):
            for row in range(batch.num_rows):
                sizes = [batch[name][row].as_py() for name in sized]
                yield str(batch[named][row]), batch[IMAGE_COLUMN][row].as_buffer(), sizes


def open_cell(content: Any, sizes: Iterable[object], identifier: str) -> Image.Image:
    """RGB image in a file, or in a cell of a Parquet file; ImageError for anything else.

    A cell holds a file's bytes, or, as Imageomics' distributed-downloader writes them, the pixels
    themselves in the order blue, green, red: those that have the bytes for one of the `sizes`.
    """
    if content is None:
        raise ImageError(f"{identifier}: the cell is empty")
    if isinstance(content, Path):
        return open_image(content)
    for size in sizes:
        if isinstance(size, list) and len(size) == 2 and all(size):
            if content.size == size[0] * size[1] * 3 <= MAX_PIXELS * 3:
                pixels = np.frombuffer(content, np.uint8).reshape(*size, 3)
                return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    return open_image(pyarrow.BufferReader(content), name=identifier)


class Scorer:
    """Loads the model once, and scores shard after shard."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model = Model(
            *(options.backbone, options.device, options.classifiers, options.members),
            options.preprocess,
        )
        self.model.load()
        self.options = options
        size = BACKBONES[self.model.backbone].feature_size
        self.schema = schema(size if options.features else None)

    def __call__(self, shard: pyarrow.Table) -> pyarrow.Table:
        """Writes the file of a row of `decode`; says how many images it has.

        A batch holds what is fine of `batch_size` images that lie together, as in ingestion.py:
        in their seventh digit scores depend on the images beside them.
        """
        (cells,) = shard.to_pylist()
        pictures = np.frombuffer(cells["pictures"], np.uint8).reshape(-1, *PICTURE).copy()
        named = zip(cells["identifiers"], cells["errors"], strict=True)
        rows = [{"identifier": name, "error": error} for name, error in named]
        used, size = 0, self.options.batch_size
        for start in range(0, len(rows), size):
            fine = [row for row in rows[start : start + size] if row["error"] is None]
            batch = torch.from_numpy(pictures[used : used + len(fine)])
            used += len(fine)
            for row, said in zip(fine, by_halves(self.say, batch) if fine else [], strict=True):
                row.update({"error": said} if isinstance(said, str) else said)
        table = pyarrow.Table.from_pylist(rows, self.schema)
        with atomic(self.options.output / cells["file"], durable=True) as temporary:
            parquet.write_table(table, temporary, compression="zstd")
        return pyarrow.table({"images": [len(rows)]})

    def say(self, pictures: torch.Tensor) -> list[dict[str, object] | str]:
        """The cells of n pictures' rows, (n, 224, 224, 3) bytes, or what ails one."""
        examined = self.model.examine(pictures)
        rows = [some if isinstance(some, str) else cells_of(some) for some in outcomes_of(examined)]
        if self.options.features:
            for row, features in zip(rows, examined.features, strict=True):
                if isinstance(row, dict):
                    row["features"] = features
        return rows


def cells_of(scored: Scored) -> dict[str, object]:
    """The cells of a row by the names of their columns."""
    cells: dict[str, object] = {"score": scored.score} | scored.members
    if (pair := scored.parents) is not None:
        values = (pair.first, pair.share, pair.second, 1 - pair.share, str(pair), pair.certainty)
        cells |= dict(zip(PARENTS, values, strict=True))
    return cells
