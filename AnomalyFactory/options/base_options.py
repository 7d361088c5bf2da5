"""Options that training and painting share."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from util.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

GENERATORS = "./Models/AFgenerators"

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


class Published(argparse.Action):
    """An option that is accepted with one value, or as a bare switch, and leaves no trace."""

    def __init__(self, option_strings: list[str], dest: str, only: tuple[object, str]):
        self.value, self.reason = only
        switch = self.value is None
        super().__init__(
            option_strings,
            dest,
            nargs=0 if switch else None,
            default=argparse.SUPPRESS,
            metavar=None if switch else str(self.value),
            help=self.reason,
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        given: str | list[str],
        option_string: str | None = None,
    ) -> None:
        if self.value is not None and not same_value(given, self.value):
            raise argparse.ArgumentError(
                self, f"{given!r}: expected {self.value}, the only one there is: {self.reason}"
            )


def same_value(text: str, value: object) -> bool:
    """Whether `text` spells `value`; 0, 0.0 and 0e0 are one number."""
    if isinstance(value, str):
        return text == value
    try:
        return float(text) == value
    except ValueError:
        return False


def add_published(
    parser: argparse.ArgumentParser, options: dict[str, tuple[object, str]], title: str
) -> None:
    group = parser.add_argument_group(f"accepted with one value only, {title}")
    for name, only in options.items():
        group.add_argument(f"--{name}", action=Published, only=only)


def base_parser(description: str, phase: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--name", required=True, help="the generator: its folder in --checkpoints_dir")
    add("--checkpoints_dir", type=rooted, default=GENERATORS, help="all generators")
    add(
        "--dataroot",
        type=rooted,
        required=True,
        help="dataset folder, with its lists in List/ or Lists/; or the folder of one list",
    )
    add("--phase", default=phase, help="the list, where --dataroot names none: test_nonhybrid")
    add("--gpu_ids", type=gpu_ids, default="0", help="GPUs such as 0 or 0,1; -1 for the CPU")
    add(
        "--batchSize",
        type=positive,
        default=1,
        help="in training, images a step, over all GPUs together; in painting, at once on each",
    )
    add("--nThreads", type=whole, default=2, help="worker processes that read images, per GPU")
    add("--loadSize", type=positive, default=256, help="side of the images in the networks")
    add("--fineSize", type=positive, default=None, help="must equal --loadSize when given")
    add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compute in bfloat16 where it is safe, else in float32 (TF32 on GPUs); when not said,"
        " as what is gone on with, and anew in bfloat16 on GPUs that have it",
    )
    add("--compile", action="store_true", help="compile the networks first: minutes, then faster")
    add("--no_html", action="store_true", help="write no pages with pictures")
    add("--ngf", type=positive, default=64, help="generator: channels of its first layer")
    add("--n_downsample_global", type=positive, default=4, help="generator: halvings")
    add("--n_blocks_global", type=whole, default=9, help="generator: residual blocks")
    add_published(parser, PUBLISHED, "of the published programs")
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
