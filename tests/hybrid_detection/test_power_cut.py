"""The members of the ensemble outlive a power cut: the order of the calls is recorded."""

import os
from pathlib import Path

import pytest

MEMBERS = ["clf1024.pth", "sgd_clf.pkl", "subspecies.npz"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_members_are_on_the_disk_before_they_take_their_names(train, kinds, tmp_path, monkeypatch):
    synced: list[Path] = []
    moved: list[Path] = []
    folder = tmp_path / "classifiers"
    fsync, replace = os.fsync, os.replace

    def record_sync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)
        if synced[-1] == folder:
            assert sorted(path.name for path in moved) == MEMBERS

    def record_move(source: Path, target: Path) -> None:
        if Path(target).name in MEMBERS:
            assert Path(source) in synced
            moved.append(Path(target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_move)
    assert train(kinds.root).status == 0
    assert sorted(path.name for path in moved) == MEMBERS
    assert synced.count(folder) == 1
