"""Where VGG19's weights come from, and that the perceptual loss runs on them."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from models.losses import PerceptualLoss
from models.vgg import FILE_NAME, vgg19_features, vgg19_layers
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import cfgs, make_layers
from util.errors import InputError


@pytest.fixture
def offline(monkeypatch):
    def fail(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", fail)


def test_weights_are_read_from_the_backbones_folder(tmp_path: Path, offline):
    torch.manual_seed(0)
    features = make_layers(cfgs["E"])
    weights = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save(weights | {"classifier.0.bias": torch.zeros(3)}, tmp_path / FILE_NAME)
    loss = PerceptualLoss(vgg19_features(tmp_path))
    assert torch.equal(loss.slices[0][0].weight, features[0].weight)
    assert [len(part) for part in loss.slices] == [2, 5, 5, 9, 9]
    image, other = torch.rand(2, 1, 3, 32, 32)
    assert loss(image, image) == 0
    expected = sum(
        weight * (features[:end](image) - features[:end](other)).abs().mean()
        for end, weight in ((2, 1 / 32), (7, 1 / 16), (12, 1 / 8), (21, 1 / 4), (30, 1))
    )
    torch.testing.assert_close(loss(image, other), expected)


def test_another_network_in_the_file_is_named(tmp_path: Path, offline):
    torch.save({"features.0.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / FILE_NAME)
    with pytest.raises(InputError, match=f"expected torchvision's {FILE_NAME}") as error:
        vgg19_features(tmp_path)
    assert "--ngf" not in str(error.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: tensor * torch.nan,
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.to_sparse_csr(dense_dim=2),
    ],
)
def test_odd_tensors_are_refused(tmp_path: Path, offline, spoil):
    weights = {f"features.{key}": value for key, value in vgg19_layers().state_dict().items()}
    weights["features.0.weight"] = spoil(weights["features.0.weight"])
    torch.save(weights, tmp_path / FILE_NAME)
    with pytest.raises(InputError, match=r"'0\.weight'") as error:
        vgg19_features(tmp_path)
    assert str(error.value).startswith(str(tmp_path / FILE_NAME))


def test_without_weights_both_places_and_the_way_out_are_named(tmp_path: Path, offline):
    with pytest.raises(InputError) as error:
        vgg19_features(tmp_path)
    for text in (str(tmp_path / FILE_NAME), "torchvision", "no network", "--no_vgg_loss"):
        assert text in str(error.value)
