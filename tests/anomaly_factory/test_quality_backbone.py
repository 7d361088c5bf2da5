"""The feature networks of the generation report are the detector's, to the bit."""

from collections.abc import Sequence
from functools import partial

import backbones
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from quality import backbone
from util.errors import InputError

CPU = torch.device("cpu")


def normalised(images: Sequence[np.ndarray], name: str) -> torch.Tensor:
    """What the detector's backbone `name` is given of images."""
    pictures = [np.asarray(backbones.make_picture()(Image.fromarray(image))) for image in images]
    return backbones.normalise(torch.from_numpy(np.stack(pictures)), name)


def test_features_are_the_detectors():
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (side, side, 3), np.uint8) for side in (256, 300)]
    found = backbone.feature_extractor("efficientnet_lite0", CPU)(images)
    batch = normalised(images, "efficientnet_lite0")
    with torch.inference_mode():
        expected = backbones.build_backbone("efficientnet_lite0", CPU)(batch).numpy()
    assert found.shape == (2, 1280)
    assert np.abs(found - expected).max() < 1e-5


def test_dinov2_is_loaded_as_the_authors_do(shared, tmp_path, monkeypatch):
    golden = np.load(shared / "golden/dinov2_tiny.npz", allow_pickle=False)
    path = tmp_path / "tiny.pth"
    small = partial(timm.create_model, embed_dim=48, depth=2, num_heads=4)
    monkeypatch.setattr(timm, "create_model", small)
    monkeypatch.setattr(backbone, "DINOV2", path)
    weights = {key.removeprefix("weight:"): torch.from_numpy(golden[key]) for key in golden}
    torch.save({key: weights[key] for key in weights if f"weight:{key}" in golden}, path)
    images = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3), np.uint8)
    found = backbone.feature_extractor("dinov2_base", CPU)(list(images))
    batch = normalised(images, "dinov2_base")
    vit = small("vit_base_patch14_dinov2.lvd142m", num_classes=0, img_size=224)
    network = backbone.load_dinov2(vit, path).eval()
    with torch.inference_mode():
        of_batch, expected = (
            backbone.class_and_patches(network, images).numpy()
            for images in (batch, torch.from_numpy(golden["input"]))
        )
    assert np.abs(found - of_batch).max() < 1e-5
    assert np.abs(expected - golden["features"]).max() < 1e-5


def test_weights_that_miss_are_an_error(tmp_path, monkeypatch):
    path = tmp_path / "none.pth"
    monkeypatch.setattr(backbone, "DINOV2", path)
    with pytest.raises(InputError, match=r"none.pth: no such file.*models.sh dinov2"):
        backbone.feature_extractor("dinov2_base", CPU)
