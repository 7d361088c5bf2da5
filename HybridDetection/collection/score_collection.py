"""Score a collection of photographs on one machine or many.

    python scripts/score_collection.py --input DIR_OR_PARQUET --output DIR

Reads the images below a folder, or Parquet files with a column `image` of bytes and one `uuid` or
`identifier`. Writes Parquet files into DIR, each of some images (a shard), a row an image. Images
that cannot be scored have a row that says why; the exit status is then 1. What is finished is kept:
the same command goes on where a run was stopped.

Ray Data moves the shards: tasks decode; actors that load the model once score and write. It runs
on this machine, or on the cluster that the environment's RAY_ADDRESS names; the repository, the
weights, the input and the output then lie on disks that all machines see under one path.
"""

import argparse
import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
from backbones import BACKBONES, IMAGE_SIZE, PREPROCESSES, locate_backbone
from files import IMAGE_SUFFIXES, atomic
from ingestion import BATCH_SIZE, counted
from listing import walk
from model import MEMBER_FILES, load_members, locate_members
from scoring import MEMBERS
from tqdm import tqdm

try:
    import pyarrow.dataset
    import ray.data
    from pyarrow import parquet
    from stages import IDENTIFIER_COLUMNS, IMAGE_COLUMN, Scorer, Source, decode, schema
except ImportError as error:
    sys.exit(f"collection: {error.name} is not installed: scripts/setup.sh --with collection")

SHARD = 512  # images in a file; as pictures that wait to be scored, they take 77 MB
TRIES = 3  # that a shard has after a worker that had it was killed
SETTINGS_FILE = "_settings.json"  # readers of Parquet folders pass over names with this beginning


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--input", type=Path, required=True, help="folder of images or Parquet files, or one such")
    add("--output", type=Path, required=True, help="folder of the Parquet files")
    add("--classifiers", type=Path, help=f"folder of {', '.join(MEMBER_FILES.values())}")
    add("--members", nargs="+", choices=MEMBERS, help="default: all; sgd and linear must be there")
    add("--backbone", choices=BACKBONES, help="refuse classifiers of another one")
    add("--preprocess", choices=PREPROCESSES, help="refuse classifiers of another one")
    add("--features", action="store_true", help="also write the features")
    add("--shard", type=int, default=SHARD, help=f"images in a file (default: {SHARD})")
    add("--batch_size", type=int, default=BATCH_SIZE, help="images that are scored at once")
    add("--actors", type=int, help="processes that score (default: one a GPU, else one a core, or "
        "in a cluster one for two cores)")  # fmt: skip
    add("--device", help="of the actors: cuda, mps or cpu (default: the best)")
    options = parser.parse_args()
    for name in ("shard", "batch_size", "actors"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, not {value}")
    options.input, options.output = options.input.resolve(), options.output.resolve()
    options.classifiers = options.classifiers and options.classifiers.resolve()
    if options.output.is_relative_to(options.input):
        parser.error("--output must lie outside --input, or it would be read the next time")
    return options


def find_detector(options: argparse.Namespace) -> dict[str, object]:
    """What the rows of the output depend on; `options` get the classifiers' backbone and so on.

    Raises FileNotFoundError and ValueError as Model.load does, before Ray is started.
    """
    paths = locate_members(options.classifiers, options.members)
    members = load_members(paths, options.backbone, options.preprocess)
    origin = next(iter(members.values())).origin
    options.backbone, options.preprocess = origin.backbone, origin.preprocess
    files = [*paths.values(), locate_backbone(origin.backbone)]
    return {
        "images in a shard": options.shard,
        "members": [name for name in MEMBERS if name in members],
        "backbone": origin.backbone,
        "preprocess": origin.preprocess,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "features": options.features,
    }


# ---- the shards ---------------------------------------------------------------------------------


def find_sources(path: Path, size: int) -> list[Source]:
    """All images in `path`, a folder or a Parquet file, in shards of `size` images at the most.

    Folders are searched with their sub-folders, for images or for Parquet files; hidden files and
    links to folders are passed over, and Parquet files without a column of images, too.
    Raises ValueError where there are none, where there are both, and for damaged files.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such folder or Parquet file")
    images = sorted(walk(path)) if path.is_dir() else []
    tables = sorted(path / name for name in walk(path, {".parquet"})) if path.is_dir() else [path]
    if images and tables:
        raise ValueError(f"{path}: holds images and Parquet files, such as {tables[0]}; move these")
    sources = []
    for first in range(0, len(images), size):
        names = images[first : first + size]
        sources.append(Source(path, names, 0, cut(path.name, names, len(names), size, first)))
    folder = path if path.is_dir() else path.parent
    with ThreadPoolExecutor(16) as pool:  # they wait for the disk most of the time
        for found in pool.map(lambda table: table_sources(table, folder, size), tables):
            sources += found
    if not sources:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"{path}: no images ({kinds}) and no Parquet rows with {IMAGE_COLUMN}")
    return sources


def table_sources(path: Path, folder: Path, size: int) -> list[Source]:
    """A source for each row group of a Parquet file; none where it has no column of images."""
    try:
        with parquet.ParquetFile(path) as file:
            columns, metadata = file.schema_arrow, file.metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    if IMAGE_COLUMN not in columns.names:
        return []
    binary = columns.field(IMAGE_COLUMN).type in (pyarrow.binary(), pyarrow.large_binary())
    if not binary or not set(IDENTIFIER_COLUMNS) & set(columns.names):
        raise ValueError(
            f"{path}: has {', '.join(f'{field.name} ({field.type})' for field in columns)}; "
            f"expected {IMAGE_COLUMN} (binary) and one of {', '.join(IDENTIFIER_COLUMNS)}"
        )
    described = (path.relative_to(folder).as_posix(), str(path.stat().st_size))
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    firsts = accumulate(counts, initial=0)
    return [
        Source(path, [], group, cut(path.stem, described, count, size, first))
        for group, (count, first) in enumerate(zip(counts, firsts, strict=False))
        if count
    ]


def cut(stem: str, described: Iterable[str], count: int, size: int, first: int) -> dict[str, range]:
    """The shards of `count` images, of which the first is at `first` of what is described.

    A shard's name holds a part of the name of what it is read from, a fingerprint of that, and the
    place of its first image. So names alone tell what is left to do, and files for another input.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:40].strip("-") or "images"
    text = "\0".join(described).encode("utf-8", "surrogateescape")
    name = f"{plain}-{hashlib.sha256(text).hexdigest()[:12]}"
    return {
        f"{name}-{first + start:09d}.parquet": range(start, min(start + size, count))
        for start in range(0, count, size)
    }


def count_images(sources: Iterable[Source]) -> int:
    return sum(len(places) for source in sources for places in source.shards.values())


def keep_settings(output: Path, settings: dict[str, object]) -> None:
    """Write down what the scores in `output` depend on, before the first of them is there.

    Raises ValueError where it was begun with other settings, or holds shards of unknown ones.
    """
    path = output / SETTINGS_FILE
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        names = [name for name in settings if settings[name] != found.get(name)]
        if names:
            said = "; ".join(f"{n} was {found.get(n)} and is now {settings[n]}" for n in names)
            raise ValueError(f"{output}: {said}. Repeat that, or choose another --output")
    elif finished(output):
        raise ValueError(f"{output}: holds Parquet files of unknown settings; choose another")
    else:
        with atomic(path, durable=True) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def finished(output: Path) -> set[str]:
    """The names of the finished shards; one that is being written has a hidden name."""
    return {path.name for path in output.glob("[!.]*.parquet")}


def left_to_do(sources: list[Source], output: Path) -> list[Source]:
    """The sources with the shards that are not in `output`; ValueError for shards of others."""
    done = finished(output)
    strange = sorted(done.difference(*(source.shards for source in sources)))
    if strange:
        raise ValueError(
            f"{output / strange[0]}, and {len(strange) - 1} more: not of the images that --input "
            "holds now; remove them, or choose another --output"
        )
    rest = [
        replace(source, shards={f: places for f, places in source.shards.items() if f not in done})
        for source in sources
    ]
    return [source for source in rest if source.shards]


# ---- Ray ----------------------------------------------------------------------------------------


def start_ray(options: argparse.Namespace, folder: str) -> tuple[int, int]:
    """Join the cluster that RAY_ADDRESS names, or start Ray here, its files in `folder`.

    Gives how many actors are to score, and the GPUs of each.
    """
    common = {"logging_level": "ERROR", "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**common)
        cores = int(ray.cluster_resources()["CPU"]) // 2
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ray.init(
            address="local",
            num_cpus=(options.actors or cores) + cores,  # actors that score, tasks that decode
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            **common,
        )
    return choose_actors(options, int(ray.cluster_resources().get("GPU", 0)), cores)


def choose_actors(options: argparse.Namespace, gpus: int, cores: int) -> tuple[int, int]:
    """An actor a GPU, where there are some and they may be used; else one a core."""
    if gpus and (options.device or "cuda").startswith("cuda"):
        return options.actors or gpus, 1
    return options.actors or max(1, cores), 0


def score(sources: list[Source], options: argparse.Namespace) -> None:
    """Score all shards of `sources`. ValueError where Ray gives up; what is written stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it calls harmless things errors
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # How often a shard is tried again has no other way to be said; the version is pinned.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = 100  # that kill their workers or cannot be read
    context.target_max_block_size = options.shard * IMAGE_SIZE**2 * 3  # a shard, which is a row
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        tqdm(total=count_images(sources), unit="image", disable=None) as bar,
    ):
        try:
            actors, gpus_each = start_ray(options, folder)
            shards = ray.data.from_items(sources, override_num_blocks=len(sources)).map_batches(
                decode,
                batch_size=1,
                batch_format="numpy",
                fn_args=(options.preprocess,),
                max_retries=TRIES,
            )
            written = shards.map_batches(
                Scorer,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_args=(options,),
                compute=ray.data.ActorPoolStrategy(size=actors),
                num_cpus=1,
                num_gpus=gpus_each,
                max_restarts=-1,
                max_task_retries=TRIES,
            )
            for row in written.iter_rows():
                bar.update(row["images"])
        except Exception as error:  # Ray raises many types
            raise ValueError(f"Ray gave up: {error}") from error
        finally:
            ray.shutdown()


# ---- the program --------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """The whole of it; the exit status: 1 where an image has no score."""
    settings = find_detector(options)
    sources = find_sources(options.input, options.shard)
    options.output.mkdir(parents=True, exist_ok=True)
    keep_settings(options.output, settings)
    rest = left_to_do(sources, options.output)
    if there := finished(options.output):
        print(f"collection: going on; {counted(len(there), 'file')} are there", file=sys.stderr)
    if rest:
        score(rest, options)
    return tell(options.output, settings, left_to_do(sources, options.output))


def tell(output: Path, settings: dict[str, object], missing: list[Source]) -> int:
    """Say how many images are scored, and which are not; the exit status."""
    files = [str(output / name) for name in sorted(finished(output))]
    table = pyarrow.dataset.dataset(files, schema())
    failed = table.count_rows(filter=pyarrow.dataset.field("error").is_valid())
    cut_out = ", specimens cut out where they were found," * (settings["preprocess"] == "cutout")
    done = counted(table.count_rows() - failed, "image") + cut_out
    members = ", ".join(settings["members"])
    print(f"collection: scored {done} with {settings['backbone']} ({members}): {output}")
    if failed:
        said = f"{counted(failed, 'image')} could not be scored; the column error says why"
        print(f"collection: {said}", file=sys.stderr)
    if missing:
        first = missing[0].path / "".join(missing[0].names[:1])
        said = f"the files of {counted(count_images(missing), 'image')} could not be made"
        said += f", the first from {first}; the same command tries again"
        print(f"collection: {said}", file=sys.stderr)
    return int(failed > 0 or bool(missing))


def main() -> int:
    try:
        return run(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"collection: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
