"""The feature networks of the generation report are the detector's, to the bit."""

from dataclasses import replace

import model
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from quality import backbone
from util.errors import InputError

CPU = torch.device("cpu")


def test_features_are_the_detectors():
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (side, side, 3), np.uint8) for side in (256, 300)]
    found = backbone.feature_extractor("efficientnet_lite0", CPU)(images)
    transform = model.make_transform("efficientnet_lite0")
    batch = torch.stack([transform(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        expected = model.build_backbone("efficientnet_lite0", CPU)(batch).numpy()
    assert found.shape == (2, 1280)
    assert np.abs(found - expected).max() < 1e-5


def test_dinov2_is_loaded_as_the_authors_do(shared, tmp_path):
    golden = np.load(shared / "golden/dinov2_tiny.npz", allow_pickle=False)
    vit = timm.create_model(
        "vit_base_patch14_dinov2.lvd142m",
        num_classes=0,
        img_size=backbone.IMAGE_SIZE,
        embed_dim=48,
        depth=2,
        num_heads=4,
    )
    network = backbone.DinoV2(vit).eval()
    weights = {
        key.removeprefix("weight:"): torch.from_numpy(golden[key])
        for key in golden
        if key.startswith("weight:")
    }
    torch.save(weights, tmp_path / "tiny.pth")
    backbone.load_dinov2(network, tmp_path / "tiny.pth")
    with torch.inference_mode():
        found = network(torch.from_numpy(golden["input"])).numpy()
    assert np.abs(found - golden["features"]).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("dinov2_base", "download_models.sh dinov2"), ("efficientnet_lite0", "scripts/setup.sh")],
)
def test_missing_weights_are_an_error(name, remedy, tmp_path, monkeypatch):
    spec = replace(backbone.BACKBONES[name], package=lambda: None)
    monkeypatch.setitem(backbone.BACKBONES, name, spec)
    with pytest.raises(InputError, match=remedy) as error:
        backbone.feature_extractor(name, CPU, tmp_path)
    assert str(error.value).startswith(f"{tmp_path / spec.weights_file}: no such file")


def test_weights_that_misfit_are_an_error(tmp_path):
    path = tmp_path / "efficientnet-lite0-57934424.pth"
    torch.save({"conv": torch.zeros(1, 12)}, path)
    with pytest.raises(InputError) as error:
        backbone.feature_extractor("efficientnet_lite0", CPU, tmp_path)
    assert str(error.value).startswith(f"{path}: 'conv_stem.weight' is [1, 12], expected [32, 3")
