"""Options of evaluate.py."""

import argparse

from quality.backbone import BACKBONES
from util.errors import InputError

from options.base_options import gpu_ids, gpus_there, new_parser, positive, rooted, seed
from options.edge_options import WEIGHTS


def evaluate_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("Hold painted images against the photographs that they were painted from.")
    add = parser.add_argument
    add("--results", type=rooted, required=True, help="painted images, as test.py wrote them")
    data = "the data set that they were painted from: Datasets/Images4TrainAFnonhybrid"
    add("--dataset", type=rooted, required=True, help=data)
    add("--output", type=rooted, help="where the report goes; RESULTS/evaluation without it")
    many = "painted non-hybrids, and as many hybrids, at the most, drawn at random"
    add("--how_many", type=positive, default=1000, help=many)
    backbone = "the frozen network whose features are compared"
    add("--backbone", choices=tuple(BACKBONES), default="efficientnet_lite0", help=backbone)
    detector = "looks for edges in the painted images; without it the one that drew the edge maps"
    add("--detector", choices=("pidinet", "scharr"), help=detector)
    add("--weights", type=rooted, default=WEIGHTS, help="PiDiNet's")
    add("--seed", type=seed, default=0, help="of all that is drawn at random")
    gpu = "the GPU, such as 0; -1 for the CPU; without it 0 where there is a GPU, else the CPU"
    add("--gpu_ids", type=gpu_ids, help=gpu)
    opt = parser.parse_args(arguments)
    if opt.gpu_ids is None:
        opt.gpu_ids = gpus_there()[:1]
    if len(opt.gpu_ids) > 1:
        raise InputError("--gpu_ids: one GPU looks at all images; name one")
    opt.output = opt.output or opt.results / "evaluation"
    return opt
