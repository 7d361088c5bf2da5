"""Collections: shards and stages without Ray, and the program on a Ray of its own."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model import Model
from pictures import load_pictures
from PIL import Image
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
    folder = tmp_path / "classifiers"
    folder.mkdir()
    write_third(write_pair(folder), stored)
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """22 photographs in two folders, and one file that is none."""
    folder = tmp_path / "photos"
    draw_photos(folder / "a", 8)
    draw_photos(folder / "b", 14, (140, 130))
    (folder / "a/S004.jpg").write_text("no image")
    return folder


@pytest.fixture
def score(monkeypatch, capsys, classifiers):
    """Run the program with its stages one after another in place of Ray."""

    def one_by_one(sources, options):
        scorer = stages.Scorer(options)
        for row in stages.decode({"item": sources}, options.preprocess):
            scorer(row)

    monkeypatch.setattr(score_collection, "score", one_by_one)

    def run_program(*arguments: object) -> tuple[int, str]:
        command = ["score.py", "--device", "cpu", "--classifiers", classifiers, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        capsys.readouterr()
        status = score_collection.main()
        output = capsys.readouterr()
        return status, output.out + output.err

    return run_program


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
            assert row["error"] == said and "not a readable image" in said
            continue
        assert (row["score"], row["error"]) == (said.score, None)
        assert {name: row[name] for name in said.members} == said.members
        pair = said.parents
        assert (row["parent_1"], row["share_1"]) == (pair.first, pair.share)
        assert (row["parent_2"], row["share_2"]) == (pair.second, 1 - pair.share)
        assert (row["parents"], row["certainty"]) == (str(pair), pair.certainty)


def test_a_folder_resume_and_other_settings(score, photos, classifiers, tmp_path):
    output = tmp_path / "scores"
    command = ("--input", photos, "--output", output, "--shard", 8, "--batch_size", 4)
    status, said = score(*command)
    assert status == 1
    assert "collection: scored 22 images with efficientnet_lite0 (sgd, linear, subspecies)" in said
    assert "1 image could not be scored" in said
    files = sorted(output.glob("*.parquet"))
    assert sorted(parquet.read_metadata(path).num_rows for path in files) == [7, 8, 8]
    assert sorted(path.stem[-9:] for path in files) == ["000000000", "000000008", "000000016"]
    expected = expected_of(photos, classifiers, 4)
    check(parquet.read_table(output).to_pylist(), expected)

    kept = [files[0].read_bytes(), files[0].stat().st_mtime_ns]
    files[1].unlink()
    status, said = score(*command)
    assert status == 1  # the image of a finished shard is still counted
    assert "going on; 2 files are there" in said and "scored 22 images" in said
    assert [files[0].read_bytes(), files[0].stat().st_mtime_ns] == kept
    check(parquet.read_table(output).to_pylist(), expected)

    for more, message in [
        (("--features",), "features was False and is now True. Repeat that, or choose another"),
        (("--members", "sgd"), "members was ['sgd', 'linear', 'subspecies'] and is now ['sgd']"),
        (("--shard", 9), "images in a shard was 8 and is now 9"),
        (("--input", photos / "a"), "not of the images that --input holds now"),
    ]:
        status, said = score(*command, *more)
        assert (status, message in said) == (1, True), said
    (output / "_settings.json").unlink()
    status, said = score(*command)
    assert (status, "holds Parquet files of unknown settings" in said) == (1, True)
    with pytest.raises(SystemExit):
        score("--input", photos, "--output", photos / "scores")


def test_shards_that_could_not_be_made_are_counted(monkeypatch, score, photos, tmp_path):
    monkeypatch.setattr(score_collection, "score", lambda *_: None)
    status, said = score("--input", photos, "--output", tmp_path / "scores", "--shard", 10)
    assert status == 1
    assert f"23 images could not be made, the first from {photos / 'a/S000.png'}; the same" in said


def test_features_are_those_of_the_backbone(score, photos, classifiers, tmp_path):
    score("--input", photos, "--output", tmp_path / "scores", "--features", "--members", "sgd")
    table = parquet.read_table(tmp_path / "scores")
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32(), 1280)
    row = table.to_pylist()[0]
    detector = Model(None, "cpu", classifiers, ["sgd"])
    detector.load()
    (batch,) = load_pictures([photos / row["identifier"]], "photograph", 1, 0)
    expected = detector.extract(batch.pictures)[0].numpy()
    np.testing.assert_allclose(row["features"], expected, atol=1e-4)
    assert (row["linear"], row["subspecies"], row["parents"]) == (None, None, None)


def test_tables_as_the_downloader_writes_them(score, photos, classifiers, tmp_path):
    """A folder a server, pixels in blue, green, red, one row group; and tables without images."""
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    for server, part in enumerate((names[:15], names[15:])):
        path = tmp_path / f"tables/server_name={server}/successes.parquet"
        path.parent.mkdir(parents=True)
        pixels = [np.asarray(Image.open(photos / name))[..., ::-1] for name in part]
        columns = {
            "uuid": part,
            "identifier": [f"https://example.org/{name}" for name in part],
            "original_size": [[4000, 3000]] * len(part),
            "resized_size": [list(array.shape[:2]) for array in pixels],
            "image": [array.tobytes() for array in pixels],
        }
        parquet.write_table(pyarrow.table(columns), path)
        errors = pyarrow.table({"uuid": ["lost"], "error_code": [404]})
        parquet.write_table(errors, path.with_name("errors.parquet"))
    output = tmp_path / "scores"
    status, said = score("--input", tmp_path / "tables", "--output", output, "--shard", 4)
    assert (status, "scored 22 images" in said) == (0, True)
    assert len(list(output.glob("*.parquet"))) == 4 + 2
    rows = {row["identifier"]: row for row in parquet.read_table(output).to_pylist()}
    assert sorted(rows) == names
    expected = expected_of(photos, classifiers, 4)
    for name, row in rows.items():
        assert row["score"] == pytest.approx(expected[name].score, abs=2e-6)


def test_encoded_images_and_bad_cells(score, tmp_path):
    good = io.BytesIO()
    Image.new("RGB", (30, 20), "orange").save(good, "JPEG")
    cells = [good.getvalue(), None, b"", b"no image", good.getvalue()[:300]]
    table = pyarrow.table({"identifier": list("abcde"), "image": cells})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    status, said = score("--input", tmp_path / "in.parquet", "--output", tmp_path / "scores")
    assert (status, "4 images could not be scored" in said) == (1, True)
    rows = parquet.read_table(tmp_path / "scores").to_pylist()
    assert [row["score"] is None for row in rows] == [False, True, True, True, True]
    assert [row["identifier"] for row in rows] == list("abcde")
    assert rows[1]["error"] == "b: the cell is empty"


def test_pixels_over_the_bound_are_no_image(monkeypatch):
    monkeypatch.setattr(stages, "MAX_PIXELS", 5)
    with pytest.raises(stages.ImageError, match="x: not a readable image"):
        stages.open_cell(pyarrow.py_buffer(bytes(18)), [[2, 3]], "x")
    image = stages.open_cell(pyarrow.py_buffer(bytes([1, 2, 3] * 4)), [None, [2, 2]], "x")
    assert (image.size, image.getpixel((0, 0))) == ((2, 2), (3, 2, 1))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no images"),
        ({"b.png": b"", "a.parquet": b""}, r"holds images and Parquet files, such as .*a\.parquet"),
        ({"a.parquet": b"PAR1 and no more"}, r"a\.parquet: not a readable Parquet file"),
        ({"a.parquet": {"uuid": ["a"], "image": ["text"]}}, r"has uuid .*, image \(string\); exp"),
        ({"a.parquet": {"name": ["a"], "image": [b""]}}, "has name .* and one of uuid, identifier"),
        ({"a.parquet": {"uuid": ["a"]}}, "no Parquet rows with image"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path, files, message):
    for name, content in files.items():
        if isinstance(content, dict):
            parquet.write_table(pyarrow.table(content), tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        score_collection.find_sources(tmp_path, 4)
    with pytest.raises(ValueError, match="no such folder or Parquet file"):
        score_collection.find_sources(tmp_path / "none", 4)


def test_row_groups_are_cut_into_shards(tmp_path):
    """One task reads a row group, however large; a shard's name counts rows of the whole file."""
    table = pyarrow.table({"uuid": [str(i) for i in range(12)], "image": [b""] * 12})
    parquet.write_table(table, tmp_path / "my table, 2.parquet", row_group_size=6)
    sources = score_collection.find_sources(tmp_path / "my table, 2.parquet", 4)
    assert [source.group for source in sources] == [0, 1]
    ranges = [list(source.shards.values()) for source in sources]
    assert ranges == [[range(4), range(4, 6)]] * 2
    names = [file for source in sources for file in source.shards]
    assert [name[-17:] for name in names] == [f"{first:09d}.parquet" for first in (0, 4, 6, 10)]
    assert len({name[:-17] for name in names}) == 1 and names[0].startswith("my-table-2-")
    (tmp_path / "out").mkdir()
    for name in (names[0], names[3], f".{names[1]}"):  # that is being written
        (tmp_path / "out" / name).touch()
    rest = score_collection.left_to_do(sources, tmp_path / "out")
    assert [file for source in rest for file in source.shards] == names[1:3]


@pytest.mark.parametrize(
    ("actors", "device", "gpus", "expected"),
    [
        (None, None, 8, (8, 1)),
        (3, "cuda", 8, (3, 1)),
        (None, "cpu", 8, (4, 0)),
        (None, None, 0, (4, 0)),
        (2, None, 0, (2, 0)),
    ],
)
def test_an_actor_a_gpu_or_one_a_processor(actors, device, gpus, expected):
    options = SimpleNamespace(actors=actors, device=device)
    assert score_collection.choose_actors(options, gpus, cores=4) == expected


@pytest.fixture
def one_thread():
    """Torch computes with as many as in an actor: others move a seventh digit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kill", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_ray_of_two_actors_and_one_that_is_killed(
    repository, photos, classifiers, tmp_path, kill, one_thread
):
    """The program as a user runs it; one of its actors is killed once a shard is there."""
    output = tmp_path / "scores"
    command = [
        *(sys.executable, repository / "scripts/score_collection.py"),
        *("--input", photos, "--output", output, "--classifiers", classifiers),
        *("--shard", "1", "--actors", "2", "--device", "cpu"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(list(map(str, command)), env=environment, **pipes) as program:
        killed = not kill
        while program.poll() is None and not killed:
            time.sleep(0.05)
            actors = scoring_actors(program.pid) if any(output.glob("*.parquet")) else []
            if actors:
                os.kill(actors[0], signal.SIGKILL)
                killed = True
        said, _ = program.communicate(timeout=600)
    assert killed, said
    assert program.returncode == 1 and "scored 22 images" in said, said
    check(parquet.read_table(output).to_pylist(), expected_of(photos, classifiers, 1))


def scoring_actors(ancestor: int) -> list[int]:
    """The processes below `ancestor` that score."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    below = {ancestor}
    for _ in range(4):  # generations
        below |= {int(pid) for pid, parent, *_ in rows if int(parent) in below}
    return [int(pid) for pid, _, *args in rows if int(pid) in below and "Scorer" in "".join(args)]
