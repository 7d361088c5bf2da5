"""PiDiNet: kernel conversion against the definition, the published weights, bad weight files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models.pidinet import (
    DIFFERENCES,
    PiDiNet,
    load_pidinet,
    normalise,
    vanilla_kernel,
)
from PIL import Image
from torch.nn import functional as F
from util.errors import InputError

SHARED = Path(__file__).resolve().parents[3] / "shared/pidinet"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"{SHARED}: the published weights and edge maps are absent"
)


def published_weights() -> dict[str, torch.Tensor]:
    """Random weights in the published layout: 3x3 everywhere, keys prefixed `module.`."""
    torch.manual_seed(0)
    weights = {}
    for key, value in PiDiNet().state_dict().items():
        shape = [min(side, 3) if i > 1 else side for i, side in enumerate(value.shape)]
        weights[f"module.{key}"] = 0.1 * torch.randn(shape)
    return weights


def patches(x: torch.Tensor, offsets: list[tuple[int, int]]) -> list[torch.Tensor]:
    """`x` seen from each pixel at each (row, column) offset, zero outside."""
    height, width = x.shape[2:]
    padded = F.pad(x, (2, 2, 2, 2))
    return [padded[:, :, 2 + r : 2 + r + height, 2 + c : 2 + c + width] for r, c in offsets]


RASTER = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
CLOCKWISE = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
NEXT_CLOCKWISE = {a: b for a, b in zip(CLOCKWISE, CLOCKWISE[1:] + CLOCKWISE[:1], strict=True)}


@pytest.mark.parametrize("kind", ["cv", "cd", "ad", "rd"])
def test_vanilla_kernel_computes_the_pixel_differences(kind):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 7, 9, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    expected = torch.zeros(2, 4, 7, 9, dtype=torch.float64)
    for number, (row, column) in enumerate(RASTER):
        (pixel,) = patches(x, [(row, column)])
        if kind == "cd":
            pixel = pixel - x
        elif kind == "ad":
            pixel = pixel - patches(x, [NEXT_CLOCKWISE.get((row, column), (0, 0))])[0]
        elif kind == "rd":
            # Weight 1 + k belongs to the k-th direction: a pixel two away minus the one between.
            if number == 0:
                continue
            row, column = [offset for offset in RASTER if offset != (0, 0)][number - 1]
            outer, inner = patches(x, [(2 * row, 2 * column), (row, column)])
            pixel = outer - inner
        w = weight[:, :, number // 3, number % 3]
        expected += torch.einsum("oi,bihw->bohw", w, pixel)

    kernel = vanilla_kernel(kind, weight)
    assert kernel.shape == ((4, 3, 5, 5) if kind == "rd" else (4, 3, 3, 3))
    result = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
    torch.testing.assert_close(result, expected)


def test_vanilla_kernel_refuses_an_unknown_difference():
    with pytest.raises(ValueError, match="pixel difference 'xd'; expected cd, ad, rd or cv"):
        vanilla_kernel("xd", torch.zeros(1, 1, 3, 3))


def test_carv4_is_central_angular_radial_vanilla_four_times():
    assert len(DIFFERENCES) == 16
    assert DIFFERENCES["init_block"] == "cd"
    assert DIFFERENCES["block1_2.conv1"] == "rd"
    assert DIFFERENCES["block4_4.conv1"] == "cv"


def test_any_size_gives_a_map_of_that_size_in_the_unit_interval(tmp_path):
    torch.save({"state_dict": published_weights()}, tmp_path / "weights.pth")
    network = load_pidinet(tmp_path / "weights.pth")
    pixels = torch.zeros(2, 3, 37, 53, dtype=torch.uint8)
    edges = network(normalise(pixels))
    assert edges.shape == (2, 1, 37, 53)
    assert 0 <= edges.min() and edges.max() <= 1


@needs_shared
@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_edges_within_one_grey_level(number):
    network = load_pidinet(SHARED / "table5_pidinet.pth")
    photo = np.array(Image.open(SHARED / f"expected/{number}_image.png"))
    expected = np.array(Image.open(SHARED / f"expected/{number}_edges.png")).astype(int)
    edges = network(normalise(torch.from_numpy(photo).permute(2, 0, 1)[None]))
    found = (255 * edges[0, 0]).to(torch.uint8).numpy().astype(int)
    assert abs(found - expected).max() <= 1


def without_one(weights):
    del weights["module.classifier.bias"]


def with_one_more(weights):
    weights["module.block5_1.conv1.weight"] = torch.zeros(1)


def with_a_wrong_shape(weights):
    weights["module.block1_2.conv1.weight"] = torch.zeros(60, 1, 5, 5)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (without_one, "classifier.bias is missing"),
        (with_one_more, "block5_1.conv1.weight is not part of the network"),
        (with_a_wrong_shape, r"is \[60, 1, 5, 5\], expected \[60, 1, 3, 3\]"),
    ],
)
def test_weights_of_another_network_are_refused_by_key(tmp_path, spoil, message):
    weights = published_weights()
    spoil(weights)
    torch.save({"state_dict": weights}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        load_pidinet(tmp_path / "other.pth")


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [{"state_dict": Malicious()}, [1, 2], {"weights": 1}])
def test_a_file_that_is_no_checkpoint_is_refused_unexecuted(tmp_path, capsys, content):
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=r"bad\.pth"):
        load_pidinet(tmp_path / "bad.pth")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut short"])
def test_a_broken_file_is_refused(tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pth: not a checkpoint that can be loaded safely"):
        load_pidinet(tmp_path / "bad.pth")
