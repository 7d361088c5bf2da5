"""Time what training and painting are made of, at the published size, on this machine.

python AnomalyFactory/benchmark.py --dataroot ./Datasets/Images4TrainAFnonhybrid \\
    --phase train_AFnonhybrid --gpu_ids 0 --batchSize 40 --nThreads 12 [any option of train.py]

First the whole: training and painting as the programs do them, photographs read and results
written, in images a second and as a share of what the device can compute, and what the time went
into. Where VGG19's weights are missing, random ones take their place, and the same time.

Then the parts. Every round takes each measurement once, so that a busy machine slows all alike. The
table gives the median and the fastest round, and the median of the processor time over all threads.
On a busy machine the last is the one to trust, with OMP_NUM_THREADS=1: threads that wait count as
working.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import torch
from data.datasets import (
    RESULT_SIZE,
    PaintingPairs,
    Sample,
    TrainingOrder,
    batches_of,
    loader,
    training_pairs,
)
from data.lists import Pair, find_list, read_pairs
from models.anomaly_factory import (
    BACKBONES,
    AnomalyFactory,
    Painter,
    build_generator,
    micro_batches,
)
from models.losses import PerceptualLoss
from models.networks import MultiscaleDiscriminator
from models.painting import paint
from models.vgg import FILE_NAME, vgg19_layers
from options.base_options import ROOT, positive
from options.train_options import train_options
from torch import nn
from torch.utils.data import default_collate
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm
from util import checkpoint, distributed
from util.background import Background, Fetched
from util.device import layout, prepare
from util.errors import InputError, reported
from util.progress import Progress
from util.report import Report
from util.results import COLUMNS, Results

ROUNDS = 5
PAINTED_TOGETHER = 4
SAMPLES = 20
WARM_UP = 2  # steps before the clock starts: cuDNN searches, workers start
# TFLOP/s of dense matrices in bfloat16 and in TF32, by NVIDIA's data sheets. The first part of a
# device's name that is here counts.
PEAKS = {
    "H200": (989.5, 494.7),
    "H100 PCIe": (756, 378),
    "H100": (989.5, 494.7),
    "A100": (312, 156),
}


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--steps", type=positive, default=None)  # of the whole; 30 on a GPU, else 2
    parser.add_argument("--peak", type=positive, default=None)  # TFLOP/s of another device
    own, others = parser.parse_known_args()
    opt = train_options(["--name", "benchmark", *others])
    if len(opt.gpu_ids) > 1:
        raise InputError(f"--gpu_ids {opt.gpu_ids}: one device is timed; name one")
    process = distributed.start(opt.gpu_ids)
    device = process.device
    prepare()
    cv2.setNumThreads(0)  # as in a worker that reads images
    pairs = read_pairs(find_list(opt.dataroot, opt.phase), training=True)
    model, vgg = model_of(opt, process)
    peak = own.peak or peak_of(device, model.amp)
    steps = own.steps or (30 if device.type == "cuda" else 2)

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, {torch.get_num_threads()} threads, load average {load}")
    precision = "bfloat16" if model.amp else "float32"
    print(f"{opt.loadSize} px, ngf {opt.ngf}, {opt.n_blocks_global} residual blocks, {precision},")
    print(f"batch {opt.batchSize} in parts of {opt.micro_batch}, {vgg}")
    to_train, to_paint = work_of_an_image(opt, model.vgg is not None)
    with tempfile.TemporaryDirectory() as folder:
        speed, details = time_training(model, pairs, opt, steps, Path(folder))
        print(f"training: {said(speed, to_train, peak)}", *details, sep="\n    ")
        speed, details = time_painting(model, pairs, opt, steps, Path(folder))
        print(f"painting: {said(speed, to_paint, peak)}", *details, sep="\n    ")
    time_parts(model, pairs, opt)


def model_of(opt: argparse.Namespace, process: distributed.Process) -> tuple[AnomalyFactory, str]:
    """The networks in training, and what their perceptual loss is."""
    path = BACKBONES / FILE_NAME
    if opt.no_vgg_loss or path.exists():
        vgg = "without VGG19" if opt.no_vgg_loss else "with VGG19"
        return AnomalyFactory(opt, process), vgg
    opt.no_vgg_loss = True
    model = AnomalyFactory(opt, process)
    loss = PerceptualLoss(vgg19_layers())
    model.vgg = loss.to(process.device, memory_format=layout(process.device))
    if opt.compile:
        model.vgg.compile()
    return model, f"with VGG19 of random weights, as {path.relative_to(ROOT)} is not there"


def peak_of(device: torch.device, amp: bool) -> float | None:
    """TFLOP/s of `device` at the precision used, where PEAKS has it."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = [peaks for part, peaks in PEAKS.items() if part in name]
    return found[0][0 if amp else 1] if found else None


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
    if peak is None:
        return f"{text}; the device's peak is not known, --peak says it"
    return f"{text}, {speed * work / 1e3 / peak:.1%} of {peak:g}"


def time_training(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int, folder: Path
) -> tuple[float, list[str]]:
    """Images a second of training as train.py does it, and lines about what the time went into."""
    opt.print_freq = sys.maxsize  # losses are read, but not told
    order = TrainingOrder(len(pairs), opt.batchSize, opt.seed, 0, WARM_UP + steps)
    batches = iter(loader(training_pairs(pairs, opt), order, opt.nThreads, model.device))
    with Background(1, steps) as reports:
        course = Progress(0, WARM_UP + steps, 0, opt.batchSize, WARM_UP + steps, 0.0)
        report = Report(opt, folder, course, model.process, reports)
        for number in range(WARM_UP + steps):
            if number == WARM_UP:
                report.read_all()
                synchronize(model.device)
                began, reading, issuing = time.perf_counter(), 0.0, 0.0
            asked = time.perf_counter()
            batch = next(batches)
            given = time.perf_counter()
            train_on(model, batch, opt.micro_batch)
            if number >= WARM_UP:
                reading += given - asked
                issuing += time.perf_counter() - given
            report.after_step(model, 1, number + 1)
        report.read_all()
        synchronize(model.device)
        seconds = time.perf_counter() - began
    asked = time.perf_counter()
    state = Fetched(model.state())
    given = time.perf_counter()
    checkpoint.save(state.get(), folder / "resume.pth")
    saved = time.perf_counter()
    done = "issuing it to the GPU" if model.device.type == "cuda" else "computing"
    details = [
        f"{reading / seconds:.0%} of the time waiting for samples, {issuing / seconds:.0%} {done},"
        f" {1 - (reading + issuing) / seconds:.0%} waiting for the device and reports",
        f"a save holds it up for {given - asked:.2f} s and is written {saved - given:.2f} s later",
    ]
    return steps * opt.batchSize / seconds, details


def train_on(model: AnomalyFactory, batch: Sample, size: int) -> None:
    for part, share in micro_batches(batch, size):
        model.set_input(part, share)
        model.forward()
        model.backward_D()
        model.backward_G()
    model.step()


def time_painting(
    model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace, steps: int, folder: Path
) -> tuple[float, list[str]]:
    """Images a second of painting as test.py does it, and of each part of it alone."""
    count = steps * opt.batchSize
    listed = [replace(pairs[n % len(pairs)], index=n) for n in range(count)]
    names = {pair.generated_name: ("structure", "reference") for pair in listed}
    results = Results(folder, "benchmark", names, {}, RESULT_SIZE, with_page=True)
    results.begin(overwrite=False)
    samples, places = PaintingPairs(listed, opt.loadSize), set(range(count))
    batches = batches_of(count, opt.batchSize, places)
    painter = Painter(build_generator(opt), model.device, model.amp, opt.compile)
    options = argparse.Namespace(**vars(opt), inherit=None, keep_ground=False)
    images = default_collate([samples[n] for n in range(opt.batchSize)])

    def read() -> None:
        for _ in loader(samples, batches, opt.nThreads, model.device):
            pass

    def paint_only() -> None:
        for _ in batches:
            painter.paint(images["edges"], images["reference"])

    def write() -> None:
        panels = [images["edges"][0].numpy()] * len(COLUMNS)
        with Background(os.cpu_count(), count) as writers:
            for name in names:
                writers.submit(results.write, name, panels)

    def everything() -> None:
        paint(painter, samples, batches, places, options, results, quiet=True)

    paint_only()  # warms up
    speeds = {}
    for part in (read, paint_only, write, everything):
        synchronize(model.device)
        began = time.perf_counter()
        part()
        synchronize(model.device)
        speeds[part] = count / (time.perf_counter() - began)
    alone = (
        f"{speeds[read]:.1f} read, {speeds[paint_only]:.1f} painted, {speeds[write]:.1f} written"
    )
    return speeds[everything], [f"images/s of each part alone: {alone}"]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def time_parts(model: AnomalyFactory, pairs: list[Pair], opt: argparse.Namespace) -> None:
    """Print the table of the parts, in both precisions."""
    dataset = training_pairs(pairs, opt)

    def sample(number: int) -> Sample:
        return dataset[(number % len(pairs), (opt.seed, 0, number))]

    def batch(size: int) -> Sample:
        return default_collate([sample(number) for number in range(size)])

    def samples() -> None:
        for number in range(SAMPLES):
            sample(number)

    def painting(amp: bool, size: int) -> Callable[[], object]:
        painter, images = painters[amp], batch(size)
        return lambda: painter.paint(images["edges"], images["reference"])

    def training(amp: bool) -> Callable[[], None]:
        images = batch(opt.batchSize)

        def step() -> None:
            model.amp = amp
            train_on(model, images, opt.micro_batch)

        return step

    painters = {amp: Painter(build_generator(opt), model.device, amp) for amp in (False, True)}
    # Name, what runs, and how many samples, images or steps that is.
    measures: list[tuple[str, Callable[[], object], int]] = [
        ("one training sample", samples, SAMPLES)
    ]
    for amp, precision in ((False, "float32"), (True, "bfloat16")):
        measures += [
            (f"paint one image, alone, {precision}", painting(amp, 1), 1),
            (
                f"paint one image of {PAINTED_TOGETHER}, {precision}",
                painting(amp, PAINTED_TOGETHER),
                PAINTED_TOGETHER,
            ),
            (f"training step, batch {opt.batchSize}, {precision}", training(amp), 1),
        ]

    wall: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    processor: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    for number in tqdm(range(ROUNDS + 1), "rounds", disable=None):
        for name, run, count in measures:
            began, began_processor = time.perf_counter(), time.process_time()
            run()
            synchronize(model.device)
            if number:  # the first round warms up
                wall[name].append((time.perf_counter() - began) / count)
                processor[name].append((time.process_time() - began_processor) / count)

    print(f"{'seconds':45}{'median':>10}{'fastest':>10}{'processor':>11}")
    for name, times in wall.items():
        used = statistics.median(processor[name])
        print(f"{name:45}{statistics.median(times):10.4f}{min(times):10.4f}{used:11.4f}")


if __name__ == "__main__":
    with reported("benchmark.py"):
        main()
