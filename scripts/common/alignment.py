"""How alike two specimens lie in their photographs, by their coarse edge maps."""

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFilter

from common.files import open_image

SIDE = 32  # pixels of a coarse edge map: the outline of the wings, not their pattern
BLUR = 1 / 64  # of the width: a shift by this much still counts as alike

Item = TypeVar("Item", bound=Hashable)


def outline(edges: Path) -> np.ndarray:
    """The edge map in `edges`, blurred and shrunk: (1024,) of mean 0 and length 1."""
    image = open_image(edges).convert("L")
    blurred = image.filter(ImageFilter.GaussianBlur(BLUR * image.width))
    coarse = np.asarray(blurred.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()
    coarse -= coarse.mean()
    return coarse / max(np.linalg.norm(coarse), 1e-9)


def nearest(
    wanted: Sequence[tuple[Item, str]], outlines: dict[str, dict[Item, np.ndarray]]
) -> list[Item]:
    """For each (structure, subspecies) the specimen of that subspecies that lies most like it.

    `outlines` holds the outline of every specimen by subspecies; a structure is looked up in
    all. A structure that comes again gets the next nearest, and never itself while there are
    others; after the last the nearest comes again.
    """
    everywhere = {item: vector for group in outlines.values() for item, vector in group.items()}
    ranked: dict[tuple[Item, str], list[Item]] = {}
    times: Counter[tuple[Item, str]] = Counter()
    chosen = []
    for structure, subspecies in wanted:
        key = (structure, subspecies)
        if key not in ranked:
            others = [item for item in outlines[subspecies] if item != structure]
            candidates = others or [structure]
            vectors = np.stack([everywhere[item] for item in candidates])
            likeness = vectors @ everywhere[structure]
            ranked[key] = [candidates[place] for place in np.argsort(-likeness, kind="stable")]
        chosen.append(ranked[key][times[key] % len(ranked[key])])
        times[key] += 1
    return chosen
