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

# Options of the published programs of which this project has one value only: that value, or None
# for a bare switch, and why no other. Nothing reads them.
PUBLISHED = {
    "primitive": ("seg_edges", "the structure is an edge map"),
    "input_nc": (6, "the generator reads an edge map and a reference, both RGB"),
    "encoder_nc": (6, "the encoder reads an edge map and a reference, both RGB"),
    "decoder_nc": (3, "the decoders end in RGB"),
    "output_nc": (3, "results are RGB"),
    "kRef": (1, "each structure has one reference"),
    "netG": ("AFsplitglobal", "the generator is one encoder with two decoders"),
    "use_edgemask": (0.0, "edge maps are used whole, without noise in a mask"),
    "train_mode": ("BootAF_I2DE", "a photo is rebuilt from its edge map and its warped self"),
    "label_nc": (0, "there are no label maps"),
    "resize_or_crop": ("none", "photos are resized to --loadSize, never cropped"),
    "norm": ("instance", "the networks normalise by instance"),
    "aspect_ratio": (1.0, "results are square"),
    "apply_binary_threshold": (0, "edge maps keep their grey levels"),
    "ntest": (math.inf, "--how_many says how many lines are painted"),
    "no_instance": (None, "there are no instance maps"),
}


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


def only(value: object, reason: str) -> Callable[[str], object]:
    """Accepts the text of `value` alone; 0, 0.0 and 0e0 are one number."""
    kind = str if isinstance(value, str) else float
    return checked(kind, f"{value}, the only one there is: {reason}", lambda found: found == value)


def new_parser(description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        description=description,
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def add_published(
    parser: argparse.ArgumentParser, options: dict[str, tuple[object, str]], title: str
) -> None:
    """Accept each of `options` with its one value, or as a bare switch."""
    group = parser.add_argument_group(f"accepted with one value only, {title}")
    common = {"dest": "published", "default": argparse.SUPPRESS}
    for name, (value, reason) in options.items():
        form = {"type": only(value, reason), "metavar": str(value)}
        if value is None:
            form = {"action": "store_true"}
        group.add_argument(f"--{name}", help=reason, **common, **form)


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
    add("--amp", action=argparse.BooleanOptionalAction, help=amp)
    add("--no_html", action="store_true", help="write no pages with pictures")
    add("--ngf", type=positive, default=64, help="generator: channels of its first layer")
    add("--n_downsample_global", type=positive, default=4, help="generator: halvings")
    add("--n_blocks_global", type=whole, default=9, help="generator: residual blocks")
    add_published(parser, PUBLISHED, "of the published programs")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options in `arguments`. Raises InputError for values that contradict each other."""
    options = parser.parse_args(arguments)
    vars(options).pop("published", None)
    if options.fineSize not in (None, options.loadSize):
        raise InputError(f"--fineSize {options.fineSize}: photos are not cropped: leave it out")
    factor, least = max(16, 2**options.n_downsample_global), 2 * 2**options.n_downsample_global
    if options.loadSize % factor or options.loadSize < least:
        raise InputError(
            f"--loadSize {options.loadSize}: must be a multiple of {factor} and at least {least}"
        )
    return options
