"""The time, the scores and the memory of ingestion.py, beside the published way.

Published: one photograph at a time, decoded in full, in float32, by a network in PyTorch's usual
memory layout. Ours: batches that worker processes decode, exact and `--fast`. All run in turn in
this process, so that what else the machine does falls on all alike; medians over the rounds. Then,
in a process each, the largest memory of ingestion.py for few and for many small pictures.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ingestion
import numpy as np
import timm
import torch
from files import open_image
from listing import Images, find_images
from model import (
    BACKBONES,
    PREPROCESS,
    DinoV2,
    Examined,
    Model,
    Origin,
    SGDScorer,
    in_bfloat16,
    locate_backbone,
    make_transform,
)
from PIL import Image
from scoring import Scored, score_images

SAMPLES = Path(ingestion.__file__).parent / "ImageSamples"
BATCH_SIZE = 16
PICTURES = 7  # unlike ones, of which the memory's many are links

WAYS = ("published", "exact", "fast")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photographs", type=Path, default=SAMPLES, help="their folder, with its sub-folders"
    )
    parser.add_argument("--how_many", type=int, default=32, help="photographs in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", choices=BACKBONES, default="efficientnet_lite0")
    parser.add_argument(
        "--classifiers",
        type=Path,
        help="trained ones, whose scores are compared (default: a made-up one of wide scores)",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=ingestion.WORKERS)
    parser.add_argument(
        "--memory",
        type=int,
        nargs="*",
        default=[1000, 20_000],
        metavar="COUNT",
        help="small pictures whose largest memory is measured; none: leave it out",
    )
    return parser.parse_args()


# ---- time and scores ----------------------------------------------------------------------------


def load(way: str, options: argparse.Namespace) -> Model:
    """The model of one of the WAYS, without members where no classifiers are named."""
    model = Model(device=options.device, classifiers=options.classifiers, fast=way == "fast")
    if options.classifiers is not None:
        model.load()
    else:
        model.backbone, model.preprocess = options.backbone, PREPROCESS
        model.transform = make_transform(model.backbone)
        network = build(options.backbone).eval().requires_grad_(False).to(model.device)
        model.features = in_bfloat16(network) if model.fast else network
    if way == "published":
        model.features.to(memory_format=torch.contiguous_format)
    return model


def build(name: str) -> torch.nn.Module:
    """The backbone; DINOv2 with random weights where there are none, which take as long."""
    try:
        locate_backbone(name)
    except FileNotFoundError:
        if name != "dinov2_base":
            raise
        print("no weights of dinov2_base: random ones, so that the times hold, the drift does not")
        torch.manual_seed(0)
        return DinoV2(timm.create_model("vit_base_patch14_dinov2", num_classes=0, img_size=224))
    return BACKBONES[name].build()


def made_up(model: Model, images: Images) -> SGDScorer:
    """A member that looks along a random direction, along which these images spread by 2."""
    with torch.inference_mode():
        tensors = (model.transform(open_image(path)) for path in images)
        features = torch.cat([model.features(one[None].to(model.device)) for one in tensors])
    features = features.double().cpu().numpy()
    weights = np.random.default_rng(0).standard_normal(features.shape[1])
    weights /= features.std(axis=0).clip(1e-6)
    along = features @ weights
    weights *= 2 / along.std()
    offset = -2 * along.mean() / along.std()
    origin = Origin(model.backbone)
    return SGDScorer(weights[None], np.array([offset]), np.array([-1.0]), np.zeros(1), origin)


def one_by_one(model: Model, images: Images, _workers: int) -> np.ndarray:
    """The scores (n,) as Codabench's ingestion asks for them."""
    return np.array([model.predict(Image.open(path)) for path in images])


def in_batches(model: Model, images: Images, workers: int) -> np.ndarray:
    """The scores (n,) as ingestion.py gets them."""
    scores = {}
    for outcomes in score_images(model, images, BATCH_SIZE, workers):
        for index, outcome in outcomes.items():
            if not isinstance(outcome, Scored):
                raise ValueError(outcome)
            scores[index] = outcome.score
    return np.array([scores[index] for index in range(len(images))])


def networks_alone(models: dict[str, Model]) -> dict[str, Callable[[], object]]:
    """The backbone of each way on one batch of noise."""
    noise = torch.rand(BATCH_SIZE, 3, 224, 224)

    def run(model: Model) -> Callable[[], object]:
        return lambda: model.examine(noise)

    return {way: run(model) for way, model in models.items()}


def now() -> tuple[float, float]:
    """Seconds of the clock, and of all processors for this process and its ended workers."""
    spent = os.times()
    ours = spent.user + spent.system + spent.children_user + spent.children_system
    return spent.elapsed, ours


def measured(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Clock and processor seconds (rounds, 2) of each task.

    They take turns, after a round to warm up, so that what else the machine does falls on all.
    """
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            start = now()
            task()
            if number:
                seconds[name].append(np.subtract(now(), start))
    return {name: np.stack(values) for name, values in seconds.items()}


def print_times(title: str, seconds: dict[str, np.ndarray], count: int) -> None:
    print(f"\n{title}\n")
    print("| Way | Seconds an image | Rounds | Against published | Processor seconds | Against |")
    print("|---|---|---|---|---|---|")
    for name, values in seconds.items():
        clock, spent = np.median(values, axis=0) / count
        low, high = values[:, 0].min() / count, values[:, 0].max() / count
        faster, cheaper = np.median(seconds["published"] / values, axis=0)
        print(
            f"| {name} | {clock:.4f} | {low:.4f} to {high:.4f} | {faster:.2f} | {spent:.4f} | "
            f"{cheaper:.2f} |"
        )


def ranked(values: np.ndarray) -> np.ndarray:
    """The rank of each of (n,) values; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places]


def print_drift(scores: dict[str, np.ndarray]) -> None:
    print("\nScores against the published way's\n")
    print("| Way | Largest difference | Mean difference | Spearman's correlation |")
    print("|---|---|---|---|")
    published = scores["published"]
    for way in WAYS[1:]:
        drift = np.abs(scores[way] - published)
        ranks = np.corrcoef(ranked(published), ranked(scores[way]))[0, 1]
        print(f"| {way} | {drift.max():.6f} | {drift.mean():.6f} | {ranks:.4f} |")
    spread = np.quantile(published, [0, 0.25, 0.5, 0.75, 1]).round(3).tolist()
    print(f"\nPublished scores, from the least by quarters to the largest: {spread}")


# ---- memory -------------------------------------------------------------------------------------


class Trivial:
    """Stands in for Model, so that the time goes into what ingestion.py does by itself."""

    def __init__(self, *_: object) -> None:
        self.files: dict[str, Path] = {}
        self.backbone, self.preprocess = "none", PREPROCESS
        self.members = {"sgd": None, "linear": None}
        self.fast, self.smallest_side, self.threshold = False, None, None

    def load(self) -> None:
        pass

    @staticmethod
    def transform(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32))

    @staticmethod
    def examine(batch: torch.Tensor) -> Examined:
        scores = batch.mean(dim=(1, 2, 3)).double().numpy() / 255
        return Examined(scores, {"sgd": scores, "linear": scores}, None)


def peak(folder: Path, workers: int, answer: multiprocessing.Queue) -> None:
    """Put the largest resident memory, in MB, of ingestion.py and of one of its workers."""
    ingestion.Model = Trivial
    sys.argv = ["ingestion.py", str(folder), str(folder.parent / "out"), "--details"]
    sys.argv += ["--workers", str(workers)]
    if ingestion.main():
        raise ValueError(f"{folder}: not all of it was scored")
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    answer.put([resource.getrusage(kind).ru_maxrss / 1024 for kind in kinds])


def peaks(count: int, workers: int) -> list[float]:
    """Those of `count` pictures of 32 x 32, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        for index in range(count):
            path = folder / f"specimen_{index:08d}.png"
            if index < PICTURES:
                noise = np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)
                Image.fromarray(noise).save(path)
            else:
                path.hardlink_to(folder / f"specimen_{index % PICTURES:08d}.png")
        process = context.Process(target=peak, args=(folder, workers, answer))
        process.start()
        process.join()
    if process.exitcode:
        raise ValueError(f"ingestion of {count} pictures ended with status {process.exitcode}")
    return answer.get()


def print_memory(counts: list[int], workers: int) -> None:
    print(f"\nLargest memory, {workers} workers, no network\n")
    print("| Pictures | Seconds | Program, MB | A worker, MB | Program against the first |")
    print("|---|---|---|---|---|")
    first = None
    for count in counts:
        start = time.perf_counter()
        program, worker = peaks(count, workers)
        seconds = time.perf_counter() - start
        first = first or program
        ratio = program / first
        print(f"| {count:,} | {seconds:.0f} | {program:.0f} | {worker:.0f} | {ratio:.3f} |")


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of PyTorch"
    load_average = os.getloadavg()[0]
    return f"{name}, {threads} {torch.__version__}; load when it began: {load_average:.1f}"


def main() -> int:
    options = parse_arguments()
    try:
        found, _ = find_images(options.photographs, recursive=True)
        names = list(itertools.islice(itertools.cycle(found.names), options.how_many))
        images = Images(found.folder, names)
        models = {way: load(way, options) for way in WAYS}
        if options.classifiers is None:
            member = made_up(models["published"], Images(found.folder, sorted(set(names))))
            for model in models.values():
                model.members = {"sgd": member}
        backbone = models["published"].backbone
        print(f"{backbone} on {machine(models['published'].device)}")
        scores: dict[str, np.ndarray] = {}

        def scoring(way: str) -> Callable[[], None]:
            run = one_by_one if way == "published" else in_batches

            def task() -> None:
                scores[way] = run(models[way], images, options.workers)

            return task

        seconds = measured({way: scoring(way) for way in WAYS}, options.rounds)
        title = f"{len(images)} photographs ({len(set(names))} unlike), {options.workers} workers"
        print_times(title, seconds, len(images))
        alone = measured(networks_alone(models), options.rounds)
        print_times(f"Scored alone, a batch of {BATCH_SIZE} in memory", alone, BATCH_SIZE)
        print_drift(scores)
        print_memory(options.memory, options.workers)
    except (OSError, ValueError) as error:
        print(f"speed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
