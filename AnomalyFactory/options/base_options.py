"""Options that training and painting share."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from util.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

# Options of the published scripts whose other values this project does not have: the value that
# is accepted, and what it says.
FIXED = {
    "primitive": ("edges", "what describes the structure: an edge map"),
    "label_nc": ("0", "there are no label maps"),
    "resize_or_crop": ("none", "photos are resized to --loadSize, never cropped"),
    "aspect_ratio": ("1.0", "results are square"),
    "apply_binary_threshold": ("0", "edge maps keep their grey levels"),
    "output_nc": ("3", "results are RGB"),
    "netG": ("global", "the generator is pix2pixHD's global one"),
    "norm": ("instance", "instance normalisation"),
    "ntest": ("inf", "--how_many says how many lines are painted"),
}


def base_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--name", required=True, help="the generator: its folder in --checkpoints_dir")
    add("--checkpoints_dir", type=rooted, default="./Models/AFgenerators", help="all generators")
    add(
        "--dataroot",
        type=rooted,
        required=True,
        help="dataset folder, with its lists in List/ or Lists/; or the folder of one list",
    )
    add("--phase", required=True, help="the list, such as train_AFhybrid or test_nonhybrid")
    add("--gpu_ids", type=gpu_ids, default="0", help="GPUs such as 0 or 0,1; -1 for the CPU")
    add("--batchSize", type=positive, default=1, help="images a step, over all GPUs together")
    add("--nThreads", type=whole, default=2, help="worker processes that read images, per GPU")
    add("--loadSize", type=positive, default=256, help="side of the images in the networks")
    add("--fineSize", type=positive, default=None, help="must equal --loadSize when given")
    add("--amp", action="store_true", help="compute in bfloat16 where it is safe; float32 without")
    add("--no_html", action="store_true", help="write no pages with pictures")
    add("--ngf", type=positive, default=64, help="generator: channels of its first layer")
    add("--n_downsample_global", type=positive, default=4, help="generator: halvings")
    add("--n_blocks_global", type=whole, default=9, help="generator: residual blocks")
    fixed = parser.add_argument_group("accepted with one value only, for the published scripts")
    for name, (value, meaning) in FIXED.items():
        fixed.add_argument(f"--{name}", default=value, choices=[value], help=meaning)
    fixed.add_argument("--no_instance", action="store_true", default=True, help="always so")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options in `arguments`. Raises InputError for values that contradict each other."""
    options = parser.parse_args(arguments)
    if options.fineSize not in (None, options.loadSize):
        raise InputError(
            f"--fineSize {options.fineSize}: photos are not cropped, so it must equal --loadSize"
            f" {options.loadSize}"
        )
    factor = max(16, 2**options.n_downsample_global)
    if options.loadSize % factor or options.loadSize < 2 * 2**options.n_downsample_global:
        raise InputError(
            f"--loadSize {options.loadSize}: must be a multiple of {factor} and at least"
            f" {2 * 2**options.n_downsample_global}, because the generator halves the image"
            f" {options.n_downsample_global} times"
        )
    return options


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


def whole(text: str) -> int:
    return at_least(0, text)


def positive(text: str) -> int:
    return at_least(1, text)


def seed(text: str) -> int:
    value = whole(text)
    if value >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number below 2**63")
    return value


def share(text: str) -> float:
    return number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def momentum(text: str) -> float:
    return number(text, "a number from 0 to below 1", lambda value: 0 <= value < 1)


def not_negative(text: str) -> float:
    return number(text, "a finite number, 0 or more", lambda value: 0 <= value < math.inf)


def number(text: str, expected: str, accepts: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not accepts(value):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
    return value


def at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or value < least:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, {least} or more")
    return value
