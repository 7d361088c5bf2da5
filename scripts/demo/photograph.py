"""Drawing of one museum photograph: a specimen on pale paper with ruler, label, colour chart.

Everything but the wing pattern (pose, props, light, wear, camera) is drawn from the picture's own
random numbers and knows nothing of subspecies or cross, so that only the wings tell them apart. Its
props and its camera serve loose_wings.py as well, where paper and props do tell.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.traits import Traits
from demo.wings import Template, paint_wing, smooth_noise, template, worn

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 800, 533
WING_PIXELS = 480  # of a painted forewing
SUPERSAMPLING = 2  # everything is drawn at twice the size and averaged down

PAPER = (217, 221, 219)
CHITIN = (34, 27, 21)
CHART_PATCHES = (  # a colour checker, row by row
    (116, 186, 168), (222, 160, 44), (54, 134, 170), (46, 46, 48),
    (136, 130, 184), (160, 186, 66), (196, 84, 146), (82, 82, 84),
    (90, 108, 62), (86, 54, 108), (232, 206, 46), (122, 122, 120),
    (88, 122, 164), (206, 86, 98), (182, 52, 50), (160, 162, 160),
    (198, 146, 126), (66, 88, 168), (66, 146, 76), (200, 202, 200),
    (112, 76, 62), (224, 118, 50), (44, 60, 146), (240, 241, 238),
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where things lie on the paper, in pixels of the finished photograph."""

    centre: tuple[float, float]  # between the two forewing bases
    length: float  # of a forewing
    turn: float  # of the whole specimen, radians
    ruler_at_top: bool
    label: tuple[float, float]  # centre
    chart: tuple[float, float] | None


CHART_SIZE, RULER_HEIGHT, LABEL_SIZE = (124, 182), 40, (112, 62)


def layout(rng: np.random.Generator) -> Layout:
    """A random arrangement in which the specimen and the props keep clear of each other."""
    left, right, top, bottom = 8.0, WIDTH - 8.0, 8.0, HEIGHT - 8.0
    ruler_at_top = bool(rng.random() < 0.5)
    if ruler_at_top:
        top += RULER_HEIGHT + 4
    else:
        bottom -= RULER_HEIGHT + 4
    chart = None
    if rng.random() < 0.4:
        room = CHART_SIZE[0] + 14
        at_left = rng.random() < 0.5
        x = left + room / 2 if at_left else right - room / 2
        chart = (x, rng.uniform(top + CHART_SIZE[1] / 2, bottom - CHART_SIZE[1] / 2))
        left, right = (left + room, right) if at_left else (left, right - room)
    # A spread butterfly leaves the two lower corners free.
    label_side = rng.choice((-1, 1))
    inset = LABEL_SIZE[0] / 2 + rng.uniform(4, 16)
    label_x = left + inset if label_side < 0 else right - inset
    label = (label_x, bottom - LABEL_SIZE[1] / 2 - rng.uniform(2, 10))
    length = min(rng.uniform(235, 305), (right - left) / 2.2, (bottom - top) / 1.25)
    centre_x = (left + right) / 2 + rng.uniform(-1, 1) * max(4, (right - left) / 2 - length * 1.09)
    # A little away from the label, which would otherwise touch some hindwings.
    centre_x = np.clip(centre_x - label_side * 12, left + 1.08 * length, right - 1.08 * length)
    centre_y = (top + bottom) / 2 + 0.02 * length + rng.uniform(-14, 6)
    return Layout((centre_x, centre_y), length, rng.normal(0, 0.05), ruler_at_top, label, chart)


def place(
    canvas: np.ndarray,
    tile: np.ndarray,
    matrix: np.ndarray,  # (2, 3), takes the tile's pixels to those of the photograph
    shadow: float = 0.3,
    cover: np.ndarray | None = None,  # the canvas's (height, width); raised to the tile's opacity
    scale: float = SUPERSAMPLING,  # of the canvas
) -> None:
    """Lay an RGBA tile on the canvas, in place, with a soft shadow to the lower right."""
    matrix = matrix * scale
    height, width = tile.shape[:2]
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    reach = 28
    # Only the part of the canvas that the tile and its shadow touch is worked on.
    x0, y0 = np.maximum(np.floor(corners.min(1)).astype(int) - reach, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(1)).astype(int) + reach, canvas.shape[1::-1])
    if x0 >= x1 or y0 >= y1:
        return
    matrix = matrix - [[0, 0, x0], [0, 0, y0]]
    size = (int(x1 - x0), int(y1 - y0))
    laid = cv2.warpAffine(tile, matrix, size, flags=cv2.INTER_LINEAR)
    alpha = laid[..., 3].astype(np.float32) / 255
    small = cv2.resize(alpha, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    offset = np.float32([[1, 0, 1.0], [0, 1, 1.6]])
    dark = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), 1.6), offset, small.shape[::-1])
    through = (1 - shadow * cv2.resize(dark, size)) * (1 - alpha)
    under = cv2.multiply(canvas[y0:y1, x0:x1], cv2.merge([through] * 3), dtype=cv2.CV_32F)
    above = cv2.multiply(laid[..., :3], cv2.merge([alpha] * 3), dtype=cv2.CV_32F)
    canvas[y0:y1, x0:x1] = cv2.add(under, above, dtype=cv2.CV_8U)
    if cover is not None:
        cover[y0:y1, x0:x1] = np.maximum(cover[y0:y1, x0:x1], laid[..., 3])


def upright(tile: np.ndarray, centre: tuple[float, float], turn: float, scale: float) -> np.ndarray:
    """The matrix that puts the middle of a tile at `centre`, turned and scaled."""
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    middle = np.array([tile.shape[1] / 2, tile.shape[0] / 2])
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, np.asarray(centre) - rotation @ middle])


def ruler(rng: np.random.Generator) -> np.ndarray:
    """A scale bar of some centimetres with millimetre ticks, at twice the photograph's size."""
    centimetres, millimetre = int(rng.integers(5, 11)), rng.uniform(9.0, 11.0)
    face = int(rng.integers(226, 250))
    size = (round((centimetres * 10 + 10) * millimetre), 2 * RULER_HEIGHT - 20)
    image = Image.new("RGB", size, (face, face, face - int(rng.integers(0, 14))))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    for tick in range(centimetres * 10 + 1):
        x = (tick + 4) * millimetre
        length = 26 if tick % 10 == 0 else 19 if tick % 5 == 0 else 12
        draw.line([(x, 0), (x, length)], fill=(30, 30, 30), width=2)
        if tick % 10 == 0:
            draw.text((x, 40), f"{tick // 10}", fill=(30, 30, 30), font=font, anchor="mm")
    draw.text((size[0] - 6, 40), "cm", fill=(30, 30, 30), font=font, anchor="rm")
    return np.asarray(image.convert("RGBA"))


def label(camid: str, rng: np.random.Generator) -> np.ndarray:
    """A printed collection label: the specimen's number and three lines that mean nothing."""
    width, height = 2 * LABEL_SIZE[0], 2 * LABEL_SIZE[1]
    paper = int(rng.integers(232, 252))
    image = Image.new("RGB", (width, height), (paper, paper - 2, paper - int(rng.integers(4, 20))))
    draw = ImageDraw.Draw(image)
    draw.rectangle([3, 3, width - 4, height - 4], outline=(70, 70, 70), width=2)
    draw.text((14, 10), camid, fill=(25, 25, 30), font=ImageFont.load_default(32))
    small = ImageFont.load_default(19)
    drawer, row, column = rng.integers(1, (60, 10, 7))
    lines = ("drawn specimen", f"drawer {drawer}", f"row {row}, column {column}")
    for number, line in enumerate(lines):
        draw.text((14, 50 + 22 * number), line, fill=(45, 45, 50), font=small)
    return np.asarray(image.convert("RGBA"))


def chart() -> np.ndarray:
    """A colour chart of 24 patches in a black frame, at twice the photograph's size."""
    image = Image.new("RGB", (2 * CHART_SIZE[0], 2 * CHART_SIZE[1]), (26, 26, 28))
    draw = ImageDraw.Draw(image)
    draw.text((16, 8), "colour chart", fill=(200, 200, 200), font=ImageFont.load_default(18))
    for number, colour in enumerate(CHART_PATCHES):
        x, y = 14 + 57 * (number % 4), 38 + 53 * (number // 4)
        draw.rectangle([x, y, x + 46, y + 43], fill=colour)
    return np.asarray(image.convert("RGBA"))


def body(rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float]]:
    """RGBA tile of a pinned body, WING_PIXELS to a forewing length, and where its thorax is."""
    unit = WING_PIXELS
    tile = np.zeros((round(1.25 * unit), round(0.9 * unit), 4), np.uint8)
    tile[..., :3] = CHITIN
    x, y = tile.shape[1] / 2, 0.62 * tile.shape[0]
    crook = rng.normal(0, 0.02) * unit
    for step in np.linspace(0, 1, 24):  # the abdomen, a row of discs that swells towards its end
        radius = (0.017 + 0.008 * np.sin(np.pi * step**1.6)) * unit
        disc(tile, x + crook * step**2, y + (0.06 + 0.36 * step) * unit, radius)
    for offset, radius in ((-0.035, 0.036), (0.0, 0.040), (0.035, 0.034), (-0.085, 0.026)):
        disc(tile, x, y + offset * unit, radius * unit)
    for side in (-1, 1):
        disc(tile, x + side * 0.02 * unit, y - 0.098 * unit, 0.014 * unit)  # an eye
        spread, curl = rng.uniform(0.14, 0.30), rng.normal(0, 0.05)  # of an antenna with its club
        tip = np.array([side * spread, -0.50 + 0.25 * spread])
        t, root = np.linspace(0, 1, 24)[:, None], np.array((x + side * 6, y - 0.10 * unit))
        curve = root + unit * (t * tip + np.sin(np.pi * t) * [side * curl, 0.02])
        points = (16 * curve).round().astype(np.int32)
        cv2.polylines(tile, [points], False, (*CHITIN, 255), 2, cv2.LINE_AA, 4)
        cv2.polylines(tile, [points[-3:]], False, (*CHITIN, 255), 7, cv2.LINE_AA, 4)
    for _ in range(14):  # pale dots of head and thorax
        spot = rng.normal((0, -0.03), (0.016, 0.04)) * unit
        disc(tile, x + spot[0], y + spot[1], rng.uniform(1.2, 3.2), (176, 166, 118))
    disc(tile, x + 2, y + 2, 5.5, (150, 148, 142))  # the pin
    return tile, (x, y)


def disc(tile: np.ndarray, x: float, y: float, radius: float, colour: Colour = CHITIN) -> None:
    """A filled anti-aliased circle, in place."""
    centre = (round(x * 16), round(y * 16))
    cv2.circle(tile, centre, round(radius * 16), (*colour, 255), -1, cv2.LINE_AA, 4)


def displacement(wing: Template, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth shifts of a wing's pixels, (2, height, width): no two wings have one outline."""
    return amount * np.stack([smooth_noise(wing.shape.shape, 4, rng) for _ in range(2)])


def wing_matrix(
    where: Layout,
    wing: Template,
    side: int,  # -1 left, 1 right
    angle: float,  # between the wing's axis and the horizontal, radians
    base: np.ndarray,  # of the wing, in forewing lengths from the middle of the specimen
    stretch: tuple[float, float],
) -> np.ndarray:
    """The matrix (2, 3) that takes a wing's pixels to those of the photograph."""
    cos, sin = np.cos(angle), np.sin(angle)
    # Wing pixel -> (u, v) -> turned by its angle -> mirrored, y down -> turned with the specimen.
    to_uv = np.array([[1, 0, -wing.origin[0]], [0, -1, wing.origin[1]], [0, 0, WING_PIXELS]])
    to_uv = np.diag([*stretch, 1]) @ to_uv / WING_PIXELS
    spread = np.array([[cos, -sin, base[0]], [sin, cos, base[1]], [0, 0, 1]])
    mirror = np.diag([side * where.length, -where.length, 1])
    cos, sin = np.cos(where.turn), np.sin(where.turn)
    turn = np.array([[cos, -sin, where.centre[0]], [sin, cos, where.centre[1]]])
    return turn @ mirror @ spread @ to_uv


# Where the wing bases lie, in forewing lengths from the middle: beside the body, or apart.
PINNED_BASES = {"fore": (0.035, 0.0), "hind": (0.03, -0.06)}
LOOSE_BASES = {"fore": (0.09, 0.06), "hind": (0.10, -0.20)}


def draw_specimen(
    canvas: np.ndarray, traits: Traits, species: str, where: Layout, rng: np.random.Generator
) -> np.ndarray:
    """The four wings, hindwings under forewings, and the body of a pinned specimen; in place.

    Gives how opaque they cover each pixel of the canvas, (height, width) uint8.
    """
    cover = np.zeros(canvas.shape[:2], np.uint8)
    pinned = bool(rng.random() < 0.5)
    fore_angle = rng.normal(0.45, 0.10) if pinned else rng.normal(0.32, 0.12)
    hind_angle = 0.25 * (fore_angle - 0.45) + rng.normal(0.0, 0.05)
    stretch, wear = tuple(rng.normal(1, 0.03, 2)), rng.beta(1.2, 2.5)
    fade, sheen = rng.beta(1.5, 3), rng.uniform(0, 2 * np.pi)
    bases = PINNED_BASES if pinned else LOOSE_BASES
    apart, askew = (0.004, 0.03) if pinned else (0.018, 0.10)
    for name, lies in (("hind", hind_angle), ("fore", fore_angle)):
        wing = template(species, name, WING_PIXELS)
        colour = paint_wing(wing, traits, species, fade, sheen, rng)
        outline = displacement(wing, 3.0, rng)
        y, x = np.mgrid[: wing.shape.shape[0], : wing.shape.shape[1]].astype(np.float32)
        for side in (-1, 1):
            tile = worn(colour, wing, wear, rng)
            shift = outline + displacement(wing, 1.2, rng)
            tile = cv2.remap(tile, x + shift[0], y + shift[1], cv2.INTER_LINEAR)
            base = np.asarray(bases[name]) + rng.normal(0, apart, 2)
            angle = lies + askew * rng.standard_normal()
            matrix = wing_matrix(where, wing, side, angle, base, stretch)
            place(canvas, tile, matrix, 0.35 if pinned else 0.22, cover)
    if pinned:
        # The body between the wings, its thorax a little below their bases.
        tile, thorax = body(rng)
        turn, scale = where.turn + rng.normal(0, 0.02), where.length / WING_PIXELS
        matrix = upright(tile, (0, 0), turn, scale)
        at = (where.centre[0], where.centre[1] + 0.02 * where.length)
        matrix[:, 2] = at - matrix[:, :2] @ np.asarray(thorax)
        place(canvas, tile, matrix, cover=cover)
    return cover


def draw_props(canvas: np.ndarray, camid: str, where: Layout, rng: np.random.Generator) -> None:
    """Ruler, label and perhaps a colour chart, each slightly askew; in place."""
    scale = 1 / SUPERSAMPLING
    tile = ruler(rng)
    margin = tile.shape[1] * scale / 2 + 12
    x = rng.uniform(margin, WIDTH - margin)
    y = RULER_HEIGHT / 2 + 6 if where.ruler_at_top else HEIGHT - RULER_HEIGHT / 2 - 6
    place(canvas, tile, upright(tile, (x, y), rng.normal(0, 0.006), scale))
    tile = label(camid, rng)
    place(canvas, tile, upright(tile, where.label, rng.normal(0, 0.04), scale))
    if where.chart is not None:
        tile = chart()
        place(canvas, tile, upright(tile, where.chart, rng.normal(0, 0.015), scale))


def expose(photo: np.ndarray, rng: np.random.Generator, cast: float) -> np.ndarray:
    """The photograph under uneven light, through a camera: tone, paper grain, sensor noise.

    `cast` says how much its light differs in hue from that of others.
    """
    balance = rng.normal(1, cast * np.array((0.012, 0.005, 0.016))) * rng.normal(1.0, 0.045)
    levels = np.clip(np.arange(256)[:, None] / 255 * balance, 0, 1) ** rng.normal(1, 0.05)
    photo = cv2.LUT(photo, (255 * levels).astype(np.uint8)[:, None])

    height, width = photo.shape[:2]
    x, y = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    direction, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.07)
    light = 1 + slope * (np.cos(direction) * x + np.sin(direction) * y)
    light = (light - rng.uniform(0.02, 0.10) * (x**2 + y**2)).astype(np.float32)
    noise = rng.standard_normal((height, width), dtype=np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.2) * rng.uniform(1.0, 4.0)
    # The paper's grain shows where it is light; the sensor's noise shows everywhere.
    noise = grain * (photo[..., 1] > 150) + noise[::-1] * rng.uniform(0.6, 1.8)
    lit = cv2.multiply(photo, cv2.merge([light] * 3), dtype=cv2.CV_32F)
    return cv2.add(lit, cv2.merge([noise.astype(np.float32)] * 3), dtype=cv2.CV_8U)


def develop(
    photo: np.ndarray, cover: np.ndarray, rng: np.random.Generator, cast: float = 1
) -> tuple[bytes, bytes]:
    """JPEG of a photograph, and PNG of its mask: white where `cover` is half of 255 or more."""
    jpeg, mask = io.BytesIO(), io.BytesIO()
    quality = int(rng.integers(88, 96))
    Image.fromarray(expose(photo, rng, cast)).save(jpeg, "JPEG", quality=quality)
    Image.fromarray(cover >= 128).save(mask, "PNG")
    return jpeg.getvalue(), mask.getvalue()


def photograph(
    traits: Traits, species: str, camid: str, rng: np.random.Generator
) -> tuple[bytes, bytes]:
    """JPEG of one specimen, WIDTH x HEIGHT, and PNG of its mask."""
    where = layout(rng)
    canvas = np.empty((HEIGHT * SUPERSAMPLING, WIDTH * SUPERSAMPLING, 3), np.uint8)
    canvas[:] = np.clip(np.asarray(PAPER) + rng.normal(0, 5) + rng.normal(0, 1.5, 3), 0, 255)
    draw_props(canvas, camid, where, rng)
    cover = draw_specimen(canvas, traits, species, where, rng)
    size = (WIDTH, HEIGHT)
    photo, cover = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (canvas, cover))
    return develop(photo, cover, rng)
