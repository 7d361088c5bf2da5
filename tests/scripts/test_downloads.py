"""The download scripts against a local server and stand-ins for cautious-robot and gdown."""

import hashlib
import http.server
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from common import archives, check_photos, downloads

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
# Like gdown 6: downloads under the file's own name into the folder of --output; what has come lies
# in a .part file, at whose end it goes on with --continue. FAKE_BREAK breaks the connection, and
# with FAKE_PAUSE it stops until a file of that name is there.
GDOWN = """
import os, pathlib, sys, time
if "--version" in sys.argv:
    sys.exit(print("gdown 6.5.1 at here"))
folder, name = pathlib.Path(sys.argv[sys.argv.index("--output") + 1]), sys.argv[-1]
sources = list(pathlib.Path(os.environ["FAKE_DRIVE"], name).glob("*"))
if not sources:
    sys.exit("Cannot retrieve the public link of the file.")
for source in sources:
    part, contents = folder / f"{source.name}.part", source.read_bytes()
    begin = part.stat().st_size if part.exists() and "--continue" in sys.argv else 0
    print("gdown begins at byte", begin)
    with part.open("ab" if begin else "wb") as file:
        if "FAKE_BREAK" in os.environ:
            file.write(contents[begin:10])
            sys.exit("Connection reset by peer")
        while not os.path.exists(os.environ.get("FAKE_PAUSE", ".")):
            time.sleep(0.01)
        file.write(contents[begin:])
    part.rename(folder / source.name)
"""


@pytest.fixture
def stand_ins(tmp_path) -> dict[str, str]:
    """The environment in which cautious-robot and gdown are the stand-ins above."""
    for name, program in (("cautiousrobot", CAUTIOUS_ROBOT), ("gdown", GDOWN)):
        folder = tmp_path / "stand_ins" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "__main__.py").write_text(program)
    return {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path / "stand_ins"),
        "FAKE_DRIVE": str(tmp_path / "drive"),
    }


def bash(script: Path, *arguments, folder: Path, env: dict[str, str]):
    command = ["bash", str(script), *map(str, arguments)]
    environment = os.environ | env
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


# ---------------------------------------------------------------------- download_challenge.sh


@pytest.fixture
def challenge(server, draw, repository, stand_ins, tmp_path):
    """Three photographs on the server and their CSV; a function that runs the script."""
    folder, address = server
    rows = ["CAMID,file_url,filename,md5"]
    for name in ("C1", "C2", "C3"):
        digest = hashlib.md5(draw(folder / f"{name}.JPG").read_bytes()).hexdigest()
        rows.append(f"{name},{address}/{name}.JPG,{name}.jpg,{digest}")
    (tmp_path / "photos.v1.csv").write_text("\n".join(rows) + "\n")

    def download(csv="photos.v1.csv"):
        script = repository / "scripts/download_challenge.sh"
        return bash(script, csv, "originals", folder=tmp_path, env=stand_ins)

    return download


def test_challenge_photographs_arrive_and_are_checked(challenge, tmp_path):
    done = challenge()
    assert done.returncode == 0, done.stderr
    assert "'--verifier-col', 'md5'" in done.stdout
    assert "all 3 photographs are whole" in done.stderr
    names = sorted(path.name for path in (tmp_path / "originals").iterdir())
    assert names == ["C1.jpg", "C2.jpg", "C3.jpg"]
    again = challenge()
    assert again.returncode == 0
    assert "called with" not in again.stdout  # nothing to fetch: nothing installed, nothing asked


def test_all_digits_of_a_checksum_count(tmp_path, draw):
    photograph = draw(tmp_path / "C1.jpg")
    digest = hashlib.md5(photograph.read_bytes()).hexdigest()
    assert check_photos.problem(photograph, digest) is None
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    assert check_photos.problem(photograph, other) == f"is broken (MD5 {digest}, expected {other})"


def test_a_half_photograph_is_fetched_again(challenge, tmp_path):
    challenge()
    half = tmp_path / "originals/C2.jpg"
    whole = half.read_bytes()
    half.write_bytes(whole[:100])
    done = challenge()
    assert done.returncode == 0, done.stderr
    assert "0 of 3 photographs are missing, 1 are broken" in done.stderr
    assert "C2.jpg is broken (MD5" in done.stderr
    assert half.read_bytes() == whole


def test_a_photograph_that_cannot_be_had_is_named(challenge, server, tmp_path):
    (server[0] / "C3.JPG").unlink()
    done = challenge()
    assert done.returncode == 3
    assert "1 of 3 photographs are missing" in done.stderr
    assert "C3.jpg is missing" in done.stderr
    assert "run the same command again" in done.stderr


def test_without_checksums_each_file_is_decoded(challenge, server, tmp_path):
    (server[0] / "C2.JPG").write_text("<html>busy</html>")
    rows = (tmp_path / "photos.v1.csv").read_text().splitlines()
    (tmp_path / "plain.csv").write_text("\n".join(r.rsplit(",", 1)[0] for r in rows) + "\n")
    done = challenge("plain.csv")
    assert done.returncode == 3
    assert "--verifier-col" not in done.stdout
    assert "C2.jpg is broken" in done.stderr


@pytest.mark.parametrize(
    "row, message",
    [
        ("C4,ftp://x/C4.jpg,C4.jpg,", "line 5: file_url 'ftp://x/C4.jpg'; expected https://"),
        ("C4,https://x/C4.jpg,../C4.jpg,", "line 5: file name '../C4.jpg' leaves the folder"),
        ("C4,https://x/C4.jpg,C4.jpg,12", "line 5: md5 '12'; expected 32"),
    ],
)
def test_a_bad_row_stops_the_script_before_any_download(challenge, tmp_path, row, message):
    with (tmp_path / "photos.v1.csv").open("a") as file:
        file.write(row + "\n")
    done = challenge()
    assert done.returncode == 1
    assert message in done.stderr
    assert "called with" not in done.stdout


def test_challenge_script_without_arguments_explains_itself(repository, tmp_path):
    done = bash(repository / "scripts/download_challenge.sh", folder=tmp_path, env={})
    assert done.returncode == 2
    assert "scripts/download_challenge.sh CSV [FOLDER]" in done.stderr


# ------------------------------------------------------------------------- download_models.sh


@pytest.fixture
def moody_server():
    """A server that gives the listed replies in turn, (status, announced bytes, body), then 404.

    Gives the list to fill, the server's address and the paths that were asked for.
    """
    replies: list[tuple[int, int, bytes]] = []
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, size, body = replies.pop(0) if replies else (404, 0, b"")
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield replies, f"http://127.0.0.1:{http_server.server_port}/weights.pth", asked
        http_server.shutdown()


WEIGHTS = b"weights"
WHOLE = (200, len(WEIGHTS), WEIGHTS)


@pytest.fixture
def fetch(moody_server, monkeypatch, tmp_path):
    """Fetch the file w.pth from the moody server, as one of a known SHA-256; gives its path."""
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)

    def fetch_file(sha256: str) -> Path:
        downloads.fetch_file("w", downloads.Published(moody_server[1], "models/w.pth", sha256))
        return tmp_path / "models/w.pth"

    return fetch_file


def test_a_broken_download_is_tried_again(fetch, moody_server, capsys):
    replies, url, asked = moody_server
    replies += [(500, 4, b"busy"), (200, len(WEIGHTS), WEIGHTS[:3]), WHOLE]
    path = fetch(hashlib.sha256(WEIGHTS).hexdigest())
    assert path.read_bytes() == WEIGHTS
    assert len(asked) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # another account may read it
    assert [p.name for p in path.parent.iterdir()] == ["w.pth"]
    assert capsys.readouterr().out == f"download_models: w from {url}\n"
    fetch(hashlib.sha256(WEIGHTS).hexdigest())
    assert capsys.readouterr().out == f"download_models: w is there: {path}\n"
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([(404, 0, b"")] * 3, "404 Client Error: Not Found"),
        ([(500, 0, b"")] * 3, "500 Server Error"),
        ([(200, 7, b"wei")] * 3, "IncompleteRead(3 bytes read, 4 more expected)"),
    ],
)
def test_what_does_not_come_is_an_error_and_leaves_nothing(
    fetch, moody_server, tmp_path, replies, reason
):
    moody_server[0].extend(replies)
    with pytest.raises(downloads.DownloadError) as raised:
        fetch("")
    assert f"w could not be fetched from {moody_server[1]} (" in str(raised.value)
    assert reason in str(raised.value)
    assert f"put it at {tmp_path / 'models/w.pth'} yourself" in str(raised.value)
    assert len(moody_server[2]) == 3
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("expected", ["0" * 64, "00000000"])
def test_a_wrong_checksum_names_both_and_is_not_asked_for_again(
    fetch, moody_server, tmp_path, expected
):
    moody_server[0].extend([WHOLE, WHOLE])
    with pytest.raises(downloads.DownloadError) as raised:
        fetch(expected)
    found = hashlib.sha256(WEIGHTS).hexdigest()
    assert f"has SHA-256 {found}, expected {expected}; it was removed" in str(raised.value)
    assert len(moody_server[2]) == 1
    assert list((tmp_path / "models").iterdir()) == []


def test_the_first_digits_of_a_checksum_are_enough(fetch, moody_server):
    moody_server[0].append(WHOLE)
    assert fetch(hashlib.sha256(WEIGHTS).hexdigest()[:8]).read_bytes() == WEIGHTS


def test_known_checksums():
    """What Models/README.md says of them."""
    known = {
        name: len(source.sha256)
        for name, source in downloads.KNOWN.items()
        if isinstance(source, downloads.Published)
    }
    assert known == {"pidinet": 64, "dinov2": 0, "vgg19": 8}


@pytest.fixture
def models(repository, server, stand_ins, tmp_path):
    """A copy of the script in a repository of its own, where Google Drive is the local server.

    A function that runs it.
    """
    scripts = tmp_path / "repository/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(repository / "scripts/download_models.sh", scripts)
    shutil.copytree(repository / "scripts/common", scripts / "common")
    module = scripts / "common/downloads.py"
    assert downloads.DRIVE in module.read_text()
    module.write_text(module.read_text().replace(downloads.DRIVE, server[1]))

    def download(*names, **env):
        script = scripts / "download_models.sh"
        return bash(script, *names, folder=tmp_path, env=stand_ins | env)

    return download


def put_on_drive(tmp_path: Path, identity: str, name: str, contents: dict[str, str]) -> None:
    folder = tmp_path / "drive" / identity
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / name, "w") as file:
        for path, text in contents.items():
            file.writestr(path, text)


CLASSIFIERS = "1Un188eNc8Nit644ZAzcOYwUoA3Dfh1TE"
AF4HYBRID = "1-D06R7eiCF6mlCsELzopHlmsCMWhlmsQ"
HYBRID_IMAGES = "1UUqLajOSo1faw_tE_JkWMMKvl_Ck6xdJ"


def test_a_file_without_published_checksum(models, server, tmp_path):
    folder, address = server
    (folder / "dino.pth").write_text("weights")
    done = models("dinov2", DINOV2_URL=f"{address}/dino.pth")
    assert done.returncode == 0, done.stderr
    target = tmp_path / "repository/Models/backbones/dinov2_vitb14_pretrain.pth"
    assert target.read_text() == "weights"
    assert hashlib.sha256(b"weights").hexdigest() in done.stdout
    again = models("dinov2", DINOV2_URL=f"{address}/gone.pth")
    assert "dinov2 is there" in again.stdout


def test_a_wrong_checksum_removes_what_came(models, server, tmp_path):
    folder, address = server
    (folder / "net.pth").write_text("something else")
    done = models(
        "pidinet", "vgg19", PIDINET_URL=f"{address}/net.pth", VGG19_URL=f"{address}/net.pth"
    )
    assert done.returncode == 1
    assert "expected 80860ac267258b5f" in done.stderr
    assert "expected dcbb9e9d; it was removed" in done.stderr
    assert "not fetched: pidinet vgg19" in done.stderr
    assert not [path for path in (tmp_path / "repository/Models").rglob("*") if path.is_file()]


def test_pidinet_with_the_right_checksum(models, server, shared, tmp_path):
    folder, address = server
    shutil.copy(shared / "pidinet/table5_pidinet.pth", folder)
    done = models("pidinet", PIDINET_URL=f"{address}/table5_pidinet.pth")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "repository/Models/edges/table5_pidinet.pth").stat().st_size == 2871148


def test_without_pooch_the_next_step_is_named(models, tmp_path):
    (tmp_path / "stand_ins/pooch.py").write_text("raise ImportError('no pooch')")
    done = models("vgg19")
    assert done.returncode == 1
    assert done.stderr == (
        f"download_models: {sys.executable} has no pooch; run scripts/setup.sh first\n"
    )


def test_an_address_that_does_not_answer(models, server):
    done = models("vgg19", VGG19_URL=f"{server[1]}/gone.pth")
    assert done.returncode == 1
    assert "vgg19 could not be fetched" in done.stderr
    assert "Models/backbones/vgg19-dcbb9e9d.pth yourself" in done.stderr


def test_archives_from_google_drive_land_in_their_places(models, tmp_path):
    put_on_drive(
        tmp_path, CLASSIFIERS, "c.zip", {"models/clf1024.pth": "c", "models/sgd_clf.pkl": "s"}
    )
    put_on_drive(tmp_path, AF4HYBRID, "latest_net_G.pth", {"archive/data.pkl": "", "version": ""})
    put_on_drive(
        tmp_path,
        HYBRID_IMAGES,
        "set.zip",
        {"a/b/Images/hybrid/train/good/C1.jpg": "photo", "a/b/Lists/train.txt": "line"},
    )
    datasets = tmp_path / "repository/Datasets/Images4TrainAFhybrid"
    datasets.mkdir(parents=True)
    (datasets / ".gitkeep").touch()
    done = models("classifiers", "AF4hybrid", "Images4TrainAFhybrid")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "repository/Models"
    assert (folder / "classifiers/clf1024.pth").read_text() == "c"
    assert (folder / "classifiers/sgd_clf.pkl").read_text() == "s"
    assert zipfile.is_zipfile(folder / "AFgenerators/AF4hybrid/latest_net_G.pth")
    assert (datasets / "Images/hybrid/train/good/C1.jpg").read_text() == "photo"
    assert (datasets / "Lists/train.txt").read_text() == "line"
    assert {path.suffix for path in (folder / ".downloads").iterdir()} == {".lock"}
    assert "classifiers is there" in models("classifiers").stdout


def test_an_archive_that_breaks_off_is_resumed(models, tmp_path):
    put_on_drive(tmp_path, CLASSIFIERS, "c.zip", {"clf1024.pth": "c", "sgd_clf.pkl": "s"})
    done = models("classifiers", FAKE_BREAK="1")
    assert done.returncode == 1
    assert "classifiers could not be fetched" in done.stderr
    done = models("classifiers")
    assert done.returncode == 0, done.stderr
    assert "gdown begins at byte 10" in done.stdout
    folder = tmp_path / "repository/Models/classifiers"
    assert (folder / "clf1024.pth").read_text() == "c"


def until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("killed", [False, True])
def test_an_archive_comes_to_one_run_at_a_time(models, stand_ins, tmp_path, killed):
    """A second gdown would add to the file of the first, and that of a killed run still comes."""
    put_on_drive(tmp_path, CLASSIFIERS, "c.zip", {"clf1024.pth": "c", "sgd_clf.pkl": "s"})
    go, downloading = tmp_path / "go", tmp_path / "repository/Models/.downloads/classifiers"
    paths = {"PYTHONPATH": f"{tmp_path / 'repository/scripts'}:{tmp_path / 'stand_ins'}"}
    command = [sys.executable, "-m", "common.downloads", "classifiers"]
    environment = os.environ | stand_ins | paths | {"FAKE_PAUSE": str(go)}
    with subprocess.Popen(command, env=environment) as first:
        until((downloading / "c.zip.part").exists)
        if killed:
            first.kill()
            first.wait()
        second = models("classifiers")
        go.touch()
    assert second.returncode == 1
    assert "classifiers is being fetched by another run" in second.stderr
    assert first.returncode == (-signal.SIGKILL if killed else 0)
    if killed:
        until((downloading / "c.zip").exists)
        until(lambda: models("classifiers").returncode == 0)
    assert "classifiers is there" in models("classifiers").stdout


def test_a_spoilt_archive_says_how_to_fetch_it_anew(models, tmp_path):
    put_on_drive(tmp_path, CLASSIFIERS, "c.zip", {"other": "c"})
    done = models("classifiers")
    assert done.returncode == 1
    downloading = tmp_path / "repository/Models/.downloads/classifiers"
    assert "no folder in it holds clf1024.pth, sgd_clf.pkl" in done.stderr
    assert f"; remove {downloading} to fetch it anew" in done.stderr
    assert (downloading / "c.zip").is_file()


def test_a_whole_archive_that_has_no_place_is_not_to_be_fetched_anew(models, tmp_path):
    put_on_drive(tmp_path, CLASSIFIERS, "c.zip", {"clf1024.pth": "c", "sgd_clf.pkl": "s"})
    mine = tmp_path / "repository/Models/classifiers/clf1024.pth"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own")
    done = models("classifiers")
    assert done.returncode == 1
    assert done.stderr == f"download_models: {mine} is there already; move it away first\n"
    assert mine.read_text() == "my own"


def test_a_place_that_cannot_be_written_is_named(models, tmp_path):
    (tmp_path / "repository/Models").touch()
    done = models("classifiers", "dinov2")
    assert done.returncode == 1
    assert f"Not a directory: '{tmp_path / 'repository/Models/.downloads'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not fetched: classifiers dinov2" in done.stderr


def test_google_drive_that_refuses(models, server):
    done = models("classifiers")
    assert done.returncode == 1
    assert "Google Drive limits the downloads of a day" in done.stderr
    assert f"{server[1]}/file/d/{CLASSIFIERS}/view" in done.stderr
    assert "-m common.archives DOWNLOADED_FILE" in done.stderr
    assert done.stderr.rstrip().endswith("Models/classifiers clf1024.pth sgd_clf.pkl")


def test_without_a_network_the_cause_is_named_and_nothing_is_installed(
    tmp_path, monkeypatch, refusing
):
    def start(*command: object, **options: object) -> None:
        pytest.fail(f"{command} was started")

    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    monkeypatch.setattr(downloads, "DRIVE", refusing)
    monkeypatch.setattr(downloads.subprocess, "run", start)
    with pytest.raises(downloads.DownloadError) as error:
        downloads.fetch_archive("classifiers", downloads.KNOWN["classifiers"])
    assert f"{refusing} cannot be reached (" in str(error.value)
    assert "Connection refused" in str(error.value)
    assert "limits" not in str(error.value)


def test_an_answer_of_whatever_kind_is_one(server):
    assert downloads.why_unreachable(server[1]) == ""
    assert downloads.why_unreachable(f"{server[1]}/gone") == ""


def test_the_environment_that_is_named_runs_the_download(repository, tmp_path):
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "VENV": str(tmp_path / "env")}
    environment.pop("PYTHON", None)
    command = ["bash", repository / "scripts/download_models.sh", "vgg19"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "-m common.downloads vgg19\n"


def test_an_unknown_name_and_help(models):
    done = models("clasifiers")
    assert done.returncode == 1
    assert "unknown name clasifiers" in done.stderr
    done = models("--hlep")
    assert done.returncode == 2
    assert done.stderr.startswith("Download published weights")
    help = models("--help")
    assert help.returncode == 0
    assert help.stdout == done.stderr
    assert help.stdout.rstrip().endswith("for a mirror")
    for name in downloads.KNOWN:
        assert name in help.stdout


def test_without_names_all_models_and_no_data_set(models, tmp_path):
    for source in downloads.KNOWN.values():
        if isinstance(source, downloads.Published):
            files = [source.file]
        else:
            files = [f"{source.folder}/{content}" for content in source.names]
        for file in files:
            path = tmp_path / "repository" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    done = models()
    assert done.returncode == 0
    there = [line.split()[1] for line in done.stdout.splitlines()]
    assert there == ["pidinet", "dinov2", "vgg19", "classifiers", "AF4hybrid", "AF4nonhybrid"]


# -------------------------------------------------------------------------- common/archives.py


def write_tar(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"text"))


def write_zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "text")


def test_tar_files_are_read_too(tmp_path):
    write_tar(tmp_path / "a.tgz", ["./model/latest_net_G.pth", "./model/o/opt.txt", "readme.txt"])
    archives.install(tmp_path / "a.tgz", tmp_path / "place", ["latest_net_G.pth"])
    assert sorted(p.name for p in (tmp_path / "place").iterdir()) == ["latest_net_G.pth", "o"]
    assert (tmp_path / "place/latest_net_G.pth").read_text() == "text"
    assert (tmp_path / "place/o/opt.txt").read_text() == "text"


def test_the_folder_nearest_the_top_is_taken(tmp_path):
    write_zip(tmp_path / "a.zip", ["x/backup/old/Images/a.png", "x/set/Images/b.png"])
    archives.install(tmp_path / "a.zip", tmp_path / "place", ["Images"])
    assert [path.name for path in (tmp_path / "place/Images").iterdir()] == ["b.png"]


def test_folders_in_archives(tmp_path):
    """A folder stands in an archive by itself, an empty one too; the Unix mode may say so."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("set/", "")
        unix = zipfile.ZipInfo("set/Images/")
        unix.external_attr = (stat.S_IFDIR | 0o755) << 16
        file.writestr(unix, "")
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in ("set", "set/Images"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            file.addfile(member)
    for name in ("a.zip", "a.tar"):
        archives.install(tmp_path / name, tmp_path / name[2:], ["Images"])
        assert [p.name for p in (tmp_path / name[2:]).iterdir()] == ["Images"]
        assert (tmp_path / name[2:] / "Images").is_dir()


def refused(
    archive: Path,
    kind: type[archives.ArchiveError] = archives.SpoiltArchive,
    unpacked: tuple[str, ...] = (),
) -> str:
    """The error of `kind` for `archive`, of which nothing may be installed or lie elsewhere.

    `unpacked` is what the temporary folder holds at the time.
    """
    place = archive.parent / "deep/place"
    before = sorted(path.name for path in archive.parent.iterdir())
    found: list[str] = []

    class Watched(tempfile.TemporaryDirectory):
        def __exit__(self, *error: object) -> None:
            found.extend(path.name for path in Path(self.name).rglob("*"))
            super().__exit__(*error)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(archives.ArchiveError) as raised:
        patch.setattr(archives.tempfile, "TemporaryDirectory", Watched)
        archives.install(archive, place, ["w.pth"])
    assert raised.type is kind
    assert found == list(unpacked)
    assert list(place.iterdir()) == []
    assert sorted(path.name for path in archive.parent.iterdir()) == sorted([*before, "deep"])
    assert list((archive.parent / "deep").iterdir()) == [place]
    return str(raised.value)


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../escaped.txt", "'../../escaped.txt' leaves the folder"),
        ("a/../../../escaped.txt", "'a/../../../escaped.txt' leaves the folder"),
        ("/escaped.txt", "'/escaped.txt' leaves the folder"),
        ("C:/escaped.txt", "'C:/escaped.txt' leaves the folder"),
        ("a\\b.txt", "'a\\\\b.txt' has a backslash in its name"),
        ("a//w.pth", "'a//w.pth' is in it twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_have_no_business_in_an_archive(tmp_path, write, name, reason):
    write(tmp_path / "archive", ["w.pth", "a/w.pth", name])
    assert reason in refused(tmp_path / "archive")


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize("name", ["a", "x" * 300])
def test_names_that_no_disk_can_hold_are_the_archives_fault(tmp_path, write, name):
    """A folder's name given to a file, and one that is too long."""
    write(tmp_path / "archive", ["w.pth", "a/w.pth", name])
    with pytest.raises(archives.SpoiltArchive, match="cannot be unpacked"):
        archives.install(tmp_path / "archive", tmp_path / "place", ["w.pth"])
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "called"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.FIFOTYPE, "special file"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.BLKTYPE, "special file"),
    ],
)
def test_a_tar_file_of_more_than_files_and_folders(tmp_path, kind, called):
    write_tar(tmp_path / "plain.tar", ["w.pth"])
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.addfile(tarfile.TarInfo("w.pth"))
        member = tarfile.TarInfo("odd")
        member.type, member.linkname = kind, "w.pth"
        file.addfile(member)
    assert f"'odd' is a {called}; expected files and folders" in refused(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("mode", "called"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "special file")]
)
def test_a_zip_file_of_more_than_files_and_folders(tmp_path, mode, called):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("w.pth", "text")
        member = zipfile.ZipInfo("odd")
        member.external_attr = (mode | 0o777) << 16
        file.writestr(member, "/etc/passwd")
    assert f"'odd' is a {called}; expected files and folders" in refused(tmp_path / "a.zip")


def test_a_link_that_points_outside_only_once_it_is_installed(tmp_path):
    """Deep in the archive it stays inside; lifted to its place it would not."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("mine")
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        member = tarfile.TarInfo("a/b/c/Images")
        member.type, member.linkname = tarfile.SYMTYPE, "../../../secret"
        file.addfile(member)
        folder = tarfile.TarInfo("secret")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
    place = tmp_path / "Datasets/x/y"
    with pytest.raises(archives.ArchiveError, match="'a/b/c/Images' is a link"):
        archives.install(tmp_path / "a.tar", place, ["Images"])
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_an_archive_larger_than_the_disk(tmp_path, monkeypatch, write):
    write(tmp_path / "archive", ["w.pth", "x.pth"])
    usage = shutil.disk_usage(tmp_path)._replace(free=7)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    assert "0.0 GB unpacked, but" in refused(tmp_path / "archive", archives.ArchiveError)


def test_a_tar_file_is_unpacked_where_tarfile_knows_no_filter(tmp_path, monkeypatch):
    """Python 3.10.0 to 3.10.11 and 3.11.0 to 3.11.3."""
    monkeypatch.delattr(tarfile.TarFile, "extractall")
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    write_tar(tmp_path / "a.tar", ["w.pth"])
    archives.install(tmp_path / "a.tar", tmp_path / "place", ["w.pth"])
    assert (tmp_path / "place/w.pth").read_text() == "text"


def test_a_damaged_archive(tmp_path):
    write_zip(tmp_path / "a.zip", ["w.pth"])
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole.replace(b"text", b"test"))
    error = refused(tmp_path / "a.zip", unpacked=("w.pth",))
    assert "cannot be unpacked (Bad CRC-32 for file 'w.pth')" in error


def test_nothing_is_overwritten(tmp_path):
    write_tar(tmp_path / "a.tar", ["clf1024.pth", "sgd_clf.pkl"])
    (tmp_path / "place").mkdir()
    (tmp_path / "place/sgd_clf.pkl").write_text("my own")
    with pytest.raises(archives.ArchiveError, match=r"sgd_clf\.pkl is there already"):
        archives.install(tmp_path / "a.tar", tmp_path / "place", ["clf1024.pth"])
    assert [p.name for p in (tmp_path / "place").iterdir()] == ["sgd_clf.pkl"]
    assert (tmp_path / "place/sgd_clf.pkl").read_text() == "my own"


def test_archives_without_what_is_wanted(tmp_path, repository, run):
    write_tar(tmp_path / "a.tar", ["other/readme.txt"])
    (tmp_path / "page.zip").write_text("<html>quota exceeded</html>")
    for name, message in {
        "a.tar": "no folder in it holds w.pth; it holds other, other/readme.txt",
        "page.zip": "neither a zip nor a tar file; it begins b'<html>quota",
        "none.zip": "no such file",
    }.items():
        module = ("-m", "common.archives", tmp_path / name, tmp_path / "place", "w.pth")
        done = run(*module, env={"PYTHONPATH": str(repository / "scripts")})
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
