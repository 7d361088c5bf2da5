"""Hold painted images against photographs: a report on how good a generator's images are.

python AnomalyFactory/evaluate.py --results results/butterflyContest \\
    --dataset Datasets/Images4TrainAFnonhybrid

--results is searched for what test.py wrote, --dataset is the folder from which it was painted.
Writes into --output, by default RESULTS/evaluation: index.html, the report, which needs no server
and nothing outside its folder; figures.json, all figures of it; pairs.csv and images.csv, a row for
each pair of subspecies and for each painted image.

An image whose inputs are missing or unreadable is named and left out, and the exit status is then
1. A figure that there are too few images for is left out, and the report says which.
"""

import sys

import numpy as np
from options.evaluate_options import evaluate_options
from quality.backbone import BACKBONES, feature_extractor
from quality.edges import edge_finder
from quality.figures import all_figures, colours_within, nearest_photographs
from quality.inputs import HYBRIDS, NON_HYBRIDS, Painting, find_paintings, read_dataset
from quality.measure import measure_paintings, measure_photos
from quality.output import write_report
from quality.report import Report, how_painted
from quality.rows import image_rows, pair_rows
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
    found, problems = find_paintings(opt.results, dataset)
    extract = feature_extractor(opt.backbone, device)
    finder = edge_finder(dataset, opt.detector, opt.weights, device)
    photos = measure_photos(dataset, extract, problems)
    drawn = draw(found, opt.how_many, random)
    painted = measure_paintings(drawn, dataset, photos, extract, finder.detect, problems)
    nearest = nearest_photographs(painted, photos)
    figures, looks, too_few = all_figures(painted, photos, nearest, random)
    if not finder.detect:
        too_few.append(f"structure fidelity: {finder.reason}")
    report = Report(
        dataset=dataset,
        photos=photos,
        painted=painted,
        nearest=nearest,
        looks=looks,
        finder=finder,
        backbone=BACKBONES[opt.backbone].title,
        found=len(found),
        sources=how_painted(opt.results),
        figures=figures,
        colours_within=colours_within(photos),
        pairs=pair_rows(painted, photos, nearest, looks),
        images=image_rows(painted, photos, nearest, looks),
        left_out=problems,
        too_few=too_few,
    )
    page = write_report(report, opt.output)
    for line in [*too_few, *problems]:
        tqdm.write(line, file=sys.stderr)
    tqdm.write(f"page: {page}")
    return 1 if problems else 0


def draw(found: list[Painting], most: int, random: np.random.Generator) -> list[Painting]:
    """At most so many painted images of each kind, in random order."""
    chosen = []
    for kind in (NON_HYBRIDS, HYBRIDS):
        same = [painting for painting in found if painting.kind == kind]
        chosen += [same[place] for place in random.permutation(len(same))[:most]]
    return [chosen[place] for place in random.permutation(len(chosen))]


if __name__ == "__main__":
    with reported("evaluate.py"):
        status = main()
    sys.exit(status)
