"""Everything that turns a butterfly photograph into a hybrid score.

Codabench's ingestion puts this folder on sys.path, calls `Model().load()` and then
`predict(image)` for each image. The members of an ensemble give probabilities that the specimen is
a hybrid; the score is the highest. The published members, a linear classifier and a calibrated SGD
classifier, judge the features of one frozen backbone, and remember which it is and whether
specimens are cut out. A third, trained here, knows the subspecies and looks at the wings. The zip
for Codabench takes the files that this one imports.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from backbones import (
    IMAGE_SIZE,
    NETWORKS,
    PREPROCESS,
    WINGS,
    Network,
    build_backbone,
    extract,
    has_bfloat16,
    in_pytorch,
    locate_backbone,
    make_picture,
)
from PIL import Image
from published_members import check_origin, load_linear, load_sgd
from subspecies_member import Parents, load_subspecies
from torch import nn
from weights import HERE, TRAINING, search_folders

LINEAR_FILE, SGD_FILE, SUBSPECIES_FILE = "clf1024.pth", "sgd_clf.pkl", "subspecies.npz"


@dataclass(frozen=True)
class Member:
    """A member of the ensemble."""

    file: str  # its name, beside this file or in Models/classifiers/
    load: Callable[[Path], Any]
    published: bool = True  # it must lie there; another takes part if it does
    looks_at: str | None = None  # a network of its own that it needs, and view; None: the backbone


# In the order in which they are told.
MEMBERS = {
    "sgd": Member(SGD_FILE, load_sgd),
    "linear": Member(LINEAR_FILE, load_linear),
    "subspecies": Member(SUBSPECIES_FILE, load_subspecies, published=False, looks_at=WINGS),
}

log = logging.getLogger(__name__)


def combine(members: Mapping[str, np.ndarray]) -> np.ndarray:
    """The scores (n,) of the probabilities (n,) that the members give: the highest of each."""
    return np.maximum.reduce(list(members.values()))


def locate_members(folder: Path | None, members: Sequence[str] | None = None) -> dict[str, Path]:
    """The files of the members that take part, in the order of MEMBERS.

    They are in `folder`, else in the first place that holds any. `members` chooses; None: the
    published two, and the third where it lies beside them. Never one from here and one from there:
    raises FileNotFoundError where that place lacks one.
    """
    wanted = [name for name in MEMBERS if members is None or name in members]
    required = [name for name in wanted if members is not None or MEMBERS[name].published]
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of classifiers; training writes one")
    folders = search_folders("classifiers") if folder is None else [folder]
    for place in folders:
        paths = {name: place / MEMBERS[name].file for name in wanted}
        found = {name: path for name, path in paths.items() if path.is_file()}
        missing = " and ".join(MEMBERS[name].file for name in required if name not in found)
        if found and missing:
            there = next(iter(found.values()))
            raise FileNotFoundError(
                f"{there} lies there without {missing}: put {missing} of the same training beside "
                f"it, or move {there.name} away"
            )
        if found:
            return found
    names = " and ".join(MEMBERS[name].file for name in required)
    raise FileNotFoundError(
        f"no {names}: looked in {' and '.join(map(str, folders))}. Fetch them "
        "(scripts/download_models.sh classifiers), name their folder (--classifiers DIR), or "
        f"train them: {TRAINING}"
    )


def locate_weights(**arguments: Any) -> dict[str, Path]:
    """Every file that a `Model` of these arguments reads, where it lies, by its name beside this.

    The weights, and cutout.py and wings.py where they are needed. Raises as load does, and where
    only timm's hub has the weights.
    """
    model = Model(**arguments, device="cpu")
    model.load_members()
    files = {path.name: path for path in model.files.values()}
    for network in model.networks:
        files[NETWORKS[network].weights_file] = locate_backbone(network)
    code = ["cutout.py"] if model.view != PREPROCESS else []
    code += ["wings.py"] if WINGS in model.view else []
    return files | {name: HERE / name for name in code}


def choose_device(wanted: str | None = None) -> torch.device:
    """The wanted device, else the best there is of CUDA, MPS and CPU; a replacement is logged."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    counts = {"cuda": gpus, "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    best = next(kind for kind, count in counts.items() if count)
    try:
        device = torch.device(wanted or best)
    except RuntimeError as error:
        raise ValueError(f"unknown device {wanted!r}; known: cuda, cuda:N, mps, cpu") from error
    if (device.index or 0) < counts.get(device.type, 0):
        return device
    log.warning("device %s is not available here; using %s", wanted, best)
    return torch.device(best)


@dataclass(frozen=True)
class Examined:
    """What the members say of n images."""

    scores: np.ndarray  # (n,)
    members: dict[str, np.ndarray]  # the probability (n,) of each that takes part
    parents: list[Parents] | None  # None without the member that knows the subspecies
    features: np.ndarray | None  # (n, feature_size) float32, of the backbone if it takes part


class Model:
    """The hybrid detector as Codabench calls it; `load` comes first."""

    def __init__(
        self,
        backbone: str | None = None,  # a key of BACKBONES; None: what the classifiers remember
        device: str | None = None,  # such as "cuda:0"; None: the best there is
        classifiers: Path | None = None,  # their folder; None: beside this file, then Models/
        members: Sequence[str] | None = None,  # keys of MEMBERS; None: all that lie there
        preprocess: str | None = None,  # one of PREPROCESSES; None: what the classifiers remember
        fast: bool = False,  # the backbone in bfloat16, on photographs that may be reduced
    ) -> None:
        self.backbone = backbone
        self.preprocess = preprocess
        self.classifiers = classifiers
        self.wanted = members
        self.fast = fast
        self.device = choose_device(device)
        self.bfloat16 = fast and has_bfloat16(self.device)

    def load(self, engine: Callable[[nn.Module, bool], Network] = in_pytorch) -> None:
        """Read the members, and the networks, which the `engine` computes, in bfloat16 or not.

        Raises FileNotFoundError for missing weights, and ValueError for damaged ones and those of
        another backbone, preprocess or training; each names the file and the remedy.
        """
        self.load_members()
        if "linear" in self.members:
            self.members["linear"].to(self.device)
        self.make_picture = make_picture(self.view)
        self.network, self.wing_network = (
            engine(build_backbone(name, self.device), rough) if name in self.networks else None
            for name, rough in ((self.backbone, self.bfloat16), (WINGS, False))
        )

    def load_members(self) -> None:
        """Read the members alone, and what they look at: the names of networks, and a view."""
        self.files = locate_members(self.classifiers, self.wanted)
        self.members = {name: MEMBERS[name].load(path) for name, path in self.files.items()}
        first, *others = self.members
        origin = self.members[first].origin
        check_origin(self.files[first], origin, self.backbone, self.preprocess)
        for name in others:
            if self.members[name].origin != origin:
                raise ValueError(
                    f"{self.files[first]} and {self.files[name]} do not belong together: "
                    f"{origin}, and {self.members[name].origin}. Put both files of one training "
                    f"there, or train again: {TRAINING}"
                )
        self.backbone, self.preprocess = origin.backbone, origin.preprocess
        self.networks, views = (
            list(dict.fromkeys(MEMBERS[name].looks_at or own for name in self.members))
            for own in (origin.backbone, origin.preprocess)
        )
        self.view = "+".join(views)

    @property
    def smallest_side(self) -> int | None:
        """Pixels below which decoding may not reduce a photograph; None: not at all."""
        if self.fast and self.view != "photograph":
            from cutout import WORKING_SIDE  # the first to find the specimen on

            return WORKING_SIDE
        return 2 * IMAGE_SIZE if self.fast else None

    @property
    def threshold(self) -> float | None:
        """The score above which an image is called a hybrid at a TNR of 95 %.

        Training stores that of all members together; None for some of them.
        """
        if set(self.members) != set(MEMBERS):
            return None
        threshold = float(self.members["subspecies"].threshold)
        return None if np.isnan(threshold) else threshold

    def predict(self, image: Image.Image) -> float:
        """Score of one PIL image of any size and mode but "F", looked at as a viewer shows it (see
        to_rgb in files.py); higher: more likely a hybrid."""
        picture = torch.from_numpy(np.array(self.make_picture(image)))
        return float(self.examine(picture[None]).scores[0])

    def extract(self, pictures: torch.Tensor) -> torch.Tensor | None:
        """The backbone's features (n, feature_size) of n pictures of bytes as `make_picture` makes
        them; None where no member judges them.
        """
        if self.network is None:
            return None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return extract(self.network, pictures, self.backbone, self.device)

    @torch.inference_mode()
    def examine(self, pictures: torch.Tensor) -> Examined:
        """What the members say of n pictures of bytes as `make_picture` makes them."""
        features = self.extract(pictures)
        arrays = None if features is None else features.cpu().numpy()
        wings, parents = None, None
        if self.wing_network is not None:
            wings = extract(self.wing_network, pictures, WINGS, self.device)
            wings = wings.cpu().numpy()
            parents = self.members["subspecies"].parents(wings)
        takes = {"linear": features, "sgd": arrays, "subspecies": wings}
        probabilities = {
            name: member.hybrid_probability(takes[name]) for name, member in self.members.items()
        }
        return Examined(combine(probabilities), probabilities, parents, arrays)
