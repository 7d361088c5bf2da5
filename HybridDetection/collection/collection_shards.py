"""What there is to score in a collection, cut into shards, and which of them are done.

A shard is a file of the output folder. Its name says which images it is of: a part of the name of
what they are read from, a fingerprint of it, and the place of the first image. So the names alone
tell what is left to do, and files for another input are noticed.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from files import IMAGE_SUFFIXES, atomic, sync
from listing import walk

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
    groups: tuple[int, ...]  # the row groups of the Parquet file; none for a folder
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Counts:
    """How many images a finished shard is of, and how many of them have no score."""

    images: int
    failed: int


# ---- what there is ------------------------------------------------------------------------------


def find_sources(path: Path, rows: int) -> list[Source]:
    """All images in `path`, a folder or a Parquet file, in shards of `rows` images at the most.

    Folders are searched with their sub-folders, for images or for Parquet files; hidden files and
    links to folders are passed over, and Parquet files without a column of images, too.
    Raises ValueError where there are none, where there are both, and for damaged files.
    """
    if path.is_file():
        return parquet_sources([path], path.parent, rows)
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder or Parquet file")
    images = sorted(walk(path))
    tables = sorted(walk(path, {".parquet"}))
    if images and tables:
        raise ValueError(
            f"{path}: holds images, such as {images[0]}, and Parquet files, such as {tables[0]}; "
            "keep them in folders of their own"
        )
    if not images and not tables:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"{path}: holds no images ({kinds}) and no Parquet files")
    if tables:
        return parquet_sources([path / name for name in tables], path, rows)
    return folder_sources(path, images, rows)


def folder_sources(folder: Path, names: Sequence[str], rows: int) -> list[Source]:
    """A source for each shard, so that as many tasks as there are cores can read them."""
    sources = []
    for start in range(0, len(names), rows):
        part = tuple(names[start : start + rows])
        shard = Shard(shard_file(folder.name, part, start), 0, len(part))
        sources.append(Source(folder, part, (), (shard,)))
    return sources


def parquet_sources(paths: Sequence[Path], folder: Path, rows: int) -> list[Source]:
    """The sources of Parquet files in `folder`, those without a column of images passed over."""
    with ThreadPoolExecutor(READERS) as pool:
        sizes = list(pool.map(row_group_sizes, paths))
    sources: list[Source] = []
    for path, groups in zip(paths, sizes, strict=True):
        if groups is not None:
            name = path.relative_to(folder).as_posix()
            sources += row_group_sources(path, (name, str(path.stat().st_size)), groups, rows)
    if not sources:
        where = paths[0] if len(paths) == 1 else folder
        raise ValueError(f"{where}: has no rows with a column {IMAGE_COLUMN}")
    return sources


def row_group_sizes(path: Path) -> list[int] | None:
    """The rows of each row group of a Parquet file; None where it has no column of images.

    Raises ValueError for damaged files and for columns of the wrong kind.
    """
    import pyarrow
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    if IMAGE_COLUMN not in schema.names:
        return None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: has the column {twice[0]} more than once; rename one")
    kind = schema.field(IMAGE_COLUMN).type
    if not (types.is_binary(kind) or types.is_large_binary(kind)):
        raise ValueError(f"{path}: its column {IMAGE_COLUMN} is of {kind}, expected binary")
    if not set(IDENTIFIER_COLUMNS) & set(schema.names):
        raise ValueError(
            f"{path}: has the columns {', '.join(schema.names)}, expected one of "
            f"{', '.join(IDENTIFIER_COLUMNS)}"
        )
    if any(size < 0 for size in sizes) or sum(sizes) > path.stat().st_size:
        raise ValueError(
            f"{path}: not a readable Parquet file (its {path.stat().st_size:,} bytes claim to be "
            f"{sum(sizes):,} rows)"
        )
    return sizes


def row_group_sources(
    path: Path, described: Sequence[str], groups: Sequence[int], rows: int
) -> list[Source]:
    """The sources of one Parquet file whose row groups have so many rows each.

    A row group is read by one task alone, however large it is; small ones are taken together until
    they fill a shard. `described` goes into the fingerprint.
    """
    sources: list[Source] = []
    begun, first, count = 0, 0, 0  # the row group, its row, and the rows since then
    for group, size in enumerate(groups):
        count += size
        if count >= rows or (group == len(groups) - 1 and count):
            shards = tuple(
                Shard(
                    shard_file(path.stem, described, first + start),
                    start,
                    min(start + rows, count),
                )
                for start in range(0, count, rows)
            )
            sources.append(Source(path, (), tuple(range(begun, group + 1)), shards))
            begun, first, count = group + 1, first + count, 0
    return sources


def shard_file(stem: str, described: Iterable[str], start: int) -> str:
    """The name of the shard whose first image is at `start` of what is described."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:40].strip("-") or "images"
    text = "\0".join(described).encode("utf-8", "surrogateescape")
    return f"{plain}-{hashlib.sha256(text).hexdigest()[:12]}-{start:09d}.parquet"


# ---- what is done -------------------------------------------------------------------------------


def keep_settings(output: Path, settings: Mapping[str, object]) -> None:
    """Write down what the scores in `output` depend on, before the first of them is there.

    Raises ValueError where it was begun with other settings, or holds shards of unknown ones.
    """
    path = output / SETTINGS_FILE
    if not path.exists():
        if shards_in(output):
            raise ValueError(
                f"{output}: holds Parquet files, but no {SETTINGS_FILE} that says how they came "
                "about; choose an empty folder"
            )
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
            sync(temporary)
        sync(output)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}); choose another --output") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: damaged (no object); choose another --output")
    names = sorted(set(found) | set(settings))
    changed = [name for name in names if found.get(name) != settings.get(name)]
    if changed:
        said = "; ".join(
            f"{name} was {found.get(name)} and is now {settings.get(name)}" for name in changed
        )
        raise ValueError(
            f"{output}: was begun with other settings: {said}. Repeat those, or choose another "
            "--output"
        )


def shards_in(output: Path) -> list[str]:
    """The names of the finished shards; one that is being written has a hidden name."""
    return sorted(path.name for path in output.glob("[!.]*.parquet"))


def find_finished(output: Path, sources: Iterable[Source]) -> dict[str, Counts]:
    """The counts of each finished shard of `sources` by its name.

    Raises ValueError for shards of something else and for damaged ones.
    """
    sizes = {shard.file: shard.stop - shard.start for shard in all_shards(sources)}
    names = shards_in(output)
    strange = [name for name in names if name not in sizes]
    if strange:
        others = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise ValueError(
            f"{output / strange[0]}{others}: not of the images that --input holds now. Was it "
            "changed, or is it another one? Remove them, or choose another --output"
        )
    with ThreadPoolExecutor(READERS) as pool:
        counts = list(pool.map(read_counts, (output / name for name in names)))
    for name, count in zip(names, counts, strict=True):
        if count.images != sizes[name]:
            raise ValueError(
                f"{output / name}: has {count.images} rows, expected {sizes[name]}; remove it, and "
                "it is made again"
            )
    return dict(zip(names, counts, strict=True))


def read_counts(path: Path) -> Counts:
    """From the end of a finished shard. Raises ValueError for a damaged one."""
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
        column = metadata.schema.names.index("error")
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        fine = sum(group.column(column).statistics.null_count for group in groups)
    except (pyarrow.ArrowException, OSError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it, and it is made again") from error
    return Counts(metadata.num_rows, metadata.num_rows - fine)


def left_to_do(sources: Iterable[Source], finished: Mapping[str, Counts]) -> list[Source]:
    """The sources with the shards that are not finished."""
    rest = []
    for source in sources:
        shards = tuple(shard for shard in source.shards if shard.file not in finished)
        if shards:
            rest.append(replace(source, shards=shards))
    return rest


def all_shards(sources: Iterable[Source]) -> Iterator[Shard]:
    for source in sources:
        yield from source.shards
