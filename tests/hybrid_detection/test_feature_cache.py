"""feature_cache.py: nothing is read twice, lost, mixed up or kept in memory, whoever is writing."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import feature_cache
import numpy as np
import pytest
from feature_cache import FeatureCache, FeatureMatrix, hash_files

WIDTH = 3


def rows_of(names):
    """Features that tell which image they are of."""
    numbers = [int(name) for name in names]
    return np.array([[number, -number, number / 8] for number in numbers], np.float32)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache/features.sqlite", WIDTH)


def test_the_matrix_has_the_rows_that_are_asked_for(cache):
    cache.put(["7", "5", "3"], rows_of(["7", "5", "3"]))
    cache.put(["9", "5"], rows_of(["9", "1"]))  # 5 is there already and stays
    asked = ["3", "9", None, "5", "8", "3"]
    matrix = cache.matrix(asked)
    assert (matrix.shape, matrix.dtype, len(matrix)) == ((6, WIDTH), np.float32, 6)
    assert np.array_equal(matrix.places, [2, 3, -1, 1, -1, 2])
    expected = np.full((6, WIDTH), np.nan, np.float32)
    expected[[0, 1, 3, 5]] = rows_of(["3", "9", "5", "3"])
    for rows in (slice(None), slice(1, 5), [5, 0, 2], np.arange(6) > 2, np.array([], int)):
        assert np.array_equal(matrix[rows], expected[rows], equal_nan=True)
        assert matrix[rows].dtype == np.float32
    assert np.array_equal(np.asarray(matrix), expected, equal_nan=True)
    chosen = matrix.select(np.array([3, 0]))
    assert isinstance(chosen, FeatureMatrix)
    assert np.array_equal(chosen[:], rows_of(["5", "3"]))
    assert feature_cache.select(matrix, np.arange(6) == 1)[:].tolist() == [[9, -9, 9 / 8]]
    assert np.array_equal(feature_cache.select(expected, [0]), expected[[0]])


def test_more_names_than_sqlite_takes_at_once(cache):
    names = [str(number) for number in range(2000)]
    cache.put(names, rows_of(names))
    assert np.array_equal(cache.matrix(names[::-1])[:], rows_of(names[::-1]))


def test_no_map_of_the_file_stays_open(cache):
    """Its pages would count as memory of this process, all 6 GB of a million rows."""
    names = [str(number) for number in range(5)]
    cache.put(names, rows_of(names))
    matrix = cache.matrix(names)
    part = matrix[1:3]
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("needs /proc")
    assert str(cache.rows) not in maps.read_text()
    assert type(part) is np.ndarray
    assert part.base is None or not isinstance(part.base, np.memmap)


def test_rows_that_no_index_names_are_written_over(cache):
    """A run that was killed had written rows and not yet its index."""
    cache.put(["1"], rows_of(["1"]))
    with cache.rows.open("ab") as file:
        file.write(b"\x7f" * 17)
    again = FeatureCache(cache.path, WIDTH)
    again.put(["2", "3"], rows_of(["2", "3"]))
    assert np.array_equal(again.matrix(["1", "2", "3"])[:], rows_of(["1", "2", "3"]))
    assert cache.rows.stat().st_size == 3 * WIDTH * 4


def test_a_failed_write_leaves_the_index_as_it_was(cache, monkeypatch):
    def full(_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            cache.put(["1"], rows_of(["1"]))
    assert cache.places(["1"]).tolist() == [-1]
    cache.put(["2"], rows_of(["2"]))
    assert cache.places(["1", "2"]).tolist() == [-1, 0]


WRITER = """
import sys, numpy as np
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from feature_cache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]), 3)
for start in range(0, 60, 3):
    names = [str(number) for number in range(start, start + 3)]
    if sys.argv[2] == "backwards":
        names = [str(59 - int(name)) for name in names]
    numbers = np.array(names, np.float32)
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
    assert sorted(cache.places(names).tolist()) == list(range(60))
    assert np.array_equal(cache.matrix(names)[:], rows_of(names))
    assert cache.rows.stat().st_size == 60 * WIDTH * 4


def test_a_run_that_is_killed_loses_nothing_that_it_put(cache):
    writer = write_along(cache, "forwards")
    for _ in range(4):
        writer.stdout.readline()
    writer.kill()
    said = writer.communicate()[0].split()
    last = max([9, *map(int, said)])
    names = [str(number) for number in range(60)]
    again = FeatureCache(cache.path, WIDTH)
    there = again.places(names) >= 0
    assert there[: last + 3].all()
    assert np.array_equal(again.matrix(names)[there], rows_of(names)[there])
    again.put(names, rows_of(names))
    assert np.array_equal(again.matrix(names)[:], rows_of(names))


def test_a_damaged_cache_is_named(tmp_path, cache):
    cache.put(["1", "2"], rows_of(["1", "2"]))
    cache.rows.write_bytes(cache.rows.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"features\.f32: damaged .* 23 bytes for 2 rows of 12;"):
        FeatureCache(cache.path, WIDTH)
    bad = tmp_path / "bad.sqlite"
    bad.write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"bad\.sqlite: damaged feature cache .*; delete it"):
        FeatureCache(bad, WIDTH)


# ---- which image a file holds -------------------------------------------------------------------


def age(path, seconds=10.0):
    """Let the file be `seconds` old."""
    when = time.time_ns() - round(seconds * 1e9)
    os.utime(path, ns=(when, when))


def sha(text):
    return hashlib.sha256(text).hexdigest()


@pytest.fixture
def read(monkeypatch):
    """Which files are read."""
    files = []
    hash_file = feature_cache.hash_file

    def counting(path):
        files.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(feature_cache, "hash_file", counting)
    return files


def test_an_unchanged_file_is_read_once(tmp_path, read):
    a, b, missing = (tmp_path / name for name in ("a", "b", "missing"))
    a.write_bytes(b"first")
    b.write_bytes(b"x" * (feature_cache.CHUNK + 1))
    age(a)
    age(b)
    memory = tmp_path / "cache/files.sqlite"
    expected = [sha(b"first"), None, sha(b.read_bytes()), None]
    asked = [a, missing, b, tmp_path]
    assert hash_files(asked, memory) == expected
    assert sorted(read) == ["a", "b"]
    read.clear()
    assert hash_files(asked, memory) == expected
    assert read == []
    assert hash_files([a], memory, rehash=True) == expected[:1]
    assert read == ["a"]


def test_a_changed_file_is_read_again(tmp_path, read):
    path, memory = tmp_path / "a", tmp_path / "files.sqlite"
    path.write_bytes(b"first")
    age(path, 100)
    hash_files([path], memory)
    path.write_bytes(b"other")  # as long
    age(path, 50)
    assert hash_files([path], memory) == [sha(b"other")]
    when = path.stat().st_mtime_ns
    path.write_bytes(b"longer")
    os.utime(path, ns=(when, when))
    assert hash_files([path], memory) == [sha(b"longer")]
    assert len(read) == 3
    path.write_bytes(b"hidden")  # neither size nor time tell
    os.utime(path, ns=(when, when))
    assert hash_files([path], memory) == [sha(b"longer")]
    assert hash_files([path], memory, rehash=True) == [sha(b"hidden")]
    assert hash_files([path], memory) == [sha(b"hidden")]


@pytest.mark.parametrize(("seconds", "times"), [(1.0, 2), (3.0, 1)])
def test_a_file_that_just_changed_is_not_remembered(tmp_path, read, seconds, times):
    path, memory = tmp_path / "a", tmp_path / "files.sqlite"
    path.write_bytes(b"first")
    age(path, seconds)
    hash_files([path], memory)
    hash_files([path], memory)
    assert len(read) == times


def test_any_number_of_files_and_any_name(tmp_path, monkeypatch, read):
    monkeypatch.setattr(feature_cache, "TOGETHER", 3)
    paths = [tmp_path / os.fsdecode(b"%d\xff" % number) for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
        age(path)
    expected = [sha(b"%d" % number) for number in range(8)]
    for _ in range(2):
        assert hash_files(paths, tmp_path / "files.sqlite") == expected
    assert len(read) == 8
