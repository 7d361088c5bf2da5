"""What there is to score in a collection, cut into shards, and which of them are done.

A shard is a file of the output folder, and its name says which images it is of: a part of the name
of what they are read from, a fingerprint of it, and the place of the first image. So names alone
tell what is left to do, and files for another input are noticed.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))  # in Ray's workers, too
import submission  # noqa: F401  puts the submission folder on the path
import pyarrow
from files import IMAGE_SUFFIXES, atomic
from listing import walk
from pyarrow import parquet

SETTINGS_FILE = "_settings.json"  # readers of Parquet folders pass over names with this beginning
IMAGE_COLUMN = "image"
IDENTIFIER_COLUMNS = ("uuid", "identifier")  # the first that a Parquet file has names its images
READERS = 16  # threads that read the ends of Parquet files, waiting for the disk most of the time


@dataclass(frozen=True)
class Shard:
    """Some images of a source that are written as one file."""

    file: str  # its name in the output folder
    start: int  # the places of its images in the source, from here
    stop: int  # up to, but without, here


@dataclass(frozen=True)
class Source:
    """What one task reads from its beginning to its end: images that lie together."""

    path: Path  # a folder or a Parquet file
    names: tuple[str, ...]  # of the images in the folder; none for a Parquet file
    group: int  # the row group of the Parquet file
    shards: tuple[Shard, ...]


def find_sources(path: Path, rows: int) -> list[Source]:
    """All images in `path`, a folder or a Parquet file, in shards of `rows` images at the most.

    Folders are searched with their sub-folders, for images or for Parquet files; hidden files and
    links to folders are passed over, and Parquet files without a column of images, too.
    Raises ValueError where there are none, where there are both, and for damaged files.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such folder or Parquet file")
    images = sorted(walk(path)) if path.is_dir() else []
    tables = sorted(path / name for name in walk(path, {".parquet"})) if path.is_dir() else [path]
    if images and tables:
        raise ValueError(
            f"{path}: holds images, such as {images[0]}, and Parquet files, such as {tables[0]}; "
            "keep them in folders of their own"
        )
    parts = [tuple(images[start : start + rows]) for start in range(0, len(images), rows)]
    sources = [
        Source(path, names, 0, cut(path.name, names, len(names), rows, place * rows))
        for place, names in enumerate(parts)
    ]
    folder = path if path.is_dir() else path.parent
    with ThreadPoolExecutor(READERS) as pool:
        for found in pool.map(partial(table_sources, folder=folder, rows=rows), tables):
            sources += found
    if not sources:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(
            f"{path}: holds no images ({kinds}) and no Parquet rows with {IMAGE_COLUMN}"
        )
    return sources


def table_sources(path: Path, folder: Path, rows: int) -> list[Source]:
    """A source for each row group of a Parquet file; none where it has no column of images."""
    try:
        with parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            sizes = [metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    if IMAGE_COLUMN not in schema.names:
        return []
    kind = schema.field(IMAGE_COLUMN).type if schema.names.count(IMAGE_COLUMN) == 1 else "twice"
    if kind not in (pyarrow.binary(), pyarrow.large_binary()):
        raise ValueError(f"{path}: its column {IMAGE_COLUMN} is {kind}, expected once and binary")
    if not set(IDENTIFIER_COLUMNS) & set(schema.names):
        raise ValueError(
            f"{path}: has the columns {', '.join(schema.names)}, expected one of "
            f"{', '.join(IDENTIFIER_COLUMNS)}"
        )
    if any(size < 0 for size in sizes) or sum(sizes) > path.stat().st_size:
        claim = f"its {path.stat().st_size:,} bytes claim to be {sum(sizes):,} rows"
        raise ValueError(f"{path}: not a readable Parquet file ({claim})")
    described = (path.relative_to(folder).as_posix(), str(path.stat().st_size))
    first = [0, *accumulate(sizes)]
    return [
        Source(path, (), group, cut(path.stem, described, size, rows, first[group]))
        for group, size in enumerate(sizes)
        if size
    ]


def cut(stem: str, described: Iterable[str], size: int, rows: int, first: int) -> tuple[Shard, ...]:
    """The shards of `size` images whose first is at `first` of what is described."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:40].strip("-") or "images"
    text = "\0".join(described).encode("utf-8", "surrogateescape")
    name = f"{plain}-{hashlib.sha256(text).hexdigest()[:12]}"
    return tuple(
        Shard(f"{name}-{first + start:09d}.parquet", start, min(start + rows, size))
        for start in range(0, size, rows)
    )


def keep_settings(output: Path, settings: Mapping[str, object]) -> None:
    """Write down what the scores in `output` depend on, before the first of them is there.

    Raises ValueError where it was begun with other settings, or holds shards of unknown ones.
    """
    path = output / SETTINGS_FILE
    if not path.exists():
        if finished(output):
            raise ValueError(
                f"{output}: holds Parquet files, but no {SETTINGS_FILE} that says how they came "
                "about; choose an empty folder"
            )
        with atomic(path, durable=True) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}); choose another --output") from error
    names = [name for name in settings | found if settings.get(name) != found.get(name)]
    if names:
        said = "; ".join(f"{n} was {found.get(n)} and is now {settings.get(n)}" for n in names)
        raise ValueError(
            f"{output}: was begun with other settings: {said}. Repeat those, or choose another "
            "--output"
        )


def finished(output: Path) -> set[str]:
    """The names of the finished shards; one that is being written has a hidden name."""
    return {path.name for path in output.glob("[!.]*.parquet")}


def left_to_do(sources: Sequence[Source], output: Path) -> list[Source]:
    """The sources with the shards that are not in `output`; ValueError for shards of others."""
    done = finished(output)
    strange = sorted(done - {shard.file for source in sources for shard in source.shards})
    if strange:
        raise ValueError(
            f"{output / strange[0]}, and {len(strange) - 1} more: not of the images that --input "
            "holds now. Was it changed, or is it another one? Remove them, or choose another "
            "--output"
        )
    rest = [
        replace(source, shards=tuple(shard for shard in source.shards if shard.file not in done))
        for source in sources
    ]
    return [source for source in rest if source.shards]
