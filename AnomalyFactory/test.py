"""Paint the pairs of a list with a trained generator.

python AnomalyFactory/test.py --name AF4nonhybrid --results_dir ./results/butterflyContest/nh/ \\
    --dataroot ./Datasets/Images4TrainAFnonhybrid/List/test_nonhybrid

Writes AF_{i}_{j}_gen{index}.png, 256x256, into --results_dir: structure of subspecies i, colours
of subspecies j, line `index` of the list, and the page {list}.html that shows them. An interrupted
run goes on where it stopped. What was painted with another checkpoint, list or option is an error,
or with --overwrite painted anew; nothing is removed before its new one is whole. With several
--gpu_ids, or under torchrun, every process paints its share of the list's batches, which are the
same whoever paints them.
"""

import argparse
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import torch
from data.datasets import PaintingPairs, batches_of, loader
from data.lists import ListFiles, Pair, find_list, read_pairs
from data.own_photo import inherited, with_ground_kept
from models.anomaly_factory import Painter, build_generator, load_network, network_path
from options.test_options import test_options
from tqdm import tqdm
from util import distributed
from util.background import ahead
from util.device import chosen_amp, prepare
from util.engine import choose_engine
from util.errors import InputError, reported
from util.images import as_pixels
from util.results import Results, Source, painted_from

BATCHES_WRITTEN = 4  # that wait to be written at once, while further ones are painted


def main() -> None:
    opt = test_options()
    process = distributed.start(opt.gpu_ids)
    files = find_list(opt.dataroot, opt.phase)
    asked = opt.align, opt.inherit is not None, opt.keep_ground  # for the structures' own photos
    listed = read_pairs(files, training=False, photos=any(asked))
    pairs = listed[: opt.how_many][: opt.max_dataset_size]
    generator = build_generator(opt)
    load_network(generator, opt.checkpoints_dir / opt.name, opt.which_epoch, "G", process.first)
    if opt.verbose and process.first:
        tqdm.write(str(generator))

    names = {pair.generated_name: (pair.edges.stem, pair.reference.stem) for pair in listed}
    sources = (painted_from(opt.results_dir / name)[1] for name in names)
    before = {} if opt.overwrite else next(filter(None, sources), {})
    opt.amp = chosen_amp(opt.amp, process.device, before.get("amp"))
    engine = choose_engine(opt.engine, process.device, len(listed))
    source = source_of(opt, files, listed, any(asked))
    results = Results(opt.results_dir, files.name, names, source, not opt.no_html)
    missing = {n for n, pair in enumerate(pairs) if not results.is_whole(pair.generated_name)}
    process.wait()  # nobody writes before everybody has looked
    if process.first:
        results.begin(opt.overwrite)
    process.wait()
    prepare()
    painter = Painter(generator, process.device, opt.amp, engine)
    samples = PaintingPairs(pairs, opt.loadSize, *asked)
    batches = batches_of(len(pairs), opt.batchSize, missing)[process.share]
    paint(painter, samples, batches, missing, opt, results, process.quiet)
    process.wait()
    if process.first:
        of_all = f" of {len(listed)}" if len(pairs) < len(listed) else ""
        tqdm.write(
            f"{opt.results_dir}: {len(pairs)}{of_all} pairs of {files.name},"
            f" {len(pairs) - len(missing)} of them painted before"
        )
        if not opt.no_html:
            groups = [f"{p.structure_subspecies} x {p.reference_subspecies}" for p in pairs]
            painted = dict(zip((pair.generated_name for pair in pairs), groups, strict=True))
            tqdm.write(f"page: {results.write_page(painted)}")
        advice = "not finished: --overwrite without --how_many paints anew what is in the list"
        results.check_unmixed(advice)
    process.stop()


def paint(
    painter: Painter,
    samples: PaintingPairs,
    batches: list[list[int]],  # of places in the list
    missing: set[int],  # the places whose results are written
    opt: argparse.Namespace,
    results: Results,
    quiet: bool | None,
) -> None:
    """Paint `batches` and write what is missing of them, beside the painting of the next.

    Raises InputError naming an image of values that are not finite, which is not written.
    """

    def painted() -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Names of results, with panels, uint8 (S, S, 3), and whether all values are finite."""
        by_batch = loader(samples, batches, opt.nThreads, painter.device)
        for batch in tqdm(by_batch, desc="paint", unit="batch", disable=quiet):
            edges, reference = batch["edges"], batch["reference"]
            if opt.inherit is None:
                fake, mask = painter.paint(edges, reference)
            else:
                photos = batch["photo"], batch["full_photo"]
                fake, mask = inherited(painter.paint, edges, reference, *photos, opt.inherit)
            finite = fake.isfinite().flatten(1).all(1).cpu()
            pixels = as_pixels(fake).cpu()
            if opt.keep_ground:
                pixels = with_ground_kept(fake, batch["full_photo"], batch["ground"])
            panels = edges, reference, pixels, as_pixels(mask).cpu(), finite
            for row, place in enumerate(batch["place"].tolist()):
                if place in missing:
                    yield samples.pairs[place].generated_name, [panel[row] for panel in panels]

    def write(result: tuple[str, list[torch.Tensor]]) -> None:
        name, (*panels, finite) = result
        if not finite:
            raise InputError(
                f"{name}: the generator of --name {opt.name} paints NaN or infinite values;"
                " choose an earlier --which_epoch, or train it anew with a smaller --lr"
            )
        results.write(name, [panel.numpy() for panel in panels])

    with ThreadPoolExecutor(joblib.cpu_count()) as writers:
        for _ in ahead(write, painted(), writers, most=BATCHES_WRITTEN * opt.batchSize):
            pass


def source_of(opt: argparse.Namespace, files: ListFiles, pairs: list[Pair], photos: bool) -> Source:
    """All that shapes the results of the list's `pairs`."""
    weights = network_path(opt.checkpoints_dir / opt.name, opt.which_epoch, "G").read_bytes()
    # A dataset that was moved is the same one; an image that was written since is another.
    images = [path for pair in pairs for path in (pair.edges, pair.reference)]
    images += [pair.target for pair in pairs] if photos else []
    status = [(path.relative_to(files.dataset), path.stat()) for path in images]
    lines = "\n".join(f"{path}\t{now.st_size}\t{now.st_mtime_ns}" for path, now in status)
    return {
        "checkpoint": hashlib.sha256(weights).hexdigest(),
        "list": hashlib.sha256(lines.encode()).hexdigest(),
        "loadSize": opt.loadSize,
        "amp": opt.amp,
        "align": "wings" if opt.align else None,
        "inherit": opt.inherit,
        "keep_ground": opt.keep_ground or None,
    }


if __name__ == "__main__":
    with reported("test.py"):
        main()
