"""Options of test.py."""

import argparse

from options.base_options import add_published, base_parser, parse, positive, rooted, share

PUBLISHED = {
    "tps_aug": (0, "painting warps nothing"),
    "tps_percent": (0.99, "painting warps nothing, whatever the chance"),
    "test_mode": ("BootAF_I2DE", "an edge map is painted in the colours of one reference"),
    "refImgExt": ("png", "the list names each reference with its own ending"),
}


def test_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = base_parser("Paint the pairs of a list with a trained generator.", phase="test")
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
    add(
        "--keep_ground",
        action="store_true",
        help="leave the flat ground around the specimen as it is in the structure's photo; for data"
        " sets of cutouts",
    )
    add(
        "--overwrite",
        action="store_true",
        help="paint anew what was painted with another checkpoint, list or option",
    )
    add_published(parser, PUBLISHED, "of the published test.py")
    return parse(parser, arguments)
