"""Options of test.py."""

import argparse

from options.base_options import base_parser, parse, positive, rooted


def test_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = base_parser("Paint the pairs of a list with a trained generator.")
    add = parser.add_argument
    add("--which_epoch", default="latest", help="the networks of this epoch")
    add("--results_dir", type=rooted, default="./results", help="folder for AF_*.png and the page")
    add("--how_many", type=positive, default=None, help="the first lines only; all without it")
    return parse(parser, arguments)
