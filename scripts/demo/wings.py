"""Drawing of single wings: outline and veins of each species, and the pattern of an individual.

Wing coordinates are forewing lengths: u runs from the wing base outwards, v from the hind margin
to the front one (costa). While a wing is painted its colour is planar, (3, height, width) float32
in 0..255, because whole planes blend several times faster.
"""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from demo.traits import Traits

Planes = np.ndarray  # (3, height, width), or (3, 1, 1) for one colour

# Outlines through points (u, v) measured on spread museum specimens, from the base along the costa.
# fmt: off
OUTLINES = {
    ("A", "fore"): (
        (0, .02), (.11, .045), (.227, .085), (.404, .140), (.652, .167), (.856, .133), (.955, .08),
        (.995, -.012), (.972, -.113), (.88, -.215), (.75, -.29), (.64, -.33), (.536, -.336),
        (.38, -.275), (.19, -.186), (.058, -.107), (0, -.04),
    ),
    ("B", "fore"): (
        (0, .02), (.11, .055), (.239, .104), (.40, .135), (.56, .148), (.761, .138), (.90, .082),
        (.985, -.02), (.985, -.135), (.90, -.25), (.79, -.325), (.68, -.36), (.54, -.36),
        (.40, -.295), (.173, -.180), (.058, -.110), (0, -.04),
    ),
    ("A", "hind"): (
        (0, 0), (.06, .045), (.16, .066), (.30, .075), (.43, .075), (.54, .05), (.61, .005),
        (.645, -.07), (.61, -.175), (.53, -.28), (.42, -.36), (.28, -.40), (.18, -.38),
        (.087, -.30), (.015, -.165), (-.008, -.07),
    ),
    ("B", "hind"): (
        (0, 0), (.06, .035), (.18, .045), (.35, .045), (.48, .03), (.60, -.02), (.665, -.10),
        (.66, -.20), (.60, -.31), (.49, -.40), (.34, -.445), (.21, -.43), (.10, -.35),
        (.02, -.215), (-.01, -.09),
    ),
}
VEINS = {
    "fore": (
        ((0, .0), (.12, .035), (.25, .07), (.40, .10), (.62, .155)),              # Sc and R1
        ((0, -.005), (.15, .03), (.30, .07), (.48, .10), (.75, .155)),            # R, R2
        ((.48, .10), (.65, .095), (.80, .085), (.95, .085)),                      # R3 and R4
        ((.65, .095), (.82, .045), (1.0, -.03)),                                  # R5
        ((.48, .10), (.62, .06), (.78, .0), (1.0, -.12)),                         # M1
        ((.48, .10), (.475, .05), (.47, .01), (.45, -.05)),                       # end of the cell
        ((.473, .03), (.62, -.02), (.78, -.085), (.95, -.20)),                    # M2
        ((.46, -.02), (.58, -.075), (.72, -.155), (.86, -.28)),                   # M3
        ((0, -.02), (.15, -.045), (.32, -.06), (.45, -.05)),                      # Cu
        ((.38, -.057), (.50, -.12), (.61, -.20), (.72, -.33)),                    # CuA1
        ((.25, -.055), (.36, -.12), (.46, -.20), (.57, -.36)),                    # CuA2
        ((0, -.035), (.15, -.105), (.32, -.19), (.46, -.30)),                     # 2A
    ),
    "hind": (
        ((0, -.01), (.15, .02), (.30, .02), (.50, .0), (.64, -.04)),              # Sc and R1
        ((0, -.015), (.14, -.01), (.30, -.045), (.62, -.15)),                     # Rs
        ((.22, -.027), (.36, -.11), (.56, -.25)),                                 # M1
        ((.22, -.027), (.23, -.07), (.19, -.12)),                                 # end of the cell
        ((.23, -.07), (.34, -.17), (.47, -.34)),                                  # M2
        ((.19, -.12), (.26, -.22), (.36, -.41)),                                  # M3
        ((0, -.03), (.08, -.07), (.19, -.12)),                                    # Cu
        ((.14, -.10), (.20, -.22), (.255, -.42)),                                 # CuA1
        ((.09, -.075), (.13, -.20), (.165, -.40)),                                # CuA2
        ((0, -.04), (.045, -.13), (.085, -.32)),                                  # 2A
    ),
}
# Rays of the hindwing: from, to, half the width. Species A has them from the wing base, the first
# lying in the cell; those of B hang like nails from a cross bar.
RAYS = {
    "A": (
        ((.07, -.028), (.22, -.066), .019), ((.28, -.065), (.47, -.135), .007),
        ((.26, -.085), (.45, -.245), .009), ((.225, -.12), (.39, -.325), .010),
        ((.13, -.10), (.285, -.365), .011), ((.05, -.055), (.195, -.365), .012),
        ((.02, -.08), (.118, -.325), .010),
    ),
    "B": (
        ((.40, -.125), (.52, -.215), .008), ((.32, -.13), (.465, -.305), .009),
        ((.235, -.135), (.38, -.365), .010), ((.15, -.13), (.285, -.39), .011),
        ((.075, -.125), (.19, -.39), .011), ((.01, -.05), (.115, -.36), .011),
    ),
}
CROSS_BAR = (
    (.03, -.02), (.20, -.025), (.39, -.055), (.38, -.09), (.20, -.105), (.05, -.09),
)
# fmt: on


def planar(colour: tuple[float, ...]) -> Planes:
    """An RGB colour that broadcasts over planes."""
    return np.asarray(colour, np.float32)[:, None, None]


GROUND, GROUND_PALE = planar((27, 19, 13)), planar((72, 52, 35))
BLUE = planar((25, 47, 90))
ORANGE, ORANGE_FADED = planar((226, 112, 22)), planar((206, 122, 44))
RED, RED_FADED = planar((208, 52, 24)), planar((226, 104, 40))
WHITE, YELLOW = planar((243, 240, 222)), planar((240, 232, 146))
PALE_FADED = planar((226, 208, 150))
COSTAL_GREY = planar((152, 138, 108))  # silky scales that the forewing covers in life
RUBBED, SCRATCH = planar((112, 98, 80)), planar((170, 156, 132))


@dataclass(frozen=True)
class Template:
    """What all wings of a kind share, as float32 maps of one size."""

    name: str  # fore or hind
    u: np.ndarray
    v: np.ndarray
    shape: np.ndarray  # 1 inside the wing
    vein: np.ndarray  # distance to the nearest vein, in forewing lengths
    margin: np.ndarray  # distance to the wing's edge, in forewing lengths
    cell: np.ndarray  # number of the area between veins, int32
    outline: np.ndarray  # (n, 2) points
    origin: tuple[float, float]  # pixel of the wing base
    unit: int  # pixels of a forewing length


def spline(points: tuple[tuple[float, float], ...], closed: bool, steps: int = 16) -> np.ndarray:
    """Catmull-Rom curve through `points`, (n, 2)."""
    knots = np.asarray(points, np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    p0, p1, p2, p3 = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = p1 + 0.5 * t * (
        (p2 - p0) + t * ((2 * p0 - 5 * p1 + 4 * p2 - p3) + t * (3 * (p1 - p2) + p3 - p0))
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-2:-1]])


def pixels(points: np.ndarray, origin: tuple[float, float], unit: int) -> np.ndarray:
    """Wing coordinates as OpenCV's fixed-point pixels (4 fractional bits)."""
    points = np.asarray(points) * (unit, -unit) + origin
    return np.round(points * 16).astype(np.int32)


@cache
def template(species: str, wing: str, unit: int) -> Template:
    """The maps of the fore or hind wing of one species; made once in each process."""
    outline = spline(OUTLINES[species, wing], closed=True)
    low, high = outline.min(0) - 0.03, outline.max(0) + 0.03
    origin = (-low[0] * unit, high[1] * unit)
    width, height = np.ceil((high - low) * unit).astype(int)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = (x - origin[0]) / unit, (origin[1] - y) / unit

    shape = np.zeros((height, width), np.uint8)
    cv2.fillPoly(shape, [pixels(outline, origin, unit)], 255, cv2.LINE_AA, 4)
    lines = np.full((height, width), 255, np.uint8)
    for vein in VEINS[wing]:
        cv2.polylines(lines, [pixels(spline(vein, closed=False), origin, unit)], False, 0, 1, 8, 4)
    vein = cv2.distanceTransform(lines, cv2.DIST_L2, 5) / unit
    margin = cv2.distanceTransform((shape > 127).astype(np.uint8), cv2.DIST_L2, 5) / unit
    _, cell = cv2.connectedComponents(((lines > 0) & (shape > 127)).astype(np.uint8), None, 4)
    shape = shape.astype(np.float32) / 255
    return Template(wing, u.astype(np.float32), v.astype(np.float32), shape, vein, margin, cell,
                    outline, origin, unit)  # fmt: skip


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation near 1 with about `cells` bumps along the longer side."""
    rows, columns = (max(2, round(cells * side / max(shape))) for side in shape)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def ramp(field: np.ndarray, softness: float) -> np.ndarray:
    """0 to 1 across the zero line of `field`, over `softness`."""
    return np.clip(field / softness + 0.5, 0, 1)


def blend(base: Planes, colour: Planes, cover: np.ndarray) -> Planes:
    """`colour` laid over `base` where `cover` is 1; both planar."""
    return base + (colour - base) * cover


class Brush:
    """What all patches on one wing share: its template and traits, pigments that `fade` has paled,
    its scale noise and its random numbers."""

    def __init__(self, wing: Template, traits: Traits, fade: float, rng: np.random.Generator):
        self.wing, self.traits, self.rng = wing, traits, rng
        self.red, self.orange = blend(RED, RED_FADED, fade), blend(ORANGE, ORANGE_FADED, fade)
        self.pale = blend(blend(WHITE, YELLOW, traits.yellow), PALE_FADED, 0.4 * fade)
        grain = rng.standard_normal(wing.shape.shape, dtype=np.float32)
        # Scales lie in rows along the wing, so their noise is a little longer than wide.
        self.grain = cv2.GaussianBlur(grain, (0, 0), 1.6, sigmaY=0.8) * 2.2

    def cell_steps(self, size: float) -> np.ndarray:
        """A step for each area between veins: patch edges jump a little from one to the next."""
        steps = self.rng.standard_normal(self.wing.cell.max() + 1, dtype=np.float32)
        return steps[self.wing.cell] * size

    def edge(
        self, field: np.ndarray, softness: float = 0.012, dusting: float = 0.006
    ) -> np.ndarray:
        """Cover of a patch from its signed distance inwards, with an edge made of scales."""
        return ramp(field + dusting * self.grain, softness)

    def veined(self, cover: np.ndarray, width: float) -> np.ndarray:
        """`cover` cut by dark veins of about this width, finer towards the margin."""
        width = width * (1.25 - 0.9 * np.clip(self.wing.u, 0, 1))
        return cover * ramp(self.wing.vein - width, 0.004)


def ground(brush: Brush, sheen: float) -> Planes:
    """The dark ground: brown-black, paler between the veins and outwards, perhaps iridescent."""
    wing = brush.wing
    age = 0.08 + 0.08 * smooth_noise(wing.shape.shape, 6, brush.rng) + 0.05 * brush.grain
    fold = np.clip(wing.vein / 0.05, 0, 1) * np.clip(wing.u, 0, 1) * 0.25
    colour = blend(GROUND, GROUND_PALE, np.clip(age + fold, 0, 1))
    # Iridescent scales are densest away from the margin and answer to the light from one side.
    glow = np.clip(wing.margin / 0.09, 0, 1) * (0.75 + 0.25 * np.sin(4 * wing.u + sheen))
    glow = np.clip(glow + 0.07 * brush.grain, 0, 1) * brush.traits.blue
    return blend(colour, BLUE, glow * (0.72 + 0.2 * math.cos(sheen)))


def paint_band(colour: Planes, brush: Brush) -> Planes:
    """The band across the forewing, whole or in two patches, its pale part rimmed by red."""
    wing, traits = brush.wing, brush.traits
    if traits.band_width < 0.03:
        return colour
    half_width, half_height = traits.band_width / 2, 0.065 + 0.36 * traits.band_width
    middle_v = -0.03
    across = (wing.u - traits.band_place + 0.42 * (wing.v - middle_v)) / half_width
    along = (wing.v - middle_v + 0.10 * (wing.u - traits.band_place)) / half_height
    radius = (np.abs(across) ** 2.6 + np.abs(along) ** 2.6) ** (1 / 2.6)
    field = (1 - radius) * half_width
    # Between two veins the edge bulges outwards, so that the band ends in scallops.
    field = field + 0.5 * np.minimum(wing.vein, 0.025) - 0.008 + brush.cell_steps(0.009)
    if traits.band_split > 0.05:
        crossing = 0.24 + 0.10 * (wing.v / half_height)
        gap = traits.band_split * 0.042 * (1 + 0.25 * smooth_noise(wing.shape.shape, 9, brush.rng))
        field = np.minimum(field, np.abs(across - crossing) * half_width - gap)
    field = np.minimum(field, wing.margin - 0.02)  # never over the dark edge of the wing
    # Red spreads from the rim inwards, with single red scales ahead of it.
    reach = 0.26 * max(0, 1.25 * traits.band_red - 0.12) ** 2.5
    reddened = ramp(reach - field + 0.008 * brush.grain, 0.02) if reach else np.zeros_like(field)
    cover = brush.veined(brush.edge(field), 0.0045)
    return blend(colour, blend(brush.pale, brush.red, reddened), cover)


def paint_dennis(colour: Planes, brush: Brush) -> Planes:
    """The orange patch of the forewing base, cut by black veins and fraying outwards."""
    wing, traits = brush.wing, brush.traits
    if traits.dennis < 0.05:
        return colour
    reach = 0.10 + 0.37 * traits.dennis + brush.cell_steps(0.022)
    bulge = np.minimum(wing.vein, 0.03) * 0.9
    fray = 0.02 * smooth_noise(wing.shape.shape, 40, brush.rng)
    field = reach + bulge - 0.015 - np.hypot(wing.u, 0.9 * wing.v) + fray
    front = 0.016 + 0.26 * np.minimum(wing.u, 0.3) - 0.22 * np.maximum(wing.u - 0.3, 0) - wing.v
    field = np.minimum(np.minimum(field, front), wing.margin - 0.013)
    cover = brush.veined(brush.edge(field, 0.05, 0.012), 0.0062)
    return blend(colour, brush.orange, cover)


def paint_spot(colour: Planes, brush: Brush) -> Planes:
    """The pale spot at the end of the forewing cell and its smaller neighbour below."""
    wing, traits = brush.wing, brush.traits
    size = 0.055 * traits.spot
    if size < 0.01:
        return colour
    place = 0.435 + 0.012 * brush.rng.standard_normal()
    upper = size - np.hypot(wing.u - place, 0.85 * (wing.v - 0.03))
    lower = 0.8 * size - np.hypot(0.8 * (wing.u - place - 0.035), wing.v + 0.095)
    field = np.maximum(upper, lower) + brush.cell_steps(0.006)
    return blend(colour, brush.pale, brush.veined(brush.edge(field, 0.014), 0.004))


def ray(start: np.ndarray, end: np.ndarray, half_width: float, head: float) -> np.ndarray:
    """Outline of a ray, (n, 2): `head` times as wide where it starts, pointed where it ends."""
    along = np.array([0, 0.12, 0.35, 0.7, 1])[:, None]
    widths = half_width * np.array([head, (head + 1) / 2, 1, 0.85, 0.25])[:, None]
    direction = (end - start) / np.hypot(*(end - start))
    normal = np.array([-direction[1], direction[0]])
    middle = start + along * (end - start)
    return np.concatenate([middle + normal * widths, (middle - normal * widths)[::-1]])


def paint_rays(colour: Planes, brush: Brush, species: str) -> Planes:
    """The orange rays of the hindwing, from the base (A) or below a cross bar, as nails (B)."""
    wing, traits, rng = brush.wing, brush.traits, brush.rng
    if traits.rays < 0.05:
        return colour
    length, strength = 0.35 + 0.65 * traits.rays, 0.45 + 0.6 * traits.rays
    patches = []
    for start, end, half_width in RAYS[species]:
        start, end = np.array(start), np.array(end)
        end = start + (end - start) * length * rng.normal(0.97, 0.05)
        half_width = half_width * strength * rng.normal(1, 0.12)
        patches.append(ray(start, end, half_width, head=1.9 if species == "B" else 0.75))
    if species == "B":
        patches.append(spline(CROSS_BAR, closed=True) * (1, 0.55 + 0.45 * traits.rays))
    drawn = np.zeros(wing.shape.shape, np.uint8)
    for patch in patches:
        cv2.fillPoly(drawn, [pixels(patch, wing.origin, wing.unit)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(drawn, (0, 0), 2.2).astype(np.float32) / 255
    cover = ramp(soft - 0.45 + 0.10 * brush.grain, 0.5)
    return blend(colour, brush.orange, brush.veined(cover, 0.0015))


def paint_bar(colour: Planes, brush: Brush) -> Planes:
    """The yellow bar of the hindwing; a weak one is narrow and dusted over with dark scales."""
    wing, traits = brush.wing, brush.traits
    if traits.bar < 0.05:
        return colour
    centre = -0.083 - 0.03 * np.sin(3.0 * wing.u) + 0.10 * np.maximum(wing.u - 0.25, 0)
    half_width = 0.018 + 0.024 * traits.bar
    half_width = half_width * np.clip((0.50 - wing.u) / 0.12, 0, 1) ** 0.5
    field = half_width - np.abs(wing.v - centre) + 0.35 * np.minimum(wing.vein, 0.02) - 0.004
    field = np.minimum(field + brush.cell_steps(0.004), np.minimum(wing.u - 0.02, 0.49 - wing.u))
    cover = brush.veined(brush.edge(field), 0.0022)
    return blend(colour, brush.pale, cover * ramp(traits.bar - 0.42 + 0.13 * brush.grain, 0.6))


def paint_margin(colour: Planes, brush: Brush) -> Planes:
    """White dashes between the veins along the outer margin of the hindwing."""
    wing, traits = brush.wing, brush.traits
    if traits.margin < 0.05:
        return colour
    field = 0.010 * traits.margin - np.abs(wing.margin - 0.012) + 0.1 * np.minimum(wing.vein, 0.04)
    outer = ramp(0.12 * wing.u - wing.v - 0.06, 0.05) * ramp(wing.u - 0.13, 0.05)
    dash = ramp(wing.vein - 0.014, 0.012)
    cover = brush.edge(field, 0.010) * outer * dash * min(1.0, 1.6 * traits.margin)
    return blend(colour, WHITE, cover)


def paint_wing(
    wing: Template,
    traits: Traits,
    species: str,
    fade: float,
    sheen: float,
    rng: np.random.Generator,
) -> Planes:
    """Colour planes of an individual's wing, unworn."""
    brush = Brush(wing, traits, fade, rng)
    colour = ground(brush, sheen)
    if wing.name == "fore":
        colour = paint_spot(paint_band(paint_dennis(colour, brush), brush), brush)
    else:
        # The pale silky front of the hindwing, strong in males and weak in females.
        strength, front = rng.uniform(0.8, 1.6), wing.v + 0.13 * wing.u + 0.01
        silky = ramp(front + 0.006 * brush.grain, 0.11)
        colour = blend(colour, COSTAL_GREY, silky * strength)
        colour = paint_rays(colour, brush, species)
        colour = paint_margin(paint_bar(colour, brush), brush)
    # The texture of the scales, and the shade along the veins.
    shade = 0.22 * np.exp(-((wing.vein / 0.004) ** 2))
    return colour * (1 + 0.035 * brush.grain - shade)


def worn(colour: Planes, wing: Template, wear: float, rng: np.random.Generator) -> np.ndarray:
    """RGBA of one wing, (height, width, 4) uint8: rubbed, scratched and torn as `wear` says."""
    size = wing.shape.shape
    rubbed = smooth_noise(size, 6, rng) + 0.9 * smooth_noise(size, 110, rng)
    colour = blend(colour, RUBBED, ramp(rubbed - 3.2 + 1.5 * wear, 1.8) * 0.6)
    scratches = np.zeros(size, np.uint8)
    for _ in range(rng.poisson(1 + 9 * wear)):
        start = rng.uniform((0.1, -0.3), (0.95, 0.12))
        path = start + rng.normal(0, 0.03, 2) * np.arange(3)[:, None] + rng.normal(0, 0.004, (3, 2))
        strength = int(rng.integers(40, 170))
        line = pixels(path, wing.origin, wing.unit)
        cv2.polylines(scratches, [line], False, strength, 1, cv2.LINE_AA, 4)
    colour = blend(colour, SCRATCH, scratches.astype(np.float32) / 255)
    alpha = (wing.shape * 255).astype(np.uint8)
    for _ in range(rng.poisson(1.1 * wear)):
        tear(alpha, wing, rng)
    return cv2.merge([*np.clip(colour, 0, 255).astype(np.uint8), alpha])


def tear(alpha: np.ndarray, wing: Template, rng: np.random.Generator) -> None:
    """Cut a ragged notch out of the outer margin, in place."""
    outer = wing.outline[wing.outline[:, 0] > 0.45 * wing.outline[:, 0].max()]
    edge = outer[rng.integers(len(outer))]
    inwards = (np.array([0.3, -0.12]) - edge) / np.hypot(*(np.array([0.3, -0.12]) - edge))
    sideways = np.array([-inwards[1], inwards[0]])
    depth, half = rng.uniform(0.02, 0.09), rng.uniform(0.008, 0.03)
    profile = np.array([[-1, 1.4], [0.2, 0.8], [0.7, 0.4], [1, 0.1], [0.75, -0.5], [0.3, -0.7]])
    profile = np.concatenate([profile, [[-1, -1.5]]]) + rng.normal(0, 0.12, (7, 2))
    notch = edge + profile[:, :1] * depth * inwards + profile[:, 1:] * half * sideways
    cv2.fillPoly(alpha, [pixels(notch, wing.origin, wing.unit)], 0, cv2.LINE_AA, 4)
