"""What is done to each shard of a collection: decoded, scored, written. Ray Data runs the three.

A shard travels from one to the next as a table of one row, which nothing splits or joins; each of
the three takes such a row (or a source of several), so each can be run without Ray, too.
"""

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from backbones import BACKBONES, IMAGE_SIZE, make_picture
from collection_shards import IDENTIFIER_COLUMNS, IMAGE_COLUMN, Source
from files import MAX_PIXELS, ImageError, atomic, open_image, sync
from ingestion import PARENTS
from model import Model
from PIL import Image
from pyarrow import parquet
from scoring import MEMBERS, Scored, by_halves, outcomes_of

SIZE_COLUMNS = ("resized_size", "original_size")  # height and width of pixels that are not encoded
PICTURE = (IMAGE_SIZE, IMAGE_SIZE, 3)
ROWS_AT_ONCE = 16  # of a Parquet file: more would only take memory
TEXTS = {"parent_1", "parent_2", "parents"}  # among PARENTS


def schema(feature_size: int | None) -> pyarrow.Schema:
    """The columns of a shard; the last one holds features, where their size is given."""
    fields = [pyarrow.field("identifier", pyarrow.string())]
    fields += [pyarrow.field(name, pyarrow.float64()) for name in ("score", *MEMBERS)]
    for name in PARENTS:
        fields.append(pyarrow.field(name, pyarrow.string() if name in TEXTS else pyarrow.float64()))
    fields.append(pyarrow.field("error", pyarrow.string()))
    if feature_size is not None:
        fields.append(pyarrow.field("features", pyarrow.list_(pyarrow.float32(), feature_size)))
    return pyarrow.schema(fields)


# ---- decode -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """An image that has not been decoded yet."""

    identifier: str
    open: Callable[[], Image.Image]  # raises ImageError


def decode_sources(batch: Mapping[str, Iterable[Source]], preprocess: str) -> Iterator[Any]:
    """A row for each shard of the sources in the column `item`: its pictures, and what failed."""
    picture = make_picture(preprocess)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # the tasks share the cores already
    for source in batch["item"]:
        yield from decode(source, picture)


def decode(source: Source, picture: Callable[[Image.Image], Image.Image]) -> Iterator[Any]:
    """The shards of `source` one by one, each as a table of one row.

    Its columns: the shard's `file`, the `identifiers` of its images, their `errors` (none: fine),
    and `pictures`, (n, 224, 224, 3) bytes of those that are fine. Raises ValueError where the
    source has changed since it was listed.
    """
    images = read_folder(source) if source.names else read_parquet(source)
    place = 0
    for shard in source.shards:
        rows = islice(images, shard.start - place, shard.stop - place)  # others stay undecoded
        place = shard.stop
        identifiers: list[str] = []
        errors: list[str | None] = []
        pictures = np.empty((shard.stop - shard.start, *PICTURE), np.uint8)
        fine = 0
        for found in rows:
            identifiers.append(found.identifier)
            try:
                pictures[fine] = np.asarray(picture(found.open()))
            except ImageError as error:
                errors.append(str(error))
            except MemoryError:
                errors.append(f"{found.identifier}: too large for the memory that is left")
            else:
                errors.append(None)
                fine += 1
        if len(identifiers) != shard.stop - shard.start:
            raise ValueError(
                f"{source.path}: has {len(identifiers)} of the {shard.stop - shard.start} rows of "
                f"{shard.file}; it was changed after the start: start again"
            )
        yield pyarrow.table(
            {
                "file": [shard.file],
                "identifiers": [identifiers],
                "errors": pyarrow.array([errors], pyarrow.list_(pyarrow.string())),
                "pictures": one_value(pictures[:fine]),
            }
        )


def one_value(array: np.ndarray) -> pyarrow.Array:
    """A column of one row, the bytes of a contiguous array, which are not copied."""
    ends = pyarrow.py_buffer(np.array([0, array.nbytes], np.int64))
    content = pyarrow.py_buffer(array)
    return pyarrow.Array.from_buffers(pyarrow.large_binary(), 1, [None, ends, content])


def read_folder(source: Source) -> Iterator[Found]:
    for name in source.names:
        # What is no text, as names of files may be, is spelt out.
        identifier = name.encode("utf-8", "backslashreplace").decode()
        yield Found(identifier, partial(open_image, source.path / name))


def read_parquet(source: Source) -> Iterator[Found]:
    """The images in the source's row groups, a few at a time, so that no group fills the memory.

    Raises ValueError where the file is damaged.
    """
    try:
        with parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=2**20) as file:
            names = file.schema_arrow.names
            named = next(name for name in IDENTIFIER_COLUMNS if name in names)
            sized = [name for name in SIZE_COLUMNS if name in names]
            columns = [named, IMAGE_COLUMN, *sized]
            for batch in file.iter_batches(ROWS_AT_ONCE, list(source.groups), columns):
                batch.validate(full=True)
                for row in range(batch.num_rows):
                    identifier = str(batch[named][row].as_py())
                    sizes = [batch[name][row].as_py() for name in sized]
                    content = batch[IMAGE_COLUMN][row].as_buffer()
                    yield Found(identifier, partial(open_bytes, content, sizes, identifier))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{source.path}: not a readable Parquet file ({error})") from error


def open_bytes(content: Any, sizes: Iterable[object], identifier: str) -> Image.Image:
    """RGB image in a cell of a Parquet file. Raises ImageError for anything else.

    It is a file's bytes, or, as Imageomics' distributed-downloader writes them, the pixels
    themselves in the order blue, green, red: those that have the bytes for one of the `sizes`.
    """
    if content is None:
        raise ImageError(f"{identifier}: the cell is empty")
    for size in sizes:
        if is_size(size) and content.size == size[0] * size[1] * 3 <= MAX_PIXELS * 3:
            pixels = np.frombuffer(content, np.uint8).reshape(*size, 3)
            return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    return open_image(pyarrow.BufferReader(content), name=identifier)


def is_size(size: object) -> bool:
    """Whether it is a height and a width."""
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(length, int) and length > 0 for length in size)
    )


# ---- score --------------------------------------------------------------------------------------


class Scorer:
    """Loads the model once, and scores shard after shard."""

    def __init__(self, arguments: Mapping[str, Any], batch_size: int, with_features: bool) -> None:
        self.model = Model(**arguments)
        self.model.load()
        self.batch_size = batch_size
        self.feature_size = BACKBONES[self.model.backbone].feature_size if with_features else None

    def __call__(self, shard: pyarrow.Table) -> pyarrow.Table:
        """A row of `decode` -> a row with the `content` of the `file`, and its counts."""
        row = {name: shard[name][0] for name in shard.column_names}
        content = row["pictures"].as_buffer()
        pictures = np.frombuffer(content, np.uint8).reshape(-1, *PICTURE)
        table = self.table(row["identifiers"].as_py(), row["errors"].as_py(), pictures)
        file = io.BytesIO()
        parquet.write_table(table, file, compression="zstd")
        failed = table.num_rows - table["error"].null_count
        return pyarrow.table(
            {
                "file": [row["file"].as_py()],
                "images": [table.num_rows],
                "failed": [failed],
                "content": one_value(np.frombuffer(file.getbuffer(), np.uint8)),
            }
        )

    def table(
        self, identifiers: list[str], errors: list[str | None], pictures: np.ndarray
    ) -> pyarrow.Table:
        """The shard's images in their order. Those without an error have a picture each.

        A batch holds what is fine of `batch_size` images that lie together, as in ingestion.py:
        in their seventh digit scores depend on the images beside them.
        """
        columns = schema(self.feature_size)
        rows: list[dict[str, object]] = []
        used = 0
        for start in range(0, len(identifiers), self.batch_size):
            places = range(start, min(start + self.batch_size, len(identifiers)))
            fine = [place for place in places if errors[place] is None]
            batch = torch.from_numpy(pictures[used : used + len(fine)].copy())
            said = by_halves(self.say, batch) if fine else []
            used += len(fine)
            cells = dict(zip(fine, map(cells_of, said), strict=True))
            rows += [
                {"identifier": identifiers[place]} | cells.get(place, {"error": errors[place]})
                for place in places
            ]
        return pyarrow.Table.from_pylist(rows, columns)

    def say(self, pictures: torch.Tensor) -> list[tuple[Scored, np.ndarray | None] | str]:
        """What is said of n pictures, (n, 224, 224, 3), with the features where they are kept."""
        examined = self.model.examine(pictures)
        outcomes = outcomes_of(examined)
        kept = examined.features if self.feature_size else [None] * len(outcomes)
        return [
            outcome if isinstance(outcome, str) else (outcome, values)
            for outcome, values in zip(outcomes, kept, strict=True)
        ]


def cells_of(said: tuple[Scored, np.ndarray | None] | str) -> dict[str, object]:
    """The cells of a row by the names of their columns."""
    if isinstance(said, str):
        return {"error": said}
    scored, features = said
    cells: dict[str, object] = {"score": scored.score, "features": features} | scored.members
    if scored.parents is not None:
        pair = scored.parents
        values = (pair.first, pair.share, pair.second, 1 - pair.share, str(pair), pair.certainty)
        cells |= dict(zip(PARENTS, values, strict=True))
    return cells


# ---- write --------------------------------------------------------------------------------------


def write_shard(shard: pyarrow.Table, output: Path) -> pyarrow.Table:
    """Put the content of a row of `Scorer` in place; what is left of the row are the counts."""
    with atomic(output / shard["file"][0].as_py()) as temporary:
        temporary.write_bytes(shard["content"][0].as_buffer())
        sync(temporary)
    sync(output)
    return shard.drop_columns(["content"])
