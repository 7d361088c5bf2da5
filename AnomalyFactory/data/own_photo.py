"""What the published system does not do: training on few photos in little time, and painting what
such a training can paint. Each part is an option, off by default: --ask_reference and --gentle of
training, --align, --inherit and --keep_ground of painting."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from util.images import as_pixels, to_network

from data.augmentation import WHITE, Augmentation, training_sample
from data.warp import SHIFT, Warp

# --ask_reference
RECOLOUR = 0.5  # chance that a sample's photo gets other colours
ERASE = 0.9  # chance that parts of its edge map are erased
# --gentle
WARP = 0.04  # the most a point of a warp moves along each axis, as a part of the side

HUES = 180  # OpenCV counts hues from 0 to 179
HUE_BEND = (30, 15)  # the most by which hues shift differently, over one and two turns
SATURATION = (0.5, 1.5)
ERASED = (1, 3)  # rectangles that are erased from an edge map, where any are
ERASED_SIDE = (0.15, 0.5)  # the sides of each, as parts of the side

# How two photos are compared to lay one on the other.
SIDE = 128  # pixels of the side at which two photos are compared
BLUR = 2.0  # of those pixels: outlines count more than patterns
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)  # of the search
STRETCH = (0.6, 1.6)  # along any axis: a map that stretches a specimen more has lost its way

# --keep_ground. Measured on drawn cutouts, resized and saved as JPEG of quality 95: of the ground
# three pixels and more from the specimen, 99.9 % is within 8 levels of its flat colour.
GROUND_NOISE = 8  # levels of 255 by which ground differs from its colour, in any channel


@dataclass(frozen=True)
class FewPhotos:
    """Training samples that ask for more than the published ones.

    On few photos a generator learns which colours go with which structure. Where colours are drawn
    by chance and edges erased at random (Zhong et al. 2020), only the reference can tell.
    """

    recolour: float = 0.0  # as RECOLOUR
    erase: float = 0.0  # as ERASE
    warp: float = SHIFT  # as WARP

    def sample(
        self,
        edges: np.ndarray,
        photo: np.ndarray,
        augmentation: Augmentation,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `training_sample`, with this object's changes around it."""
        if random.random() < self.recolour:
            photo = with_hues(photo, random_hues(random), random.uniform(*SATURATION))
        names = ("structure_warp", "reference_warp")
        warps = {name: self.gentler(getattr(augmentation, name)) for name in names}
        edges, reference, target = training_sample(edges, photo, replace(augmentation, **warps))
        if random.random() < self.erase:
            edges = edges.copy()
            for _ in range(random.integers(*ERASED, endpoint=True)):
                edges[random_rectangle(random, len(edges))] = WHITE
        return edges, reference, target

    def gentler(self, warp: Warp | None) -> Warp | None:
        if warp is None:
            return None
        moves = warp.write_to - warp.read_from
        return Warp(warp.read_from, warp.read_from + self.warp / SHIFT * moves)


def random_hues(random: np.random.Generator) -> np.ndarray:
    """What each hue becomes, uint8 (180,): a smooth map, so that like colours stay alike."""
    hue = np.arange(HUES)
    shift = np.full(HUES, random.uniform(0, HUES))
    for turns, most in enumerate(HUE_BEND, start=1):
        phase, bend = random.uniform(0, 2 * np.pi), random.uniform(0, most)
        shift += bend * np.sin(2 * np.pi * turns * hue / HUES + phase)
    return ((hue + shift).round() % HUES).astype(np.uint8)


def with_hues(image: np.ndarray, hues: np.ndarray, saturation: float) -> np.ndarray:
    """`image` (h, w, 3) with other hues and its saturation multiplied; its brightness stays."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = hues[hsv[..., 0]]
    hsv[..., 1] = cv2.multiply(hsv[..., 1], saturation)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def random_rectangle(random: np.random.Generator, size: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle somewhere in the image."""
    sides = np.round(size * random.uniform(*ERASED_SIDE, 2)).astype(int)
    top, left = random.integers(0, size - sides, endpoint=True)
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def aligned(reference: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """`reference` moved so that its specimen covers that of `structure`, both uint8 (S, S, 3).

    By the affine map that correlates their brightnesses best (Evangelidis and Psarakis 2008), where
    the search finds one that helps; reflected beyond the border.
    """
    fixed, moving = comparable(structure), comparable(reference)
    found = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(fixed, moving, found, cv2.MOTION_AFFINE, STOP, None, 1)
        stretches = np.linalg.svd(found[:, :2], compute_uv=False)
    except (cv2.error, np.linalg.LinAlgError):  # it does not converge, or to no numbers
        return reference
    if not STRETCH[0] <= stretches.min() <= stretches.max() <= STRETCH[1]:
        return reference
    if not np.isfinite(found).all():  # OpenCV would never return
        return reference
    before, after = (
        np.corrcoef(fixed.ravel(), image.ravel())[0, 1] for image in (moving, move(moving, found))
    )
    if not after > before:
        return reference
    # Pixel centres stay pixel centres when the map is taken to another size.
    scale = reference.shape[0] / SIDE
    found[:, 2] = scale * found[:, 2] + (scale - 1) / 2 * (1 - found[:, :2].sum(axis=1))
    return move(reference, found)


def comparable(image: np.ndarray) -> np.ndarray:
    """Blurred brightness, float32 (SIDE, SIDE)."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), BLUR)


def move(image: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """`image` read bilinearly where the affine map `sampling` (2, 3) says."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = image.shape[1::-1]
    return cv2.warpAffine(image, sampling, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)


@torch.inference_mode()
def inherited(
    paint: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    edges: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
    reference: torch.Tensor,  # uint8 (N, S, S, 3)
    photo: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
    full_photo: torch.Tensor,  # the same photo, uint8 (N, T, T, 3)
    share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Results (N, 3, T, T) in [-1, 1], and masks (N, 3, S, S); `paint` is a Painter's.

    A result is the structure's photo and `share` of what the reference changes: the painting with
    the reference less that with the structure's own photo, an image analogy (Hertzmann et al. 2001)
    in its plainest form. The generator's blur and traces cancel out.
    """
    with_reference, mask = paint(edges, reference)
    with_photo, _ = paint(edges, photo)
    whole = to_network(full_photo, mask.device)
    change = as_large_as(whole, with_reference - with_photo)
    return (whole + share * change).clamp(-1, 1), mask


def as_large_as(whole: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`image` (N, 3, S, S) in float32, resized to the size of `whole` where that is another."""
    if image.shape == whole.shape:
        return image.float()
    return F.interpolate(image.float(), whole.shape[2:], mode="bicubic", antialias=True)


def ground_of(photo: np.ndarray) -> np.ndarray:
    """Where the flat ground around the specimen of a cutout is, bool (T, T); `photo` is uint8.

    That is all of the colour of the corners that hangs together with the border, as a pale spot
    within a wing does not.
    """
    colour = np.median(photo[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float), axis=0)
    alike = (np.abs(photo - colour) <= GROUND_NOISE).all(axis=2)
    # Not over corners of pixels: a vein drawn aslant shuts a spot in.
    _, pieces = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return alike & np.isin(pieces, border)


def with_ground_kept(
    result: torch.Tensor,  # (N, 3, S, S) in [-1, 1]
    full_photo: torch.Tensor,  # of the structure, uint8 (N, T, T, 3)
    ground: torch.Tensor,  # of that photo, bool (N, T, T)
) -> torch.Tensor:
    """The result, uint8 (N, T, T, 3), with the structure's photo wherever `ground` is."""
    pixels = as_pixels(as_large_as(full_photo.movedim(-1, 1), result)).cpu()
    return torch.where(ground[..., None], full_photo, pixels)
