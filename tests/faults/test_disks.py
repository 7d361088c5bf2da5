"""Disks that are full, folders that are read-only, files that vanish, two runs at once."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cut_folder
import extract_edges
import ingestion
import numpy as np
import prepare_images
import pytest
import torch
import training
from common import archives
from common import files as scripts
from common.challenge_csv import COLUMNS, Photo
from cutout import Found
from feature_cache import FeatureCache
from journal import FOLDER, Journal
from PIL import Image
from util import checkpoint, lock
from util.errors import reported
from util.html import write_strip
from util.results import Results
from util.visualizer import LossLog


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


PICTURE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
NAME = "AF_8_9_gen00000.png"


def paint(folder: Path) -> None:
    results = Results(folder, "list", {NAME: ("a", "b")}, {"checkpoint": "1f"}, 64, False)
    results.write(NAME, [PICTURE] * 4)


def write_list(folder: Path) -> None:
    with scripts.atomic(folder / "list.txt") as part:
        part.write_text("a line\n" * 100)


def save_member(folder: Path) -> None:
    with training.atomic(folder / "sgd_clf.pkl") as part:
        training.save_bytes(bytes(9000), part)


def cut_out(folder: Path, name: str) -> None:
    cut_folder.write(folder / name, cut_folder.encoded(PICTURE, Path(name).suffix))


WRITERS: dict[str, Callable[[Path], None]] = {
    "resume.pth": lambda folder: checkpoint.save({"w": torch.rand(900)}, folder / "resume.pth"),
    "sgd_clf.pkl": save_member,
    "edges.png": lambda folder: extract_edges.write_edges(
        folder / "edges.png", PICTURE[..., 0], "dark_on_white", "note"
    ),
    NAME: paint,
    "list.txt": write_list,
    "strip.jpg": lambda folder: write_strip(folder / "strip.jpg", [PICTURE] * 4),
    **{
        f"cutout{suffix}": partial(cut_out, name=f"cutout{suffix}")
        for suffix in (".jpg", ".png", ".tif", ".bmp", ".webp")
    },
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, name):
    WRITERS[name](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert tmp_path / name in before
    room = len(before[tmp_path / name]) - 1
    with full_disk(room), pytest.raises(OSError) as raised:
        WRITERS[name](tmp_path)
    assert str(raised.value) == f"[Errno 27] File too large: '{tmp_path / name}'"
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_error_of_the_disk_alone_is_given_a_name(tmp_path):
    path = tmp_path / "list.txt"
    with pytest.raises(OSError, match=r"^told by a library$"), scripts.atomic(path):
        raise OSError("told by a library")
    with pytest.raises(OSError, match=rf"^\[Errno 5\] told: '{path}'$"), scripts.atomic(path):
        raise OSError(errno.EIO, "told")
    with pytest.raises(FileNotFoundError, match="'nowhere'"), scripts.atomic(path):
        Path("nowhere").read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_disk_that_lacks_a_byte_for_a_photograph(tmp_path, suffix):
    """Pillow's own writing takes a file that was cut short for a whole one."""
    original = tmp_path / f"a{suffix}"
    Image.fromarray(PICTURE).resize((600, 400)).save(original)
    photo = Photo(original.name, False, "8", {})

    def prepare(datasets: Path) -> None:
        prepare_images.prepare(photo, original, original, datasets, 224, (0, 0))

    prepare(tmp_path / "through")
    path, _ = prepare_images.generator_images(photo, tmp_path / "through")[0]
    with (
        full_disk(path.stat().st_size - 1),
        pytest.raises(OSError, match=f"large: '{tmp_path}/out/.*{path.name}'"),
    ):
        prepare(tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    prepare(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "through")


def test_a_full_disk_names_the_first_line_of_a_journal(tmp_path):
    with (
        full_disk(),
        pytest.raises(OSError, match=f"large: '{tmp_path / FOLDER / '0_of_1.jsonl'}'"),
    ):
        Journal(tmp_path, {})


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_in_the_place_of_an_output_is_replaced_and_what_it_points_to_stays(tmp_path, name):
    secret, folder = tmp_path / "secret", tmp_path / "out"
    secret.write_text("mine")
    folder.mkdir()
    (folder / name).symlink_to(secret)
    WRITERS[name](folder)
    assert secret.read_text() == "mine"
    assert (folder / name).is_file()
    assert not (folder / name).is_symlink()


@pytest.mark.parametrize("room", [0, 200, 1_500, 1_000_000])
def test_a_full_disk_is_told_of_large_weights(tmp_path, room):
    """PyTorch hides it behind an error of its own where the numbers themselves do not fit."""
    state = {"w": torch.rand(900_000), "v": torch.rand(900)}
    with full_disk(room), pytest.raises(OSError) as raised:
        checkpoint.save(state, tmp_path / "resume.pth")
    assert str(raised.value) == f"[Errno 27] File too large: '{tmp_path / 'resume.pth'}'"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_where_a_training_begins(tmp_path):
    with full_disk(), pytest.raises(OSError, match=f"large: '{tmp_path / 'AF' / lock.NAME}'"):
        with lock.held(tmp_path / "AF"):
            pass
    with lock.held(tmp_path / "AF"):
        pass


def test_a_full_disk_leaves_the_feature_cache_as_it_was(tmp_path):
    cache = FeatureCache(tmp_path / "features.sqlite", 4)
    cache.put(["a"], np.ones((1, 4), np.float32))
    with full_disk(16), pytest.raises(OSError, match=str(cache.rows)):
        cache.put(["b"], np.ones((1, 4), np.float32))
    cache.put(["c"], np.full((1, 4), 2, np.float32))
    assert np.array_equal(np.fromfile(cache.rows, np.float32), [1] * 4 + [2] * 4)


def test_a_full_disk_tears_the_last_line_of_a_loss_log_and_no_other(tmp_path):
    row = {"images": 2, "epoch": 1, "lr": 0.0002, "G_GAN": 1.5}
    LossLog(tmp_path, 0).add(row)
    size = (tmp_path / "loss_log.csv").stat().st_size
    log = LossLog(tmp_path, 2)
    with full_disk(size + 3), pytest.raises(OSError, match=f"large: '{tmp_path / 'loss_log.csv'}'"):
        log.add(row | {"images": 4})
    assert [line["images"] for line in LossLog(tmp_path, 4).rows] == ["2"]


@pytest.fixture
def photos(tmp_path, draw) -> Path:
    for number in range(4):
        draw(tmp_path / f"photos/{number}.png", (50 * number, 90, 40))
    return tmp_path / "photos"


@pytest.fixture
def ingest(monkeypatch, capsys, classifiers) -> Callable[..., tuple[int, str]]:
    """Runs ingestion.py in this process: its exit status and what it says."""

    def run(*arguments: object) -> tuple[int, str]:
        options = ["--classifiers", classifiers, "--device", "cpu", "--workers", 0]
        command = ["ingestion.py", *arguments, *options, "--batch_size", 2]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        status = ingestion.main()
        return status, "".join(capsys.readouterr())

    return run


def test_scoring_on_a_full_disk_goes_on_when_there_is_room(ingest, photos, tmp_path):
    assert ingest(photos, tmp_path / "through")[0] == 0
    journal = tmp_path / "out" / FOLDER / "0_of_1.jsonl"
    with full_disk(700):
        status, output = ingest(photos, tmp_path / "out")
    assert (status, f"[Errno 27] File too large: '{journal}'" in output) == (1, True)
    assert not (tmp_path / "out/predictions.txt").exists()
    assert journal.stat().st_size == 700
    assert ingest(photos, tmp_path / "out")[0] == 0
    found, expected = (tmp_path / place / "predictions.txt" for place in ("out", "through"))
    assert found.read_text() == expected.read_text()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.txt"]


def test_a_photograph_that_vanishes_is_named_and_the_others_are_scored(
    ingest, photos, tmp_path, monkeypatch
):
    listed = ingestion.list_images

    def list_and_lose(options):
        images = listed(options)
        (photos / "2.png").unlink()
        return images

    monkeypatch.setattr(ingestion, "list_images", list_and_lose)
    status, output = ingest(photos, tmp_path / "out")
    assert status == 1
    assert f"{photos / '2.png'}" in output
    lines = (tmp_path / "out/predictions.txt").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["0.png", "1.png", "3.png"]


@pytest.fixture
def draw_edges(monkeypatch, photos) -> Callable[[Path], None]:
    """Runs extract_edges.py in this process."""

    def run(output: Path) -> None:
        arguments = ["--detector", "scharr", "--input", photos, "--output", output]
        monkeypatch.setattr(sys, "argv", ["extract_edges.py", *map(str, arguments)])
        with reported("extract_edges.py"):
            extract_edges.main()

    return run


def test_edge_maps_on_a_full_disk_go_on_when_there_is_room(draw_edges, tmp_path, capsys):
    draw_edges(tmp_path / "through")
    expected = contents(tmp_path / "through")
    largest = max(expected, key=lambda name: len(expected[name]))
    with full_disk(len(expected[largest]) - 1), pytest.raises(SystemExit) as stopped:
        draw_edges(tmp_path / "out")
    assert stopped.value.code == 2
    assert (
        f"error: [Errno 27] File too large: '{tmp_path / 'out' / largest}'"
        in capsys.readouterr().err
    )
    found = contents(tmp_path / "out")
    assert 0 < len(found) < len(expected)
    assert found.items() <= expected.items()
    draw_edges(tmp_path / "out")
    assert contents(tmp_path / "out") == expected


def test_a_photograph_that_vanishes_keeps_no_edge_map_from_being_drawn(
    photos, draw_edges, tmp_path, monkeypatch, capsys
):
    planned = extract_edges.plan

    def plan_and_lose(opt):
        pairs = planned(opt)
        (photos / "2.png").unlink()
        return pairs

    monkeypatch.setattr(extract_edges, "plan", plan_and_lose)
    with pytest.raises(SystemExit):
        draw_edges(tmp_path / "edges")
    errors = capsys.readouterr().err
    assert f"{photos / '2.png'}: " in errors
    assert "error: 1 photos could not be used" in errors
    assert sorted(path.name for path in (tmp_path / "edges").iterdir()) == [
        *("0.png", "1.png", "3.png")
    ]


@pytest.mark.parametrize("when", ["listed", "read"])
def test_a_photograph_that_vanishes_keeps_no_other_from_being_cut_out(
    photos, tmp_path, monkeypatch, caplog, when
):
    """Before it is opened, or before it is copied since it stays whole."""
    name = {"listed": "find_photographs", "read": "find_specimen"}[when]
    real, calls = getattr(cut_folder, name), []

    def lose(*arguments):
        calls.append(arguments)
        result = real(*arguments) if when != "read" else Found(np.zeros((9, 9), bool), 0.0, "lost")
        if when != "read" or len(calls) == 3:
            (photos / "2.png").unlink()
        return result

    monkeypatch.setattr(cut_folder, name, lose)
    folders = cut_folder.Folders(photos, tmp_path / "out", None)
    status = cut_folder.run(folders, workers=1)
    page = (tmp_path / "out/doubtful.html").read_text()
    assert page.count("<figure>") == page.count("<img ") == 3
    assert status == cut_folder.PARTLY
    assert str(photos / "2.png") in caplog.text
    masks = sorted(path.name for path in (tmp_path / "out/masks").iterdir())
    assert masks == ["0.png", "1.png", "3.png"]


# ------------------------------------------------------------------------------- real disks


@pytest.fixture
def mount(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system in memory; skips where that is not allowed."""
    mounted = []

    def mount_disk(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "faults", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"cannot mount a small disk ({error})")
        if done.returncode:
            pytest.skip(f"cannot mount a small disk ({done.stderr.strip()})")
        mounted.append(folder)
        return folder

    yield mount_disk
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def prepare(repository: Path, photos: Path, datasets: Path) -> subprocess.CompletedProcess[str]:
    table = photos.parent / "train.csv"
    rows = [f"S{n},http://x/{n},non-hybrid,train,z,m,8.0,,,{n}.png" for n in range(4)]
    table.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    arguments = ["--csv", table, "--photos", photos, "--datasets", datasets, "--workers", "1"]
    return subprocess.run(
        [sys.executable, repository / "scripts/prepare_images.py", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_preparing_on_a_full_disk_goes_on_when_there_is_room(mount, repository, photos, tmp_path):
    through = prepare(repository, photos, tmp_path / "through")
    assert through.returncode == 0, through.stderr
    disk = mount("size=600k")
    done = prepare(repository, photos, disk)
    assert done.returncode == 1
    assert f"No space left on device: '{disk}/" in done.stderr
    assert "Traceback" not in done.stderr
    written, whole = contents(disk), contents(tmp_path / "through")
    assert written
    assert written.items() < whole.items()
    subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
    done = prepare(repository, photos, disk)
    assert done.returncode == 0, done.stderr
    assert contents(disk) == whole


def read_only(folder: Path, mount: Callable[[str], Path]) -> Path:
    """A folder in which nothing can be written; root needs a disk for it."""
    if os.geteuid() == 0:
        return mount("ro")
    folder.mkdir()
    folder.chmod(0o500)
    return folder


def test_a_read_only_folder_is_named_and_nothing_is_lost(
    mount, repository, photos, tmp_path, ingest
):
    folder = read_only(tmp_path / "locked", mount)
    status, output = ingest(photos, folder / "out")
    assert status == 1
    assert str(folder / "out") in output
    done = prepare(repository, photos, folder)
    assert done.returncode == 1
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(OSError, match=str(folder)), lock.held(folder / "AF"):
        pass
    with pytest.raises(OSError, match=str(folder)):
        FeatureCache(folder / "cache/features.sqlite", 4)
    with pytest.raises(OSError, match=str(folder)):
        archives.install(photos / "0.png", folder / "place", ["0.png"])
    assert list(folder.iterdir()) == []


def test_two_runs_at_once_prepare_what_one_does(repository, photos, tmp_path):
    assert prepare(repository, photos, tmp_path / "through").returncode == 0
    arguments = ["--csv", tmp_path / "train.csv", "--photos", photos]
    command = [sys.executable, repository / "scripts/prepare_images.py", *map(str, arguments)]
    both = [subprocess.Popen([*command, "--datasets", tmp_path / "both"]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    found, expected = contents(tmp_path / "both"), contents(tmp_path / "through")
    assert found == expected
    assert len(found) == 12


def test_two_runs_at_once_draw_the_edge_maps_that_one_does(draw_edges, photos, draw, tmp_path):
    for number in range(4, 16):
        draw(photos / f"{number}.png", size=(600, 400))
    draw_edges(tmp_path / "through")
    command = [sys.executable, extract_edges.__file__, "--detector", "scharr", "--input", photos]
    both = [subprocess.Popen([*command, "--output", tmp_path / "both"]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert contents(tmp_path / "both") == contents(tmp_path / "through")


def test_two_runs_at_once_paint_what_one_does(tmp_path):
    names = {f"AF_8_9_gen{place:05d}.png": ("a", "b") for place in range(3)}

    def begin(folder: Path) -> Results:
        results = Results(folder, "list", names, {"checkpoint": "1f"}, 64, with_page=True)
        results.begin(overwrite=False)
        return results

    def end(results: Results) -> None:
        for name in names:
            results.write(name, [PICTURE] * 4)
        results.write_page(dict.fromkeys(names, "8 x 9"))
        results.check_unmixed()

    end(begin(tmp_path / "through"))
    one, other = begin(tmp_path / "both"), begin(tmp_path / "both")
    with ThreadPoolExecutor() as pool:
        list(pool.map(end, [one, other, begin(tmp_path / "both")]))
    assert contents(tmp_path / "both") == contents(tmp_path / "through")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
