"""What is done to each shard of a collection: decoded by a task, scored and written by an actor.

A shard travels between the two as a table of one row, which nothing splits or joins.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
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
from shards import IDENTIFIER_COLUMNS, IMAGE_COLUMN, Source

SIZE_COLUMNS = ("resized_size", "original_size")  # height and width of pixels that are not encoded
PICTURE = (IMAGE_SIZE, IMAGE_SIZE, 3)
ROWS_AT_ONCE = 16  # of a Parquet file: more would only take memory
TEXTS = {"identifier", "parent_1", "parent_2", "parents", "error"}  # among the columns


def schema(feature_size: int | None) -> pyarrow.Schema:
    """The columns of a shard; the last one holds features, where their size is given."""
    names = ["identifier", "score", *MEMBERS, *PARENTS, "error"]
    kinds = {True: pyarrow.string(), False: pyarrow.float64()}
    columns = [pyarrow.field(name, kinds[name in TEXTS]) for name in names]
    if feature_size is not None:
        columns.append(pyarrow.field("features", pyarrow.list_(pyarrow.float32(), feature_size)))
    return pyarrow.schema(columns)


# ---- decode -------------------------------------------------------------------------------------


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
        for shard in source.shards:
            identifiers, errors, pictures = [], [], []
            for identifier, content, sizes in islice(
                images, shard.start - place, shard.stop - place
            ):
                identifiers.append(identifier)
                error = None
                try:
                    pictures.append(np.asarray(picture(open_cell(content, sizes, identifier))))
                except ImageError as failed:
                    error = str(failed)
                except MemoryError:
                    error = f"{identifier}: too large for the memory that is left"
                errors.append(error)
            place = shard.stop
            if len(identifiers) != shard.stop - shard.start:
                raise ValueError(f"{source.path}: was changed after the start: start again")
            pixels = b"".join(one.tobytes() for one in pictures)
            yield pyarrow.table(
                {
                    "file": [shard.file],
                    "identifiers": [identifiers],
                    "errors": pyarrow.array([errors], pyarrow.list_(pyarrow.string())),
                    "pictures": pyarrow.array([pixels], pyarrow.large_binary()),
                }
            )


def images_of(source: Source) -> Iterator[tuple[str, Any, list]]:
    """Of each image its identifier, its file or content, and the sizes that are said of it.

    Of a Parquet file a few at a time, so that no row group fills the memory. Raises ValueError
    where that is damaged.
    """
    for name in source.names:
        # What is no text, as names of files may be, is spelt out.
        yield name.encode("utf-8", "backslashreplace").decode(), source.path / name, []
    if source.names:
        return
    try:
        with parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=2**20) as file:
            names = file.schema_arrow.names
            named = next(name for name in IDENTIFIER_COLUMNS if name in names)
            sized = [name for name in SIZE_COLUMNS if name in names]
            columns = [named, IMAGE_COLUMN, *sized]
            for batch in file.iter_batches(ROWS_AT_ONCE, [source.group], columns):
                batch.validate(full=True)
                for row in range(batch.num_rows):
                    sizes = [batch[name][row].as_py() for name in sized]
                    content = batch[IMAGE_COLUMN][row].as_buffer()
                    yield str(batch[named][row].as_py()), content, sizes
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{source.path}: not a readable Parquet file ({error})") from error


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
        if is_size(size) and content.size == size[0] * size[1] * 3 <= MAX_PIXELS * 3:
            pixels = np.frombuffer(content, np.uint8).reshape(*size, 3)
            return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    return open_image(pyarrow.BufferReader(content), name=identifier)


def is_size(size: object) -> bool:
    """Whether it is a height and a width."""
    lengths = size if isinstance(size, list) else []
    return len(lengths) == 2 and all(isinstance(some, int) and some > 0 for some in lengths)


# ---- score and write ----------------------------------------------------------------------------


class Scorer:
    """Loads the model once, and scores shard after shard."""

    def __init__(
        self, arguments: Mapping[str, Any], output: Path, batch_size: int, with_features: bool
    ) -> None:
        self.model = Model(**arguments)
        self.model.load()
        self.output = output
        self.batch_size = batch_size
        self.feature_size = BACKBONES[self.model.backbone].feature_size if with_features else None

    def __call__(self, shard: pyarrow.Table) -> pyarrow.Table:
        """Writes the file of a row of `decode`; says how many images it has.

        A batch holds what is fine of `batch_size` images that lie together, as in ingestion.py:
        in their seventh digit scores depend on the images beside them.
        """
        (row,) = shard.to_pylist()
        pictures = np.frombuffer(row["pictures"], np.uint8).reshape(-1, *PICTURE).copy()
        rows, used = [], 0
        for start in range(0, len(row["identifiers"]), self.batch_size):
            names, errors = (
                row[column][start : start + self.batch_size] for column in ("identifiers", "errors")
            )
            fine = errors.count(None)
            batch = torch.from_numpy(pictures[used : used + fine])
            said = iter(by_halves(self.say, batch) if fine else [])
            used += fine
            for name, error in zip(names, errors, strict=True):
                cells = error or next(said)
                cells = {"error": cells} if isinstance(cells, str) else cells
                rows.append({"identifier": name} | cells)
        table = pyarrow.Table.from_pylist(rows, schema(self.feature_size))
        with atomic(self.output / row["file"], durable=True) as temporary:
            parquet.write_table(table, temporary, compression="zstd")
        return pyarrow.table({"images": [len(rows)]})

    def say(self, pictures: torch.Tensor) -> list[dict[str, object] | str]:
        """The cells of n pictures' rows, (n, 224, 224, 3) bytes, or what ails one."""
        examined = self.model.examine(pictures)
        rows = [some if isinstance(some, str) else cells_of(some) for some in outcomes_of(examined)]
        if self.feature_size is not None:
            for cells, features in zip(rows, examined.features, strict=True):
                if not isinstance(cells, str):
                    cells["features"] = features
        return rows


def cells_of(scored: Scored) -> dict[str, object]:
    """The cells of a row by the names of their columns."""
    cells: dict[str, object] = {"score": scored.score} | scored.members
    if (pair := scored.parents) is not None:
        values = (pair.first, pair.share, pair.second, 1 - pair.share, str(pair), pair.certainty)
        cells |= dict(zip(PARENTS, values, strict=True))
    return cells
