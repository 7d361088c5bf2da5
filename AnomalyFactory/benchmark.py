"""Time what training and painting are made of, at the published size, on this machine.

python AnomalyFactory/benchmark.py --dataroot ./Datasets/Images4TrainAFnonhybrid \\
    --phase train_AFnonhybrid --gpu_ids -1 [any other option of train.py]

Every round takes each measurement once, so that a busy machine slows all alike; the table gives
medians over the rounds, and the fastest.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import torch
from data.datasets import TrainingPairs
from data.lists import find_list, read_pairs
from models.anomaly_factory import AnomalyFactory, Painter, build_generator
from options.train_options import train_options
from tqdm import tqdm
from util import distributed
from util.errors import reported

ROUNDS = 7
PAINTED_TOGETHER = 4
SAMPLES = 20


def main() -> None:
    opt = train_options(["--name", "benchmark", "--no_vgg_loss", *sys.argv[1:]])
    process = distributed.start(opt.gpu_ids)
    cv2.setNumThreads(0)  # as in a worker that reads images
    dataset = TrainingPairs(
        read_pairs(find_list(opt.dataroot, opt.phase), training=True), opt.loadSize
    )

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
            model.set_input(images)
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

    seconds: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    for number in tqdm(range(ROUNDS + 1), "rounds", disable=None):
        for name, run, count in measures:
            began = time.perf_counter()
            run()
            if process.device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - began) / count)

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{process.device}, {torch.get_num_threads()} threads, load average {load}")
    print(f"{opt.loadSize} px, ngf {opt.ngf}, {opt.n_blocks_global} residual blocks")
    print(f"{'':45}{'median':>10}{'fastest':>10}")
    for name, times in seconds.items():
        print(f"{name:45}{statistics.median(times):9.4f}s{min(times):9.4f}s")


if __name__ == "__main__":
    with reported("benchmark.py"):
        main()
