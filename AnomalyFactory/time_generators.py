"""Time the published way and ours side by side, in one process, on made-up photographs:

    python AnomalyFactory/time_generators.py edge_maps | training_samples [--rounds N] [--images N]

Every round takes each way once, so that a busy machine slows all alike. One line of JSON comes out,
with the seconds of each round; the programs in scripts/benchmarks/ make a table of it.
"""

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from data import warp
from data.augmentation import random_augmentation, training_sample
from models.pidinet import (
    DIFFERENCES,
    PiDiNet,
    load_pidinet,
    normalise,
    pidinet_detector,
    vanilla_kernel,
)
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

Ways = dict[str, Callable[[], object]]
PHOTO = (333, 500)  # height and width, pixels, of a photograph for edge maps
SIDE = 256  # of a training sample


def time_ways(ways: Ways, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds and seconds of the processor, over all threads, of each way in each round."""
    times = {name: {"seconds": [], "processor": []} for name in ways}
    for _ in tqdm(range(rounds), "rounds", disable=None):
        for name, run in ways.items():
            began, began_processor = time.perf_counter(), time.process_time()
            run()
            times[name]["seconds"].append(time.perf_counter() - began)
            times[name]["processor"].append(time.process_time() - began_processor)
    return times


class PixelDifference(nn.Module):
    """A pixel-difference convolution as the authors run it: rewritten, or run twice, each time."""

    def __init__(self, kind: str, weight: Tensor, groups: int) -> None:
        super().__init__()
        self.kind, self.weight, self.groups = kind, weight, groups

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "cd":
            centre = self.weight.sum(dim=(2, 3), keepdim=True)
            plain = F.conv2d(x, self.weight, padding=1, groups=self.groups)
            return plain - F.conv2d(x, centre, groups=self.groups)
        kernel = vanilla_kernel(self.kind, self.weight)
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=self.groups)


def made_up_weights() -> dict[str, Tensor]:
    """Random kernels in the shapes of the published file."""
    torch.manual_seed(0)
    state = PiDiNet().state_dict()
    for name, kind in DIFFERENCES.items():
        if kind == "rd":
            state[f"{name}.weight"] = state[f"{name}.weight"][..., :3, :3].contiguous()
    return state


def published_network(path: Path, state: dict[str, Tensor]) -> PiDiNet:
    network = copy.deepcopy(load_pidinet(path)).to(memory_format=torch.contiguous_format)
    for name, kind in DIFFERENCES.items():
        groups = network.get_submodule(name).groups
        parent, _, own = name.rpartition(".")
        layer = PixelDifference(kind, state[f"{name}.weight"], groups)
        setattr(network.get_submodule(parent), own, layer)
    return network


def edge_maps(count: int, folder: Path) -> tuple[str, Ways, list[str]]:
    state, path = made_up_weights(), folder / "pidinet.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    photos = np.random.default_rng(0).integers(0, 256, (count, *PHOTO, 3), np.uint8)
    detect = pidinet_detector(path, torch.device("cpu"))
    network = published_network(path, state)

    @torch.inference_mode()
    def one_by_one() -> np.ndarray:
        pixels = (torch.from_numpy(photo).permute(2, 0, 1)[None].contiguous() for photo in photos)
        maps = [(255 * network(normalise(each)))[0, 0].to(torch.uint8).numpy() for each in pixels]
        return np.stack(maps)

    apart = np.abs(one_by_one().astype(int) - detect(photos)).max()
    ways = {
        "published: differences of pixels, one photograph at a time": one_by_one,
        "ours: plain kernels, together": lambda: detect(photos),
    }
    title = f"PiDiNet's edge maps of {count} photographs of {PHOTO[1]} x {PHOTO[0]}"
    return title, ways, [f"The maps, 0 to 255, differ by {apart} at the most (random kernels)."]


def training_samples(count: int, _: Path) -> tuple[str, Ways, list[str]]:
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    cell = warp.CELL

    def samples(cell: int) -> list[np.ndarray]:
        warp.CELL = cell
        random = np.random.default_rng(0)
        return [training_sample(*images, random_augmentation(random, SIDE)) for _ in range(count)]

    ways = {
        "plain: the spline at every pixel": lambda: samples(1),
        f"ours: the spline at every {cell}th, linear in between": lambda: samples(cell),
    }
    return f"{count} training samples of {SIDE} x {SIDE}, both warps in each", ways, []


CLAIMS = {"edge_maps": (edge_maps, 6), "training_samples": (training_samples, 20)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the published way and ours side by side.")
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is taken")
    parser.add_argument("--images", type=int, help="photographs, or samples")
    options = parser.parse_args()
    measure, count = CLAIMS[options.claim]
    if options.claim == "training_samples":
        cv2.setNumThreads(0)  # as in a worker that reads images
    with tempfile.TemporaryDirectory() as folder:
        title, ways, notes = measure(options.images or count, Path(folder))
        times = time_ways(ways, options.rounds)
    print(json.dumps({"title": title, "ways": times, "notes": notes}))


if __name__ == "__main__":
    main()
