"""Paint the pairs of a list with a trained generator.

python AnomalyFactory/test.py --name AF4nonhybrid --phase test_nonhybrid \\
    --dataroot ./Datasets/Images4TrainAFnonhybrid --results_dir ./results/butterflyContest/nh/

Writes AF_{i}_{j}_gen{index}.png, 256x256, into --results_dir: structure of subspecies i, colours
of subspecies j, line `index` of the list. The page {list}.html there shows them. An interrupted
run goes on where it stopped; what was painted with another checkpoint, list, size or precision
is painted anew. Under torchrun, every process paints its share.
"""

import argparse
import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from data.datasets import PaintingPairs, painting_loader
from data.lists import Pair, check_images, find_list, read_pairs
from models.anomaly_factory import build_generator, load_network, network_path
from models.networks import Generator
from options.test_options import test_options
from torch import nn
from tqdm import tqdm
from util import distributed
from util.errors import reported
from util.images import to_network, to_pixels
from util.results import Results


def main() -> None:
    opt = test_options()
    process = distributed.start(opt.gpu_ids)
    files = find_list(opt.dataroot, opt.phase)
    listed = read_pairs(files, training=False)
    pairs = listed[: opt.how_many]
    check_images(files, pairs, ("edges", "color_ref"))
    folder = opt.checkpoints_dir / opt.name
    generator = build_generator(opt)
    load_network(generator, folder, opt.which_epoch, "G")

    results = Results(opt.results_dir, files.name, with_page=not opt.no_html)
    if process.first:
        weights = network_path(folder, opt.which_epoch, "G").read_bytes()
        lines = "\n".join(f"{pair.edges}\t{pair.reference}" for pair in listed)
        source = {
            "checkpoint": hashlib.sha256(weights).hexdigest(),
            "list": hashlib.sha256(lines.encode()).hexdigest(),
            "loadSize": opt.loadSize,
            "amp": opt.amp,
        }
        results.begin(source, [pair.generated_name for pair in listed])
    process.wait()
    missing = [pair for pair in pairs if not results.is_whole(pair)]
    process.wait()  # nobody paints before everybody has looked
    paint(generator, missing[process.rank :: process.world], opt, results, process)
    process.wait()
    if process.first:
        tqdm.write(
            f"{opt.results_dir}: {len(pairs)} pairs of {files.name},"
            f" {len(pairs) - len(missing)} of them painted before"
        )
        if not opt.no_html:
            tqdm.write(f"page: {results.write_page(pairs)}")
    process.stop()


@torch.inference_mode()
def paint(
    generator: Generator,
    pairs: list[Pair],
    opt: argparse.Namespace,
    results: Results,
    process: distributed.Process,
) -> None:
    device = process.device
    generator.to(device, memory_format=torch.channels_last).eval()
    if opt.amp:  # as autocast would at every batch: on a CPU that takes as long as the convolutions
        for module in generator.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.to(torch.bfloat16)
    batch_size = max(1, opt.batchSize // process.world)
    loader = painting_loader(PaintingPairs(pairs, opt.loadSize), batch_size, opt.nThreads)
    quiet = None if process.first else True
    writing = []
    with (
        ThreadPoolExecutor() as writers,
        tqdm(total=len(pairs), desc="paint", unit="image", disable=quiet) as bar,
    ):
        for batch in loader:
            pair_input = torch.cat([batch["edges"], batch["reference"]], dim=-1)
            with torch.autocast(device.type, torch.bfloat16, enabled=opt.amp):
                fake, mask = generator(to_network(pair_input, device))
            images = (batch["edges"].numpy(), batch["reference"].numpy())
            panels = zip(*images, to_pixels(fake), to_pixels(mask), strict=True)
            for done in writing:  # the last batch's, while this one was painted
                done.result()
            writing = [
                writers.submit(results.write, pairs[place], list(images))
                for place, images in zip(batch["place"].tolist(), panels, strict=True)
            ]
            bar.update(len(writing))
        for done in writing:
            done.result()


if __name__ == "__main__":
    with reported("test.py"):
        main()
