"""Time the published way of scoring and ours side by side, in one process; and ours' memory:

    python speed.py photographs | network | memory [--photographs DIR] [--backbone NAME] [...]

photographs: one at a time, decoded in full, in float32, as the published program scores them, and
in batches as ingestion.py does, exact and --fast. network: the backbone alone on a batch. memory:
the largest of ingestion.py for few and for many small pictures. Every round takes each way once, so
that a busy machine slows all alike. One line of JSON comes out, with the seconds of each round;
scripts/benchmarks/{ingestion,network,ingestion_memory}.py make tables of it.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import ingestion
import numpy as np
import timm
import torch
from backbones import BACKBONES, PREPROCESS, DinoV2, in_bfloat16, locate_backbone, make_transform
from files import open_image
from listing import Images, find_images
from memory import freed_memory_kept
from model import Examined, Model
from PIL import Image
from published_members import Origin, SGDScorer
from scoring import Scored, score_images
from timing import time_ways

SAMPLES = Path(ingestion.__file__).parent / "ImageSamples"
PICTURES = 7  # unlike ones, of which the memory's many are links
PUBLISHED, EXACT, FAST = "published: one at a time", "ours", "ours, --fast"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("claim", choices=CLAIMS)
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
    parser.add_argument("--batch_size", type=int, default=ingestion.BATCH_SIZE)
    parser.add_argument("--workers", type=int, default=ingestion.WORKERS)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000], help="of pictures")
    return parser.parse_args()


# ---- time and scores ----------------------------------------------------------------------------


def load(way: str, options: argparse.Namespace) -> Model:
    """The model of one way, without members where no classifiers are named."""
    model = Model(device=options.device, classifiers=options.classifiers, fast=way == FAST)
    if options.classifiers is not None:
        model.load()
    else:
        model.backbone, model.preprocess = options.backbone, PREPROCESS
        model.transform = make_transform(model.backbone)
        network = build(options.backbone).eval().requires_grad_(False).to(model.device)
        model.features = in_bfloat16(network) if model.fast else network
    if way == PUBLISHED:
        model.features.to(memory_format=torch.contiguous_format)
    return model


def has_weights(name: str) -> bool:
    try:
        locate_backbone(name)
    except FileNotFoundError:
        return False
    return True


def build(name: str) -> torch.nn.Module:
    """The backbone; DINOv2 with random weights where there are none, which take as long."""
    if name == "dinov2_base" and not has_weights(name):
        torch.manual_seed(0)
        return DinoV2(timm.create_model("vit_base_patch14_dinov2", num_classes=0, img_size=224))
    return BACKBONES[name].build()


def made_up(model: Model, images: Images) -> SGDScorer:
    """A member that looks along a random direction, along which these images spread by 2."""
    tensors = (model.transform(open_image(path)) for path in images)
    features = torch.cat([model.extract(one[None]) for one in tensors]).double().cpu().numpy()
    weights = np.random.default_rng(0).standard_normal(features.shape[1])
    along = features @ weights
    scale = 2 / along.std()
    offset = -scale * along.mean()
    origin = Origin(model.backbone)
    return SGDScorer(
        scale * weights[None], np.array([offset]), np.array([-1.0]), np.zeros(1), origin
    )


def one_by_one(model: Model, images: Images) -> np.ndarray:
    """The scores (n,) as Codabench's ingestion asks for them."""
    return np.array([model.predict(Image.open(path)) for path in images])


def in_batches(model: Model, images: Images, options: argparse.Namespace) -> np.ndarray:
    """The scores (n,) as ingestion.py gets them."""
    scores = {}
    with freed_memory_kept():
        for outcomes in score_images(model, images, options.batch_size, options.workers):
            for index, outcome in outcomes.items():
                if not isinstance(outcome, Scored):
                    raise ValueError(outcome)
                scores[index] = outcome.score
    return np.array([scores[index] for index in range(len(images))])


def photographs(options: argparse.Namespace) -> dict[str, object]:
    found, _ = find_images(options.photographs, recursive=True)
    names = list(itertools.islice(itertools.cycle(found.names), options.how_many))
    images, unlike = Images(found.folder, names), sorted(set(names))
    models = {way: load(way, options) for way in (PUBLISHED, EXACT, FAST)}
    if options.classifiers is None:
        member = made_up(models[PUBLISHED], Images(found.folder, unlike))
        for model in models.values():
            model.members = {"sgd": member}
    scores: dict[str, np.ndarray] = {}

    def published() -> None:
        scores[PUBLISHED] = one_by_one(models[PUBLISHED], images)

    def exact() -> None:
        scores[EXACT] = in_batches(models[EXACT], images, options)

    def fast() -> None:
        scores[FAST] = in_batches(models[FAST], images, options)

    times = time_ways({PUBLISHED: published, EXACT: exact, FAST: fast}, options.rounds, warm=True)
    backbone = models[PUBLISHED].backbone
    title = f"Scores of {len(names)} photographs ({len(unlike)} unlike) by {backbone}"
    once = {way: values[: len(unlike)] for way, values in scores.items()}
    notes = [drift(way, once[PUBLISHED], once[way]) for way in (EXACT, FAST)]
    quarters = np.quantile(once[PUBLISHED], [0, 0.25, 0.5, 0.75, 1]).round(3).tolist()
    notes.append(f"Published scores by quarters: {', '.join(map(str, quarters))}.")
    if options.classifiers is None:
        notes.append("The classifier is made up, the scores are spread more widely than real ones.")
        if not has_weights(backbone):
            notes.append("The backbone has random weights: its scores say nothing of real ones.")
    notes.append(f"{options.workers} workers.")
    return {"title": title, "ways": times, "notes": notes}


def drift(way: str, published: np.ndarray, ours: np.ndarray) -> str:
    """A sentence: how far scores (n,) lie from the published way's."""
    apart = np.abs(ours - published)
    ranks = np.corrcoef(ranked(published), ranked(ours))[0, 1]
    return (
        f"Scores of {way} differ by {apart.max():.1e} at the most, {apart.mean():.1e} in the mean; "
        f"Spearman's correlation {ranks:.4f}."
    )


def ranked(values: np.ndarray) -> np.ndarray:
    """The rank of each of (n,) values; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[places]


def network(options: argparse.Namespace) -> dict[str, object]:
    """A batch, as it was computed until now, and as it is."""
    noise = torch.rand(options.batch_size, 3, 224, 224)
    models = {way: load(way, options) for way in (PUBLISHED, EXACT, FAST)}

    def run(way: str, kept: bool) -> Callable[[], None]:
        def task() -> None:
            with freed_memory_kept() if kept else nullcontext():
                for _ in range(3):
                    models[way].extract(noise)

        return task

    ways = {
        "as it was: float32, PyTorch's usual layout": run(PUBLISHED, kept=False),
        EXACT: run(EXACT, kept=True),
        FAST: run(FAST, kept=True),
    }
    title = f"Three batches of {len(noise)} in memory by {models[EXACT].backbone}"
    return {"title": title, "ways": time_ways(ways, options.rounds, warm=True), "notes": []}


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
        features = np.zeros((len(scores), 1), np.float32)
        return Examined(scores, {"sgd": scores, "linear": scores}, None, features)


def peak(folder: Path, workers: int, answer: multiprocessing.Queue) -> None:
    """Put the largest resident memory, in MB, of ingestion.py and of one of its workers."""
    ingestion.Model = Trivial
    sys.argv = ["ingestion.py", str(folder), str(folder.parent / "out"), "--details"]
    sys.argv += ["--workers", str(workers)]
    sys.stdout = sys.stderr  # the line of JSON stands alone
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


def memory(options: argparse.Namespace) -> dict[str, object]:
    measured: dict[int, list[float]] = {}

    def run(count: int) -> Callable[[], None]:
        def task() -> None:
            measured[count] = peaks(count, options.workers)

        return task

    ways = {f"{count:,} pictures": run(count) for count in options.counts}
    times = time_ways(ways, rounds=1)
    first = measured[options.counts[0]][0]
    notes = [
        f"{count:,} pictures: {program:.0f} MB, {program / first:.3f} of the first; "
        f"a worker {worker:.0f} MB."
        for count, (program, worker) in measured.items()
    ]
    notes.append(f"{options.workers} workers, no network.")
    return {"title": "Largest memory of ingestion.py", "ways": times, "notes": notes}


CLAIMS = {"photographs": photographs, "network": network, "memory": memory}


def main() -> int:
    options = parse_arguments()
    try:
        print(json.dumps(CLAIMS[options.claim](options)))
    except (OSError, ValueError) as error:
        print(f"speed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
