"""Which images are scored: sub-folders, lists, and names that nobody should follow."""

import os
from pathlib import Path

import pandas as pd
import pytest
from files import passed_over, unread
from listing import find_images, listed_images
from PIL import Image

NAMES = """
b.png a/z.JPG a/b/c.tif a.b/d.png a/x,y.png a/notes.txt 1.HEIC .hidden/e.png a/.hidden.png
deep.png/f.png deep.png/2.3FR b.CR2 a/z.CR2 a/b/c.1.dng @eaDir/b.png/SYNO.jpg __MACOSX/._b.png
a/#recycle/b.png a/Thumbs.db notes table.csv .DS_Store B.1.2 a/B.3
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    for name in NAMES.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in ("B.1.2", "a/B.3"):  # numbers, and no suffixes
        Image.new("RGB", (4, 4)).save(folder / name, "JPEG")
    os.mkfifo(folder / "a/pipe")
    (tmp_path / "outside.png").touch()
    (folder / "a/link.CR2").symlink_to(folder, target_is_directory=True)
    return folder


def test_sub_folders_are_searched_where_it_is_asked_for(folder):
    images, refused = find_images(folder, recursive=True)
    names = ["B.1.2", "a.b/d.png", "a/B.3", "a/b/c.tif", "a/z.JPG", "b.png", "deep.png/f.png"]
    assert images.names == names
    assert list(images) == [folder / name for name in names]
    assert [text.partition(":")[0] for text in refused] == ["'a/x,y.png'"]
    assert find_images(folder)[0].names == ["B.1.2", "b.png"]


def test_what_is_passed_over_is_counted(folder):
    """Photographs that are not read, beside what is none; bookkeeping of storage is neither."""
    passed = find_images(folder, recursive=True)[0].passed
    assert passed == {
        ".CR2 beside an image of its name": ["a/z.CR2", "b.CR2"],
        ".HEIC": ["1.HEIC"],
        ".3FR": ["deep.png/2.3FR"],
        ".csv": ["table.csv"],
        ".dng": ["a/b/c.1.dng"],
        ".txt": ["a/notes.txt"],
        "links to folders": ["a/link.CR2"],
        "without a suffix": ["a/pipe", "notes"],
    }
    assert unread(passed) == 3
    images = find_images(folder)[0]
    (line,) = passed_over(images.passed)
    assert line == (
        "passed over: 1 .3FR, 1 .CR2 beside an image of its name, 1 .HEIC, 1 .csv, 1 .dng, 6 "
        "images in sub-folders (--recursive), 1 without a suffix; save photographs as JPEG or "
        "TIFF, or install pillow-heif for HEIC"
    )
    assert unread(images.passed) == 3  # of sub-folders, too
    for name in ("1.HEIC", "deep.png/2.3FR", "a/b/c.1.dng"):
        (folder / name).unlink()
    images = find_images(folder)[0]
    assert passed_over(images.passed)[0].endswith("(--recursive), 1 without a suffix")
    assert (passed_over({}), unread({".cr2": ["a", "b"], ".txt": ["c"]})) == ([], 2)


def test_a_sub_folder_that_cannot_be_read_is_an_error(folder, monkeypatch):
    """Else its images would be missing from the predictions, and nobody would know."""
    real, closed = os.scandir, ["b"]

    def scandir(path):
        if Path(path).name in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="a/b"):
        find_images(folder, recursive=True)
    assert find_images(folder)[0].names == ["B.1.2", "b.png"]  # which are not in it
    closed.append(folder.name)
    with pytest.raises(PermissionError, match=folder.name):
        find_images(folder)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for name, end in (
        ("a/b.txt", "$"),
        ("a/b.nef", "; passed over: 1 .nef; save photographs"),
        ("a/c.png", r"; passed over: 1 .nef, 1 images in sub-folders \(--rec"),
    ):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=rf"no images \([^)]*\){end}"):
            find_images(tmp_path)
    for find in (find_images, lambda gone: listed_images(tmp_path / "list.csv", gone)):
        with pytest.raises(ValueError, match="gone: no such folder"):
            find(tmp_path / "gone")


def test_a_list_names_the_images(folder, tmp_path):
    outside = ["../outside.png", "/etc/passwd", ""]
    names = ["b.png", "a/z.JPG", *outside, "b.png", "a/x,y.png", "a\n.png"]
    path = tmp_path / "list.csv"
    table = pd.DataFrame({"camid": 7, "filename": names})
    table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    images, refused = listed_images(path, folder)
    assert images.names == ["a/z.JPG", "b.png"]
    comma = "a comma or a control character would break predictions.txt; rename it"
    assert sorted(refused) == sorted(
        [f"{name!r}: {comma}" for name in ("a/x,y.png", "a\n.png")]
        + [f"{path}: {n!r} is not the name of a file in {folder}" for n in outside]
    )


def test_a_list_that_cannot_be_read_is_named(folder, tmp_path):
    path = tmp_path / "list.csv"
    for content, message in (
        ("name|x\nb.png\n", r", line 1: no column filename; expected .* tabs; found name\|x$"),
        ("sep=;\nname;x\nb.png;1\n", ", line 2: no column filename"),
        ("filename,id\na.png,1\nb.png\n", ", line 3: 1 cells, but 2 columns in line 1"),
        ("filename\n", ": names no images"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"list.csv{message}"):
            listed_images(path, folder)
