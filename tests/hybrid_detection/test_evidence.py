"""evidence.py: the maps add up, and their slopes are those of the real score."""

from dataclasses import replace

import backbones
import evidence
import model
import numpy as np
import published_members
import pytest
import timm
import torch
from published_members import LinearClassifier, SGDScorer
from subspecies_member import SubspeciesScorer


def tiny_dinov2() -> backbones.DinoV2:
    torch.manual_seed(0)
    vit = timm.models.VisionTransformer(
        img_size=56, patch_size=14, embed_dim=32, depth=2, num_heads=4, num_classes=0
    )
    return backbones.DinoV2(vit).eval()


def light_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()


def members_for(stored: SubspeciesScorer, size: int) -> dict:
    draw = np.random.default_rng(0)
    torch.manual_seed(1)
    linear = LinearClassifier(size).eval()
    linear.classifier[9].weight.data *= 20
    return {
        "linear": linear,
        "sgd": SGDScorer(
            weights=draw.standard_normal((3, size)) / size**0.5,
            intercepts=draw.standard_normal(3),
            slopes=np.array([-1.0, -1.4, -0.8]),
            offsets=np.array([0.3, -0.2, 0.1]),
            origin=published_members.Origin(),
        ),
        "subspecies": replace(
            stored,
            weights=stored.weights[:, :size] / size**0.5,
            axes=stored.axes[:size] / size**0.5,
            means=stored.means / 4,
            quantiles=np.array([[0.5, 0.9], [1.0, 2.0]]),
            cross_weights=stored.cross_weights[:, :size],
        ),
    }


def score(members: dict, features: np.ndarray) -> np.ndarray:
    """As Model.examine: the linear member in float32, for which this is its float64 twin."""
    rest = {name: member for name, member in members.items() if name != "linear"}
    given = {name: member.hybrid_probability(features) for name, member in rest.items()}
    if "linear" in members:
        logits = members["linear"].double()(torch.from_numpy(features)).detach()
        given["linear"] = logits.softmax(dim=1)[:, 1].numpy()
        members["linear"].float()
    return model.combine(given)


SETS = [("linear",), ("sgd",), ("subspecies",), ("sgd", "linear"), ("sgd", "linear", "subspecies")]


@pytest.mark.parametrize("names", SETS)
def test_the_slope_agrees_with_finite_differences_of_the_score(stored, names):
    members = {name: value for name, value in members_for(stored, 24).items() if name in names}
    draw = np.random.default_rng(3)
    features, step = 2 * draw.standard_normal((40, 24)), 1e-6
    slopes = evidence.gradient(members, features)
    for direction in draw.standard_normal((3, 24)):
        above, below = (score(members, features + sign * step * direction) for sign in (1, -1))
        measured = (np.log(above / (1 - above)) - np.log(below / (1 - below))) / (2 * step)
        np.testing.assert_allclose(slopes @ direction, measured, rtol=1e-3, atol=1e-3)


def test_a_saturated_score_has_a_slope(stored):
    """Where the score is 1 or 0 to nine decimals, the log-odds still rise and fall."""
    members = {"sgd": members_for(stored, 24)["sgd"]}
    for factor, saturated in ((100.0, 1.0), (-100.0, 0.0)):
        features = factor * members["sgd"].weights.sum(axis=0, keepdims=True)
        np.testing.assert_allclose(score(members, features), saturated, atol=1e-9, rtol=0)
        assert np.linalg.norm(evidence.gradient(members, features)) > 0.1


@pytest.mark.parametrize(
    ("backbone", "network", "side", "grid", "width"),
    [
        ("dinov2_base", tiny_dinov2(), 56, (4, 4), 32),
        ("efficientnet_lite0", light_network(), 224, (7, 7), 1280),
    ],
)
def test_a_map_sums_to_the_patch_part_of_the_linearised_log_odds(
    stored, backbone, network, side, grid, width
):
    detector = model.Model(backbone, device="cpu")
    detector.network = network
    draw = np.random.default_rng(4)
    pictures = torch.from_numpy(draw.integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    features = detector.extract(pictures).numpy()
    detector.members = members_for(stored, features.shape[1])
    plain = detector.examine(pictures)

    examined, maps = evidence.examine(detector, pictures)

    assert maps.shape == (3, *grid)
    assert maps.dtype == np.float16
    np.testing.assert_array_equal(examined.scores, plain.scores)  # to the bit
    np.testing.assert_array_equal(examined.features, features)
    slopes = evidence.gradient(detector.members, features)[:, -width:]
    expected = (slopes * features[:, -width:]).sum(axis=1)
    assert np.abs(expected).min() > 1e-3
    maps = maps.astype(float)
    sizes = np.abs(maps).sum(axis=(1, 2))
    assert (np.abs(maps.sum(axis=(1, 2)) - expected) < 2e-3 * sizes).all()
    assert maps.std(axis=(1, 2)).min() > 1e-5
    if isinstance(network, backbones.DinoV2):
        assert not network.vit.norm._forward_hooks  # the hook is gone


@pytest.mark.parametrize(("network", "side"), [(tiny_dinov2(), 56), (light_network(), 224)])
def test_tokens_lie_as_the_image_does(network, side):
    """A bright corner changes the token there, not in the corner that a transposed map names."""
    grey = torch.zeros(1, 3, side, side)
    bright = grey.clone()
    bright[:, :, : side // 4, -side // 4 :] = 3  # above, on the right
    with evidence.patch_tokens(network) as taken, torch.inference_mode():
        network(grey)
        network(bright)
    change = (taken[1] - taken[0]).norm(dim=3)[0]
    low, high = slice(len(change) // 2), slice(-(len(change) // 2), None)
    corners = [change[part].mean() for part in ((low, high), (low, low), (high, low), (high, high))]
    assert int(np.argmax(corners)) == 0
