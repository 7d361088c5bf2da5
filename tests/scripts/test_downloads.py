"""The download scripts against a local server and stand-ins for cautious-robot and gdown."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from common import archives

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
# Like gdown 6: downloads under the file's own name into the folder of --output.
GDOWN = """
import os, pathlib, shutil, sys
if "--version" in sys.argv:
    sys.exit(print("gdown 6.5.1 at here"))
folder, name = pathlib.Path(sys.argv[sys.argv.index("--output") + 1]), sys.argv[-1]
sources = list(pathlib.Path(os.environ["FAKE_DRIVE"], name).glob("*"))
if not sources:
    sys.exit("Cannot retrieve the public link of the file.")
for source in sources:
    shutil.copy(source, folder)
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
def models(repository, stand_ins, tmp_path):
    """A copy of the script in a repository of its own; a function that runs it."""
    scripts = tmp_path / "repository/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(repository / "scripts/download_models.sh", scripts)
    shutil.copytree(repository / "scripts/common", scripts / "common")

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


def test_an_interrupted_download_is_replaced_where_the_server_cannot_go_on(
    models, server, tmp_path
):
    folder, address = server
    (folder / "dino.pth").write_text("weights")
    part = tmp_path / "repository/Models/backbones/dinov2_vitb14_pretrain.pth.part"
    part.parent.mkdir(parents=True)
    part.write_text("wei")
    done = models("dinov2", DINOV2_URL=f"{address}/dino.pth")
    assert done.returncode == 0, done.stderr
    assert part.with_suffix("").read_text() == "weights"
    assert not part.exists()


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
    assert not list((folder / ".downloads").iterdir())
    assert "classifiers is there" in models("classifiers").stdout


def test_google_drive_that_refuses(models, tmp_path):
    done = models("classifiers")
    assert done.returncode == 1
    assert f"https://drive.google.com/file/d/{CLASSIFIERS}/view" in done.stderr
    assert "-m common.archives DOWNLOADED_FILE" in done.stderr
    assert done.stderr.rstrip().endswith("Models/classifiers clf1024.pth sgd_clf.pkl")


def test_an_unknown_name_and_help(models):
    done = models("clasifiers")
    assert done.returncode == 1
    assert "unknown name clasifiers" in done.stderr
    done = models("--help")
    assert done.returncode == 2
    assert "Images4TrainClassifier" in done.stderr


# -------------------------------------------------------------------------- common/archives.py


def write_tar(path: Path, names: list[str], link: str | None = None) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"text"))
        if link:
            member = tarfile.TarInfo("model/link")
            member.type, member.linkname = tarfile.SYMTYPE, link
            file.addfile(member)


def test_tar_files_are_read_too(tmp_path):
    write_tar(tmp_path / "a.tgz", ["model/latest_net_G.pth", "model/opt.txt", "readme.txt"])
    archives.install(tmp_path / "a.tgz", tmp_path / "place", ["latest_net_G.pth"])
    assert sorted(p.name for p in (tmp_path / "place").iterdir()) == ["latest_net_G.pth", "opt.txt"]


@pytest.mark.parametrize(
    "names, link", [(["../../escaped.txt", "w.pth"], None), (["w.pth"], "/etc/passwd")]
)
def test_a_tar_file_that_leaves_the_folder_is_refused(tmp_path, names, link):
    write_tar(tmp_path / "a.tar", names, link)
    with pytest.raises(archives.ArchiveError, match="cannot be unpacked"):
        archives.install(tmp_path / "a.tar", tmp_path / "deep/place", ["w.pth"])
    assert not list((tmp_path / "deep/place").iterdir())
    assert not (tmp_path / "escaped.txt").exists()


def test_a_zip_file_cannot_leave_the_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("../../escaped.txt", "x")
        file.writestr("w.pth", "x")
    archives.install(tmp_path / "a.zip", tmp_path / "deep/place", ["w.pth"])
    assert (tmp_path / "deep/place/w.pth").exists()
    assert not (tmp_path / "escaped.txt").exists()
    assert not (tmp_path / "deep/escaped.txt").exists()


def test_nothing_is_overwritten(tmp_path):
    write_tar(tmp_path / "a.tar", ["clf1024.pth", "sgd_clf.pkl"])
    (tmp_path / "place").mkdir()
    (tmp_path / "place/sgd_clf.pkl").write_text("my own")
    with pytest.raises(archives.ArchiveError, match=r"sgd_clf\.pkl is there already"):
        archives.install(tmp_path / "a.tar", tmp_path / "place", ["clf1024.pth"])
    assert [p.name for p in (tmp_path / "place").iterdir()] == ["sgd_clf.pkl"]
    assert (tmp_path / "place/sgd_clf.pkl").read_text() == "my own"


def test_archives_without_what_is_wanted(tmp_path, run):
    write_tar(tmp_path / "a.tar", ["other/readme.txt"])
    (tmp_path / "page.zip").write_text("<html>quota exceeded</html>")
    for name, message in {
        "a.tar": "no folder in it holds w.pth; it holds other, other/readme.txt",
        "page.zip": "neither a zip nor a tar file; it begins b'<html>quota",
        "none.zip": "no such file",
    }.items():
        done = run(archives.__file__, tmp_path / name, tmp_path / "place", "w.pth")
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
