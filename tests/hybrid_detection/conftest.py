"""Small worlds for the tests of HybridDetection: a data set, a pair of trained classifiers."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import plots
import pytest
import training
from data_utils import COLUMNS
from painted import SOURCES
from worlds import write_table


@pytest.fixture
def submission(repository) -> Path:
    return repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"


@pytest.fixture
def dataset(tmp_path, draw) -> Path:
    """Images4TrainClassifier with 12 hybrids (orange) and 14 non-hybrids (blue)."""
    root = tmp_path / "Images4TrainClassifier"
    kinds = {"hybrid": (12, (220, 120, 30)), "non-hybrid": (14, (40, 60, 200))}
    names = [f"{kind}_{i:02d}.png" for kind, (count, _) in kinds.items() for i in range(count)]
    for name in names:
        kind = name.rpartition("_")[0]
        draw(root / "Images" / kind / name, kinds[kind][1])
    table = root / "List/butterfly_anomaly_AF.csv"
    write_table(table, names, 12)
    table.write_text(table.read_text().replace(",9.0,,,", ",8.0,,,"))  # one subspecies, for speed
    return root


@pytest.fixture
def call(monkeypatch, caplog, capfd):
    """Run a program's `main` with arguments, in this process for speed; what it logs, too, stands
    in its stderr."""

    def run_main(main: Callable[[], int], *arguments: object) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["program.py", *map(str, arguments)])
        caplog.clear()
        caplog.set_level("INFO")
        capfd.readouterr()
        try:
            status = main()
        except SystemExit as stopped:
            status = stopped.code
        out, err = capfd.readouterr()
        return CompletedProcess([], status, out, caplog.text + err)

    return run_main


@pytest.fixture
def train(tmp_path, monkeypatch, call):
    """Run training.py on a data set with the light backbone.

    Drawing the plots takes most of the time, so they are empty files.
    """

    def run_training(root: Path, *arguments: object, save: str = "classifiers"):
        monkeypatch.setattr(plots, "save", lambda figure, path: path.touch())
        usual = ["--ROOT_DATA_DIR", root, "--CLF_SAVE_DIR", tmp_path / save, "--NEPOCH", 3]
        usual += ["--CACHE_DIR", tmp_path / "cache", "--backbone", "efficientnet_lite0"]
        return call(training.main, *usual, "--DEVICE", "cpu", "--WORKERS", 0, *arguments)

    return run_training


@dataclass
class World:
    """A made-up data set: `features` stand for what networks find in the images."""

    root: Path
    rows: list[dict[str, str]]
    features: dict[str, np.ndarray]
    looks: tuple = ()  # of which features were asked

    @property
    def csv(self) -> Path:
        return self.root / "List/butterfly_anomaly_AF.csv"

    def write(self, columns: list[str]) -> None:
        pd.DataFrame(self.rows, columns=columns).to_csv(self.csv, index=False)


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """60 photographs that say nothing about their class, and two paintings of each.

    A painting looks like its structure and is of its class, as is its reference: who knows the
    structure knows the class, and nobody else does. The non-hybrids are of two subspecies.
    """
    draw = np.random.default_rng(0)
    world = World(tmp_path / "Images4TrainClassifier", [], {})

    def add(name: str, status: str, feature: np.ndarray, **cells: str) -> None:
        world.features[name] = feature.astype(np.float32)
        path = world.root / "Images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        world.rows.append({"filename": name, "hybrid_stat": status, "split": "train"} | cells)

    lists = {name: [] for name in ("test_nonhybrid", "test_signalhybrid")}
    for status, i, j in [("hybrid", "9", "8"), ("non-hybrid", "8", "8")]:
        lines = lists["test_nonhybrid" if i == j else "test_signalhybrid"]
        photographs = [f"{status}{number:03d}.jpg" for number in range(30)]
        looks = {name: draw.normal(size=128) for name in photographs}
        parents = {} if i == j else {"parent_subspecies_1": "8.0", "parent_subspecies_2": "9.0"}
        for number, name in enumerate(photographs):
            kind = "" if parents else "8.0" if number % 3 else "9.0"
            shift = (6 if kind == "9.0" else 0) * (np.arange(128) == 0)
            add(name, status, looks[name] + shift, subspecies=kind, **parents)
        for name in photographs * 2:
            reference = str(draw.choice(photographs))
            cells = {"subspecies": f"{i}_{j}", "structure": name, "reference": reference}
            cells |= {"parent_subspecies_1": i, "parent_subspecies_2": j}
            look = looks[name] + 0.1 * draw.normal(size=128)
            add(f"AF_{i}_{j}_gen{len(lines):05d}.png", status, look, **cells)
            edges = f"Images/{i}/train/pidinet_edges/{Path(name).stem}.png"
            lines.append((edges, f"Images/{j}/train/good/{reference}"))
    for name, lines in lists.items():
        folder = tmp_path / "Images4TrainAFnonhybrid/List" / name
        folder.mkdir(parents=True)
        for kind, column in zip(("edges", "color_ref"), zip(*lines, strict=True), strict=True):
            (folder / f"test_{kind}.txt").write_text("\n".join(column) + "\n")
    draw.shuffle(world.rows)
    world.csv.parent.mkdir()
    world.write([*COLUMNS, *SOURCES])

    def extract_features(paths, looks, *_):
        world.looks = list(looks)
        rows = np.stack([world.features[path.name] for path in paths])
        return [np.tile(rows[named], 1 + len(look.changes)) for look, named in looks.items()], {}

    monkeypatch.setattr(training, "extract_features", extract_features)
    return world
