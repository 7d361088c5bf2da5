"""What train/ uses of the submission folder, and the only place that knows where that lies."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[1].resolve() / "submission/dino2B_contestAF_1024linear2cls")
)

import cutout
from cut_folder import read_own_mask
from cutout import CONFIDENT, GROUND, box_of, find_specimen, is_cutout, on_flat_ground
from dataset import load_batches
from durable import make_folder, naming, sync
from files import IMAGE_SUFFIXES, ImageError, atomic, inside, open_image
from memory import freed_memory_kept
from model import (
    BACKBONE,
    BACKBONES,
    IMAGE_SIZE,
    LINEAR_FILE,
    MEMBER_FILES,
    PREPROCESS,
    PREPROCESSES,
    QUANTILES,
    SGD_FILE,
    SUBSPECIES_FILE,
    LinearClassifier,
    Origin,
    SubspeciesScorer,
    backbone_spec,
    build_backbone,
    choose_device,
    combine,
    extract,
    load_linear,
    make_picture,
    make_transform,
    read_arrays,
    to_rgb,
)
from pages import duration, new_page, save_page, show_facts
from timing import Ways, time_ways

REPOSITORY = Path(__file__).resolve().parents[2]

__all__ = [
    "BACKBONE",
    "BACKBONES",
    "CONFIDENT",
    "GROUND",
    "IMAGE_SIZE",
    "IMAGE_SUFFIXES",
    "LINEAR_FILE",
    "MEMBER_FILES",
    "PREPROCESS",
    "PREPROCESSES",
    "QUANTILES",
    "REPOSITORY",
    "SGD_FILE",
    "SUBSPECIES_FILE",
    "ImageError",
    "LinearClassifier",
    "Origin",
    "SubspeciesScorer",
    "Ways",
    "atomic",
    "backbone_spec",
    "box_of",
    "build_backbone",
    "choose_device",
    "combine",
    "cutout",
    "duration",
    "extract",
    "find_specimen",
    "freed_memory_kept",
    "inside",
    "is_cutout",
    "load_batches",
    "load_linear",
    "make_folder",
    "make_picture",
    "make_transform",
    "naming",
    "new_page",
    "on_flat_ground",
    "open_image",
    "read_arrays",
    "read_own_mask",
    "save_page",
    "show_facts",
    "sync",
    "time_ways",
    "to_rgb",
]
