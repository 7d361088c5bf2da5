"""Hold painted images against photographs: a report on how good a generator's images are.

python AnomalyFactory/evaluate.py --results results/butterflyContest \\
    --dataset Datasets/Images4TrainAFnonhybrid

--results is searched for what test.py wrote, --dataset is the folder from which it was painted.
Writes index.html, the report, figures.json, pairs.csv and images.csv into RESULTS/evaluation or
--output. An image whose inputs are missing or unreadable is named and left out, and the exit status
is then 1. A figure that there are too few images for is left out, and the report says which.
"""

import sys

import numpy as np
from options.evaluate_options import evaluate_options
from quality.backbone import BACKBONES, feature_extractor
from quality.figures import find_figures
from quality.inputs import (
    HYBRIDS,
    NON_HYBRIDS,
    PaintedImage,
    edge_detector,
    find_painted,
    read_dataset,
)
from quality.measure import Evaluation, measure_painted, measure_photos
from quality.page import write_report
from tqdm import tqdm
from util import distributed
from util.device import prepare
from util.errors import reported


def main() -> int:
    opt = evaluate_options()
    device = distributed.start(opt.gpu_ids).device
    prepare(exact=True)  # as extract_edges.py: edges are compared with its own
    random = np.random.default_rng(opt.seed)
    dataset = read_dataset(opt.dataset)
    found, problems = find_painted(opt.results, dataset)
    extract = feature_extractor(opt.backbone, device)
    detector = edge_detector(dataset, opt.detector, opt.weights, device)
    photos = measure_photos(dataset, extract, problems)
    drawn = draw(found, opt.how_many, random)
    evaluation = Evaluation(
        dataset=dataset,
        photos=photos,
        painted=measure_painted(drawn, dataset, photos, extract, detector[1], problems),
        detector=detector,
        backbone=BACKBONES[opt.backbone],
        painted_found=len(found),
        left_out=problems,
    )
    find_figures(evaluation, random)
    page = write_report(evaluation, opt.output)
    for line in [*evaluation.too_few, *problems]:
        tqdm.write(line, file=sys.stderr)
    tqdm.write(f"page: {page}")
    return 1 if problems else 0


def draw(found: list[PaintedImage], most: int, random: np.random.Generator) -> list[PaintedImage]:
    """At most so many painted images of each kind, in random order."""
    chosen = []
    for kind in (NON_HYBRIDS, HYBRIDS):
        same = [image for image in found if image.kind == kind]
        chosen += [same[place] for place in random.permutation(len(same))[:most]]
    return [chosen[place] for place in random.permutation(len(chosen))]


if __name__ == "__main__":
    with reported("evaluate.py"):
        sys.exit(main())
