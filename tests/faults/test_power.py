"""A power cut: what is reported as done is on the disk before it takes its name.

A file that takes its name before its bytes are synced can be empty after a power cut, and a name
that is not synced can be gone. The order of the calls is recorded; what a disk makes of them is
its own affair.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import extract_edges
import ingestion
import numpy as np
import pytest
import torch
from common import files as scripts
from feature_cache import FeatureCache
from journal import FOLDER, SCORED, Journal
from util import checkpoint, lock
from util.background import Background
from util.html import write_page
from util.report import Report
from util.results import Results


@pytest.fixture
def calls(monkeypatch) -> Iterator[list[tuple[str, str]]]:
    """The names of files and folders that are synced, moved into place or removed, in order."""
    recorded = []

    def record(name: str, kind: str, place_of: Callable[..., object]) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **options: object) -> object:
            place = Path(place_of(*arguments)).name
            recorded.append((kind, "part" if ".part" in place else place))
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    record("fsync", "sync", lambda handle: Path(f"/proc/self/fd/{handle}").readlink())
    record("replace", "move to", lambda source, target: target)
    record("unlink", "remove", lambda path, **_: path)
    record("rmdir", "remove", lambda path, **_: path)
    yield recorded


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def test_a_checkpoint(tmp_path, calls):
    checkpoint.save({"w": torch.zeros(3)}, tmp_path / "new/AF/resume.pth")
    kept = [("sync", "part"), ("move to", "resume.pth"), ("sync", "AF")]
    made = [("sync", tmp_path.name), ("sync", "new")]  # the names of both folders
    assert [call for call in calls if call[0] != "remove"] == made + kept
    calls.clear()
    checkpoint.save({"w": torch.zeros(3)}, tmp_path / "new/AF/resume.pth")
    assert [call for call in calls if call[0] != "remove"] == kept


def test_the_folder_of_a_training(tmp_path, calls):
    with lock.held(tmp_path / "new/AF"):
        assert calls == [("sync", tmp_path.name), ("sync", "new")]


def test_a_journal_and_what_takes_its_place(tmp_path, calls, monkeypatch):
    output = tmp_path / "new/out"
    with Journal(output, {}) as journal:
        synced = [place for kind, place in calls if kind == "sync"]
        assert synced[:3] == [tmp_path.name, "new", "out"]  # the names of the folders it made
        assert synced[3:] == ["0_of_1.jsonl", FOLDER]  # its first line, its name
        calls.clear()
        journal.write([{"name": "a.jpg"}])
        assert calls == [("sync", "0_of_1.jsonl")]
        calls.clear()
        monkeypatch.setattr(journal, "places", lambda images: {"known": np.array([SCORED])})
        monkeypatch.setattr(journal, "outcomes", lambda images: iter(()))
        options = SimpleNamespace(output_dir=output, details=True, threshold=0.5, report=False)
        ingestion.write_output(SimpleNamespace(), [None], journal, options, None)
    kept = [call for call in calls if call != ("remove", "part")]
    assert kept[:6] == [
        *(("sync", "part"), ("move to", "predictions.txt")),
        *(("sync", "part"), ("move to", "details.csv")),
        *(("sync", "out"), ("remove", "0_of_1.jsonl")),
    ]


def test_a_batch_of_features(tmp_path, calls):
    """SQLite syncs the index itself, when it ends the transaction that names them."""
    cache = FeatureCache(tmp_path / "new/w.sqlite", 4)
    assert calls == [("sync", tmp_path.name)]
    calls.clear()
    cache.put(["image"], np.zeros((1, 4), np.float32))
    assert calls == [("sync", "w.f32")]


def test_what_is_quickly_made_again_is_not_synced(tmp_path, calls):
    picture = np.zeros((8, 8, 3), np.uint8)
    extract_edges.write_edges(tmp_path / "edges.png", picture[..., 0], "dark_on_white", "note")
    name = "AF_8_9_gen00000.png"
    results = Results(tmp_path, "list", {name: ("a", "b")}, {"checkpoint": "1f"}, 8, True)
    results.begin(overwrite=False)
    results.write(name, [picture] * 4)
    write_page(tmp_path / "page.html", "title", ["a"], [])
    with scripts.atomic(tmp_path / "list.txt") as part:
        part.write_text("a line\n")
    moved = {place for kind, place in calls if kind == "move to"}
    assert moved == {"edges.png", "00000.jpg", name, "painted.json", "page.html", "list.txt"}
    assert "sync" not in {kind for kind, _ in calls}


def test_samples_are_written_before_the_state_that_comes_after_them():
    """The training goes on from that state: samples of before are never shown again."""
    report = Report.__new__(Report)
    report.unread = deque()
    written = []

    def show() -> None:
        time.sleep(0.1)
        written.append("samples")

    with Background(1, 4) as report.background:
        report.background.submit(show)
        report.read_all()
        assert written == ["samples"]
