"""Score a collection of photographs on one machine or many: scripts/score_collection.py is its name
among the scripts.

    python scripts/score_collection.py --input DIR_OR_PARQUET --output DIR

Reads the images below a folder, or Parquet files with a column `image` of bytes and one `uuid` or
`identifier`. Writes Parquet files into DIR, each of some images (a shard), a row an image. Images
that cannot be scored have a row that says why; the exit status is then 1. What is finished is kept:
the same command goes on where a run was stopped.

Ray Data moves the shards: tasks decode, actors that load the model once score, tasks write. It
runs on this machine, or on the cluster that the environment's RAY_ADDRESS names; the repository,
the weights, the input and the output then lie on disks that all machines see under one path.
"""

import argparse
import hashlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
from backbones import BACKBONES, IMAGE_SIZE, PREPROCESSES
from collection_shards import (
    Counts,
    Source,
    all_shards,
    find_finished,
    find_sources,
    keep_settings,
    left_to_do,
)
from durable import make_folder
from ingestion import BATCH_SIZE, counted
from model import MEMBER_FILES, load_members, locate_members, locate_weights
from published_members import Origin
from scoring import MEMBERS
from tqdm import tqdm

SHARD = 512  # images in a file; as pictures that wait to be scored, they take 77 MB
PICTURE_BYTES = IMAGE_SIZE * IMAGE_SIZE * 3
WAITING = 3  # shards that Ray's store has room for, for each task and actor at work
SMALLEST_STORE = 100_000_000  # bytes; Ray needs some for itself
TRIES = 3  # that a shard has after a worker that had it was killed
FAILED_SHARDS = 100  # a run goes on past so many that kill their workers or cannot be read


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score a collection of photographs on one machine or many, with Ray Data."
    )
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        help="folder of images or of Parquet files, with its sub-folders; or one Parquet file",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument(
        "--classifiers",
        type=Path,
        help=f"folder of {', '.join(MEMBER_FILES.values())} (default: Models/classifiers)",
    )
    parser.add_argument(
        "--members",
        nargs="+",
        choices=MEMBERS,
        help="who takes part (default: all that lie there; sgd and linear must)",
    )
    parser.add_argument("--backbone", choices=BACKBONES, help="refuse classifiers of another one")
    parser.add_argument(
        "--preprocess", choices=PREPROCESSES, help="refuse classifiers of another one"
    )
    parser.add_argument("--features", action="store_true", help="also write the features")
    parser.add_argument(
        "--shard", type=int, default=SHARD, help=f"images in a file (default: {SHARD})"
    )
    parser.add_argument(
        "--batch_size", type=int, default=BATCH_SIZE, help="images that are scored at once"
    )
    parser.add_argument(
        "--actors",
        type=int,
        help="processes that score (default: one a GPU; without GPUs one a core of this machine, "
        "or one for two cores of a cluster)",
    )
    parser.add_argument("--device", help="of the actors: cuda, mps or cpu (default: the best)")
    options = parser.parse_args()
    for name in ("shard", "batch_size", "actors"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, not {value}")
    options.input, options.output = options.input.resolve(), options.output.resolve()
    if options.output.is_relative_to(options.input):
        parser.error("--output must lie outside --input, or it would be read the next time")
    return options


# ---- what is scored with ------------------------------------------------------------------------


@dataclass(frozen=True)
class Detector:
    """What the actors load, and what this program needs to know of it."""

    arguments: dict[str, Any]  # of Model
    origin: Origin
    members: tuple[str, ...]
    fingerprints: dict[str, str]  # SHA-256 of each file of weights


def find_detector(options: argparse.Namespace) -> Detector:
    """Raises FileNotFoundError and ValueError as Model.load does, before Ray is started."""
    classifiers = options.classifiers and options.classifiers.resolve()
    paths = locate_members(classifiers, options.members)
    members = load_members(paths, options.backbone, options.preprocess)
    origin = next(iter(members.values())).origin
    files = locate_weights(origin.backbone, classifiers, options.members, origin.preprocess)
    return Detector(
        arguments={
            "backbone": origin.backbone,
            "device": options.device,
            "classifiers": classifiers,
            "members": options.members,
            "preprocess": origin.preprocess,
        },
        origin=origin,
        members=tuple(name for name in MEMBERS if name in members),
        fingerprints={
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in sorted(files.items())
        },
    )


def settings_of(options: argparse.Namespace, detector: Detector) -> dict[str, object]:
    """What the rows of the output depend on, and which images share a file."""
    return {
        "images in a shard": options.shard,
        "members": list(detector.members),
        "backbone": detector.origin.backbone,
        "preprocess": detector.origin.preprocess,
        "files": detector.fingerprints,
        "features": options.features,
    }


# ---- Ray ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workers:
    """Who scores."""

    actors: int
    gpus_each: int


def start_ray(options: argparse.Namespace, folder: str) -> Workers:
    """Join the cluster that RAY_ADDRESS names, or start Ray here, its files in `folder`."""
    import ray

    common = {"logging_level": "ERROR", "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**common)
        there = ray.cluster_resources()
        return choose_workers(options, int(there.get("GPU", 0)), int(there["CPU"]) // 2)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    actors = options.actors or cores
    ray.init(
        address="local",
        num_cpus=actors + cores + 1,  # an actor, a task that decodes, and one that writes
        object_store_memory=store_size(options.shard, actors + cores),
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
        **common,
    )
    return choose_workers(options, int(ray.cluster_resources().get("GPU", 0)), cores)


def choose_workers(options: argparse.Namespace, gpus: int, processors: int) -> Workers:
    """An actor a GPU, where there are some and they may be used; else one a processor."""
    if gpus and (options.device or "cuda").startswith("cuda"):
        return Workers(options.actors or gpus, 1)
    return Workers(options.actors or max(1, processors), 0)


def store_size(shard: int, at_work: int) -> int:
    """The bytes of Ray's object store on this machine: what is decoded waits there."""
    return max(SMALLEST_STORE, WAITING * at_work * shard * PICTURE_BYTES)


def score_sources(
    sources: Sequence[Source], options: argparse.Namespace, detector: Detector, workers: Workers
) -> Iterator[tuple[str, Counts]]:
    """The name and the counts of each shard of `sources` as it is written, in any order."""
    import ray
    from collection_stages import Scorer, decode_sources, write_shard

    # How often a shard is tried again has no other way to be said; the version is pinned.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = FAILED_SHARDS
    # A shard is a row; so each is a block, and what waits is counted in shards.
    context.target_max_block_size = options.shard * PICTURE_BYTES
    written = (
        ray.data.from_items(list(sources), override_num_blocks=len(sources))
        .map_batches(
            decode_sources,
            batch_size=1,
            batch_format="numpy",
            fn_kwargs={"preprocess": detector.origin.preprocess},
            max_retries=TRIES,
        )
        .map_batches(
            Scorer,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(detector.arguments, options.batch_size, options.features),
            compute=ray.data.ActorPoolStrategy(size=workers.actors),
            num_cpus=1,
            num_gpus=workers.gpus_each,
            max_restarts=-1,
            max_task_retries=TRIES,
        )
        .map_batches(
            write_shard,
            batch_size=1,
            batch_format="pyarrow",
            fn_kwargs={"output": options.output},
            max_retries=TRIES,
        )
    )
    for row in written.iter_rows():
        yield row["file"], Counts(row["images"], row["failed"])


def score_rest(
    sources: Sequence[Source], options: argparse.Namespace, detector: Detector
) -> dict[str, Counts]:
    """Score all shards of `sources`; gives those that could be written.

    Raises ValueError where Ray gives up; what was written until then stays.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it calls harmless things errors
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)

    written: dict[str, Counts] = {}
    images = sum(shard.stop - shard.start for shard in all_shards(sources))
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        tqdm(total=images, unit="image", disable=None) as bar,
    ):
        try:
            workers = start_ray(options, folder)
            for name, counts in score_sources(sources, options, detector, workers):
                written[name] = counts
                bar.update(counts.images)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise ValueError(f"Ray gave up: {error}") from error
        finally:
            ray.shutdown()
    return written


# ---- the program --------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """The whole of it; the exit status."""
    detector = find_detector(options)
    sources = find_sources(options.input, options.shard)
    make_folder(options.output)
    keep_settings(options.output, settings_of(options, detector))
    finished = find_finished(options.output, sources)
    rest = left_to_do(sources, finished)
    if finished:
        print(f"collection: going on; {counted(len(finished), 'file')} are there", file=sys.stderr)
    if rest:
        finished |= score_rest(rest, options, detector)
    return tell(sources, finished, options, detector)


def tell(
    sources: Sequence[Source],
    finished: dict[str, Counts],
    options: argparse.Namespace,
    detector: Detector,
) -> int:
    """Say what is done; the exit status: 1 where an image has no score."""
    failed = sum(counts.failed for counts in finished.values())
    scored = sum(counts.images for counts in finished.values()) - failed
    cutouts = detector.origin.preprocess == "cutout"
    cut_out = ", specimens cut out where they were found," if cutouts else ""
    print(
        f"collection: scored {counted(scored, 'image')}{cut_out} with {detector.origin.backbone} "
        f"({', '.join(detector.members)}): {options.output}"
    )
    if failed:
        print(
            f"collection: {counted(failed, 'image')} could not be scored; the column error says "
            "why",
            file=sys.stderr,
        )
    missing = [shard for shard in all_shards(sources) if shard.file not in finished]
    if missing:
        places = {
            shard.file: source.path / source.names[0] if source.names else source.path
            for source in sources
            for shard in source.shards
        }
        images = sum(shard.stop - shard.start for shard in missing)
        print(
            f"collection: {counted(len(missing), 'file')} of {counted(images, 'image')} could not "
            f"be made, the first from {places[missing[0].file]}; the same command tries again",
            file=sys.stderr,
        )
    return int(failed > 0 or bool(missing))


def main() -> int:
    options = parse_arguments()
    try:
        return run(options)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("ray", "pyarrow"):
            raise
        print(
            f"collection: {package} is not installed: scripts/setup.sh --with collection",
            file=sys.stderr,
        )
    except (OSError, ValueError) as error:
        print(f"collection: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
