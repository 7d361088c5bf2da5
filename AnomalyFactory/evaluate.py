"""Hold painted images against photographs: a report on how good a generator's images are.

python AnomalyFactory/evaluate.py --results results/butterflyContest \\
    --dataset Datasets/Images4TrainAFnonhybrid

--results is searched for what test.py wrote, --dataset is the folder from which it was painted.
Writes index.html, the report, figures.json, pairs.csv and images.csv into RESULTS/evaluation or
--output. An image whose inputs are missing or unreadable is named and left out, and the exit status
is then 1. A figure that there are too few images for is left out, and the report says so.
"""

import argparse
import sys

import numpy as np
from options.base_options import PIDINET, gpu_ids, gpus_there, new_parser, positive, rooted, seed
from quality import inputs
from quality.backbone import BACKBONES, feature_extractor
from quality.figures import find_figures
from quality.inputs import HYBRIDS, NON_HYBRIDS, Row
from quality.measure import Evaluation, measure_painted, measure_photos
from quality.page import write_report
from tqdm import tqdm
from util import distributed
from util.device import keep_freed_memory, prepare
from util.errors import InputError, reported
from util.files import passed_over, unread


def main() -> int:
    opt = options()
    device = distributed.start(opt.gpu_ids).device
    prepare(exact=True)  # as extract_edges.py: edges are compared with its own
    keep_freed_memory()
    random = np.random.default_rng(opt.seed)
    dataset = inputs.read_dataset(opt.dataset)
    found, problems = inputs.find_painted(opt.results, dataset)
    extract = feature_extractor(opt.backbone, device)
    detector, detect = inputs.edge_detector(dataset, opt.detector, opt.weights, device)
    photos = measure_photos(dataset, extract, problems)
    drawn = draw(found, opt.how_many, random)
    painted = measure_painted(drawn, photos, extract, detect, problems)
    evaluation = Evaluation(photos, painted, detect)
    numbers = {
        "backbone": BACKBONES[opt.backbone],
        "edge_detector": detector,
        "painted_found": len(found),
        "painted": len(painted.table),
        "photographs": len(photos.table),
        "close_distance": evaluation.close,
        "sets": find_figures(evaluation, random),
        "left_out": problems,
    }
    page = write_report(evaluation, numbers, opt.output)
    for line in problems + passed_over(dataset.passed):
        tqdm.write(line, file=sys.stderr)
    tqdm.write(f"page: {page}")
    return 1 if problems or unread(dataset.passed) else 0


def options() -> argparse.Namespace:
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
    add("--weights", type=rooted, default=PIDINET, help="PiDiNet's")
    add("--seed", type=seed, default=0, help="of all that is drawn at random")
    gpu = "the GPU, such as 0; -1 for the CPU; without it 0 where there is a GPU, else the CPU"
    add("--gpu_ids", type=gpu_ids, help=gpu)
    opt = parser.parse_args()
    if opt.gpu_ids is None:
        opt.gpu_ids = gpus_there()[:1]
    if len(opt.gpu_ids) > 1:
        raise InputError("--gpu_ids: one GPU looks at all images; name one")
    opt.output = opt.output or opt.results / "evaluation"
    return opt


def draw(found: list[Row], most: int, random: np.random.Generator) -> list[Row]:
    """At most so many painted images of each kind, in random order."""
    kinds = [[row for row in found if row["kind"] == kind] for kind in (NON_HYBRIDS, HYBRIDS)]
    chosen = [rows[place] for rows in kinds for place in random.permutation(len(rows))[:most]]
    return [chosen[place] for place in random.permutation(len(chosen))]


if __name__ == "__main__":
    with reported("evaluate.py"):
        sys.exit(main())
