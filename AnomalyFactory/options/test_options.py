"""Options of test.py."""

import argparse

from util.engine import ENGINES

from options.base_options import at_most, generator_parser, parse, rooted, share
from options.published import BOTH, TEST, add_published


def test_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = generator_parser("Paint the pairs of a list with a trained generator.", phase="test")
    add = parser.add_argument
    add("--which_epoch", default="latest", help="the networks of this epoch")
    add("--results_dir", type=rooted, default="./results", help="folder for AF_*.png and the page")
    add("--how_many", type=at_most, metavar="N", help="the first lines only; inf, or without: all")
    wings = "lay each wing of the reference on the structure's photo; for cutouts"
    add("--align", action="store_true", help=wings)
    inherit = (
        "add this share of what the reference changes to the structure's photo (published: the"
        " painting itself)"
    )
    add("--inherit", type=share, help=inherit)
    ground = "leave the flat ground around the specimen as it is in the photo; for cutouts"
    add("--keep_ground", action="store_true", help=ground)
    overwrite = "paint anew what was painted with another checkpoint, list or option"
    add("--overwrite", action="store_true", help=overwrite)
    computes = "of the generator (default: openvino for many pairs on a CPU, where it is installed)"
    add("--engine", choices=ENGINES, help=computes)
    add_published(parser, BOTH, TEST)
    return parse(parser, arguments)
