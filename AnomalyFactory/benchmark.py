"""Time what training and painting are made of, at the published size, on this machine.

python AnomalyFactory/benchmark.py --dataroot ./Datasets/Images4TrainAFnonhybrid \\
    --phase train_AFnonhybrid --gpu_ids -1 [any other option of train.py]

Every round takes each measurement once, so that a busy machine slows all alike. The table gives
the median and the fastest round, and the median of the processor time over all threads. On a busy
machine the last is the one to trust, with OMP_NUM_THREADS=1: threads that wait count as working.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import torch
from data.datasets import training_pairs
from data.lists import find_list, read_pairs
from models.anomaly_factory import AnomalyFactory, Painter, build_generator, micro_batches
from options.train_options import train_options
from tqdm import tqdm
from util import distributed
from util.errors import reported

ROUNDS = 5
PAINTED_TOGETHER = 4
SAMPLES = 20


def main() -> None:
    opt = train_options(["--name", "benchmark", "--no_vgg_loss", *sys.argv[1:]])
    process = distributed.start(opt.gpu_ids)
    cv2.setNumThreads(0)  # as in a worker that reads images
    pairs = read_pairs(find_list(opt.dataroot, opt.phase), training=True)
    dataset = training_pairs(pairs, opt)

    def sample(number: int) -> dict[str, torch.Tensor]:
        return dataset[(number % len(dataset.pairs), (opt.seed, 0, number))]

    def batch(size: int) -> dict[str, torch.Tensor]:
        return torch.utils.data.default_collate([sample(number) for number in range(size)])

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
            for part, share in micro_batches(images, opt.micro_batch):
                model.set_input(part, share)
                model.forward()
                model.backward_D()
                model.backward_G()
            model.step()

        return step

    model = AnomalyFactory(opt, process)
    painters = {amp: Painter(build_generator(opt), process.device, amp) for amp in (False, True)}
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
            (f"training step, batch {opt.batchSize}, no VGG, {precision}", training(amp), 1),
        ]

    wall: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    processor: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    for number in tqdm(range(ROUNDS + 1), "rounds", disable=None):
        for name, run, count in measures:
            began, began_processor = time.perf_counter(), time.process_time()
            run()
            if process.device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first round warms up
                wall[name].append((time.perf_counter() - began) / count)
                processor[name].append((time.process_time() - began_processor) / count)

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{process.device}, {torch.get_num_threads()} threads, load average {load}")
    print(f"{opt.loadSize} px, ngf {opt.ngf}, {opt.n_blocks_global} residual blocks")
    print(f"{'seconds':45}{'median':>10}{'fastest':>10}{'processor':>11}")
    for name, times in wall.items():
        used = statistics.median(processor[name])
        print(f"{name:45}{statistics.median(times):10.4f}{min(times):10.4f}{used:11.4f}")


if __name__ == "__main__":
    with reported("benchmark.py"):
        main()
