"""training.py as users of the published program know it: its constants, its folder of results."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import training
from classifier import save_linear
from dataset import find_csv
from published_members import LinearClassifier, Origin

# As it stands at the top of the published training.py, but for comments.
PUBLISHED_BLOCK = """
ROOT_DATA_DIR = Path("../../Datasets/Images4TrainClassifier")
CSV_DIR = Path("../../Datasets/Images4TrainClassifier")
DATA_FILE = CSV_DIR / "List" / "butterfly_anomaly_AF.csv"
IMG_DIR = ROOT_DATA_DIR / "Images"
CLF_SAVE_DIR = Path("../submission/dino2B_contestAF_1024linear2cls")
CTN_SAVE_DIR = Path("../submission/dino2B_contestAF_1024linear2cls")
"""


def test_the_published_block_is_relative_to_its_file(repository, submission, tmp_path, monkeypatch):
    """Wherever the program is started; the options are relative to the working directory."""
    code = re.sub("  #.*", "", Path(training.__file__).read_text())
    assert PUBLISHED_BLOCK in code
    data = repository / "Datasets/Images4TrainClassifier"
    places = {"ROOT_DATA_DIR": data, "CSV_DIR": data, "IMG_DIR": data / "Images"}
    places |= {"DATA_FILE": data / "List/butterfly_anomaly_AF.csv"}
    places |= {"CLF_SAVE_DIR": submission, "CTN_SAVE_DIR": submission}
    monkeypatch.chdir(tmp_path)

    def differ(*arguments: str) -> dict[str, str]:
        monkeypatch.setattr(sys, "argv", ["training.py", *arguments])
        found = vars(training.parse_arguments())
        return {name: str(found[name]) for name in places if found[name] != places[name]}

    assert differ() == {}
    other = {"ROOT_DATA_DIR": "o", "CSV_DIR": "o", "IMG_DIR": "o/Images"}
    file = "o/List/butterfly_anomaly_AF.csv"
    assert differ("--ROOT_DATA_DIR", "o") == other | {"DATA_FILE": file}
    assert differ("--CSV_DIR", "o") == {"CSV_DIR": "o", "DATA_FILE": file}
    assert differ("--ROOT_DATA_DIR", "o", "--IMG_DIR", ".", "--DATA_FILE", "a.csv") == {
        **{"ROOT_DATA_DIR": "o", "CSV_DIR": "o", "IMG_DIR": "o", "DATA_FILE": "a.csv"},
    }


def test_a_csv_is_looked_for_in_the_lists_and_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root, bare = tmp_path / "data", Path("a.csv")

    def there(name: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    with pytest.raises(FileNotFoundError, match=r"data/List/a\.csv and .*/Lists/a\.csv and .*"):
        find_csv(root, bare)
    there("A.csv")
    with pytest.raises(FileNotFoundError, match=r", but 'A\.csv' is there"):
        find_csv(root, bare)
    for name in ("a.csv", "data/a.csv", "data/Lists/a.csv", "data/List/a.csv"):
        there(name)  # the last comes first
        assert find_csv(root, bare).absolute() == tmp_path / name
    there("other/Lists/b.csv")
    for folder in ("List", "Lists"):
        assert find_csv(root, Path("other", folder, "b.csv")) == Path("other/Lists/b.csv")


def test_training_keeps_published_classifiers(train, world, tmp_path):
    """Those of its own it replaces."""
    world.features = {name: np.tile(row, 10) for name, row in world.features.items()}
    save_linear(LinearClassifier(1280).state_dict(), Origin("efficientnet_lite0"), tmp_path / "l")
    folder = tmp_path / "classifiers"
    for kept in ("published", "published1"):
        folder.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "l", folder / "clf1024.pth")
        done = train(world.root, "--evaluate")
        assert done.returncode == 0
        assert f"that were in {folder} are kept in {folder / kept}" in done.stderr
        assert (folder / kept / "clf1024.pth").read_bytes() == (tmp_path / "l").read_bytes()
        assert "kept" not in train(world.root, "--evaluate").stderr
    assert len(list(folder.glob("published*"))) == 2
    assert (folder / "clf1024.pth").read_bytes() != (tmp_path / "l").read_bytes()
