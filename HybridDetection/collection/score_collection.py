"""Score a collection of photographs on one machine or many.

    python scripts/score_collection.py --input DIR_OR_PARQUET --output DIR

Reads the images below a folder, or Parquet files with a column `image` of encoded images and one
`uuid` or `identifier`. Writes Parquet files into DIR, each of some images (a shard), a row an
image. Images that cannot be scored have a row that says why; the exit status is then 1, as it is
where photographs are of a kind that is not read. What is
finished is kept: the same command goes on where a run was stopped.

Ray Data moves the shards: tasks decode; actors that load the model once score and write. It runs
on this machine, or on the cluster that the environment's RAY_ADDRESS names; the repository, the
weights, the input and the output then lie on disks that all machines see under one path.
"""

import argparse
import hashlib
import itertools
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
from backbones import IMAGE_SIZE, locate_backbone, version
from files import images_in, passed_over, unread
from ingestion import BATCH_SIZE, counted
from listing import no_images
from model import MEMBERS, Model
from processes import CORES
from tqdm import tqdm

try:
    import pyarrow.dataset
    import ray.data
    from pyarrow import parquet
    from stages import IDENTIFIER_COLUMNS, IMAGE_COLUMN, SCHEMA, Scorer, Source, decode
except ImportError as error:
    sys.exit(f"collection: {error.name} is not installed: scripts/setup.sh --with collection")

SHARD = 512  # images in a file; as pictures that wait to be scored, they take 77 MB
TRIES = 3  # that a shard has after a worker that had it was killed


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--input", type=Path, required=True, help="folder of images or Parquet files, or one such")
    add("--output", type=Path, required=True, help="folder of the Parquet files")
    add(
        "--classifiers",
        type=Path,
        help=f"folder of {', '.join(member.file for member in MEMBERS.values())}",
    )
    add("--members", nargs="+", choices=MEMBERS, help="default: all; sgd and linear must be there")
    add("--shard", type=int, default=SHARD, help=f"images in a file (default: {SHARD})")
    add("--batch_size", type=int, default=BATCH_SIZE, help="images that are scored at once")
    actors = "one a GPU, else one a core, of a cluster's one for two"
    add("--actors", type=int, help=f"processes that score (default: {actors})")
    add("--device", help="of the actors: cuda, mps or cpu (default: the best)")
    options = parser.parse_args()
    if min(options.shard, options.batch_size, options.actors or 1) < 1:
        parser.error("--shard, --batch_size and --actors must be at least 1")
    options.input, options.output = options.input.resolve(), options.output.resolve()
    options.classifiers = options.classifiers and options.classifiers.resolve()
    if options.output.is_relative_to(options.input):
        parser.error("--output must lie outside --input, or it would be read the next time")
    return options


def find_detector(options: argparse.Namespace) -> dict[str, object]:
    """Who scores: what the rows depend on beside the images.

    Raises FileNotFoundError and ValueError as Model.load does, before Ray is started.
    """
    model = Model(classifiers=options.classifiers, members=options.members, device="cpu")
    model.load_members()
    files = [*model.files.values(), *map(locate_backbone, model.networks)]
    return {
        "members": list(model.members),
        "backbone": model.backbone,
        "view": model.view,
        "version": version(model.view),
        "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
    }


def find_sources(
    path: Path, size: int, detector: dict[str, object]
) -> tuple[list[Source], dict[str, list[str]]]:
    """All images in `path`, a folder or a Parquet file, in shards of `size` images at the most;
    and what is passed over of a folder, as images_in gives it.

    A shard's file is named by a fingerprint of all that its rows depend on, and numbered in the
    order of the images. Folders are searched with their sub-folders, for images or for Parquet
    files; of these, any without a column of images are passed over. Raises ValueError where there
    are none or both, and for damaged files.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such folder or Parquet file")
    images, passed = images_in(path) if path.is_dir() else ([], {".parquet": [""]})
    kinds = [kind for kind in passed if kind.lower() == ".parquet"]
    tables = sorted(path / name for kind in kinds for name in passed.pop(kind))
    if images and tables:
        raise ValueError(f"{path}: holds images and Parquet files, such as {tables[0]}; move these")
    states = []
    for file in [*(path / name for name in images), *tables]:
        state = file.stat() if file.exists() else file.lstat()  # a link may lead nowhere
        states.append((os.path.relpath(file, path), state.st_size, state.st_mtime_ns))
    text = json.dumps([states, size, detector])
    mark, numbers = hashlib.sha256(text.encode()).hexdigest()[:12], itertools.count()

    def cut(count: int) -> dict[str, range]:
        starts = range(0, count, size)
        return {f"{mark}-{next(numbers):08d}.parquet": range(count)[i:][:size] for i in starts}

    parts = [images[start : start + size] for start in range(0, len(images), size)]
    sources = [Source(path, names, 0, cut(len(names))) for names in parts]
    for table in tables:
        counts = enumerate(rows_of_groups(table))
        sources += [Source(table, [], group, cut(count)) for group, count in counts]
    if not count_images(sources):
        raise no_images(path, passed, f" and no Parquet rows with {IMAGE_COLUMN}")
    return sources, passed


def rows_of_groups(path: Path) -> list[int]:
    """How many rows each row group of a Parquet file has; none without a column of images."""
    try:
        with parquet.ParquetFile(path) as file:
            metadata, fields = file.metadata, list(file.schema_arrow)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error
    kinds = {field.name: field.type for field in fields}
    if IMAGE_COLUMN not in kinds:
        return []
    encoded = kinds[IMAGE_COLUMN] in (pyarrow.binary(), pyarrow.large_binary())
    if not encoded or not set(IDENTIFIER_COLUMNS) & set(kinds) or len(kinds) < len(fields):
        found = ", ".join(f"{field.name} ({field.type})" for field in fields)
        expected = f"{IMAGE_COLUMN} (binary) and one of {', '.join(IDENTIFIER_COLUMNS)}"
        raise ValueError(f"{path}: has {found}; expected {expected}, and no column twice")
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def count_images(sources: Iterable[Source]) -> int:
    return sum(len(places) for source in sources for places in source.shards.values())


def left_to_do(sources: list[Source], output: Path) -> list[Source]:
    """The sources with the shards that are not in `output`; ValueError for a shard of others."""
    done = {path.name for path in output.glob("[!.]*.parquet")}  # hidden: being written
    if strange := sorted(done.difference(*(source.shards for source in sources))):
        raise ValueError(
            f"{output / strange[0]} is of other images, classifiers, --members, --shard or another "
            "version of the programs: repeat what it was made with, or choose another --output"
        )
    rest = [
        replace(source, shards={f: places for f, places in source.shards.items() if f not in done})
        for source in sources
    ]
    return [source for source in rest if source.shards]


def start_ray(options: argparse.Namespace, folder: str) -> tuple[int, int]:
    """Join the cluster that RAY_ADDRESS names, or start Ray here, its files in `folder`.

    Gives how many actors are to score, and the GPUs of each.
    """
    here = {
        "address": "local",
        # Actors that score, and as many tasks that decode as there are cores.
        "num_cpus": (options.actors or CORES) + CORES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": folder,
    }
    joins = os.environ.get("RAY_ADDRESS")
    ray.init(logging_level="ERROR", log_to_driver=False, **({} if joins else here))
    return choose_actors(options, ray.cluster_resources())


def choose_actors(options: argparse.Namespace, resources: dict[str, float]) -> tuple[int, int]:
    """An actor a GPU, where there are some and they may be used; else one for two of Ray's CPUs."""
    gpus = int(resources.get("GPU", 0)) * (options.device or "cuda").startswith("cuda")
    return options.actors or gpus or max(1, int(resources["CPU"]) // 2), min(gpus, 1)


def score(sources: list[Source], options: argparse.Namespace, view: str) -> None:
    """Score all shards of `sources`. ValueError where Ray gives up; what is written stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it calls harmless things errors
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # How often a shard is tried again has no other way to be said; the version is pinned.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = 100  # that kill their workers or cannot be read
    squares = 3  # of a picture at the most
    context.target_max_block_size = options.shard * squares * IMAGE_SIZE**2 * 3  # a shard, a row
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
                fn_args=(view,),
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


def run(options: argparse.Namespace) -> int:
    """The whole of it; the exit status: 1 where an image has no score."""
    detector = find_detector(options)
    sources, passed = find_sources(options.input, options.shard, detector)
    rest, count = left_to_do(sources, options.output), count_images(sources)
    if there := count - count_images(rest):
        print(f"collection: going on; {counted(there, 'image')} are done", file=sys.stderr)
    if rest:
        options.output.mkdir(parents=True, exist_ok=True)
        score(rest, options, detector["view"])
    files = sorted(map(str, options.output.glob("[!.]*.parquet")))
    table = pyarrow.dataset.dataset(files, SCHEMA)
    failed = table.count_rows(filter=pyarrow.dataset.field("error").is_valid())
    missing = count_images(left_to_do(sources, options.output))
    members = f"with {detector['backbone']} ({', '.join(detector['members'])})"
    scored = counted(table.count_rows() - failed, "image")
    print(f"collection: scored {scored} {members}: {options.output}")
    for number, problem in (
        (failed, "could not be scored; the column error says why"),
        (missing, "have no file, as it could not be made; the same command tries again"),
    ):
        if number:
            print(f"collection: {counted(number, 'image')} {problem}", file=sys.stderr)
    for line in passed_over(passed):
        print(f"collection: {line}", file=sys.stderr)
    return int(failed + missing + unread(passed) > 0)


def main() -> int:
    try:
        return run(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"collection: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
