"""Which images are scored: sub-folders, lists, and names that nobody should follow."""

import os
from pathlib import Path

import pandas as pd
import pytest
from listing import find_images, listed_images


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "photographs"
    for name in (
        *("b.png", "a/z.JPG", "a/b/c.tif", "a.b/d.png", "a/x,y.png", "a/notes.txt"),
        *(".hidden/e.png", "a/.hidden.png", "deep.png/f.png"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "outside.png").touch()
    (folder / "a/link").symlink_to(folder, target_is_directory=True)
    return folder


def test_sub_folders_are_searched_where_it_is_asked_for(folder):
    images, refused = find_images(folder, recursive=True)
    names = ["a.b/d.png", "a/b/c.tif", "a/z.JPG", "b.png", "deep.png/f.png"]
    assert images.names == names
    assert list(images) == [folder / name for name in names]
    assert [text.partition(":")[0] for text in refused] == ["'a/x,y.png'"]
    assert find_images(folder)[0].names == ["b.png", "deep.png"]


def test_a_sub_folder_that_cannot_be_read_is_an_error(folder, monkeypatch):
    """Else its images would be missing from the predictions, and nobody would know."""
    real = os.scandir

    def scandir(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="a/b"):
        find_images(folder, recursive=True)


def test_a_folder_without_images_is_refused(tmp_path):
    for recursive, end in ((False, "; --recursive searches its sub-folders, too"), (True, "")):
        with pytest.raises(ValueError, match=rf"holds no images \(.*\){end}$"):
            find_images(tmp_path, recursive)
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
        ("name|x\nb.png\n", ", line 1: no column filename; expected .* tabs; found name|x"),
        ("sep=;\nname;x\nb.png;1\n", ", line 2: no column filename"),
        ("filename,id\na.png,1\nb.png\n", ", line 3: 1 cells, but 2 columns in line 1"),
        ("filename\n", ": names no images"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"list.csv{message}"):
            listed_images(path, folder)
