"""model.py: what it computes, compared with plain re-implementations and published numbers."""

import shutil
import struct

import backbones
import cutout
import files
import model
import numpy as np
import pictures
import pytest
import timm
import torch
import weights
import wings
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torchvision import transforms

CPU = torch.device("cpu")


# ---- preprocessing ------------------------------------------------------------------------------


IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("size", [(90, 131), (600, 410)])
@pytest.mark.parametrize(
    ("backbone", "mean", "std"),
    [("dinov2_base", *IMAGENET), ("efficientnet_lite0", [0.5] * 3, [0.5] * 3)],
)
def test_rgb_gets_the_published_preprocessing(backbone, mean, std, size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    picture = np.asarray(backbones.make_picture("photograph")(image))
    result = backbones.normalise(torch.from_numpy(np.stack([picture] * 2)), backbone)
    published = [transforms.Resize((224, 224)), transforms.ToTensor()]
    published.append(transforms.Normalize(mean, std))
    assert torch.equal(result, torch.stack([transforms.Compose(published)(image)] * 2))


# ---- backbones ----------------------------------------------------------------------------------


def tiny_vit() -> torch.nn.Module:
    options = {"img_size": 224, "patch_size": 14, "embed_dim": 48, "depth": 2, "num_heads": 4}
    vit = timm.models.vision_transformer.VisionTransformer
    return vit(**options, init_values=1e-5, num_classes=0)


def official_weights() -> dict[str, torch.Tensor]:
    """Values drawn from a seed, as dinov2_vitb14_pretrain.pth has them for the tiny network."""
    shapes = {name: tuple(value.shape) for name, value in tiny_vit().state_dict().items()}
    shapes |= {"pos_embed": (1, 1 + 37 * 37, 48), "mask_token": (1, 48)}
    scale = {"patch_embed.proj.weight": 0.04, "pos_embed": 0.5}
    rng = np.random.default_rng(0)
    return {
        name: torch.from_numpy(scale.get(name, 48**-0.5) * rng.standard_normal(shape, np.float32))
        for name, shape in sorted(shapes.items())
    }


def dinov2_features(state: dict[str, torch.Tensor], images: np.ndarray) -> np.ndarray:
    network = backbones.DinoV2(tiny_vit()).eval()
    network.load_official(state)
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


def test_dinov2_features_are_known_numbers(tmp_path, monkeypatch):
    """Of weights that lie in Models/backbones, under the official name."""
    official = official_weights()
    images = np.random.default_rng(1).standard_normal((2, 3, 224, 224), np.float32)
    features = dinov2_features(official, images)
    # Class token, then mean of the patches, of the second image.
    assert features[1, :3].tolist() == pytest.approx([0.042426, -0.356577, -0.041830], abs=1e-5)
    assert features[1, 48:51].tolist() == pytest.approx([-0.006233, 0.024905, -0.134001], abs=1e-5)

    (tmp_path / "backbones").mkdir()
    path = tmp_path / "backbones/dinov2_vitb14_pretrain.pth"
    torch.save(official, path)
    monkeypatch.setattr(weights, "MODELS", [tmp_path])
    asked = []
    monkeypatch.setattr(
        timm, "create_model", lambda name, **options: asked.append((name, options)) or tiny_vit()
    )
    network = backbones.build_backbone("dinov2_base", CPU)
    assert asked == [("vit_base_patch14_dinov2.lvd142m", {"num_classes": 0, "img_size": 224})]
    assert np.array_equal(network(torch.from_numpy(images)).numpy(), features)
    for shape in [(8,), (1, 1 + 37 * 36, 48), (2, 1 + 37 * 37, 48)]:
        torch.save(official | {"pos_embed": torch.zeros(shape)}, path)
        with pytest.raises(ValueError, match=r"pretrain\.pth: does not fit the network"):
            backbones.build_backbone("dinov2_base", CPU)


def as_transformers_has_it(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As `Dinov2Model.state_dict()` names them."""
    names = {
        "cls_token": "embeddings.cls_token",
        "mask_token": "embeddings.mask_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    state = {names[name]: value for name, value in official.items() if name in names}
    for block in (0, 1):
        old, new = f"blocks.{block}.", f"encoder.layer.{block}."
        state[f"{new}layer_scale1.lambda1"] = official[f"{old}ls1.gamma"]
        state[f"{new}layer_scale2.lambda1"] = official[f"{old}ls2.gamma"]
        for kind in ("weight", "bias"):
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"{new}{part}.{kind}"] = official[f"{old}{part}.{kind}"]
            state[f"{new}attention.output.dense.{kind}"] = official[f"{old}attn.proj.{kind}"]
            thirds = official[f"{old}attn.qkv.{kind}"].chunk(3)
            for part, third in zip(("query", "key", "value"), thirds, strict=True):
                state[f"{new}attention.attention.{part}.{kind}"] = third.clone()
    assert sum(map(torch.numel, state.values())) == sum(map(torch.numel, official.values()))
    return state


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_what_transformers_fetched_gives_the_same_features(tmp_path, monkeypatch, file):
    """It comes after Models/backbones, and a copy under the official name is read, too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "MODELS", [tmp_path / "Models"])
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: tiny_vit())
    official, cached = official_weights(), tmp_path / "models--facebook--dinov2-base/snapshots/f9e"
    (tmp_path / "Models/backbones").mkdir(parents=True)
    cached.mkdir(parents=True)
    state = as_transformers_has_it(official)
    if file.endswith("tensors"):
        save_file(state, cached / file)
        header = (cached / file).read_bytes()[8:]
        end = header.index(b"}}") + 2
        # Whose length reads as a blank and the beginning of a web page.
        padded = header[:end].ljust(0x3C20) + header[end:].lstrip(b" ")
        (cached / file).write_bytes(struct.pack("<Q", 0x3C20) + padded)
    else:
        torch.save(state, cached / file)
    assert backbones.locate_backbone("dinov2_base") == cached / file
    images = np.random.default_rng(1).standard_normal((2, 3, 224, 224), np.float32)
    expected = dinov2_features(official, images)
    for _ in range(2):
        network = backbones.build_backbone("dinov2_base", CPU)
        assert np.array_equal(network(torch.from_numpy(images)).numpy(), expected)
        copy = shutil.copy(cached / file, tmp_path / "Models/backbones/dinov2_vitb14_pretrain.pth")
        assert backbones.locate_backbone("dinov2_base") == copy
    del state["encoder.layer.1.attention.attention.key.bias"]
    torch.save(state, copy)
    with pytest.raises(ValueError, match=r"pretrain\.pth: does not fit.*layer\.1\..*key\.bias"):
        backbones.build_backbone("dinov2_base", CPU)


def test_dinov2_features_equal_the_official_code(shared):
    golden = np.load(shared / "golden/dinov2_tiny.npz")
    names = [name for name in golden if name.startswith("weight:")]
    state = {name.removeprefix("weight:"): torch.from_numpy(golden[name]) for name in names}
    features = dinov2_features(state, golden["input"])
    assert np.abs(features - golden["features"]).max() < 1e-5


@pytest.mark.parametrize(("size", "seen"), [("0", "daisy"), ("2", "honeycomb")])
def test_efficientnet_knows_imagenet(size, seen):
    """Weights, padding and normalisation fit: what is seen in the heart of a flower."""
    (path,) = backbones.packaged(size)
    network, state = backbones.build_efficientnet(size, path).eval(), weights.read_state_dict(path)
    flower = Image.fromarray(load_sample_image("flower.jpg")).crop((120, 0, 547, 427))
    picture = torch.from_numpy(np.array(backbones.make_picture()(flower))[None])
    features = backbones.extract(network, picture, "efficientnet_lite0", CPU)
    weight, bias = list(state.values())[-2:]
    logits = features @ weight.T + bias
    assert ImageNetInfo().index_to_description(int(logits.argmax())) == seen


@pytest.mark.parametrize(
    ("gpus", "mps", "wanted", "device"),
    [
        (0, False, "cuda:3", "cpu"),
        (0, True, None, "mps"),
        (2, True, None, "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (2, False, "cuda:2", "cuda"),
    ],
)
def test_the_best_device_is_taken(monkeypatch, caplog, gpus, mps, wanted, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert model.choose_device(wanted) == torch.device(device)
    replaced = f"device {wanted} is not available here; using {device}"
    assert (replaced in caplog.text) == (wanted not in (None, device))
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        model.choose_device("gpu")


# ---- --fast -------------------------------------------------------------------------------------


def test_fast_computes_the_backbone_in_bfloat16_of_reduced_photographs(monkeypatch):
    """Where the processor has it; wings, and what is normalised, stay in float32."""

    def load_members(self):
        self.members, self.networks, self.view = {}, [self.backbone, backbones.WINGS], "photograph"

    monkeypatch.setattr(model.Model, "load_members", load_members)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=draw)
    found = []
    for there, fast in ((True, True), (False, True), (True, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda there=there: {"amx_bf16": there})
        detector = model.Model("efficientnet_lite0", "cpu", fast=fast)
        detector.load()
        network, seen_wings = detector.network, detector.wing_network.stages[0].weight
        kind = torch.bfloat16 if there and fast else torch.float32
        assert network.conv_stem.weight.dtype == kind
        assert network.bn1.weight.dtype == seen_wings.dtype == torch.float32
        assert not any(parameter.requires_grad for parameter in network.parameters())
        found.append(detector.extract(noise))
        for view, side in [("photograph", 448), ("cutout", 800), ("photograph+wings", 800)]:
            detector.view = view
            assert detector.smallest_side == (side if fast else None)
    rough, plain, exact = found
    assert torch.equal(plain, exact) and rough.dtype == torch.float32
    assert 1e-4 < (rough - exact).norm() / exact.norm() < 0.1
    assert backbones.has_bfloat16(torch.device("cuda"))


def test_what_is_raised_raises_the_version_of_the_features(monkeypatch):
    monkeypatch.setattr(backbones, "VERSION", 2)
    monkeypatch.setattr(cutout, "VERSION", 3)
    monkeypatch.setattr(wings, "VERSION", 5)
    views = {"photograph": 2, "cutout": 2 * 3, "cutout+wings": 2 * 3 * 5}
    assert {view: backbones.version(view) for view in views} == views


def test_pictures_are_made_of_jpegs_that_are_reduced(tmp_path):
    """As far as is said; test_viewer.py says which sizes these are."""
    path = tmp_path / "a.jpg"
    Image.linear_gradient("L").resize((2000, 1000)).convert("RGB").save(path)
    small = files.open_image(path, 10)
    assert small.size == (250, 125)
    (batch,) = pictures.load_pictures([path], "photograph", 1, 0, smallest_side=10)
    assert np.array_equal(batch.pictures[0], small.resize((224, 224), Image.Resampling.BILINEAR))
