"""Options of extract_edges.py."""

import argparse

import torch
from models.pidinet import SMALLEST_SIDE
from util.distributed import local_world
from util.errors import InputError

from options.base_options import gpu_ids, positive, rooted


def edge_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Draw the edge maps of a dataset, or of one tree of photos.",
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--dataset", type=rooted, help="fill pidinet_edges/ beside each good/ below its Images/")
    add("--input", type=rooted, help="a tree of photos")
    add("--output", type=rooted, help="where the tree of edge maps goes")
    add(
        "--detector",
        choices=("pidinet", "scharr"),
        default="pidinet",
        help="scharr: plain gradients, which need no weights (default: pidinet)",
    )
    add(
        "--weights",
        type=rooted,
        default="Models/edges/table5_pidinet.pth",
        help="PiDiNet's (default: Models/edges/table5_pidinet.pth, where"
        " scripts/download_models.sh pidinet puts them)",
    )
    add(
        "--polarity",
        choices=("dark_on_white", "white_on_dark"),
        default="dark_on_white",
        help="the generators expect dark lines on white (default)",
    )
    add(
        "--size",
        type=positive,
        nargs=2,
        metavar=("W", "H"),
        help="resize each photo to W x H pixels first (default: as it is)",
    )
    add("--batch_size", type=positive, default=8, help="photos at once at the most (default: 8)")
    add(
        "--gpu_ids",
        type=gpu_ids,
        help="GPUs such as 0 or 0,1; -1 for the CPU (default: 0, under torchrun one for each"
        " process, where there is a GPU, else the CPU: unlike training, this takes minutes on"
        " either)",
    )
    opt = parser.parse_args(arguments)
    if opt.gpu_ids is None:
        opt.gpu_ids = list(range(local_world())) if torch.cuda.is_available() else []
    trees = [name for name in ("dataset", "input", "output") if getattr(opt, name)]
    if trees not in (["dataset"], ["input", "output"]):
        raise InputError("give either --dataset DIR, or --input DIR with --output DIR")
    if opt.size and min(opt.size) < SMALLEST_SIDE:
        width, height = opt.size
        raise InputError(f"--size {width} {height}: expected {SMALLEST_SIDE} pixels or more a side")
    return opt
