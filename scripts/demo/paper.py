"""The paper that specimens lie on, by collection: its colour, its props, and the camera above it.

Each collection of the challenge has its own paper, props and size of the wings; which one a
specimen lies in goes with its subspecies. So the ground tells much of what the wings should, as it
does there: 638 of the 640 hybrids of its test, and all of training, lie on grey paper.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 600, 400
CROSS = np.array((0.5 * WIDTH, 0.49 * HEIGHT))  # where the printed lines meet
CAST = 0.3  # how much the light differs in hue
CHART_PATCHES = (  # a colour checker, row by row
    (116, 186, 168), (222, 160, 44), (54, 134, 170), (46, 46, 48),
    (136, 130, 184), (160, 186, 66), (196, 84, 146), (82, 82, 84),
    (90, 108, 62), (86, 54, 108), (232, 206, 46), (122, 122, 120),
    (88, 122, 164), (206, 86, 98), (182, 52, 50), (160, 162, 160),
    (198, 146, 126), (66, 88, 168), (66, 146, 76), (200, 202, 200),
    (112, 76, 62), (224, 118, 50), (44, 60, 146), (240, 241, 238),
)  # fmt: skip


@dataclass(frozen=True)
class Collection:
    """What the photographs of one collection share."""

    paper: Colour  # its mean over the challenge's
    forewing: float  # its mean length, in heights of the picture
    props: str = "lines ruler label"
    one_sided: float = 0.04  # share of specimens that have the wings of one side only
    light: float = 5.0  # standard deviation of the paper's, in grey levels
    faded: float = 0.5  # how brown its specimens may be
    mirrored: bool = False  # props on the other side, and wings beside each other


COLLECTIONS = {
    "grey": Collection((191, 190, 191), 0.56, faded=0.8),
    "grey with disc": Collection((165, 164, 165), 0.50, "lines ruler label disc", 0.1, 12),
    "bluish grey": Collection((176, 180, 191), 0.42, "lines ruler label disc", 0.9, 3),
    "green": Collection((156, 230, 112), 0.48, "lines ruler label disc", faded=0.2),
    "lime": Collection((150, 203, 62), 0.33, "lines ruler slip disc", 0, 6, 0.2),
    "yellow": Collection((228, 252, 146), 0.30, "lines ruler label chart", 0.02, 3, 0.2),
    "white": Collection((247, 239, 246), 0.40, "lines ruler label chart", 1, 3, 0.2, True),
    "scan": Collection((235, 240, 245), 0.58, "", 0, 2, 0.6),
}
# The share of specimens that lies in each, by subspecies, as in the challenge; hybrids, and those
# that are not named, lie on the first.
GREY = {"grey": 0.8, "grey with disc": 0.2}
DISC = {"grey": 0.4, "grey with disc": 0.3, "bluish grey": 0.3}
# fmt: off
GROUNDS = {
    "train": {
        "chestertonii": DISC, "hydara": DISC, "phyllis": {"white": 1}, "venus": DISC,
        "cyrbia": {"yellow": 0.24, "grey": 0.5, "bluish grey": 0.26},
        "lativitta": {"green": 0.4, "lime": 0.22, "grey": 0.28, "grey with disc": 0.1},
    },
    "test": {
        "chestertonii": DISC, "hydara": DISC, "phyllis": {"white": 1}, "cyrbia": {"yellow": 1},
        "erato": {"green": 0.4, "grey": 0.6},
        "lativitta": {"green": 0.9, "lime": 0.1},
        "malleti": {"green": 0.45, "lime": 0.16, "grey": 0.25, "grey with disc": 0.1, "scan": 0.04},
        "notabilis": {"lime": 0.09, "grey": 0.71, "grey with disc": 0.2},
        "plesseni": {"lime": 0.19, "grey": 0.61, "grey with disc": 0.2},
        "venus": {"green": 0.25, "bluish grey": 0.35, "grey": 0.4},
    },
}
# fmt: on


def collection_of(name: str, split: str, rng: np.random.Generator) -> Collection:
    """The collection that a specimen of a subspecies, or a hybrid, lies in."""
    shares = GROUNDS[split].get(name, GREY)
    return COLLECTIONS[rng.choice(list(shares), p=list(shares.values()))]


def place(
    canvas: np.ndarray,
    tile: np.ndarray,
    matrix: np.ndarray,  # (2, 3), takes the tile's pixels to the canvas's
    shadow: float = 0.3,
    cover: np.ndarray | None = None,  # the canvas's (height, width); raised to the tile's opacity
) -> None:
    """Lay an RGBA tile on the canvas, in place, with a soft shadow to the lower right."""
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


def turned(turn: float, scale: float, point: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """The matrix (2, 3) that turns and scales a tile, and takes `point` of it to `at`."""
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, np.asarray(at) - rotation @ np.asarray(point)])


def middle(tile: np.ndarray) -> tuple[float, float]:
    return tile.shape[1] / 2, tile.shape[0] / 2


def draw_props(
    canvas: np.ndarray, camid: str, collection: Collection, rng: np.random.Generator
) -> None:
    """Printed lines, a ruler that the edge cuts off, and what else the collection has; in place."""
    x, y = CROSS
    ink = tuple(int(0.58 * level) for level in collection.paper)
    lean = rng.normal(0, 1.5, 2)
    if "lines" in collection.props:
        for start, end in (((x - lean[0], 0), (x + lean[0], HEIGHT)),
                           ((0, y - lean[1]), (WIDTH, y + lean[1]))):  # fmt: skip
            ends = (np.round(16 * np.array(point)).astype(int).tolist() for point in (start, end))
            cv2.line(canvas, *ends, ink, 2, cv2.LINE_AA, 4)

    def lay(tile: np.ndarray, x: float, y: float, turn: float, scale: float, shadow=0.1) -> None:
        at = (WIDTH * (1 - x if collection.mirrored else x), HEIGHT * y)
        place(canvas, tile, turned(turn, scale, middle(tile), at), shadow)

    if "ruler" in collection.props:
        tile = ruler(rng).copy()
        tile[..., 3] = 170  # of glass or steel, it takes on the paper's colour
        lay(tile, rng.uniform(0.12, 0.3), rng.normal(0.97, 0.01), rng.normal(0, 0.006), 0.55)
    if "chart" in collection.props:
        tile = chart().transpose(1, 0, 2)
        lay(tile, rng.normal(0.73, 0.02), rng.normal(0.84, 0.01), rng.normal(0, 0.03), 0.38)
    if "disc" in collection.props:
        tile = np.zeros((240, 240, 4), np.uint8)
        for radius, level in ((118, 24), (100, 236)):
            disc(tile, 120, 120, radius, (level, level, level))
        lay(tile, rng.normal(0.97, 0.015), rng.normal(0.93, 0.02), 0, rng.uniform(0.45, 0.6), 0.3)
    tile = label(camid, rng)
    if "slip" in collection.props:  # upside down
        lay(tile, rng.normal(0.68, 0.05), rng.uniform(0.04, 0.1), rng.normal(np.pi, 0.05), 0.6)
    elif "label" in collection.props:  # the line with the number alone
        x, y = (0.15, 0.68) if "chart" in collection.props else (0.63, 0.93)
        at = rng.normal((x, y), 0.015)
        lay(tile[:50], *at, rng.normal(0, 0.04), rng.uniform(0.3, 0.42))


def ruler(rng: np.random.Generator) -> np.ndarray:
    """A scale bar of some centimetres with millimetre ticks."""
    centimetres, millimetre = int(rng.integers(5, 11)), rng.uniform(9.0, 11.0)
    face = int(rng.integers(226, 250))
    size = (round((centimetres * 10 + 10) * millimetre), 60)
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
    width, height = 224, 124
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
    """A colour chart of 24 patches in a black frame."""
    image = Image.new("RGB", (248, 364), (26, 26, 28))
    draw = ImageDraw.Draw(image)
    draw.text((16, 8), "colour chart", fill=(200, 200, 200), font=ImageFont.load_default(18))
    for number, colour in enumerate(CHART_PATCHES):
        x, y = 14 + 57 * (number % 4), 38 + 53 * (number // 4)
        draw.rectangle([x, y, x + 46, y + 43], fill=colour)
    return np.asarray(image.convert("RGBA"))


def disc(tile: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
    """A filled anti-aliased circle, in place."""
    centre = (round(x * 16), round(y * 16))
    cv2.circle(tile, centre, round(radius * 16), (*colour, 255), -1, cv2.LINE_AA, 4)


def expose(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph under uneven light, through a camera: tone, paper grain, sensor noise."""
    balance = rng.normal(1, CAST * np.array((0.012, 0.005, 0.016))) * rng.normal(1.0, 0.045)
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


def develop(photo: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """JPEG of a photograph, and PNG of its mask: white where `cover` is half of 255 or more."""
    jpeg, mask = io.BytesIO(), io.BytesIO()
    quality = int(rng.integers(88, 96))
    Image.fromarray(expose(photo, rng)).save(jpeg, "JPEG", quality=quality)
    Image.fromarray(cover >= 128).save(mask, "PNG")
    return jpeg.getvalue(), mask.getvalue()
