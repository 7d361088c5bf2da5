"""PiDiNet: against the paper's definition, with the published weights, bad weight files."""

import numpy as np
import pytest
import torch
from models.pidinet import (
    DIFFERENCES,
    load_pidinet,
    pidinet_detector,
    vanilla_kernel,
)
from PIL import Image
from torch.nn import functional as F
from util.errors import InputError

# The nine weights of a 3x3 kernel, row by row, each with the (row, column) offsets of the pixel
# that it is multiplied with and of the one subtracted from that: section 3.2 of the paper.
RASTER = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]
PAIRS = {
    "cv": [(pixel, None) for pixel in RASTER],
    "cd": [(pixel, (0, 0)) for pixel in RASTER],
    "ad": [  # the ring, each minus the next one clockwise
        ((-1, -1), (-1, 0)),
        ((-1, 0), (-1, 1)),
        ((-1, 1), (0, 1)),
        ((0, -1), (-1, -1)),
        ((0, 0), (0, 0)),
        ((0, 1), (1, 1)),
        ((1, -1), (0, -1)),
        ((1, 0), (1, -1)),
        ((1, 1), (1, 0)),
    ],
    "rd": [  # eight directions, outer minus inner; the first weight has no pair
        ((0, 0), (0, 0)),
        ((-2, -2), (-1, -1)),
        ((-2, 0), (-1, 0)),
        ((-2, 2), (-1, 1)),
        ((0, -2), (0, -1)),
        ((0, 2), (0, 1)),
        ((2, -2), (1, -1)),
        ((2, 0), (1, 0)),
        ((2, 2), (1, 1)),
    ],
}


def seen_at(x: torch.Tensor, offset: tuple[int, int]) -> torch.Tensor:
    """`x` (batch, channels, height, width) as seen from each pixel at `offset`, zero outside."""
    (row, column), (height, width) = offset, x.shape[2:]
    return F.pad(x, (2, 2, 2, 2))[:, :, 2 + row :, 2 + column :][:, :, :height, :width]


def pixel_differences(x: torch.Tensor, weight: torch.Tensor, kind: str) -> torch.Tensor:
    """Pixel-difference convolution by its definition; depthwise for one input channel a kernel."""
    depthwise = weight.shape[1] == 1
    total = 0
    for number, (pixel, subtracted) in enumerate(PAIRS[kind]):
        difference = seen_at(x, pixel)
        if subtracted is not None:
            difference = difference - seen_at(x, subtracted)
        w = weight.flatten(2)[:, :, number]
        total = total + (
            w[:, 0, None, None] * difference
            if depthwise
            else torch.einsum("oi,bihw->bohw", w, difference)
        )
    return total


@pytest.mark.parametrize("kind", ["cv", "cd", "ad", "rd"])
def test_vanilla_kernel_computes_the_pixel_differences(kind):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 7, 9, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    kernel = vanilla_kernel(kind, weight)
    assert kernel.shape == ((4, 3, 5, 5) if kind == "rd" else (4, 3, 3, 3))
    result = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
    torch.testing.assert_close(result, pixel_differences(x, weight, kind))


def network_of_the_paper(weights: dict[str, torch.Tensor], photos: np.ndarray) -> np.ndarray:
    """Edge probability (n, h, w) of `photos`, RGB uint8 (n, h, w, 3): written from the paper, with
    the published `weights`, in float64 and without any part of ours."""
    w = {key.removeprefix("module."): value.double() for key, value in weights.items()}
    rgb = torch.from_numpy(photos).double().permute(0, 3, 1, 2) / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).double().view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).double().view(3, 1, 1)

    def conv(x, name, dilation=0):
        return F.conv2d(
            x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=dilation, dilation=dilation or 1
        )

    kinds = iter(["cd", "ad", "rd", "cv"] * 4)
    x = pixel_differences((rgb - mean) / deviation, w["init_block.weight"], next(kinds))
    sides = []
    for stage, blocks in ((1, 3), (2, 4), (3, 4), (4, 4)):
        for number in range(1, blocks + 1):
            name = f"block{stage}_{number}"
            shortens = stage > 1 and number == 1
            x = F.max_pool2d(x, 2) if shortens else x
            y = pixel_differences(x, w[f"{name}.conv1.weight"], next(kinds)).relu()
            x = conv(y, f"{name}.conv2") + (conv(x, f"{name}.shortcut") if shortens else x)
        index = stage - 1
        reduced = conv(x.relu(), f"dilations.{index}.conv1")
        dilated = sum(
            conv(reduced, f"dilations.{index}.conv2_{place}", dilation)
            for place, dilation in ((1, 5), (2, 7), (3, 9), (4, 11))
        )
        attention = conv(dilated.relu(), f"attentions.{index}.conv1")
        attention = conv(attention, f"attentions.{index}.conv2", 1).sigmoid()
        side = conv(dilated * attention, f"conv_reduces.{index}.conv")
        sides.append(F.interpolate(side, photos.shape[1:3], mode="bilinear", align_corners=False))
    return conv(torch.cat(sides, dim=1), "classifier").sigmoid()[:, 0].numpy()


def test_the_detector_is_the_network_of_the_paper(tmp_path, random_pidinet):
    photos = np.random.default_rng(0).integers(0, 256, (2, 37, 54, 3), np.uint8)
    expected = 255 * network_of_the_paper(random_pidinet, photos)
    assert expected.min() < 50 and expected.max() > 200  # else little could be told apart

    torch.save({"state_dict": random_pidinet}, tmp_path / "weights.pth")
    found = pidinet_detector(tmp_path / "weights.pth", torch.device("cpu"))(photos)
    assert found.dtype == np.uint8 and found.shape == (2, 37, 54)
    # Rounded down; where 255 times the output is next to a whole number, float32 may miss it.
    certain = abs(expected - expected.round()) > 1e-3
    assert certain.mean() > 0.99
    assert np.array_equal(found[certain], np.floor(expected[certain]))


def test_vanilla_kernel_refuses_an_unknown_difference():
    with pytest.raises(ValueError, match="pixel difference 'xd'; expected cd, ad, rd or cv"):
        vanilla_kernel("xd", torch.zeros(1, 1, 3, 3))


def test_carv4_is_central_angular_radial_vanilla_four_times():
    assert len(DIFFERENCES) == 16
    assert DIFFERENCES["init_block"] == "cd"
    assert DIFFERENCES["block1_2.conv1"] == "rd"
    assert DIFFERENCES["block4_4.conv1"] == "cv"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_edges_but_for_single_pixels_by_a_grey_level(shared, number):
    detect = pidinet_detector(shared / "pidinet/table5_pidinet.pth", torch.device("cpu"))
    photo = np.array(Image.open(shared / f"pidinet/expected/{number}_image.png"))
    expected = np.array(Image.open(shared / f"pidinet/expected/{number}_edges.png")).astype(int)
    difference = abs(detect(photo[None])[0] - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 10  # float sums in another order, next to a whole number


def without_one(weights):
    del weights["module.classifier.bias"]


def with_one_more(weights):
    weights["module.block5_1.conv1.weight"] = torch.zeros(1)


def with_a_wrong_shape(weights):
    weights["module.block1_2.conv1.weight"] = torch.zeros(60, 1, 5, 5)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (without_one, "has no 'classifier.bias'; expected table5_pidinet"),
        (with_one_more, "'block5_1.conv1.weight' has no place; expected table5_pidinet"),
        (with_a_wrong_shape, r"is \[60, 1, 5, 5\], expected \[60, 1, 3, 3\]"),
    ],
)
def test_weights_of_another_network_are_refused_by_key(tmp_path, random_pidinet, spoil, message):
    spoil(random_pidinet)
    torch.save({"state_dict": random_pidinet}, tmp_path / "other.pth")
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
