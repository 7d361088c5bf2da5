"""Options of extract_edges.py."""

import argparse

from models.pidinet import SMALLEST_SIDE
from util.errors import InputError

from options.base_options import gpu_ids, gpus_there, new_parser, positive, rooted

WEIGHTS = "Models/edges/table5_pidinet.pth"  # where scripts/download_models.sh puts them


def edge_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("Draw the edge maps of a dataset, or of one tree of photos.")
    add = parser.add_argument
    add("--dataset", type=rooted, help="fill pidinet_edges/ beside each good/ below its Images/")
    add("--input", type=rooted, help="a tree of photos")
    add("--output", type=rooted, help="where the tree of edge maps goes")
    detector = "scharr: plain gradients, which need no weights"
    add("--detector", choices=("pidinet", "scharr"), default="pidinet", help=detector)
    add("--weights", type=rooted, default=WEIGHTS, help="PiDiNet's")
    polarity = "the generators expect dark lines on white"
    polarities = ("dark_on_white", "white_on_dark")
    add("--polarity", choices=polarities, default=polarities[0], help=polarity)
    size = "resize each photo to W x H pixels first; as it is without it"
    add("--size", type=positive, nargs=2, metavar=("W", "H"), help=size)
    add("--batch_size", type=positive, default=8, help="photos at once at the most")
    gpus = (
        "GPUs such as 0 or 0,1; -1 for the CPU; without it 0, or under torchrun one for each"
        " process, where there is a GPU, else the CPU"
    )
    add("--gpu_ids", type=gpu_ids, help=gpus)
    opt = parser.parse_args(arguments)
    if opt.gpu_ids is None:
        opt.gpu_ids = gpus_there()
    trees = [name for name in ("dataset", "input", "output") if getattr(opt, name)]
    if trees not in (["dataset"], ["input", "output"]):
        raise InputError("give either --dataset DIR, or --input DIR with --output DIR")
    if opt.size and min(opt.size) < SMALLEST_SIDE:
        width, height = opt.size
        raise InputError(f"--size {width} {height}: expected {SMALLEST_SIDE} pixels or more a side")
    return opt
