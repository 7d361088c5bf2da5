"""The download scripts against a local server and stand-ins for cautious-robot and gdown."""

import argparse
import hashlib
import os
import re
import stat
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from common import check_photos, downloads
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


# ---------------------------------------------------------------------- download_challenge.sh


@pytest.fixture
def challenge(server, draw, repository, tmp_path):
    """Three photographs on the server and their CSV; a function that runs the script."""
    folder, address = server
    rows, reference = ["CAMID,file_url,filename,md5"], ["CAMID,file_url,filename"]
    for name in ("C1", "C2", "C3"):
        digest = hashlib.md5(draw(folder / f"{name}.JPG").read_bytes()).hexdigest()
        rows.append(f"{name},{address}/{name}.JPG,{name}.jpg,{digest}")
        reference.append(f"{name},{address}/{name}.JPG,40303_{name}.JPG")
    (tmp_path / "photos.v1.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "ref_val.csv").write_text("\n".join(reference) + "\n")
    robot = tmp_path / "stand_ins/cautiousrobot"
    robot.mkdir(parents=True)
    (robot / "__init__.py").touch()
    (robot / "__main__.py").write_text(CAUTIOUS_ROBOT)

    def download(csv="photos.v1.csv"):
        script = repository / "scripts/download_challenge.sh"
        return bash(script, csv, "originals", folder=tmp_path, PYTHONPATH=str(robot.parent))

    return download


def test_challenge_photographs_arrive_and_the_broken_are_fetched_again(challenge, server, tmp_path):
    done, half = challenge(), tmp_path / "originals/C2.jpg"
    assert (done.returncode, "'--verifier-col', 'md5'" in done.stdout) == (0, True), done.stderr
    assert {path.name for path in half.parent.iterdir()} == {"C1.jpg", "C2.jpg", "C3.jpg"}
    again = challenge()  # nothing to fetch: nothing installed, nothing asked
    assert (again.returncode, "called with" in again.stdout) == (0, False)

    whole = half.read_bytes()
    half.write_bytes(whole[:100])
    (tmp_path / "originals/C3.jpg").unlink()
    (server[0] / "C3.JPG").unlink()
    done = challenge()
    assert done.returncode == 3
    assert "1 of 3 photographs are missing, 1 are broken" in done.stderr
    assert "C2.jpg is broken (MD5" in done.stderr and "C3.jpg is missing" in done.stderr
    assert half.read_bytes() == whole


def test_photographs_of_a_reference_have_other_names_and_no_checksums(challenge, server, tmp_path):
    whole, table = (server[0] / "C3.JPG").read_bytes(), tmp_path / "ref_val.csv"
    # The downloader reads commas and UTF-8 alone.
    table.write_text("sep=;\n" + table.read_text().replace(",", ";"), encoding="utf-16")
    (server[0] / "C3.JPG").write_text("<html>busy</html>")
    done = challenge("ref_val.csv")  # so each file is decoded
    assert (done.returncode, "--verifier-col" in done.stdout) == (3, False)
    assert "40303_C3.JPG is broken" in done.stderr
    (server[0] / "C3.JPG").write_bytes(whole)
    done = challenge("ref_val.csv")
    assert (done.returncode, "all 3 photographs are whole" in done.stderr) == (0, True)
    assert (tmp_path / "originals/40303_C3.JPG").read_bytes() == whole


def test_a_row_that_no_photograph_can_fit_breaks_none(tmp_path):
    table = tmp_path / "photos.csv"
    for url, md5, message in [
        ("ftp://x", "0" * 32, "file_url 'ftp://x'; expected https://"),
        ("https://x", "", "md5 ''; expected 32 hexadecimal digits"),
        ("https://x", "g" * 32, f"md5 '{'g' * 32}'; expected 32"),
    ]:
        rows = ["file_url,filename,md5", f"http://x,B.jpg,{'0aF9' * 8}", f"{url},C.jpg,{md5}"]
        table.write_text("\n".join(rows))
        with pytest.raises(InputError, match=re.escape(f"photos.csv, line 3: {message}")):
            check_photos.run(argparse.Namespace(csv=table, folder=tmp_path))


# ------------------------------------------------------------ download_models.sh: plain addresses

WEIGHTS = b"weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def served(server, monkeypatch, tmp_path):
    """The server's folder and the address of its w.pth; and the seconds that pooch waited, at the
    end of which the file is there."""
    folder, address = server
    waited: list[int] = []

    def wait(seconds: int) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            (folder / "w.pth").write_bytes(WEIGHTS)

    monkeypatch.setattr("pooch.core.time.sleep", wait)
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return folder, f"{address}/w.pth", waited


@pytest.mark.parametrize("known", [SHA256, SHA256[:8], ""])
def test_a_file_comes_once_and_is_asked_for_three_times(served, tmp_path, capsys, known):
    _, url, waited = served
    path = tmp_path / "models/w.pth"
    downloads.fetch_file("w", downloads.Published(url, "models/w.pth", known))
    assert path.read_bytes() == WEIGHTS
    assert waited == [1, 2]  # it waits longer each time
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # another account may read it
    assert [p.name for p in path.parent.iterdir()] == ["w.pth"]
    said = f"no published checksum; SHA-256 of what came: {SHA256}"
    assert (said in capsys.readouterr().out) == (known == "")
    downloads.fetch_file("w", downloads.Published("nowhere", "models/w.pth", known))


def test_what_does_not_come_whole_is_an_error_and_leaves_nothing(served, tmp_path, monkeypatch):
    folder, url, waited = served
    remedy = f"put it at {tmp_path / 'models/w.pth'} yourself, or run the same command again"
    for reason in (f"has SHA-256 {SHA256}, expected 00000000", f"404 Client Error.*{remedy}"):
        with pytest.raises(InputError, match=f"{url}.*{reason}"):
            downloads.fetch_file("w", downloads.Published(url, "models/w.pth", "00000000"))
        assert list((tmp_path / "models").iterdir()) == []
        (folder / "w.pth").unlink(missing_ok=True)
        monkeypatch.setattr("pooch.core.time.sleep", waited.append)
    assert waited == [1, 2, 1, 2]


def run_main(monkeypatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["downloads", *names])
    return downloads.main()


def test_one_that_fails_does_not_keep_the_others_from_coming(served, monkeypatch, tmp_path, capsys):
    for name in ("DINOV2", "VGG19"):
        monkeypatch.setenv(f"{name}_URL", served[1])
    assert run_main(monkeypatch, "vgg19", "clasifiers", "dinov2") == 1
    said = capsys.readouterr().err
    assert "expected dcbb9e9d; it was removed" in said and "unknown name clasifiers" in said
    assert said.endswith("download_models: not fetched: vgg19 clasifiers\n")
    (came,) = (path for path in (tmp_path / "Models").rglob("*") if path.is_file())
    assert came == tmp_path / "Models/backbones/dinov2_vitb14_pretrain.pth"


# ------------------------------------------------------------- download_models.sh: Google Drive


def write_zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, Path(name).name)


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """A stand-in for gdown: gives what lies under an identity in a folder, or raises."""
    lies: dict[str, tuple[str, list[str]]] = {}
    asked: list[dict[str, object]] = []

    def download(**options: object) -> str:
        asked.append(options)
        if options["id"] not in lies:
            raise lies.get("error") or LookupError("Cannot retrieve the public link")
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
BOTH = ["models/clf1024.pth", "models/sgd_clf.pkl"]


def test_archives_from_google_drive_land_in_their_places(drive, monkeypatch, tmp_path):
    lies, asked = drive
    lies[CLASSIFIERS] = "c.zip", BOTH
    lies[AF4HYBRID] = ("latest_net_G.pth", ["archive/data.pkl"])  # as torch.save writes
    lies[HYBRID_IMAGES] = ("set.zip", ["a/b/Images/hybrid/train/good/C1.jpg", "a/b/Lists/t.txt"])
    datasets = tmp_path / "Datasets/Images4TrainAFhybrid"
    datasets.mkdir(parents=True)
    (datasets / ".gitkeep").touch()
    assert run_main(monkeypatch, "classifiers", "AF4hybrid", "Images4TrainAFhybrid") == 0
    folder = tmp_path / "Models"
    assert (folder / "classifiers/sgd_clf.pkl").read_text() == "sgd_clf.pkl"
    assert zipfile.is_zipfile(folder / "AFgenerators/AF4hybrid/latest_net_G.pth")
    assert (datasets / "Images/hybrid/train/good/C1.jpg").read_text() == "C1.jpg"
    assert run_main(monkeypatch, "classifiers", "AF4hybrid") == 0
    assert len(asked) == 3  # both are there
    first = asked[0]  # a transfer that broke off goes on; a server that is silent is given up
    assert (first["resume"], first["timeout"], first["retries"]) == (True, 60, 2)


def test_without_names_all_models_come_and_no_data_set(monkeypatch):
    fetched = []
    for kind in ("fetch_file", "fetch_archive"):
        monkeypatch.setattr(downloads, kind, lambda name, _: fetched.append(name))
    assert run_main(monkeypatch) == 0
    assert fetched == ["pidinet", "dinov2", "vgg19", "classifiers", "AF4hybrid", "AF4nonhybrid"]


def test_an_archive_by_hand_to_one_run_at_a_time_over_nothing(drive, monkeypatch, capsys, tmp_path):
    downloading = tmp_path / "Models/.downloads/classifiers"
    downloading.parent.mkdir(parents=True)
    with FileLock(downloading.with_suffix(".lock")):
        assert run_main(monkeypatch, "classifiers") == 1
    assert "classifiers is being fetched by another run; wait for it" in capsys.readouterr().err
    assert drive[1] == []

    by_hand = f"https://drive.google.com/file/d/{CLASSIFIERS}/view in a browser, put the file into"
    for error, reason in (
        (None, "Cannot retrieve the public link), which limits the downloads of a day: run the s"),
        (OSError("no such host"), "(no such host): run the same command again"),
    ):
        drive[0]["error"] = error
        assert run_main(monkeypatch, "classifiers") == 1
        said = capsys.readouterr().err
        assert reason in said and f"{by_hand} {downloading}" in said

    write_zip(downloading / "c.zip", BOTH)
    (downloading / "c.zip12345678.part").touch()  # what gdown left
    mine = tmp_path / "Models/classifiers/clf1024.pth"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own")
    assert run_main(monkeypatch, "classifiers") == 1
    already = "classifiers/clf1024.pth is there already; move it away first; to fetch it anew, rem"
    assert already in capsys.readouterr().err
    assert [path.read_text() for path in mine.parent.iterdir()] == ["my own"]
    mine.unlink()
    assert run_main(monkeypatch, "classifiers") == 0
    assert mine.read_text() == "clf1024.pth"
    assert len(drive[1]) == 2


def test_known_checksums_and_names(repository, shared, tmp_path):
    weights = (shared / "pidinet/table5_pidinet.pth").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == downloads.KNOWN["pidinet"].sha256
    scripts = [repository / f"scripts/download_{name}.sh" for name in ("challenge", "models")]
    for script in scripts:
        assert bash(script, "--hlep", folder=tmp_path).returncode == 2
    told = bash(scripts[1], "--help", folder=tmp_path)
    assert told.returncode == 0
    assert all(name in told.stdout for name in downloads.KNOWN)
