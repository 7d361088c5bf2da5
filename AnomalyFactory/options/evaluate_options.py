"""Options of evaluate.py."""

import argparse

import torch
from quality.backbone import BACKBONES
from util.errors import InputError

from options.base_options import gpu_ids, positive, rooted, seed


def evaluate_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Hold painted images against the photographs that they were painted from.",
        epilog="Relative paths start at the repository's root, wherever the program is started.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--results", type=rooted, required=True, help="painted images, as test.py wrote them")
    add(
        "--dataset",
        type=rooted,
        required=True,
        help="the data set that they were painted from: Datasets/Images4TrainAFnonhybrid",
    )
    add("--output", type=rooted, help="where the report goes (default: RESULTS/evaluation)")
    add(
        "--how_many",
        type=positive,
        default=1000,
        help="painted non-hybrids, and as many hybrids, at the most, drawn at random"
        " (default: 1000)",
    )
    add(
        "--backbone",
        choices=tuple(BACKBONES),
        default="efficientnet_lite0",
        help="the frozen network whose features are compared (default: efficientnet_lite0, which"
        " needs no download)",
    )
    add(
        "--detector",
        choices=("pidinet", "scharr"),
        help="looks for edges in the painted images (default: the one that drew the edge maps)",
    )
    add(
        "--weights",
        type=rooted,
        default="Models/edges/table5_pidinet.pth",
        help="PiDiNet's (default: Models/edges/table5_pidinet.pth)",
    )
    add("--seed", type=seed, default=0, help="of all that is drawn at random (default: 0)")
    add(
        "--gpu_ids",
        type=gpu_ids,
        help="the GPU, such as 0; -1 for the CPU (default: 0 where there is a GPU, else the CPU)",
    )
    opt = parser.parse_args(arguments)
    if opt.gpu_ids is None:
        opt.gpu_ids = [0] if torch.cuda.is_available() else []
    if len(opt.gpu_ids) > 1:
        raise InputError("--gpu_ids: one GPU looks at all images; name one")
    opt.output = opt.output or opt.results / "evaluation"
    return opt
