"""The download scripts against a local server and stand-ins for cautious-robot and gdown."""

import hashlib
import os
import stat
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
import requests
from common import downloads
from common.program import InputError
from filelock import FileLock

# Like cautious-robot 2.0.0: skips every file that is there, ends with status 0 whatever happened.
CAUTIOUS_ROBOT = """
import csv, pathlib, sys, urllib.request
if "--version" in sys.argv:
    sys.exit(print("__main__.py 2.0.0"))
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("called with", sys.argv[1:])
for row in csv.DictReader(open(options["--input-file"])):
    path = pathlib.Path(options["--output-dir"], row["filename"])
    if not path.exists():
        try:
            path.write_bytes(urllib.request.urlopen(row["file_url"]).read())
        except OSError as error:
            print(error)
"""


def bash(script: Path, *arguments, folder: Path, **env: str):
    command = ["bash", str(script), *map(str, arguments)]
    environment = os.environ | {"PYTHON": sys.executable} | env
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def write_zip(path: Path, names: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in names.items():
            file.writestr(name, text)


# ---------------------------------------------------------------------- download_challenge.sh


@pytest.fixture
def challenge(server, draw, repository, tmp_path):
    """Three photographs on the server and their CSV; a function that runs the script."""
    folder, address = server
    rows = ["CAMID,file_url,filename,md5"]
    for name in ("C1", "C2", "C3"):
        digest = hashlib.md5(draw(folder / f"{name}.JPG").read_bytes()).hexdigest()
        rows.append(f"{name},{address}/{name}.JPG,{name}.jpg,{digest}")
    (tmp_path / "photos.v1.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "plain.csv").write_text("\n".join(r.rsplit(",", 1)[0] for r in rows) + "\n")
    robot = tmp_path / "stand_ins/cautiousrobot"
    robot.mkdir(parents=True)
    (robot / "__init__.py").touch()
    (robot / "__main__.py").write_text(CAUTIOUS_ROBOT)

    def download(csv="photos.v1.csv"):
        script = repository / "scripts/download_challenge.sh"
        return bash(script, csv, "originals", folder=tmp_path, PYTHONPATH=str(robot.parent))

    return download


def test_challenge_photographs_arrive_and_the_broken_are_fetched_again(challenge, server, tmp_path):
    done = challenge()
    assert done.returncode == 0, done.stderr
    assert "'--verifier-col', 'md5'" in done.stdout
    assert "all 3 photographs are whole" in done.stderr
    names = sorted(path.name for path in (tmp_path / "originals").iterdir())
    assert names == ["C1.jpg", "C2.jpg", "C3.jpg"]
    again = challenge()
    assert again.returncode == 0
    assert "called with" not in again.stdout  # nothing to fetch: nothing installed, nothing asked

    half = tmp_path / "originals/C2.jpg"
    whole = half.read_bytes()
    half.write_bytes(whole[:100])
    (tmp_path / "originals/C3.jpg").unlink()
    (server[0] / "C3.JPG").unlink()
    done = challenge()
    assert done.returncode == 3
    for said in ("1 of 3 photographs are missing, 1 are broken", "C2.jpg is broken (MD5", "C3.jpg"):
        assert said in done.stderr
    assert half.read_bytes() == whole

    (server[0] / "C3.JPG").write_text("<html>busy</html>")
    done = challenge("plain.csv")  # without checksums each file is decoded
    assert done.returncode == 3
    assert "--verifier-col" not in done.stdout
    assert "C3.jpg is broken" in done.stderr


# ------------------------------------------------------------ download_models.sh: plain addresses

WEIGHTS = b"weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
URL = "http://127.0.0.1:9/weights.pth"


@pytest.fixture
def replies(monkeypatch, tmp_path):
    """What comes in turn, bytes or None for an error, then errors; and the list of what was asked
    for and how many seconds it waited."""
    coming, asked = [], []

    def download(url: str, temporary: str, keeper: object) -> None:
        asked.append(url)
        content = coming.pop(0) if coming else None
        if content is None:
            raise requests.exceptions.ConnectionError("404 Client Error")
        Path(temporary).write_bytes(content)

    monkeypatch.setattr(downloads.pooch, "HTTPDownloader", lambda progressbar: download)
    monkeypatch.setattr("pooch.core.time.sleep", asked.append)
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    return coming, asked


@pytest.mark.parametrize("known", [SHA256[:8], ""])
def test_a_broken_download_is_tried_again(replies, tmp_path, capsys, known):
    coming, asked = replies
    coming += [None, None, WEIGHTS]
    path = tmp_path / "models/w.pth"
    downloads.fetch_file("w", downloads.Published(URL, "models/w.pth", known))
    assert path.read_bytes() == WEIGHTS
    assert asked == [URL, 1, URL, 2, URL]  # it waits longer each time
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # another account may read it
    assert [p.name for p in path.parent.iterdir()] == ["w.pth"]
    assert capsys.readouterr().out == f"download_models: w from {URL}\n"
    downloads.fetch_file("w", downloads.Published(URL, "models/w.pth", known))
    assert capsys.readouterr().out == f"download_models: w is there: {path}\n"
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("content", "asked", "reason"),
    [
        (None, 3, "({}); put it at {} yourself, or run the same command again"),
        (WEIGHTS, 1, f"has SHA-256 {SHA256}, expected 00000000; it was removed"),
    ],
)
def test_what_does_not_come_whole_is_an_error_and_leaves_nothing(
    replies, tmp_path, content, asked, reason
):
    replies[0].append(content)
    with pytest.raises(InputError) as raised:
        downloads.fetch_file("w", downloads.Published(URL, "models/w.pth", "00000000"))
    assert reason.format("404 Client Error", tmp_path / "models/w.pth") in str(raised.value)
    assert URL in str(raised.value)
    assert replies[1].count(URL) == asked
    assert list((tmp_path / "models").iterdir()) == []


def run_main(monkeypatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["downloads", *names])
    return downloads.main()


def test_one_that_fails_does_not_keep_the_others_from_coming(
    replies, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("DINOV2_URL", URL)
    replies[0].extend([WEIGHTS, WEIGHTS])
    assert run_main(monkeypatch, "vgg19", "clasifiers", "dinov2") == 1
    assert replies[1] == [downloads.MODELS["vgg19"].url, URL]
    said = capsys.readouterr()
    assert "expected dcbb9e9d; it was removed" in said.err
    assert "unknown name clasifiers" in said.err
    assert said.err.endswith("download_models: not fetched: vgg19 clasifiers\n")
    (came,) = (path for path in (tmp_path / "Models").rglob("*") if path.is_file())
    assert came == tmp_path / "Models/backbones/dinov2_vitb14_pretrain.pth"


# ------------------------------------------------------------- download_models.sh: Google Drive


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """A stand-in for gdown: gives what lies under an identity in a folder, or raises."""
    lies: dict[str, tuple[str, dict[str, str]]] = {}
    asked: list[dict[str, object]] = []

    def download(**options: object) -> str:
        asked.append(options)
        if options["id"] not in lies:
            raise LookupError("Cannot retrieve the public link")
        name, contents = lies[options["id"]]
        write_zip(Path(options["output"]) / name, contents)
        return options["output"] + name

    gdown = types.SimpleNamespace(download=download, DownloadError=LookupError)
    monkeypatch.setattr(downloads, "load_gdown", lambda: gdown)
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    return lies, asked


CLASSIFIERS = "1Un188eNc8Nit644ZAzcOYwUoA3Dfh1TE"
AF4HYBRID = "1-D06R7eiCF6mlCsELzopHlmsCMWhlmsQ"
HYBRID_IMAGES = "1UUqLajOSo1faw_tE_JkWMMKvl_Ck6xdJ"
BOTH = {"models/clf1024.pth": "c", "models/sgd_clf.pkl": "s"}


def test_archives_from_google_drive_land_in_their_places(drive, monkeypatch, tmp_path, capsys):
    lies, asked = drive
    images = {"a/b/Images/hybrid/train/good/C1.jpg": "photo", "a/b/Lists/train.txt": "line"}
    lies[CLASSIFIERS] = "c.zip", BOTH
    lies[AF4HYBRID] = ("latest_net_G.pth", {"archive/data.pkl": ""})  # as torch.save writes
    lies[HYBRID_IMAGES] = ("set.zip", images)
    datasets = tmp_path / "Datasets/Images4TrainAFhybrid"
    datasets.mkdir(parents=True)
    (datasets / ".gitkeep").touch()
    assert run_main(monkeypatch, "classifiers", "AF4hybrid", "Images4TrainAFhybrid") == 0
    folder = tmp_path / "Models"
    assert (folder / "classifiers/sgd_clf.pkl").read_text() == "s"
    assert zipfile.is_zipfile(folder / "AFgenerators/AF4hybrid/latest_net_G.pth")
    assert (datasets / "Images/hybrid/train/good/C1.jpg").read_text() == "photo"
    assert {path.suffix for path in (folder / ".downloads").iterdir()} <= {".lock"}
    assert len(asked) == 3
    first = asked[0]  # a transfer that broke off goes on; a server that is silent is given up
    assert (first["resume"], first["timeout"], first["retries"]) == (True, 60, 2)
    # Without names all models, and no data set; here all are there.
    for source in downloads.MODELS.values():
        if isinstance(source, downloads.Published):
            (tmp_path / source.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / source.file).touch()
    (folder / "AFgenerators/AF4nonhybrid").mkdir()
    (folder / "AFgenerators/AF4nonhybrid/latest_net_G.pth").touch()
    capsys.readouterr()
    assert run_main(monkeypatch) == 0
    there = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert there == ["pidinet", "dinov2", "vgg19", "classifiers", "AF4hybrid", "AF4nonhybrid"]
    assert len(asked) == 3


def test_an_archive_by_hand_to_one_run_at_a_time_over_nothing(drive, monkeypatch, capsys, tmp_path):
    downloading = tmp_path / "Models/.downloads/classifiers"
    downloading.parent.mkdir(parents=True)
    with FileLock(downloading.with_suffix(".lock")):
        assert run_main(monkeypatch, "classifiers") == 1
    assert "classifiers is being fetched by another run; wait for it" in capsys.readouterr().err
    assert drive[1] == []

    assert run_main(monkeypatch, "classifiers") == 1
    said = capsys.readouterr().err
    assert "Cannot retrieve the public link" in said
    assert f"https://drive.google.com/file/d/{CLASSIFIERS}/view" in said
    assert f"put the file into {downloading}, and then run it again" in said

    write_zip(downloading / "c.zip", BOTH)
    (downloading / "c.zip12345678.part").touch()  # what gdown left
    mine = tmp_path / "Models/classifiers/clf1024.pth"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own")
    assert run_main(monkeypatch, "classifiers") == 1
    said = capsys.readouterr().err
    assert "classifiers/clf1024.pth is there already; move it away first" in said
    assert f"to fetch it anew, remove {downloading}" in said
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]
    assert mine.read_text() == "my own"
    mine.unlink()
    assert run_main(monkeypatch, "classifiers") == 0
    assert mine.read_text() == "c"
    assert len(drive[1]) == 1


def test_known_checksums_and_names(repository, shared, tmp_path):
    weights = (shared / "pidinet/table5_pidinet.pth").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == downloads.KNOWN["pidinet"].sha256
    challenge = bash(repository / "scripts/download_challenge.sh", folder=tmp_path)
    assert challenge.returncode == 2
    script = repository / "scripts/download_models.sh"
    wrong, help = (bash(script, option, folder=tmp_path) for option in ("--hlep", "--help"))
    assert (wrong.returncode, help.returncode) == (2, 0)
    assert all(name in help.stdout for name in downloads.KNOWN)
