"""Hostile archives: damaged ones, headers without end, names that no file system has."""

import io
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from common import archives


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("set/Images/8/a.png", "set/List/list.txt", "set/w.pth"):
            file.writestr(name, name * 50)


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as file:
        for name in ("set/Images/8/a.png", "set/List/list.txt", f"set/{'x' * 120}/w.pth"):
            member = tarfile.TarInfo(name)
            member.size = 400
            file.addfile(member, io.BytesIO(b"contents" * 50))


WRITERS = {"a.zip": write_zip, "a.tar": write_tar, "a.tgz": write_tar}


def outside(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_damaged_archive_is_installed_whole_or_not_at_all(tmp_path, mutate, request, name):
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    place = tmp_path / "deep/place"
    archives.install(path, place, ["Images"])
    sound = outside(tmp_path)
    draw = random.Random(name)
    refused = 0
    for number in range(request.config.getoption("--files") // 2):
        path.write_bytes(mutate(draw, whole))
        place = tmp_path / f"deep/place{number}"
        try:
            archives.install(path, place, ["Images"])
            assert (place / "Images").is_dir()
        except (archives.ArchiveError, OSError) as error:
            assert str(path) in str(error)
            assert list(place.iterdir()) == []
            refused += 1
    assert refused > 0
    strays = [p for p in outside(tmp_path) if not re.match(r"deep/place\d+", p) and p not in sound]
    assert strays == []


@pytest.mark.parametrize("names", [["Images"], ["w.pth"], ["clf1024.pth", "sgd_clf.pkl"]])
def test_a_zip_cut_short_is_an_error_whatever_is_wanted(tmp_path, names):
    """One that lacks its beginning still ends as a zip does."""
    write_zip(tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[-200:])
    assert zipfile.is_zipfile(tmp_path / "a.zip")
    with pytest.raises(archives.ArchiveError, match=r"a\.zip: cannot be unpacked"):
        archives.install(tmp_path / "a.zip", tmp_path / "place", names)


@pytest.mark.parametrize("name", ["x" * 300, "/".join("x" * 9) * 600, "a\0b"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        file.addfile(tarfile.TarInfo("Images/a.png"))
        file.addfile(tarfile.TarInfo(f"Images/{name}"))
    try:
        archives.install(tmp_path / "a.tar", tmp_path / "place", ["Images"])
        assert "\0" in name  # where a header ends at it
    except archives.ArchiveError as error:
        assert "a.tar: cannot be unpacked (" in str(error)
        assert list((tmp_path / "place").iterdir()) == []


MEMORY = """
import re, sys
from pathlib import Path
from common import archives
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
for path in sys.argv[1:]:
    try:
        archives.install(Path(path), Path(path + ".place"), ["Images"])
    except archives.ArchiveError as error:
        print("refused")
print(peak() - before)
"""
MEGABYTES = 16  # more than a header may take


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_header_without_end_takes_no_memory(tmp_path, repository):
    """40 MB of zeros are 40 KB in a tgz, and tarfile reads a header whole."""
    paths = []
    for kind, first in ((tarfile.XHDTYPE, True), (tarfile.GNUTYPE_LONGNAME, False)):
        paths.append(tmp_path / f"{len(paths)}.tgz")
        with tarfile.open(paths[-1], "w:gz", compresslevel=1) as file:
            if not first:
                file.addfile(tarfile.TarInfo("Images"))
            header = tarfile.TarInfo("notes")
            header.type, header.size = kind, 4 * 10**7
            file.addfile(header, io.BytesIO(bytes(header.size)))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *paths],
        env={"PYTHONPATH": str(repository / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *refused, peak = done.stdout.splitlines()
    assert refused == ["refused"] * 2
    assert int(peak) < MEGABYTES
