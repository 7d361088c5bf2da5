"""Time training and painting as the programs do them, at the published size, on this machine.

python AnomalyFactory/benchmark.py --dataroot ./Datasets/Images4TrainAFnonhybrid \\
    --phase train_AFnonhybrid --gpu_ids 0 --batchSize 40 --nThreads 12 [any option of train.py]

Photographs are read and results written: images a second, what they take to compute, and with
--peak, the device's TFLOP/s in the precision used, what share of it is reached. The dense peaks by
NVIDIA's data sheets are 989 in bfloat16 of an H100 or H200, and 312 of an A100. VGG19's weights are
random: they take the same time.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from data.datasets import (
    RESULT_SIZE,
    PaintingPairs,
    batches_of,
    loader,
    training_order,
    training_pairs,
)
from data.lists import Pair, find_list, read_pairs
from models.anomaly_factory import AnomalyFactory, Painter, build_generator
from models.losses import PerceptualLoss
from models.networks import MultiscaleDiscriminator
from models.vgg import vgg19_layers
from options.base_options import positive
from options.train_options import train_options
from test import paint
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from train import step
from util import distributed
from util.background import Background
from util.device import prepare
from util.errors import InputError, reported
from util.progress import Progress
from util.report import Report
from util.results import Results

WARM_UP = 2  # steps before the clock starts: cuDNN searches, workers start


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--steps", type=positive, default=None)  # 30 on a GPU, else 2
    parser.add_argument("--peak", type=positive, default=None)  # TFLOP/s of the device
    own, others = parser.parse_known_args()
    opt = train_options(["--name", "benchmark", *others])
    if len(opt.gpu_ids) > 1:
        raise InputError(f"--gpu_ids {opt.gpu_ids}: one device is timed; name one")
    process = distributed.start(opt.gpu_ids)
    device = process.device
    prepare()
    pairs = read_pairs(find_list(opt.dataroot, opt.phase), training=True)
    model = AnomalyFactory(opt, process, vgg19_layers())
    steps = own.steps or (30 if device.type == "cuda" else 2)

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, {torch.get_num_threads()} threads, load average {load}")
    precision = "bfloat16" if model.amp else "float32"
    print(f"{opt.loadSize} px, ngf {opt.ngf}, {opt.n_blocks_global} residual blocks, {precision},")
    vgg = "without" if opt.no_vgg_loss else "with"
    print(f"batch {opt.batchSize} in parts of {opt.micro_batch}, {vgg} VGG19")
    to_train, to_paint = work_of_an_image(opt, model.vgg is not None)
    with tempfile.TemporaryDirectory() as folder:
        speed, waiting = time_training(model, pairs, opt, steps, Path(folder))
        print(f"training: {said(speed, to_train, own.peak)}, {waiting:.0%} waiting for samples")
        speed = time_painting(model, pairs, opt, steps, Path(folder))
        print(f"painting: {said(speed, to_paint, own.peak)}")


def work_of_an_image(opt: argparse.Namespace, with_vgg: bool) -> tuple[float, float]:
    """GFLOP that a training image takes, and a painted one; a multiplication and an addition are
    two."""
    with torch.device("meta"):
        pair = torch.empty(1, 6, opt.loadSize, opt.loadSize)
        judged = torch.empty(1, 9, opt.loadSize, opt.loadSize)
        painting = gflop(build_generator(opt), pair)
        judging = gflop(MultiscaleDiscriminator(opt.ndf, opt.n_layers_D, opt.num_D), judged)
        looking = gflop(PerceptualLoss(vgg19_layers()), pair[:, :3], pair[:, 3:]) / 2
    # A backward pass takes as much to the weights as to the images. The generator: forward and
    # both. The discriminator, on two images: forward, both for its own loss, to the images for the
    # generator's. VGG19: forward on two images, back to one.
    training = 3 * painting + 2 * 4 * judging + (3 * looking if with_vgg else 0)
    return training, painting


def gflop(network: nn.Module, *images: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*images)
    return counter.get_total_flops() / 1e9


def said(speed: float, work: float, peak: float | None) -> str:
    """`speed` in images a second, each of `work` GFLOP, beside the `peak` in TFLOP/s."""
    text = f"{speed:.2f} images/s, each of {work:.4g} GFLOP: {speed * work / 1e3:.3g} TFLOP/s"
    return f"{text}, {speed * work / 1e3 / peak:.1%} of {peak:g}" if peak else text


def time_training(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int, folder: Path
) -> tuple[float, float]:
    """Images a second of training as train.py does it, and the share of waiting for samples."""
    opt.print_freq = sys.maxsize  # losses are read, but not told
    end = WARM_UP + steps
    order = training_order(len(pairs), opt.batchSize, opt.seed, 0, end)
    batches = iter(loader(training_pairs(pairs, opt), order, opt.nThreads, model.device))
    with Background(1, steps) as reports:
        course = Progress(0, end, 0, opt.batchSize, end, 0.0)
        report = Report(opt, folder, course, model.process, reports)
        for number in range(end):
            if number == WARM_UP:
                report.read_all()
                synchronize(model.device)
                began, reading = time.perf_counter(), 0.0
            asked = time.perf_counter()
            batch = next(batches)
            if number >= WARM_UP:
                reading += time.perf_counter() - asked
            step(model, batch, opt.micro_batch)
            report.after_step(model, 1, number + 1)
        report.read_all()
        synchronize(model.device)
        seconds = time.perf_counter() - began
    return steps * opt.batchSize / seconds, reading / seconds


def time_painting(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int, folder: Path
) -> float:
    """Images a second of painting as test.py does it."""
    count = steps * opt.batchSize
    unnamed = {"structure_subspecies": "0", "reference_subspecies": "0"}
    listed = [replace(pairs[n % len(pairs)], index=n, **unnamed) for n in range(count)]
    names = {pair.generated_name: ("structure", "reference") for pair in listed}
    results = Results(folder, "benchmark", names, {}, RESULT_SIZE, with_page=True)
    results.begin(overwrite=False)
    samples, places = PaintingPairs(listed, opt.loadSize), set(range(count))
    batches = batches_of(count, opt.batchSize, places)
    painter = Painter(build_generator(opt), model.device, model.amp, opt.compile)
    options = argparse.Namespace(**vars(opt), inherit=None, keep_ground=False)
    paint(painter, samples, batches[:1], places, options, results, quiet=True)  # warms up
    synchronize(model.device)
    began = time.perf_counter()
    paint(painter, samples, batches, places, options, results, quiet=True)
    return count / (time.perf_counter() - began)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    with reported("benchmark.py"):
        main()
