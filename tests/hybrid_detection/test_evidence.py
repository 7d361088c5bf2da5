"""evidence.py: the maps add up, and their slopes are those of the real score."""

import backbones
import evidence
import model
import numpy as np
import published_members
import pytest
import timm
import torch
from published_members import LinearClassifier, SGDScorer
from wings import GROUND


def tiny_dinov2() -> backbones.DinoV2:
    torch.manual_seed(0)
    vit = timm.models.VisionTransformer(
        img_size=224, patch_size=56, embed_dim=32, depth=2, num_heads=4, num_classes=0
    )
    return backbones.DinoV2(vit).eval()


def light_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()


def members_for(size: int) -> dict:
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


@pytest.mark.parametrize("names", [("linear",), ("sgd",), ("sgd", "linear")])
def test_the_slope_agrees_with_finite_differences_of_the_score(names):
    members = {name: value for name, value in members_for(24).items() if name in names}
    draw = np.random.default_rng(3)
    features, step = 2 * draw.standard_normal((40, 24)), 1e-6
    slopes = evidence.gradient(members, features)
    for direction in draw.standard_normal((3, 24)):
        above, below = (score(members, features + sign * step * direction) for sign in (1, -1))
        measured = (np.log(above / (1 - above)) - np.log(below / (1 - below))) / (2 * step)
        np.testing.assert_allclose(slopes @ direction, measured, rtol=1e-3, atol=1e-3)


def test_a_saturated_score_has_a_slope():
    """Where the score is 1 or 0 to nine decimals, the log-odds still rise and fall."""
    members = {"sgd": members_for(24)["sgd"]}
    for factor, saturated in ((100.0, 1.0), (-100.0, 0.0)):
        features = factor * members["sgd"].weights.sum(axis=0, keepdims=True)
        np.testing.assert_allclose(score(members, features), saturated, atol=1e-9, rtol=0)
        assert np.linalg.norm(evidence.gradient(members, features)) > 0.1


@pytest.mark.parametrize(
    ("backbone", "network", "grid", "width"),
    [
        ("dinov2_base", tiny_dinov2(), (4, 4), 32),
        ("efficientnet_lite0", light_network(), (7, 7), 1280),
    ],
)
def test_a_map_sums_to_the_patch_part_of_the_linearised_log_odds(backbone, network, grid, width):
    detector = model.Model(backbone, device="cpu")
    detector.network, detector.wing_network = network, None
    draw = np.random.default_rng(4)
    pictures = torch.from_numpy(draw.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8))
    features = detector.extract(pictures).numpy()
    detector.members = members_for(features.shape[1])
    plain = detector.examine(pictures)

    examined, maps, wing_maps = evidence.examine(detector, pictures)

    assert maps.shape == (3, *grid)
    assert wing_maps == [None] * 3
    np.testing.assert_array_equal(examined.scores, plain.scores)  # to the bit
    slopes = evidence.gradient(detector.members, features)[:, -width:]
    expected = (slopes * features[:, -width:]).sum(axis=1)
    assert np.abs(expected).min() > 1e-3
    maps = maps.astype(float)
    sizes = np.abs(maps).sum(axis=(1, 2))
    assert (np.abs(maps.sum(axis=(1, 2)) - expected) < 2e-3 * sizes).all()


@pytest.mark.parametrize("network", [tiny_dinov2(), light_network()])
def test_tokens_lie_as_the_image_does(network):
    """A bright corner changes the token there, not in the corner that a transposed map names."""
    grey = torch.zeros(1, 3, 224, 224)
    bright = grey.clone()
    bright[:, :, :56, -56:] = 3  # above, on the right
    with evidence.patch_tokens(network) as taken, torch.inference_mode():
        network(grey)
        network(bright)
    change = (taken[1] - taken[0]).norm(dim=3)[0]
    low, high = slice(len(change) // 2), slice(-(len(change) // 2), None)
    corners = [change[part].mean() for part in ((low, high), (low, low), (high, low), (high, high))]
    assert int(np.argmax(corners)) == 0


def test_a_map_of_the_wings_sums_to_the_linearised_log_odds_beside_no_wings(stored):
    """The left half is of the left side; a map of the photograph needs a published member."""
    cpu, size = torch.device("cpu"), backbones.IMAGE_SIZE
    detector = model.Model("efficientnet_lite0", device="cpu")
    detector.network = None  # which nobody asks
    detector.wing_network = backbones.build_backbone(backbones.WINGS, cpu)
    detector.members = {"subspecies": stored}
    pictures = torch.full((2, 2 * size, size, 3), GROUND, dtype=torch.uint8)
    draw = torch.Generator().manual_seed(0)
    marked = torch.randint(0, 256, (60, 60, 3), dtype=torch.uint8, generator=draw)
    pictures[0, :60, :60] = marked  # of the left side, above, on the left
    pictures[1, -60:, -60:] = marked  # of the right side, below, on the right

    _, maps, wing_maps = evidence.examine(detector, pictures)

    assert maps == [None] * 2
    bare = torch.full((1, size, size, 3), GROUND, dtype=torch.uint8)
    bare = backbones.extract(detector.wing_network, bare, backbones.WINGS, cpu).numpy()
    seen = backbones.extract(detector.wing_network, pictures, backbones.WINGS, cpu)
    seen = seen.numpy().astype(float)
    slopes = stored.slopes(seen)
    for direction in np.random.default_rng(3).standard_normal((3, seen.shape[1])):
        chances = [stored.hybrid_probability(seen + sign * 1e-4 * direction) for sign in (1, -1)]
        above, below = (np.log(some / (1 - some)) for some in chances)
        np.testing.assert_allclose(slopes @ direction, (above - below) / 2e-4, rtol=1e-3)
    for row, wing_map in enumerate(wing_maps):
        expected = slopes[row] @ (seen[row] - bare[0])
        found = wing_map.astype(float)
        assert found.shape == (8, 16)
        assert found.sum() == pytest.approx(expected, abs=2e-3 * np.abs(found).sum())
        place = np.unravel_index(np.abs(found).argmax(), found.shape)
        assert place[0] < 3 and place[1] < 3 if row == 0 else place[0] > 4 and place[1] > 12
