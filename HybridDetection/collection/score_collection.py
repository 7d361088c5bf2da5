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
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
from backbones import BACKBONES, IMAGE_SIZE, PREPROCESSES, locate_backbone
from ingestion import BATCH_SIZE, counted
from model import MEMBER_FILES, load_members, locate_members
from scoring import MEMBERS
from tqdm import tqdm

try:
    import pyarrow.dataset
    import ray.data
    from shards import Source, find_sources, finished, keep_settings, left_to_do
    from stages import Scorer, decode, schema
except ImportError as error:
    sys.exit(f"collection: {error.name} is not installed: scripts/setup.sh --with collection")

SHARD = 512  # images in a file; as pictures that wait to be scored, they take 77 MB
PICTURE_BYTES = IMAGE_SIZE * IMAGE_SIZE * 3
TRIES = 3  # that a shard has after a worker that had it was killed
FAILED_SHARDS = 100  # a run goes on past so many that kill their workers or cannot be read


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


def find_detector(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, object]]:
    """The arguments of the actors' Model, and what the rows of the output depend on.

    Raises FileNotFoundError and ValueError as Model.load does, before Ray is started.
    """
    paths = locate_members(options.classifiers, options.members)
    members = load_members(paths, options.backbone, options.preprocess)
    origin = next(iter(members.values())).origin
    files = [*paths.values(), locate_backbone(origin.backbone)]
    arguments = {
        "backbone": origin.backbone,
        "device": options.device,
        "classifiers": options.classifiers,
        "members": options.members,
        "preprocess": origin.preprocess,
    }
    settings = {
        "images in a shard": options.shard,
        "members": [name for name in MEMBERS if name in members],
        "backbone": origin.backbone,
        "preprocess": origin.preprocess,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "features": options.features,
    }
    return arguments, settings


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


def score(sources: Sequence[Source], options: argparse.Namespace, arguments: dict) -> None:
    """Score all shards of `sources`. ValueError where Ray gives up; what is written stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it calls harmless things errors
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # How often a shard is tried again has no other way to be said; the version is pinned.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = FAILED_SHARDS
    # A shard is a row; so each is a block, and what waits is counted in shards.
    context.target_max_block_size = options.shard * PICTURE_BYTES
    images = sum(shard.stop - shard.start for source in sources for shard in source.shards)
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        tqdm(total=images, unit="image", disable=None) as bar,
    ):
        try:
            actors, gpus_each = start_ray(options, folder)
            written = (
                ray.data.from_items(list(sources), override_num_blocks=len(sources))
                .map_batches(
                    decode,
                    batch_size=1,
                    batch_format="numpy",
                    fn_kwargs={"preprocess": arguments["preprocess"]},
                    max_retries=TRIES,
                )
                .map_batches(
                    Scorer,
                    batch_size=1,
                    batch_format="pyarrow",
                    fn_constructor_args=(arguments, options.output, options.batch_size),
                    fn_constructor_kwargs={"with_features": options.features},
                    compute=ray.data.ActorPoolStrategy(size=actors),
                    num_cpus=1,
                    num_gpus=gpus_each,
                    max_restarts=-1,
                    max_task_retries=TRIES,
                )
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
    arguments, settings = find_detector(options)
    sources = find_sources(options.input, options.shard)
    options.output.mkdir(parents=True, exist_ok=True)
    keep_settings(options.output, settings)
    rest = left_to_do(sources, options.output)
    if there := finished(options.output):
        print(f"collection: going on; {counted(len(there), 'file')} are there", file=sys.stderr)
    if rest:
        score(rest, options, arguments)
    missing = left_to_do(sources, options.output)
    return int(tell(options.output, settings) > 0) | tell_missing(missing)


def tell(output: Path, settings: dict) -> int:
    """Say how many images are scored; gives the number of those that could not be."""
    files = [str(output / name) for name in sorted(finished(output))]
    try:
        table = pyarrow.dataset.dataset(files, schema(None))
        images = table.count_rows()
        failed = table.count_rows(filter=pyarrow.dataset.field("error").is_valid())
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{error}; remove a damaged file, and it is made again") from error
    cutouts = settings["preprocess"] == "cutout"
    cut_out = ", specimens cut out where they were found," if cutouts else ""
    members = ", ".join(settings["members"])
    done = f"scored {counted(images - failed, 'image')}{cut_out} with {settings['backbone']}"
    print(f"collection: {done} ({members}): {output}")
    if failed:
        said = f"{counted(failed, 'image')} could not be scored; the column error says why"
        print(f"collection: {said}", file=sys.stderr)
    return failed


def tell_missing(sources: Sequence[Source]) -> int:
    """Say which shards could not be made; 1 where there are some."""
    shards = [shard for source in sources for shard in source.shards]
    if shards:
        first = sources[0].path / "".join(sources[0].names[:1])
        images = counted(sum(shard.stop - shard.start for shard in shards), "image")
        said = f"{counted(len(shards), 'file')} of {images} could not be made, the first from"
        print(f"collection: {said} {first}; the same command tries again", file=sys.stderr)
    return int(bool(shards))


def main() -> int:
    try:
        return run(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"collection: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
