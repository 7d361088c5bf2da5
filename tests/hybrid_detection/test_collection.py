"""Collections: the stages without Ray, and one run of the program on a Ray of its own."""

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import backbones
import collection
import model
import numpy as np
import pytest
import torch
import training
from collection_shards import find_sources
from model import Model
from pictures import load_batches
from PIL import Image
from published_members import LinearClassifier
from sklearn.linear_model import SGDClassifier

pyarrow = pytest.importorskip("pyarrow", reason="needs scripts/setup.sh --with collection")
stages = pytest.importorskip("collection_stages")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def classifiers(tmp_path, stored) -> Path:
    """All three members for the light backbone, with random weights."""
    folder = tmp_path / "classifiers"
    folder.mkdir()
    torch.manual_seed(0)
    linear = LinearClassifier(1280)
    linear.classifier[9].weight.data *= 60
    state = linear.state_dict()
    state._metadata[""] |= {"backbone": "efficientnet_lite0", "training": "1f3c"}
    torch.save(state, folder / "clf1024.pth")
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 1280))
    sgd = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    sgd.coef_ = rng.standard_normal((1, 1280)) / 8
    sgd.backbone_, sgd.training_ = "efficientnet_lite0", "1f3c"
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(sgd))
    training.save_subspecies(stored, folder / "subspecies.npz")
    return folder


@pytest.fixture
def photos(tmp_path, draw) -> Path:
    """22 photographs in two folders, and one file that is none."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(3)
    for index in range(22):
        draw(folder / "ab"[index % 2] / f"{index:02d}.png", tuple(rng.integers(0, 256, 3)))
    (folder / "a/07.jpg").write_text("no image")
    return folder


@pytest.fixture
def score(monkeypatch, capsys, classifiers):
    """Run the program with its stages one after another in place of Ray."""

    def one_by_one(sources, options, detector):
        scorer = stages.Scorer(detector.arguments, options.batch_size, options.features)
        written = {}
        rows = stages.decode_sources({"item": sources}, detector.origin.preprocess)
        for row in rows:
            done = stages.write_shard(scorer(row), options.output).to_pylist()[0]
            written[done["file"]] = collection.Counts(done["images"], done["failed"])
        return written

    monkeypatch.setattr(collection, "score_rest", one_by_one)

    def run_program(*arguments: object) -> tuple[int, str]:
        command = ["collection.py", "--device", "cpu", "--classifiers", classifiers, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        capsys.readouterr()
        status = collection.main()
        output = capsys.readouterr()
        return status, output.out + output.err

    return run_program


def expected_of(photos: Path, classifiers: Path, batch_size: int) -> dict[str, model.Examined]:
    """What ingestion.py's parts say of each image by name, with its place in the batch."""
    detector = Model(None, "cpu", classifiers)
    detector.load()
    paths = sorted(path for path in photos.rglob("*.*g") if path.is_file())
    names = sorted(path.relative_to(photos).as_posix() for path in paths)
    said = {}
    batches = load_batches([photos / name for name in names], detector.transform, batch_size, 0)
    for batch in batches:
        examined = detector.examine(batch.images) if batch.indices else None
        for row, index in enumerate(batch.indices):
            said[names[index]] = (examined, row)
    return said


def check(table: list[dict], said: dict) -> None:
    """Each row is equal, to the bit, to what ingestion's parts say."""
    assert len(table) == 23
    for row in table:
        if row["identifier"] == "a/07.jpg":
            assert row["score"] is None and row["parents"] is None
            assert "not a readable image" in row["error"]
            continue
        examined, place = said[row["identifier"]]
        pair = examined.parents[place]
        assert row["score"] == float(examined.scores[place])
        assert row["error"] is None
        assert {name: row[name] for name in examined.members} == {
            name: float(values[place]) for name, values in examined.members.items()
        }
        assert (row["parent_1"], row["share_1"], row["parent_2"], row["share_2"]) == (
            *(pair.first, pair.share, pair.second),
            1 - pair.share,
        )
        assert (row["parents"], row["certainty"]) == (str(pair), pair.certainty)


def test_a_folder_resume_and_other_settings(score, photos, classifiers, tmp_path):
    output = tmp_path / "scores"
    command = ("--input", photos, "--output", output, "--shard", 8, "--batch_size", 4)
    status, said = score(*command)
    assert status == 1
    assert "collection: scored 22 images with efficientnet_lite0 (sgd, linear, subspecies)" in said
    assert "1 image could not be scored" in said
    files = sorted(output.glob("*.parquet"))
    assert [parquet.read_metadata(path).num_rows for path in files] in (
        [8, 8, 7],
        [8, 7, 8],
        [7, 8, 8],
    )
    check(parquet.read_table(output).to_pylist(), expected_of(photos, classifiers, 4))

    kept = [files[0].read_bytes(), files[0].stat().st_mtime_ns]
    files[1].unlink()
    status, said = score(*command)
    assert status == 1  # the image of a finished shard is still counted
    assert "going on; 2 files are there" in said and "scored 22 images" in said
    assert [files[0].read_bytes(), files[0].stat().st_mtime_ns] == kept
    check(parquet.read_table(output).to_pylist(), expected_of(photos, classifiers, 4))

    status, said = score(*command, "--features")
    assert (status, "features was False and is now True" in said) == (1, True)
    files[1].write_bytes(b"PAR1")
    status, said = score(*command)
    assert (status, f"{files[1]}: damaged" in said) == (1, True)


def test_features_are_those_of_the_backbone(score, photos, classifiers, tmp_path):
    score("--input", photos, "--output", tmp_path / "scores", "--features", "--members", "sgd")
    table = parquet.read_table(tmp_path / "scores")
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32(), 1280)
    row = table.to_pylist()[0]
    detector = Model(None, "cpu", classifiers, ["sgd"])
    detector.load()
    image = detector.transform(Image.open(photos / row["identifier"]))
    expected = detector.extract(image[None])[0].numpy()
    np.testing.assert_allclose(row["features"], expected, atol=1e-4)
    assert (row["linear"], row["subspecies"], row["parents"]) == (None, None, None)


def write_tables(folder: Path, photos: Path) -> list[str]:
    """As distributed-downloader does: a folder a server, pixels in blue, green, red, one group."""
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    for server, part in enumerate((names[:15], names[15:])):
        path = folder / f"server_name={server}/partition_id=0/successes.parquet"
        path.parent.mkdir(parents=True)
        pixels = [np.asarray(Image.open(photos / name))[..., ::-1] for name in part]
        sizes = [list(array.shape[:2]) for array in pixels]
        columns = {
            "uuid": part,
            "identifier": [f"https://example.org/{name}" for name in part],
            "original_size": [[4000, 3000]] * len(part),
            "resized_size": sizes,
            "image": [array.tobytes() for array in pixels],
        }
        parquet.write_table(pyarrow.table(columns), path)
        errors = pyarrow.table({"uuid": ["lost"], "error_code": [404]})
        parquet.write_table(errors, path.with_name("errors.parquet"))
    return names


def test_tables_as_the_downloader_writes_them(score, photos, classifiers, tmp_path):
    names = write_tables(tmp_path / "tables", photos)
    output = tmp_path / "scores"
    status, said = score("--input", tmp_path / "tables", "--output", output, "--shard", 4)
    assert (status, "scored 22 images" in said) == (0, True)
    assert len(list(output.glob("*.parquet"))) == 4 + 2
    rows = {row["identifier"]: row for row in parquet.read_table(output).to_pylist()}
    assert sorted(rows) == names
    for name, (examined, place) in expected_of(photos, classifiers, 4).items():
        assert rows[name]["score"] == pytest.approx(float(examined.scores[place]), abs=2e-6)


def test_encoded_images_and_bad_cells(score, photos, tmp_path):
    good = io.BytesIO()
    Image.new("RGB", (30, 20), "orange").save(good, "JPEG")
    cells = [good.getvalue(), None, b"", b"no image", good.getvalue()[:300]]
    table = pyarrow.table({"identifier": list("abcde"), "image": cells})
    parquet.write_table(table, tmp_path / "in.parquet")
    status, said = score("--input", tmp_path / "in.parquet", "--output", tmp_path / "scores")
    assert (status, "4 images could not be scored" in said) == (1, True)
    rows = parquet.read_table(tmp_path / "scores").to_pylist()
    assert [row["score"] is None for row in rows] == [False, True, True, True, True]
    assert rows[1]["error"] == "b: the cell is empty"


def test_pixels_over_the_bound_are_no_image(monkeypatch):
    monkeypatch.setattr(stages, "MAX_PIXELS", 5)
    with pytest.raises(stages.ImageError, match="x: not a readable image"):
        stages.open_bytes(pyarrow.py_buffer(bytes(18)), [[2, 3]], "x")
    image = stages.open_bytes(pyarrow.py_buffer(bytes([1, 2, 3] * 4)), [None, [2, 2]], "x")
    assert (image.size, image.getpixel((0, 0))) == ((2, 2), (3, 2, 1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"uuid": ["a"], "image": ["text"]}, "column image is of string, expected binary"),
        ({"name": ["a"], "image": [b""]}, "has the columns name, image, expected one of uuid"),
        ({"uuid": ["a"]}, r"a\.parquet: has no rows with a column image"),
    ],
)
def test_other_tables_are_refused(tmp_path, columns, message):
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        find_sources(tmp_path, 4)


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"a.parquet: not a readable Parquet file"):
        find_sources(tmp_path, 4)


@pytest.mark.parametrize("backbone", ["dinov2_base", "efficientnet_lite0"])
def test_pictures_give_the_transform_to_the_bit(draw, tmp_path, backbone):
    image = Image.open(draw(tmp_path / "a.png"))
    picture = np.asarray(backbones.make_picture("photograph")(image))
    tensor = backbones.normalise(torch.from_numpy(picture.copy())[None], backbone)[0]
    assert torch.equal(tensor, backbones.make_transform(backbone)(image))


def test_the_output_inside_the_input_is_refused(score, photos):
    with pytest.raises(SystemExit):
        score("--input", photos, "--output", photos / "scores")


def test_an_actor_that_is_killed_loses_nothing(repository, photos, classifiers, tmp_path):
    """The program as a user runs it; one of its two actors is killed once a shard is there."""
    pytest.importorskip("ray", reason="needs scripts/setup.sh --with collection")
    output = tmp_path / "scores"
    command = [
        *(sys.executable, repository / "scripts/score_collection.py"),
        *("--input", photos, "--output", output, "--classifiers", classifiers),
        *("--shard", "1", "--actors", "2", "--device", "cpu"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as program:
        killed = False
        while program.poll() is None and not killed:
            time.sleep(0.05)
            actors = scoring_actors(program.pid) if any(output.glob("*.parquet")) else []
            if actors:
                os.kill(actors[0], signal.SIGKILL)
                killed = True
        said, _ = program.communicate(timeout=300)
    assert killed, said
    assert program.returncode == 1 and "scored 22 images" in said, said
    check(parquet.read_table(output).to_pylist(), expected_of(photos, classifiers, 1))


def scoring_actors(ancestor: int) -> list[int]:
    """The processes below `ancestor` that score."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
            names[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue

    def is_below(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == ancestor:
                return True
        return False

    return [process for process, name in names.items() if "Scorer" in name and is_below(process)]


@pytest.mark.parametrize(
    ("actors", "device", "gpus", "expected"),
    [
        (None, None, 8, (8, 1)),
        (None, "cuda", 8, (8, 1)),
        (3, None, 8, (3, 1)),
        (None, "cpu", 8, (4, 0)),
        (None, None, 0, (4, 0)),
        (2, None, 0, (2, 0)),
    ],
)
def test_an_actor_a_gpu_or_one_a_processor(actors, device, gpus, expected):
    options = SimpleNamespace(actors=actors, device=device)
    workers = collection.choose_workers(options, gpus, processors=4)
    assert (workers.actors, workers.gpus_each) == expected


def test_the_store_holds_three_shards_for_each_at_work():
    assert collection.store_size(shard=512, at_work=4) == 3 * 4 * 512 * 224 * 224 * 3
    assert collection.store_size(shard=1, at_work=1) == 100_000_000


def test_shards_that_could_not_be_made_are_counted(monkeypatch, score, photos, tmp_path):
    monkeypatch.setattr(collection, "score_rest", lambda *_: {})
    status, said = score("--input", photos, "--output", tmp_path / "scores", "--shard", 10)
    assert status == 1
    assert (
        f"3 files of 23 images could not be made, the first from {photos / 'a/00.png'}; the same "
        "command tries again" in said
    )


def test_a_missing_package_names_the_remedy(monkeypatch, score, photos, tmp_path):
    def need_ray(*_):
        raise ModuleNotFoundError("No module named 'ray.data'", name="ray.data")

    monkeypatch.setattr(collection, "score_rest", need_ray)
    status, said = score("--input", photos, "--output", tmp_path / "scores")
    assert (status, said) == (
        1,
        "collection: ray is not installed: scripts/setup.sh --with collection\n",
    )
