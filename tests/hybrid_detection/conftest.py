"""Small worlds for the tests of HybridDetection: a data set, a pair of trained classifiers."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import training
from data_utils import COLUMNS


@pytest.fixture
def submission(repository) -> Path:
    return repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"


@pytest.fixture
def dataset(tmp_path, draw) -> Path:
    """Images4TrainClassifier with 12 hybrids (orange) and 14 non-hybrids (blue)."""
    root = tmp_path / "Images4TrainClassifier"
    rows = []
    for status, count, colour in [
        ("hybrid", 12, (220, 120, 30)),
        ("non-hybrid", 14, (40, 60, 200)),
    ]:
        for index in range(count):
            name = f"{status}_{index:02d}.png"
            draw(root / "Images" / status / name, colour)
            rows.append({"filename": name, "hybrid_stat": status, "subspecies": "8.0"})
    path = root / "List/butterfly_anomaly_AF.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return root


@dataclass
class Finished:
    """What a program left: its exit status, and what it logged and printed to stderr."""

    status: int
    errors: str


@pytest.fixture
def train(tmp_path, monkeypatch, caplog, capsys):
    """Run training.py's main on a data set with the light backbone, in this process for speed."""

    def run_training(root: Path, *arguments: object, save: str = "classifiers") -> Finished:
        command = [
            *("training.py", "--ROOT_DATA_DIR", root, "--CLF_SAVE_DIR", tmp_path / save),
            *("--CACHE_DIR", tmp_path / "cache", "--backbone", "efficientnet_lite0"),
            *("--NEPOCH", 3, "--DEVICE", "cpu", "--WORKERS", 0, *arguments),
        ]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        caplog.clear()
        caplog.set_level("INFO")
        status = training.main()
        return Finished(status, caplog.text + capsys.readouterr().err)

    return run_training
