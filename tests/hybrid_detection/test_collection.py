"""Collections: shards and stages without Ray, and the program on a Ray of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from model import Model
from scoring import Scored, score_images
from worlds import draw_photos, write_pair, write_third

reason = "needs scripts/setup.sh --with collection"
pyarrow = pytest.importorskip("pyarrow", reason=reason)
parquet = pytest.importorskip("pyarrow.parquet", reason=reason)
pytest.importorskip("ray", reason=reason)
score_collection = pytest.importorskip("score_collection")
stages = pytest.importorskip("stages")


@pytest.fixture
def classifiers(tmp_path, stored) -> Path:
    """All three members for the light backbone, with random weights."""
    (tmp_path / "classifiers").mkdir()
    write_third(write_pair(tmp_path / "classifiers"), stored)
    return tmp_path / "classifiers"


@pytest.fixture
def photos(tmp_path) -> Path:
    """22 photographs in two folders, and one file that is none."""
    folder = tmp_path / "photos"
    draw_photos(folder / "a", 8)
    draw_photos(folder / "b", 14, (140, 130))
    for name in ("a/1.HEIC", "notes.txt", "a/Thumbs.db"):
        (folder / name).touch()
    (folder / "a/S004.jpg").write_text("no image")
    return folder


@pytest.fixture
def score(monkeypatch, call, classifiers):
    """Run the program with its stages one after another in place of Ray."""

    def one_by_one(sources, options, view):
        scorer = stages.Scorer(options)
        for row in stages.decode({"item": sources}, view):
            scorer(row)

    monkeypatch.setattr(score_collection, "score", one_by_one)

    def run_program(*arguments: object) -> tuple[int, str]:
        usual = ("--device", "cpu", "--classifiers", classifiers)
        done = call(score_collection.main, *usual, *arguments)
        return done.returncode, done.stdout + done.stderr

    return run_program


@pytest.fixture
def as_an_actor():
    """As many threads as it has: others move a seventh digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def expected_of(photos: Path, classifiers: Path, size: int) -> dict[str, Scored | str]:
    """What ingestion.py's parts say of each image by name, in batches of `size`."""
    detector = Model(None, "cpu", classifiers)
    detector.load()
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*g"))
    parts = [list(range(len(names)))[start : start + size] for start in range(0, len(names), size)]
    batches = score_images(detector, [photos / name for name in names], size, 0, parts)
    return {names[index]: said for batch in batches for index, said in batch.items()}


def check(table: list[dict], expected: dict[str, Scored | str]) -> None:
    """Each row is equal, to the bit, to what ingestion's parts say."""
    assert len(table) == 23
    for row in table:
        said = expected[row["identifier"]]
        if row["identifier"] == "a/S004.jpg":
            assert row["score"] is None and row["parents"] is None
            assert said.endswith(row["error"]) and "a/S004.jpg: not a readable" in row["error"]
            continue
        assert (row["score"], row["error"]) == (said.score, None)
        assert {name: row[name] for name in said.members} == said.members
        pair = said.parents
        assert (row["parent_1"], row["share_1"]) == (pair.first, pair.share)
        assert (row["parent_2"], row["share_2"]) == (pair.second, 1 - pair.share)
        assert (row["parents"], row["certainty"]) == (str(pair), pair.certainty)


def test_a_folder_resume_and_other_settings(monkeypatch, score, photos, classifiers, tmp_path):
    output = tmp_path / "scores"
    command = ("--input", photos, "--output", output, "--shard", 8, "--batch_size", 4)
    with monkeypatch.context() as patch:
        patch.setattr(score_collection, "score", lambda *_: None)
        status, said = score(*command)
    assert (status, "scored 0 images" in said) == (1, True)
    assert "23 images have no file, as it could not be made; the same command tries" in said

    status, said = score(*command)
    assert status == 1
    assert "collection: scored 22 images with efficientnet_lite0 (sgd, linear, subspecies)" in said
    assert "1 image could not be scored" in said and "going on" not in said
    assert "collection: passed over: 1 .HEIC, 1 .txt; save photographs as" in said
    files = sorted(output.glob("*.parquet"))
    assert [path.name[-16:] for path in files] == [f"{n:08d}.parquet" for n in range(3)]
    assert [parquet.read_metadata(path).num_rows for path in files] == [8, 8, 7]
    expected = expected_of(photos, classifiers, 4)
    rows = parquet.read_table(output).to_pylist()
    assert [row["identifier"] for row in rows] == sorted(expected)
    check(rows, expected)

    kept = [files[0].read_bytes(), files[0].stat().st_mtime_ns]
    files[1].unlink()
    status, said = score(*command)
    assert status == 1  # the image of a finished shard is still counted
    assert "going on; 15 images are done" in said and "scored 22 images" in said
    assert [files[0].read_bytes(), files[0].stat().st_mtime_ns] == kept
    check(parquet.read_table(output).to_pylist(), expected)

    for more in (("--members", "sgd"), ("--shard", 9), ("--input", photos / "a")):
        status, said = score(*command, *more)
        assert status == 1, said
        assert f"{files[0]} is of other images, classifiers, --members, --shard or ano" in said
    with monkeypatch.context() as patch:
        patch.setattr(score_collection, "version", lambda _: 0)
        assert "or another version of the programs: repeat" in score(*command)[1]
    assert "going on; 23 images are done" in score(*command)[1]
    (photos / "a").rename(photos / "aa")
    assert "is of other images" in score(*command)[1]
    (photos / "aa").rename(photos / "a")
    os.utime(photos / "a/S003.png", ns=(0, 1))  # replaced in place, by one of the same size
    assert "is of other images" in score(*command)[1]
    status, said = score("--input", photos, "--output", photos / "scores")
    assert status == 2 and "--output must lie outside --input" in said


def test_tables_and_bad_cells(score, photos, classifiers, tmp_path):
    """A folder a server, two row groups, longer than a shard; and tables without images."""
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    for server, part in enumerate((names[:15], names[15:])):
        path = tmp_path / f"tables/server_name={server}/successes.parquet"
        path.parent.mkdir(parents=True)
        cells = [(photos / name).read_bytes() for name in part]
        urls = [f"https://example.org/{name}" for name in part]
        columns = {"uuid": part, "identifier": urls, "image": cells}
        parquet.write_table(pyarrow.table(columns), path, row_group_size=8)
        errors = pyarrow.table({"uuid": ["lost"], "error_code": [404]})
        parquet.write_table(errors, path.with_name("errors.parquet"))
    bad = {"identifier": list("abc"), "image": [None, b"no image", cells[0][:300]]}
    parquet.write_table(pyarrow.table(bad), tmp_path / "tables/bad.parquet")
    output, command = tmp_path / "scores", ("--input", tmp_path / "tables", "--shard", 4)
    status, said = score(*command, "--output", output, "--members", "sgd")
    assert (status, "scored 22 images" in said, "3 images could not" in said) == (1, True, True)
    shards = sorted(output.glob("*.parquet"))
    counts = [parquet.read_metadata(path).num_rows for path in shards]
    assert counts == [3, 4, 4, 4, 3, 4, 3]  # of 3; 8 and 7; 7 images
    rows = parquet.read_table(output).to_pylist()
    assert [row["identifier"] for row in rows] == [*"abc", *names]
    assert [row["score"] is None for row in rows] == [True] * 3 + [False] * 22
    assert rows[0]["error"].startswith("a: not a readable image")
    expected = expected_of(photos, classifiers, 4)
    for row in rows[3:]:
        sgd = pytest.approx(expected[row["identifier"]].members["sgd"], abs=2e-6)
        assert row["sgd"] == row["score"] == sgd
        assert (row["linear"], row["subspecies"], row["parents"]) == (None, None, None)
    for path in (shards[1], shards[3]):  # in the midst of a row group
        path.unlink()
    score(*command, "--output", output, "--members", "sgd")
    assert parquet.read_table(output).to_pylist() == rows


TWICE = pyarrow.table([["a"], [b""], ["a"]], ["uuid", "image", "uuid"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no images"),
        ({"b.png": b"", "a.parquet": b""}, r"holds images and Parquet files, such as .*a\.parquet"),
        ({"a.parquet": b"PAR1 and no more"}, r"a\.parquet: not a readable Parquet file"),
        ({"a.parquet": {"uuid": ["a"], "image": ["text"]}}, r"has uuid .*, image \(string\); exp"),
        ({"a.parquet": {"name": ["a"], "image": [b""]}}, "has name .* and one of uuid, identifier"),
        ({"a.NEF": b"", "b.txt": b""}, r"no images \(.*; passed over: 1 .NEF, 1 .txt; save"),
        ({"a.parquet": TWICE}, r"has uuid .*, image .*, uuid .* and no column twice"),
        (None, "no such folder or Parquet file"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path, files, message):
    for name, content in (files or {}).items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            parquet.write_table(pyarrow.table(content), tmp_path / name)
    with pytest.raises(ValueError, match=message):
        score_collection.find_sources(tmp_path / ("none" if files is None else ""), 4, {})


def test_an_actor_a_gpu_or_one_for_two_processors():
    for actors, device, gpus, expected in [
        *((None, None, 8, (8, 1)), (3, "cuda", 8, (3, 1)), (None, "cpu", 8, (4, 0))),
        *((None, None, 0, (4, 0)), (2, None, 0, (2, 0))),
    ]:
        options = SimpleNamespace(actors=actors, device=device)
        resources = {"CPU": 8.0, "GPU": float(gpus)}
        assert score_collection.choose_actors(options, resources) == expected


@pytest.mark.usefixtures("as_an_actor")
def test_a_ray_of_an_actor(repository, run, photos, classifiers, tmp_path, monkeypatch):
    """The program as a user runs it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    where = ("--input", photos, "--output", tmp_path / "scores", "--classifiers", classifiers)
    how = ("--shard", 8, "--actors", 1, "--device", "cpu")
    done = run(repository / "scripts/score_collection.py", *where, *how)
    assert done.returncode == 1 and "scored 22 images" in done.stdout, done.stderr
    expected = expected_of(photos, classifiers, 8)
    check(parquet.read_table(tmp_path / "scores").to_pylist(), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("as_an_actor")
def test_an_actor_that_is_killed_is_replaced(
    repository, photos, classifiers, tmp_path, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    output = tmp_path / "scores"
    command = [sys.executable, repository / "scripts/score_collection.py", "--device", "cpu"]
    command += ["--input", photos, "--output", output, "--classifiers", classifiers]
    command += ["--shard", 1, "--actors", 2]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(list(map(str, command)), **pipes) as program:
        scoring = []
        while not scoring:
            assert program.poll() is None, "it ended before an actor could be killed"
            time.sleep(0.05)
            scoring = scoring_actors(program.pid) if any(output.glob("*.parquet")) else []
        os.kill(scoring[0], signal.SIGKILL)
        said, _ = program.communicate(timeout=600)
    assert program.returncode == 1 and "scored 22 images" in said, said
    check(parquet.read_table(output).to_pylist(), expected_of(photos, classifiers, 1))


def scoring_actors(ancestor: int) -> list[int]:
    """The processes below `ancestor` that score."""
    listed = subprocess.check_output(["ps", "-eo", "pid=,ppid=,args="], text=True)
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    below = {ancestor}
    for _ in range(4):  # generations
        below |= {int(pid) for pid, parent, *_ in rows if int(parent) in below}
    return [int(pid) for pid, _, *args in rows if int(pid) in below and "Scorer" in "".join(args)]
