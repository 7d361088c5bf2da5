"""Options of test.py."""

import argparse

from options.base_options import base_parser, parse, positive, rooted, share


def test_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = base_parser("Paint the pairs of a list with a trained generator.")
    add = parser.add_argument
    add("--which_epoch", default="latest", help="the networks of this epoch")
    add("--results_dir", type=rooted, default="./results", help="folder for AF_*.png and the page")
    add("--how_many", type=positive, default=None, help="the first lines only; all without it")
    add("--align", action="store_true", help="move each reference onto its structure's photo")
    add(
        "--inherit",
        type=share,
        default=None,
        help="add this share of what the reference changes to the structure's photo (published:"
        " the painting itself)",
    )
    return parse(parser, arguments)
