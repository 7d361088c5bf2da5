"""Draw the demo set: butterflies after Heliconius, photographed and listed as in the challenge.

    PYTHONPATH=scripts python -m demo.make_demo_dataset --output Datasets/demo --seed 0 --scale 1

    train/images/DEMO00012.jpg        every subspecies of A, and the hybrids of one cross
    train/masks/DEMO00012.png         where its wings are: white, as large as the photograph
    train.csv                         in the form of butterfly_anomaly_train.csv
    test/images/17_DEMO00205_d.jpg    signal, non-signal and mimic hybrids, and their parents
    test/masks/17_DEMO00205_d.png
    ref_test.csv                      in the form of the challenge's file of that name
    list_options.txt                  options of make_lists.py for this set's subspecies
    overview.png                      every cross between its parents
    demo.json                         what was drawn: layout, seed, scale, subspecies

Four detached wings lie on paper (600x400), each a piece of the mask by itself; --layout pinned
draws whole butterflies. The same layout, seed and scale give the same bytes. Pictures
that are there are kept; another layout, seed or scale draws the set again.
"""

import argparse
import hashlib
import json
import logging
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from common.challenge_csv import COLUMNS
from common.files import atomic, open_image
from common.program import ROOT, InputError, positive, start
from PIL import Image, ImageDraw, ImageFont
from tqdm.contrib.concurrent import process_map

from demo.paper import collection_of
from demo.photograph import photograph
from demo.traits import LOOK_ALIKES, OF_A, SIGNAL_PAIR, SUBSPECIES, individual

DRAWING = 2  # raised when the drawing changes, so that sets drawn before are drawn again

# How many specimens at scale 1, as uneven as in the challenge: of subspecies, and of hybrids, which
# are named after their parents, the mother first.
# fmt: off
COUNTS = {
    "train": {
        "": {
            "amalfreda": 8, "chestertonii": 12, "cyrbia": 60, "erato": 8, "hydara": 22,
            "lativitta": 92, "notabilis": 30, "petiverana": 6, "phyllis": 10, "venus": 14,
            "lativitta x notabilis": 24,
        },
    },
    "test": {
        "major": {
            "lativitta": 47, "notabilis": 11,
            "notabilis x lativitta": 38, "lativitta x notabilis": 2,
        },
        "minor": {
            "amalfreda": 3, "chestertonii": 5, "cyrbia": 38, "erato": 4, "hydara": 8,
            "petiverana": 2, "phyllis": 5, "venus": 6,
            "hydara x amalfreda": 7, "hydara x erato": 1, "hydara x petiverana": 20,
            "chestertonii x venus": 2,
        },
        "mimic": {
            "malleti": 49, "plesseni": 12, "plesseni x malleti": 28, "malleti x plesseni": 4,
        },
    },
}
# fmt: on
SPLITS = tuple(COUNTS)
LAYOUTS = ("wings", "pinned")
TEST_COLUMNS = [
    "CAMID", "file_url", "hybrid_stat", "X", "subspecies_ref", "filename", "ssp_indicator",
]  # fmt: skip
SOURCE = "demo"  # where the challenge has the address of the photograph

# The contact sheet shows each between its parents, and then who is in none.
CROSSES = (
    *("lativitta x notabilis", "hydara x amalfreda", "hydara x erato", "hydara x petiverana"),
    *("chestertonii x venus", "plesseni x malleti"),
)
THUMBNAIL = (190, 127)
OVERVIEW_PICTURES = 2  # of each subspecies and cross

# However small the set: of fewer, chance may hold out too many for the SGD classifier to be fitted.
FEWEST = {("train", "lativitta x notabilis"): 16}


@dataclass(frozen=True)
class Specimen:
    """One picture to draw: what it shows, and its place in its split."""

    split: str
    index: int
    camid: str
    name: str  # its subspecies, or `mother x father`
    indicator: str  # major, minor or mimic; empty in training

    @property
    def parents(self) -> list[str]:
        """One subspecies, or two of a hybrid."""
        return self.name.split(" x ")

    @property
    def path(self) -> Path:
        """Of its picture, relative to the set; its mask lies in masks/ beside images/, as a PNG."""
        test = self.split == "test"
        name = f"{self.index}_{self.camid}_d.jpg" if test else f"{self.camid}.jpg"
        return Path(self.split, "images", name)


def specimens(seed: int, scale: float) -> list[Specimen]:
    """Every specimen of the set. Neither order nor number tells what a specimen is."""
    rng = np.random.default_rng(seed)
    drawn = []
    for split, groups in COUNTS.items():
        rows = [
            (name, group)
            for group, counts in groups.items()
            for name, count in counts.items()
            for _ in range(max(FEWEST.get((split, name), 1), round(count * scale)))
        ]
        drawn += [(split, index, *rows[i]) for index, i in enumerate(rng.permutation(len(rows)))]
    numbers = rng.permutation(len(drawn))
    return [
        Specimen(split, index, f"DEMO{number:05d}", name, group)
        for (split, index, name, group), number in zip(drawn, numbers, strict=True)
    ]


def draw(specimen: Specimen, seed: int, layout: str, output: Path) -> str:
    """MD5 of the specimen's picture, which is drawn unless it and its mask are there."""
    cv2.setNumThreads(0)  # the processes already share the cores
    path = output / specimen.path
    mask_path = path.parents[1] / "masks" / f"{path.stem}.png"
    if not (path.is_file() and mask_path.is_file()):
        rng = np.random.default_rng([seed, SPLITS.index(specimen.split), specimen.index])
        traits = individual(specimen.parents, rng)
        species = SUBSPECIES[specimen.parents[0]].species
        collection = collection_of(specimen.name, specimen.split, rng)
        pinned = layout == "pinned"
        pictures = photograph(traits, species, specimen.camid, collection, rng, pinned)
        for target, content in zip((path, mask_path), pictures, strict=True):
            with atomic(target) as part:
                part.write_bytes(content)
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_tables(drawn: list[Specimen], md5s: list[str], output: Path) -> None:
    """train.csv, which has names where the challenge has numbers, and ref_test.csv."""
    rows = {split: [] for split in SPLITS}
    for one, md5 in zip(drawn, md5s, strict=True):
        hybrid = len(one.parents) == 2
        if one.split == "test":
            row = one.camid, SOURCE, int(hybrid), one.index, one.name, one.path.name, one.indicator
        else:
            shown = (None, *one.parents) if hybrid else (*one.parents, None, None)
            status = "hybrid" if hybrid else "non-hybrid"
            row = one.camid, SOURCE, status, one.split, SOURCE, md5, *shown, one.path.name
        rows[one.split].append(row)
    for name, table in (
        ("train.csv", pd.DataFrame(rows["train"], columns=COLUMNS)),
        ("ref_test.csv", pd.DataFrame(rows["test"], columns=TEST_COLUMNS)),
    ):
        with atomic(output / name) as part:
            table.to_csv(part, index=False)


def write_overview(drawn: list[Specimen], output: Path) -> None:
    """overview.png: pictures of every subspecies, with each cross between its parents."""
    rows = [[cross.split(" x ")[0], cross, cross.split(" x ")[1]] for cross in CROSSES]
    rows.append([name for name in SUBSPECIES if not any(name in row for row in rows)])
    cell_width, cell_height = OVERVIEW_PICTURES * (THUMBNAIL[0] + 3) + 10, THUMBNAIL[1] + 26
    sheet = Image.new("RGB", (3 * cell_width + 10, len(rows) * cell_height + 10), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    pictures = {name: [s.path for s in drawn if s.name == name] for row in rows for name in row}
    for y, row in enumerate(rows):
        for x, name in enumerate(row):
            corner = (10 + x * cell_width, 10 + y * cell_height)
            pen.text(corner, name, fill="black", font=font)
            # A parent of several crosses shows other specimens each time, as long as there are.
            pictures[name] = pictures[name][OVERVIEW_PICTURES:] + pictures[name][:OVERVIEW_PICTURES]
            for i, path in enumerate(pictures[name][-OVERVIEW_PICTURES:]):
                thumbnail = open_image(output / path).resize(THUMBNAIL, Image.Resampling.LANCZOS)
                sheet.paste(thumbnail, (corner[0] + i * (THUMBNAIL[0] + 3), corner[1] + 20))
    with atomic(output / "overview.png") as part:
        sheet.save(part)


def prepare_folder(output: Path, seed: int, scale: float, layout: str = LAYOUTS[0]) -> None:
    """Make the set's folders, and write what decides every byte of it and what later steps ask.

    The pictures of a set that was drawn with other parameters are removed.
    """
    record = output / "demo.json"
    if not record.is_file() and output.exists() and (output.is_file() or any(output.iterdir())):
        raise InputError(f"{output} holds no demo.json; --output names an empty or a new folder")
    wanted = {"drawing": DRAWING, "layout": layout, "seed": seed, "scale": scale}
    wanted |= {"subspecies": OF_A, "signal_pair": SIGNAL_PAIR, "look_alikes": LOOK_ALIKES}
    texts = {"demo.json": f"{json.dumps(wanted)}\n"}
    if record.is_file() and record.read_text(encoding="utf-8") != texts["demo.json"]:
        logging.info("%s holds another set; drawing again", output)
        for picture in [*output.glob("*/images/*.jpg"), *output.glob("*/masks/*.png")]:
            picture.unlink()
    for split, kind in product(SPLITS, ("images", "masks")):
        (output / split / kind).mkdir(parents=True, exist_ok=True)
    # Options of make_lists.py: no pairs to exclude beside the look-alikes. As in the published
    # lists, the rarer subspecies of the signal pair is the structure, the commoner the reference.
    listed, (reference, structure) = " ".join(map(",".join, LOOK_ALIKES)), SIGNAL_PAIR
    texts["list_options.txt"] = f"--groups {listed} --signal {structure} {reference} --exclude\n"
    for name, text in texts.items():
        with atomic(output / name) as part:
            part.write_text(text, encoding="utf-8")


def scale(text: str) -> float:
    if not 0 < float(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0 and at most 100")
    return float(text)


def parse_arguments() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    add = parser.add_argument
    add("--output", type=Path, default=ROOT / "Datasets/demo", help="default: Datasets/demo")
    add("--scale", type=scale, default=1.0, help="times 286 training and 292 test pictures")
    whole = "detached wings, or whole butterflies"
    add("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=whole)
    add("--seed", type=int, default=0, help="0 or more (default: 0)")
    add("--workers", type=positive, default=joblib.cpu_count(), help="processes (default: cores)")
    return parser.parse_args()


def make(options: argparse.Namespace) -> int:
    prepare_folder(options.output, options.seed, options.scale, options.layout)
    drawn = specimens(options.seed, options.scale)
    task = partial(draw, seed=options.seed, layout=options.layout, output=options.output)
    md5s = process_map(task, drawn, max_workers=options.workers, chunksize=4, disable=None)
    write_tables(drawn, md5s, options.output)
    write_overview(drawn, options.output)
    logging.info("%s is complete", options.output)
    return 0


if __name__ == "__main__":
    start(make, parse_arguments)
