"""Which images are scored: sub-folders, lists, and names that nobody should follow."""

import os
import sys
from pathlib import Path

import listing
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


def test_a_folder_of_folders_is_told_of_recursive(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"holds no images .*; --recursive searches its sub-fol"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match=r"holds no images \(.*\)$"):
        find_images(tmp_path, recursive=True)


@pytest.mark.parametrize("sign", "=+-@\uff1d\uff0b\uff0d\uff20")
def test_a_list_from_the_report_names_files_that_look_like_formulas(folder, tmp_path, sign):
    """The report writes an apostrophe before them; a file may also have it in its name."""
    for name in (f"{sign}a.png", f"{sign}b.png", f"'{sign}b.png", "'c.png"):
        (folder / name).touch()
    lines = ["filename", f"'{sign}a.png", f"'{sign}b.png", "'c.png", f"'{sign}/../../outside.png"]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    images, refused = listed_images(tmp_path / "list.csv", folder)
    assert images.names == sorted([f"{sign}a.png", f"'{sign}b.png", "'c.png"])
    assert len(refused) == 1 and "outside.png" in refused[0]


def test_positions_by_name(folder):
    images, _ = find_images(folder, recursive=True)
    assert [images.position(name) for name in images.names] == [0, 1, 2, 3, 4]
    assert [images.position(name) for name in ("", "a.b", "c", "zzz")] == [None] * 4


ROWS = ["b.png", "a/z.JPG", "../outside.png", "/etc/passwd", "b.png", "a/x,y.png", "a\n.png", ""]
GOOD = ["a/z.JPG", "b.png"]


def check(images: listing.Images, refused: list[str], path: Path) -> None:
    assert images.names == GOOD
    comma = "a comma or a control character would break predictions.txt; rename it"
    outside = f"is not the name of a file in {images.folder}"
    assert sorted(refused) == sorted(
        [
            f"'a/x,y.png': {comma}",
            f"'a\\n.png': {comma}",
            f"{path}: '../outside.png' {outside}",
            f"{path}: '/etc/passwd' {outside}",
            f"{path}: '' {outside}",
        ]
    )


def quoted(name: str) -> str:
    return f'7,"{name}"\r\n'


def test_a_csv_names_the_images(folder, tmp_path):
    path = tmp_path / "list.csv"
    text = "\ufeffcamid,filename\r\n" + "".join(map(quoted, ROWS))
    path.write_bytes(text.encode())
    check(*listed_images(path, folder), path)


def test_a_parquet_file_names_the_images(folder, tmp_path):
    pytest.importorskip("pyarrow")
    import pandas

    path = tmp_path / "list.parquet"
    pandas.DataFrame({"camid": 7, "filename": ROWS * 50}).to_parquet(path)
    check(*listed_images(path, folder), path)

    pandas.DataFrame({"filename": ["b.png", None]}).to_parquet(path)
    images, refused = listed_images(path, folder)
    assert (images.names, len(refused)) == (["b.png"], 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"name\nb.png\n", "has the columns name, expected filename"),
        ("list.csv", b"", "has the columns , expected filename"),
        ("list.csv", b"filename\n", "names no images"),
        ("list.csv", b"filename\n\xff.png\n", "not a CSV file"),
        ("list.txt", b"filename\nb.png\n", r"a list of images ends in \.csv or \.parquet"),
        ("list.parquet", b"PAR1 and no more", "not a readable Parquet file"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(folder, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        listed_images(path, folder)


def test_without_pyarrow_parquet_says_what_to_do(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install pyarrow, or write the list as \.csv"):
        listed_images(tmp_path / "list.parquet", folder)


def test_a_short_row_names_no_file(folder, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("camid,filename\n1\n2,b.png\n")
    images, refused = listed_images(path, folder)
    assert images.names == ["b.png"]
    assert refused == [f"{path}: None is not the name of a file in {folder}"]
