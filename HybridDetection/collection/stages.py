"""What is done to each shard of a collection: decoded by a task, scored and written by an actor.

A shard, some images that are written as one file, travels between the two as a table of one row,
which nothing splits or joins.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))  # in Ray's workers, too
import submission  # noqa: F401  puts the submission folder on the path
import numpy as np
import pyarrow
import torch
from backbones import IMAGE_SIZE, make_picture
from files import atomic
from ingestion import PARENTS
from model import MEMBERS, Model
from pictures import open_picture
from pyarrow import parquet
from scoring import outcomes_of

IMAGE_COLUMN = "image"
IDENTIFIER_COLUMNS = ("uuid", "identifier")  # the first that a Parquet file has names its images
ROWS_AT_ONCE = 16  # of a Parquet file: more would only take memory
TEXTS = {"identifier", "parent_1", "parent_2", "parents", "error"}  # among the columns
SCHEMA = pyarrow.schema(
    {
        name: pyarrow.string() if name in TEXTS else pyarrow.float64()
        for name in ("identifier", "score", *MEMBERS, *PARENTS, "error")
    }
)


@dataclass(frozen=True)
class Source:
    """What one task reads from its beginning to its end."""

    path: Path  # a folder or a Parquet file
    names: list[str]  # of images in the folder; none for a Parquet file
    group: int  # the row group of the Parquet file
    shards: dict[str, range]  # by the names of their files: which of the source's images


def decode(batch: Mapping[str, Iterable[Source]], view: str) -> Iterator[pyarrow.Table]:
    """A row for each shard of the sources in the column `item`.

    Its columns: the shard's `file`, the `identifiers` of its images, their `errors` (none: fine),
    and `pictures`, (n, k * 224, 224, 3) bytes of those that are fine.
    """
    make_picture(view)  # imports
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # the tasks share the cores already
    for source in batch["item"]:
        images, place = images_of(source), 0
        for file, places in source.shards.items():
            identifiers, errors, pictures = [], [], []
            for name, content in islice(images, places.start - place, places.stop - place):
                identifiers.append(name)
                made = open_picture(content, view, name=name)
                errors.append(made if isinstance(made, str) else None)
                pictures.append(b"" if isinstance(made, str) else made.tobytes())
            place = places.stop
            yield pyarrow.table(
                {
                    "file": [file],
                    "identifiers": [identifiers],
                    "errors": pyarrow.array([errors], pyarrow.list_(pyarrow.string())),
                    "pictures": pyarrow.array([b"".join(pictures)], pyarrow.large_binary()),
                }
            )


def images_of(source: Source) -> Iterator[tuple[str, Path | io.BytesIO]]:
    """The identifier of each image, and its file or what is in one.

    Of a Parquet file a few at a time, so that no row group fills the memory.
    """
    for name in source.names:
        # What is no text, as names of files may be, is spelt out.
        yield name.encode("utf-8", "backslashreplace").decode(), source.path / name
    if source.names:
        return
    with parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=2**20) as file:
        named = next(name for name in IDENTIFIER_COLUMNS if name in file.schema_arrow.names)
        for batch in file.iter_batches(ROWS_AT_ONCE, [source.group], [named, IMAGE_COLUMN]):
            for row in batch.to_pylist():
                yield str(row[named]), io.BytesIO(row[IMAGE_COLUMN] or b"")


class Scorer:
    """Loads the model once, and scores shard after shard."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model = Model(None, options.device, options.classifiers, options.members)
        self.model.load()
        self.options = options

    def __call__(self, shard: pyarrow.Table) -> pyarrow.Table:
        """Writes the file of a row of `decode`; says how many images it has.

        A batch holds what is fine of `batch_size` images that lie together, as in ingestion.py:
        in their seventh digit scores depend on the images beside them.
        """
        (cells,) = shard.to_pylist()
        pictures = np.frombuffer(cells["pictures"], np.uint8).copy()
        good = cells["errors"].count(None) or 1  # of nothing, numpy does not guess the height
        pictures = torch.from_numpy(pictures.reshape(good, -1, IMAGE_SIZE, 3))
        named = zip(cells["identifiers"], cells["errors"], strict=True)
        rows = [{"identifier": name, "error": error} for name, error in named]
        for start in range(0, len(rows), self.options.batch_size):
            batch = rows[start : start + self.options.batch_size]
            fine = [row for row in batch if row["error"] is None]
            if fine:
                examined = self.model.examine(pictures[: len(fine)])
                pictures = pictures[len(fine) :]
                for row, said in zip(fine, outcomes_of(examined), strict=True):
                    if isinstance(said, str):
                        row["error"] = said
                    else:
                        parents = said.parents.cells() if said.parents else {}
                        row |= {"score": said.score} | said.members | parents
        with atomic(self.options.output / cells["file"], durable=True) as temporary:
            parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), temporary)
        return pyarrow.table({"images": [len(rows)]})
