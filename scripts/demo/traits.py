"""Heredity of the demo butterflies: their traits, how individuals vary and hybrids inherit.

The subspecies are named after the real ones that each is drawn after: species A is
*Heliconius erato*, species B, its mimic, *H. melpomene*. Patterns were set from photographs, and
rules from published crosses; how much individuals vary, by what detectors find (photograph.py).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Traits:
    """Heritable wing pattern. Places and sizes are in forewing lengths, the rest in 0..1."""

    band_place: float  # centre of the forewing band, measured from the wing base
    band_width: float  # 0: no band
    band_split: float  # 0: whole, 1: broken into two patches
    band_red: float  # 0: pale, about 0.5: pale with a red rim, 1: red
    yellow: float  # pale parts: 0 white, 1 sulphur yellow
    spot: float  # pale spot at the end of the forewing cell
    dennis: float  # orange patch at the forewing base
    rays: float  # orange rays of the hindwing
    bar: float  # yellow bar of the hindwing
    margin: float  # white dashes along the hindwing margin
    blue: float  # blue iridescence of the dark ground


class Subspecies(NamedTuple):
    species: str  # A or its mimic B
    traits: Traits  # its typical pattern


# fmt: off
PATTERNS = {  #                place width split red yellow spot dennis rays bar margin blue
    ("A", "amalfreda"):    (.60, .23, .55, .00, .80, .75, .90, .00, .00, .00, .00),
    ("A", "chestertonii"): (.58, .00, .00, 1.0, .85, .00, .00, .00, .95, .00, .75),
    ("A", "cyrbia"):       (.57, .27, .00, 1.0, .75, .00, .00, .00, .75, .95, .95),
    ("A", "erato"):        (.64, .19, .30, .00, .90, .35, .85, .95, .00, .00, .00),
    ("A", "hydara"):       (.57, .29, .00, 1.0, .80, .00, .00, .00, .00, .00, .00),
    ("A", "lativitta"):    (.65, .20, .12, .00, .95, .00, .95, .95, .00, .00, .00),
    ("A", "notabilis"):    (.62, .37, .90, .45, .10, .00, .00, .00, .00, .00, .00),
    ("A", "petiverana"):   (.56, .26, .00, 1.0, .85, .00, .00, .00, .95, .00, .05),
    ("A", "phyllis"):      (.56, .27, .00, 1.0, .80, .00, .00, .00, 1.0, .00, .00),
    ("A", "venus"):        (.59, .25, .00, 1.0, .80, .00, .00, .00, .25, .00, .80),
    ("B", "malleti"):      (.66, .23, .34, .00, .90, .95, .95, .95, .00, .00, .00),
    ("B", "plesseni"):     (.61, .38, .95, .40, .05, .00, .00, .00, .00, .00, .00),
}
# fmt: on
SUBSPECIES = {name: Subspecies(species, Traits(*row)) for (species, name), row in PATTERNS.items()}
OF_A = [name for name in SUBSPECIES if SUBSPECIES[name].species == "A"]  # those to learn

# The two subspecies of A whose hybrids are in the training set, in the order of the CSV.
SIGNAL_PAIR = ("lativitta", "notabilis")
# Subspecies that a quick look confuses: rayed, blue with a bar, red band, two patches.
LOOK_ALIKES = (
    ("amalfreda", "erato", "lativitta"),
    ("chestertonii", "cyrbia"),
    ("hydara", "petiverana", "phyllis", "venus"),
    ("notabilis",),
)

# What a hybrid shows where its parents differ. The red and orange pigments (optix) are dominant
# where one parent has them in full; the white margin and the bar (cortex) are recessive and leave a
# trace; the shape of the band (WntA), the iridescence (many loci) and the rest lie between.
LARGER, FULL = {"band_red", "dennis", "rays"}, 0.7
SMALLER, TRACE = {"margin", "bar"}, 0.2
SHARE = (0.2, 0.8)  # the share of the first parent in a trait that lies between
# Standard deviation between individuals of one subspecies; 0.12 where not named.
VARIATION = {"band_place": 0.02, "band_width": 0.03, "band_split": 0.17}


def inherit(parent_a: Traits, parent_b: Traits, rng: np.random.Generator) -> Traits:
    """Traits of a hybrid: each one dominant, recessive or intermediate."""
    values = {}
    for trait, a in vars(parent_a).items():
        b = getattr(parent_b, trait)
        share = rng.uniform(*SHARE)  # drawn for every trait, so that one rule moves no other
        between = share * a + (1 - share) * b
        if trait in LARGER and max(a, b) > FULL:
            between = max(a, b)
        elif trait in SMALLER:
            between = min(a, b) + TRACE * abs(a - b)
        values[trait] = between
    return Traits(**values)


def vary(typical: Traits, rng: np.random.Generator) -> Traits:
    """An individual around the typical pattern of its subspecies, each trait within 0..1."""
    values = {}
    for trait, value in vars(typical).items():
        deviation = VARIATION.get(trait, 0.12) * rng.standard_normal()
        # A trait that a subspecies lacks altogether is not there to vary.
        values[trait] = float(np.clip(value + deviation, 0, 1)) if value else 0.0
    return Traits(**values)


def individual(parents: tuple[str, ...], rng: np.random.Generator) -> Traits:
    """A specimen of one named subspecies, or the hybrid of two individuals of two."""
    bred = [vary(SUBSPECIES[name].traits, rng) for name in parents]
    return bred[0] if len(bred) == 1 else inherit(bred[0], bred[1], rng)
