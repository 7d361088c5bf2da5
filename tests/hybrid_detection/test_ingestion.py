"""ingestion.py and the organisers' protocol, as subprocesses on folders of good and bad files."""

import io
import pickle
import shutil
import struct
import zlib

import ingestion
import numpy as np
import pytest
import torch
import training
from classifier import fit_classifier
from model import LinearClassifier
from PIL import Image


@pytest.fixture
def folder(submission, tmp_path):
    """A copy of the submission folder with classifiers of random weights for the light backbone."""
    folder = tmp_path / "submission"
    shutil.copytree(submission, folder, ignore=shutil.ignore_patterns("*.p*[lth]", "__pycache__"))
    torch.manual_seed(0)
    training.save_linear(
        LinearClassifier(1280).state_dict(), "efficientnet_lite0", folder / "clf1024.pth"
    )
    features = np.random.default_rng(0).standard_normal((30, 1280))
    labels = (features[:, 0] > 0).astype(int)
    classifier = fit_classifier("sgd", features, labels, "efficientnet_lite0")
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(classifier))
    return folder


@pytest.fixture
def ingest(run, folder):
    def run_ingestion(*arguments, **options):
        program = folder / "ingestion.py"
        return run(program, *arguments, "--backbone", "efficientnet_lite0", **options)

    return run_ingestion


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def test_good_and_bad_files(ingest, draw, tmp_path):
    images = tmp_path / "images"
    for name in ("b.png", "a.jpg", "C.PNG"):
        draw(images / name)
    jpeg = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(jpeg, "JPEG")
    draw(images / "a,b.png")
    bad = {
        "truncated.jpg": jpeg.getvalue()[:5000],
        "empty.png": b"",
        "text.jpg": b"this is no picture",
        "bomb.png": bomb(),
    }
    for name, content in bad.items():
        (images / name).write_bytes(content)
    (images / "notes.txt").write_text("not an image, and not named as one")

    done = ingest(images, tmp_path / "out", "--batch_size", 2, "--workers", 2)

    assert done.returncode == 1
    lines = (tmp_path / "out/predictions.txt").read_text().split("\n")
    assert [line.split(",")[0] for line in lines] == ["C.PNG", "a.jpg", "b.png"]
    for line in lines:
        value = line.split(",")[1]
        assert len(value) == len("0.0000")
        assert 0 <= float(value) <= 1
    for name in bad:
        assert done.stderr.count(f"{name}: not a readable image") == 1
    assert "'a,b.png': a comma" in done.stderr
    assert "5 files were left out" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.txt"]


def test_defaults_score_the_samples_beside_the_script(ingest, folder, tmp_path):
    done = ingest(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    samples = sorted(path.name for path in (folder / "ImageSamples").iterdir())
    lines = (folder / "predictions.txt").read_text().split("\n")
    assert len(lines) == 2
    assert [line.split(",")[0] for line in lines] == samples


def test_every_image_mode_is_scored(ingest, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for mode, suffix in [("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg")]:
        Image.new(mode, (30, 30), 1).save(images / f"{mode}.{suffix}")
    Image.fromarray(np.full((30, 30), 40_000, np.uint16)).save(images / "I16.png")
    done = ingest(images, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "predictions.txt").read_text().split("\n")) == 5


def test_a_failed_run_leaves_the_old_predictions(ingest, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    (tmp_path / "predictions.txt").write_text("from before")
    done = ingest(tmp_path / "images", tmp_path)
    assert done.returncode == 1
    assert "none of 1 images can be scored" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "predictions.txt").read_text() == "from before"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "no such folder"),
        ("notes.txt", "holds no images"),
    ],
)
def test_a_folder_that_cannot_be_scored(tmp_path, name, message):
    folder = tmp_path / "images"
    if name:
        folder.mkdir()
        (folder / name).touch()
    with pytest.raises(ValueError, match=message):
        ingestion.find_images(folder)


def test_another_backbones_classifiers_are_refused(run, folder):
    done = run(folder / "ingestion.py", "--backbone", "dinov2_base")
    assert done.returncode == 1
    assert "clf1024.pth was trained on features of efficientnet_lite0" in done.stderr


def test_classifiers_of_another_folder(ingest, folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (folder / "clf1024.pth").rename(tmp_path / "mine/clf1024.pth")
    samples = folder / "ImageSamples"
    done = ingest(samples, tmp_path, "--classifiers", tmp_path / "mine")
    assert done.returncode == 1
    assert f"{tmp_path / 'mine/clf1024.pth'} lies there without sgd_clf.pkl" in done.stderr
    (folder / "sgd_clf.pkl").rename(tmp_path / "mine/sgd_clf.pkl")
    done = ingest(samples, tmp_path, "--classifiers", tmp_path / "mine")
    assert done.returncode == 0, done.stderr


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


def test_the_organisers_protocol_with_dinov2(run, submission, shared, draw, tmp_path):
    """A copied folder, official weights in Models/backbones/, another working directory."""
    folder = tmp_path / "HybridDetection/submission/copied"
    folder.mkdir(parents=True)
    shutil.copy(submission / "model.py", folder)
    shutil.copy(shared / "sgd/sgd_clf_sklearn142.pkl", folder / "sgd_clf.pkl")
    torch.manual_seed(0)
    torch.save(LinearClassifier().state_dict(), folder / "clf1024.pth")
    backbones = tmp_path / "Models/backbones"
    backbones.mkdir(parents=True)
    torch.save(official_dinov2_weights(), backbones / "dinov2_vitb14_pretrain.pth")

    elsewhere = tmp_path / "elsewhere"
    photo = draw(elsewhere / "photo.png", size=(300, 200))
    grey = elsewhere / "grey.png"
    Image.open(photo).convert("L").save(grey)
    done = run("-c", ORGANISERS, folder, photo, grey, photo, cwd=elsewhere)

    assert done.returncode == 0, done.stderr
    scores = [float(line) for line in done.stdout.split()]
    assert len(scores) == 3
    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] == scores[2] != scores[1]


def official_dinov2_weights() -> dict[str, torch.Tensor]:
    """Random values in the key layout and the shapes of dinov2_vitb14_pretrain.pth."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return 0.02 * torch.randn(*shape, generator=generator)

    weights = {
        "cls_token": random(1, 1, 768),
        "pos_embed": random(1, 1370, 768),
        "mask_token": random(1, 768),
        "patch_embed.proj.weight": random(768, 3, 14, 14),
        "patch_embed.proj.bias": random(768),
        "norm.weight": torch.ones(768),
        "norm.bias": random(768),
    }
    for block in range(12):
        layers = {
            "norm1.weight": (768,),
            "norm1.bias": (768,),
            "attn.qkv.weight": (2304, 768),
            "attn.qkv.bias": (2304,),
            "attn.proj.weight": (768, 768),
            "attn.proj.bias": (768,),
            "ls1.gamma": (768,),
            "norm2.weight": (768,),
            "norm2.bias": (768,),
            "mlp.fc1.weight": (3072, 768),
            "mlp.fc1.bias": (3072,),
            "mlp.fc2.weight": (768, 3072),
            "mlp.fc2.bias": (768,),
            "ls2.gamma": (768,),
        }
        weights |= {f"blocks.{block}.{name}": random(*shape) for name, shape in layers.items()}
    return weights
