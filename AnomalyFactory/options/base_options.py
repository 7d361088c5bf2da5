"""Options that the programs share."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from util import ROOT
from util.distributed import local_world
from util.errors import InputError

GENERATORS = "./Models/AFgenerators"
PIDINET = "Models/edges/table5_pidinet.pth"  # where scripts/download_models.sh puts its weights


def checked(kind: type, expected: str, accepts: Callable[[Any], bool]) -> Callable[[str], Any]:
    """A type for argparse, which turns a text into a value or says what it expects."""

    def parse(text: str) -> float:
        try:
            if accepts(value := kind(text)):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")

    return parse


whole = checked(int, "a whole number, 0 or more", lambda value: value >= 0)
positive = checked(int, "a whole number, 1 or more", lambda value: value >= 1)
seed = checked(int, "a whole number below 2**63", lambda value: 0 <= value < 2**63)
share = checked(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)
momentum = checked(float, "a number from 0 to below 1", lambda value: 0 <= value < 1)
not_negative = checked(float, "a finite number, 0 or more", lambda value: 0 <= value < math.inf)


def at_most(text: str) -> int | None:
    """A whole number, 1 or more; None, the end of a slice, for `inf`."""
    return None if text == "inf" else positive(text)


def rooted(text: str) -> Path:
    """A path; a relative one starts at the repository's root."""
    return ROOT / text


def gpu_ids(text: str) -> list[int]:
    """`0,2` -> [0, 2]; `-1` -> []."""
    if text == "-1":
        return []
    ids = text.split(",")
    if not all(part.isdecimal() for part in ids) or len(set(ids)) < len(ids):
        raise argparse.ArgumentTypeError(f"{text!r}: expected such as 0, or 0,1, or -1 for the CPU")
    return [int(part) for part in ids]


def gpus_there() -> list[int]:
    """A GPU for each process of this machine, where there is one; else none."""
    return list(range(local_world())) if torch.cuda.is_available() else []


def new_parser(description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        description=description,
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def generator_parser(description: str, phase: str) -> argparse.ArgumentParser:
    """A parser with the options that training and painting share."""
    parser = new_parser(description)
    add = parser.add_argument
    add("--name", required=True, help="the generator: its folder in --checkpoints_dir")
    add("--checkpoints_dir", type=rooted, default=GENERATORS, help="all generators")
    data = "dataset folder, with its lists in List/ or Lists/; or the folder of one list"
    add("--dataroot", type=rooted, required=True, help=data)
    add("--phase", default=phase, help="the list, where --dataroot names none: test_nonhybrid")
    add("--gpu_ids", type=gpu_ids, default="0", help="GPUs such as 0 or 0,1; -1 for the CPU")
    batch = "in training, images a step, over all GPUs together; in painting, at once on each"
    add("--batchSize", type=positive, default=1, help=batch)
    add("--nThreads", type=whole, default=2, help="worker processes that read images, per GPU")
    add("--loadSize", type=positive, default=256, help="side of the images in the networks")
    add("--fineSize", type=positive, help="must equal --loadSize when given")
    amp = (
        "compute in bfloat16 where it is safe, else in float32 (TF32 on GPUs); when not said, as"
        " what is gone on with, and anew in bfloat16 on GPUs that have it"
    )
    add("--amp", "--fp16", action=argparse.BooleanOptionalAction, help=amp)
    add("--max_dataset_size", type=at_most, metavar="N", help="the first lines of the list only")
    add("--verbose", action="store_true", help="print the networks")
    add("--no_html", action="store_true", help="write no pages with pictures")
    add("--ngf", type=positive, default=64, help="generator: channels of its first layer")
    add("--n_downsample_global", type=positive, default=4, help="generator: halvings")
    add("--n_blocks_global", type=whole, default=9, help="generator: residual blocks")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options in `arguments`. Raises InputError for values that contradict each other."""
    options = parser.parse_args(arguments)
    if options.fineSize not in (None, options.loadSize):
        raise InputError(f"--fineSize {options.fineSize}: photos are not cropped: leave it out")
    factor, least = max(16, 2**options.n_downsample_global), 2 * 2**options.n_downsample_global
    if options.loadSize % factor or options.loadSize < least:
        raise InputError(
            f"--loadSize {options.loadSize}: must be a multiple of {factor} and at least {least}"
        )
    return options
