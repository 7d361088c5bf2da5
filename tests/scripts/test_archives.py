"""common/archives.py: what is unpacked where, and archives that are refused."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from common import archives
from common.program import InputError


def write_tar(path: Path, names: list[str], odd: tarfile.TarInfo | None = None) -> None:
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"text"))
        if odd:
            file.addfile(odd)


def write_zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "text")


def refused(archive: Path) -> str:
    """The error for `archive`, of which nothing may be installed or lie elsewhere."""
    place = archive.parent / "deep/place"
    before = {*archive.parent.rglob("*"), place.parent, place}
    with pytest.raises(InputError, match=str(archive)) as raised:
        archives.install(archive, place, ["w.pth"])
    assert {*archive.parent.rglob("*")} == before
    return str(raised.value)


def test_what_lies_beside_the_names_is_moved_and_nothing_overwritten(tmp_path):
    names = ["./model/net.pth", "./model/o/opt.txt", "old/backup/model/net.pth", "readme.txt"]
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    write_tar(tmp_path / "a.tgz", names, folder)
    archives.install(tmp_path / "a.tgz", tmp_path / "place", ["net.pth"])
    assert sorted(p.name for p in (tmp_path / "place").iterdir()) == ["net.pth", "o"]
    assert (tmp_path / "place/o/opt.txt").read_text() == "text"
    (tmp_path / "place/net.pth").unlink()
    with pytest.raises(InputError, match=r"place/o is there already; move it away first"):
        archives.install(tmp_path / "a.tgz", tmp_path / "place", ["net.pth"])
    assert [p.name for p in (tmp_path / "place").iterdir()] == ["o"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../escaped.txt", "'../../escaped.txt' leaves the folder"),
        ("/escaped.txt", "'/escaped.txt' leaves the folder"),
        ("x" * 300, "cannot be unpacked"),  # no disk can hold it
    ],
)
def test_names_that_have_no_business_in_an_archive(tmp_path, write, name, reason):
    write(tmp_path / "archive", ["w.pth", "a/w.pth", name])
    assert reason in refused(tmp_path / "archive")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_an_archive_of_more_than_files_and_folders(tmp_path, kind):
    """A link that stays inside, deep in the archive, would not once it is lifted to its place."""
    odd = tarfile.TarInfo("a/b/c/odd")
    odd.type, odd.linkname = kind, "../../../w.pth"
    write_tar(tmp_path / "archive", ["w.pth"], odd)
    assert "'a/b/c/odd' is a link or a device; expected files" in refused(tmp_path / "archive")


def test_archives_that_are_damaged_or_hold_something_else(tmp_path):
    write_zip(tmp_path / "a.zip", ["w.pth"])
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"text", b"test"))
    write_tar(tmp_path / "c.tar", ["other/readme.txt"])
    (tmp_path / "b.tgz").write_bytes((tmp_path / "c.tar").read_bytes()[:-20])
    (tmp_path / "page.html").write_text("<html>quota exceeded</html>")
    for name, reason in {
        "a.zip": "cannot be unpacked (Bad CRC-32 for file 'w.pth')",
        "b.tgz": "cannot be unpacked (",
        "page.html": "neither a zip nor a tar file",
        "c.tar": "no folder in it holds w.pth; it holds other, other/readme.txt",
    }.items():
        assert reason in refused(tmp_path / name)
