"""feature_cache.py: nothing is read twice, lost or mixed up, whoever is writing."""

import hashlib
import os
import subprocess
import sys
import time

import feature_cache
import numpy as np
import pytest
from feature_cache import FeatureCache, hash_files


def rows_of(names):
    """Features that tell which image they are of."""
    numbers = np.array(names, np.float32)
    return np.stack([numbers, -numbers, numbers / 8], axis=1)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache/features.sqlite", 3)


def test_each_image_has_its_own_row(cache):
    cache.put(["7", "5", "3"], rows_of(["7", "5", "3"]))
    cache.put(["9", "5"], rows_of(["9", "1"]))  # 5 is there already and stays
    assert cache.known() == {"3", "5", "7", "9"}
    features = cache.read(["3", "9", None, "5", "8", "3"])
    assert features.dtype == np.float32
    assert np.array_equal(features[[0, 1, 3, 5]], rows_of(["3", "9", "5", "3"]))
    assert np.isnan(features[[2, 4]]).all()


WRITER = """
import sys, numpy as np
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from feature_cache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]), 3)
for start in range(0, 60, 3):
    numbers = np.arange(start, start + 3, dtype=np.float32)
    numbers = 59 - numbers if sys.argv[2] == "backwards" else numbers
    names = [str(int(number)) for number in numbers]
    cache.put(names, np.stack([numbers, -numbers, numbers / 8], axis=1))
    print(start, flush=True)
"""


def write_along(cache, way):
    """A process that puts the images 0 to 59, three at a time."""
    command = [sys.executable, "-c", WRITER, cache.path, way, *sys.path]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def test_two_runs_at_once(cache):
    writers = [write_along(cache, way) for way in ("forwards", "backwards")]
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
    names = [str(number) for number in range(60)]
    assert np.array_equal(cache.read(names), rows_of(names))


def test_a_run_that_is_killed_loses_nothing_that_it_put(cache):
    writer = write_along(cache, "forwards")
    for _ in range(4):
        writer.stdout.readline()
    writer.kill()
    last = max([9, *map(int, writer.communicate()[0].split())])
    there = {str(number) for number in range(last + 3)}
    assert cache.known() >= there
    names = [str(number) for number in range(60)]
    cache.put(names, rows_of(names))
    assert np.array_equal(cache.read(names), rows_of(names))


def test_a_damaged_cache_is_named(cache):
    cache.path.parent.mkdir()
    cache.path.write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"features\.sqlite: damaged feature cache .*; delete it"):
        cache.known()
    cache.path.unlink()
    cache.path.mkdir()
    with pytest.raises(OSError, match=r"features\.sqlite: feature cache cannot be used"):
        cache.put(["1"], rows_of(["1"]))


# ---- which image a file holds -------------------------------------------------------------------


def write(path, content, seconds=10.0):
    """A file that was last changed `seconds` ago."""
    path.write_bytes(content)
    when = time.time_ns() - round(seconds * 1e9)
    os.utime(path, ns=(when, when))


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def read(monkeypatch):
    """The contents that are hashed."""
    contents = []

    def counting(content):
        contents.append(content)
        return hashlib.sha256(content)

    monkeypatch.setattr(feature_cache, "hashlib", type("hashlib", (), {"sha256": counting}))
    return contents


def test_unchanged_files_are_read_once_whatever_their_names(tmp_path, read):
    paths = [tmp_path / os.fsdecode(b"%d\xff" % number) for number in range(8)]
    for number, path in enumerate(paths):
        write(path, b"%d" % number)
    asked = [*paths, tmp_path / "none", tmp_path]
    expected = [*(sha(b"%d" % number) for number in range(8)), None, None]
    for _ in range(2):
        assert hash_files(asked, tmp_path / "files.sqlite") == expected
    assert len(read) == 8


def test_a_changed_file_is_read_again(tmp_path, read):
    path, memory = tmp_path / "a", tmp_path / "files.sqlite"
    write(path, b"first", 100)
    hash_files([path], memory)
    write(path, b"other", 50)  # as long
    assert hash_files([path], memory) == [sha(b"other")]
    when = path.stat().st_mtime_ns
    for content, rehash, found in [
        (b"longer", False, b"longer"),
        (b"hidden", False, b"longer"),  # neither size nor time tell
        (b"hidden", True, b"hidden"),
        (b"hidden", False, b"hidden"),
    ]:
        path.write_bytes(content)
        os.utime(path, ns=(when, when))
        assert hash_files([path], memory, rehash) == [sha(found)]
    assert read == [b"first", b"other", b"longer", b"hidden"]


@pytest.mark.parametrize(("seconds", "times"), [(1.0, 2), (3.0, 1)])
def test_a_file_that_just_changed_is_not_remembered(tmp_path, read, seconds, times):
    write(tmp_path / "a", b"first", seconds)
    for _ in range(2):
        hash_files([tmp_path / "a"], tmp_path / "files.sqlite")
    assert len(read) == times
