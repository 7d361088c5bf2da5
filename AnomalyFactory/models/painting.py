"""Painting a list: read, painted and written at the same time."""

import argparse
import os

from data.datasets import PaintingPairs, loader
from data.few_photos import inherited, with_ground_kept
from tqdm import tqdm
from util.background import Background, Fetched
from util.errors import InputError
from util.images import as_pixels
from util.results import Results

from models.anomaly_factory import Painter

BATCHES_WRITTEN = 4  # that wait to be written at once, while further ones are painted


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
    total = sum(place in missing for batch in batches for place in batch)

    def write(name: str, images: Fetched, row: int) -> None:
        *panels, finite = images.get()
        if not finite[row]:
            raise InputError(
                f"{name}: the generator of --name {opt.name} paints NaN or infinite values;"
                " choose an earlier --which_epoch, or train it anew with a smaller --lr"
            )
        results.write(name, [panel[row].numpy() for panel in panels])

    with (
        Background(os.cpu_count(), BATCHES_WRITTEN * opt.batchSize) as writers,
        tqdm(total=total, desc="paint", unit="image", disable=quiet) as bar,
    ):
        for batch in loader(samples, batches, opt.nThreads, painter.device):
            edges, reference = batch["edges"], batch["reference"]
            if opt.inherit is None:
                fake, mask = painter.paint(edges, reference)
            else:
                photos = batch["photo"], batch["full_photo"]
                fake, mask = inherited(painter.paint, edges, reference, *photos, opt.inherit)
            if opt.keep_ground:
                fake = with_ground_kept(fake, batch["full_photo"], batch["ground"])
            finite = fake.isfinite().flatten(1).all(1)
            images = Fetched([edges, reference, as_pixels(fake), as_pixels(mask), finite])
            for row, place in enumerate(batch["place"].tolist()):
                if place in missing:
                    writers.submit(write, samples.pairs[place].generated_name, images, row)
                    bar.update()
