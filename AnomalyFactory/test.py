"""Paint the pairs of a list with a trained generator.

python AnomalyFactory/test.py --name AF4nonhybrid --phase test_nonhybrid \\
    --dataroot ./Datasets/Images4TrainAFnonhybrid --results_dir ./results/butterflyContest/nh/

Writes AF_{i}_{j}_gen{index}.png, 256x256, into --results_dir: structure of subspecies i, colours
of subspecies j (with --inherit, a share of them), line `index` of the list. The page {list}.html
there shows them. An interrupted run goes on where it stopped; what was painted with another
checkpoint, list or option is painted anew. Under torchrun, every process paints its share.
"""

import argparse
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.datasets import PaintingPairs, painting_loader
from data.lists import COLUMNS, check_images, find_list, read_pairs
from models.anomaly_factory import Painter, build_generator, load_network, network_path
from options.test_options import test_options
from tqdm import tqdm
from util import distributed
from util.errors import reported
from util.images import to_pixels
from util.results import Results


def main() -> None:
    opt = test_options()
    process = distributed.start(opt.gpu_ids)
    files = find_list(opt.dataroot, opt.phase)
    photos = opt.align or opt.inherit is not None
    listed = read_pairs(files, training=False, photos=photos)
    pairs = listed[: opt.how_many]
    with process.agreeing():
        columns = COLUMNS if photos else COLUMNS[:2]
        check_images(files, pairs, columns, process.share, process.quiet)
    folder = opt.checkpoints_dir / opt.name
    generator = build_generator(opt)
    load_network(generator, folder, opt.which_epoch, "G")

    results = Results(opt.results_dir, files.name, with_page=not opt.no_html)
    if process.first:
        weights = network_path(folder, opt.which_epoch, "G").read_bytes()
        # A dataset that was moved is the same one; an image that was written since is another.
        images = [path for pair in listed for path in (pair.edges, pair.reference)]
        if photos:
            images += [pair.target for pair in listed]
        lines = "\n".join(identity(path, files.dataset) for path in images)
        source = {
            "checkpoint": hashlib.sha256(weights).hexdigest(),
            "list": hashlib.sha256(lines.encode()).hexdigest(),
            "loadSize": opt.loadSize,
            "amp": opt.amp,
            "align": opt.align or None,  # None, as in notes of before there was such an option
            "inherit": opt.inherit,
        }
        results.begin(source, [pair.generated_name for pair in listed])
    process.wait()
    missing = [pair for pair in pairs if not results.is_whole(pair)]
    process.wait()  # nobody paints before everybody has looked
    painter = Painter(generator, process.device, opt.amp)
    mine = missing[process.rank :: process.world]
    samples = PaintingPairs(mine, opt.loadSize, opt.align, opt.inherit is not None)
    paint(painter, samples, opt, results, process)
    process.wait()
    if process.first:
        tqdm.write(
            f"{opt.results_dir}: {len(pairs)} pairs of {files.name},"
            f" {len(pairs) - len(missing)} of them painted before"
        )
        if not opt.no_html:
            tqdm.write(f"page: {results.write_page(pairs)}")
    process.stop()


def identity(path: Path, dataset: Path) -> str:
    """A line that changes when the file does."""
    status = path.stat()
    return f"{path.relative_to(dataset)}\t{status.st_size}\t{status.st_mtime_ns}"


def paint(
    painter: Painter,
    samples: PaintingPairs,
    opt: argparse.Namespace,
    results: Results,
    process: distributed.Process,
) -> None:
    batch_size = max(1, opt.batchSize // process.world)
    loader = painting_loader(samples, batch_size, opt.nThreads)
    quiet = None if process.first else True
    writing = []
    with (
        ThreadPoolExecutor() as writers,
        tqdm(total=len(samples), desc="paint", unit="image", disable=quiet) as bar,
    ):
        for batch in loader:
            edges, reference = batch["edges"], batch["reference"]
            if opt.inherit is None:
                fake, mask = painter.paint(edges, reference)
            else:
                photo, full_photo = batch["photo"], batch["full_photo"]
                fake, mask = painter.inherit(edges, reference, photo, full_photo, opt.inherit)
            images = (edges.numpy(), reference.numpy())
            panels = zip(*images, to_pixels(fake), to_pixels(mask), strict=True)
            for done in writing:  # the last batch's, while this one was painted
                done.result()
            writing = [
                writers.submit(results.write, samples.pairs[place], list(images))
                for place, images in zip(batch["place"].tolist(), panels, strict=True)
            ]
            bar.update(len(writing))
        for done in writing:
            done.result()


if __name__ == "__main__":
    with reported("test.py"):
        main()
