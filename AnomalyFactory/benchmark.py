"""Time training and painting as the programs do them, at the published size, on this machine.

python AnomalyFactory/benchmark.py --dataroot ./Datasets/Images4TrainAFnonhybrid \\
    --phase train_AFnonhybrid --gpu_ids 0 --batchSize 40 --nThreads 12 [any option of train.py]

Photographs are read and results written. VGG19's weights are random: they take the same time.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from data import datasets
from data.lists import Pair, find_list, read_pairs
from models.anomaly_factory import AnomalyFactory, Painter, build_generator
from models.vgg import vgg19_layers
from options.base_options import positive
from options.train_options import train_options
from test import paint
from train import step
from util import distributed
from util.device import prepare
from util.errors import reported
from util.report import machine
from util.results import Results

WARM_UP = 2  # steps before the clock starts: cuDNN searches, workers start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", type=positive, help="default: 30 on a GPU, else 2")
    own, others = parser.parse_known_args()
    opt = train_options(["--name", "benchmark", "--tps_aug", "1", *others])
    process = distributed.start(opt.gpu_ids[:1])
    prepare()
    pairs = read_pairs(find_list(opt.dataroot, opt.phase), training=True)
    model = AnomalyFactory(opt, process, vgg19_layers())
    steps = own.steps or (30 if process.device.type == "cuda" else 2)
    print(f"{machine(process)}, {torch.get_num_threads()} threads, bfloat16: {model.amp}")
    print(" ".join(others))
    print(f"training: {time_training(model, pairs, opt, steps):.2f} images/s")
    with tempfile.TemporaryDirectory() as folder:
        speed = time_painting(model, pairs, opt, steps, Path(folder))
    print(f"painting: {speed:.2f} images/s")


def time_training(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int
) -> float:
    """Images a second of training as train.py does it."""
    order = datasets.training_order(len(pairs), opt.batchSize, opt.seed, 0, WARM_UP + steps)
    samples, times = datasets.training_pairs(pairs, opt), []
    for number, batch in enumerate(datasets.loader(samples, order, opt.nThreads, model.device), 1):
        step(model, batch, opt.micro_batch)
        if number in (WARM_UP, WARM_UP + steps):
            model.losses().tolist()  # waits for the device
            times.append(time.perf_counter())
    return steps * opt.batchSize / (times[1] - times[0])


def time_painting(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int, folder: Path
) -> float:
    """Images a second of painting as test.py does it."""
    count = steps * opt.batchSize
    unnamed = {"structure_subspecies": "0", "reference_subspecies": "0"}
    listed = [replace(pairs[n % len(pairs)], index=n, **unnamed) for n in range(count)]
    names = {pair.generated_name: ("structure", "reference") for pair in listed}
    results = Results(folder, "benchmark", names, {}, with_page=True)
    results.begin(overwrite=False)
    samples, places = datasets.PaintingPairs(listed, opt.loadSize), set(range(count))
    batches = datasets.batches_of(count, opt.batchSize, places)
    painter = Painter(build_generator(opt), model.device, model.amp)
    options = argparse.Namespace(**vars(opt), inherit=None, keep_ground=False)
    paint(painter, samples, batches[:1], places, options, results, quiet=True)  # warms up
    began = time.perf_counter()
    paint(painter, samples, batches, places, options, results, quiet=True)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    with reported("benchmark.py"):
        main()
