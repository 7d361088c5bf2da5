"""Where a list is looked for, and what is said about a bad one."""

from pathlib import Path

import pytest
from data.lists import find_list, read_pairs
from util.errors import InputError


@pytest.mark.parametrize(
    ("place", "dataroot", "phase"),
    [
        ("List/test_nonhybrid/test_edges.txt", ".", "test_nonhybrid"),
        ("Lists/test_nonhybrid/test_edges.txt", ".", "test_nonhybrid"),
        ("List/test_nonhybrid/test_nonhybrid_edges.txt", ".", "test_nonhybrid"),
        ("List/test_nonhybrid_edges.txt", ".", "test_nonhybrid"),
        ("List/test_edges.txt", ".", "test"),
        ("List/test_nonhybrid/test_edges.txt", "List", "test_nonhybrid"),
        ("Lists/test_nonhybrid/test_edges.txt", "Lists/test_nonhybrid", "test_nonhybrid"),
        ("List/test_nonhybrid/test_nonhybrid_edges.txt", "List/test_nonhybrid", "test"),
        # A list's own folder says which list it is, whatever a script's --phase.
        ("List/test_signalhybrid/test_edges.txt", "List/test_signalhybrid", "test_nonhybrid"),
        ("Lists/train_AFhybrid/train_edges.txt", "List/train_AFhybrid", "train"),
    ],
)
def test_finds_the_list(tmp_path, place, dataroot, phase):
    edges = tmp_path / place
    edges.parent.mkdir(parents=True)
    edges.touch()
    found = find_list(tmp_path / dataroot, phase)
    assert (found.edges, found.dataset) == (edges, tmp_path)
    assert found.column("color_ref").name == edges.name.replace("edges", "color_ref")


def test_list_comes_before_lists_and_its_own_folder_before_both(tmp_path):
    for folder in ("Lists", "List", "Lists/test_x", "List/test_x"):  # the later goes before
        (tmp_path / folder).mkdir()
        edges = tmp_path / folder / ("test_edges.txt" if "/" in folder else "test_x_edges.txt")
        edges.touch()
        assert find_list(tmp_path, "test_x").edges == edges
    # One that says nothing about which list it is, or is to train on, is not taken.
    (tmp_path / "List/test_edges.txt").touch()
    for path in tmp_path.glob("*/test_x/test_edges.txt"):
        path.rename(path.with_name("train_edges.txt"))
    for where, phase in ((".", "test_y"), ("List/test_x", "test")):
        with pytest.raises(InputError, match=r"looked for .*/test_edges.txt.*make_lists.py makes"):
            find_list(tmp_path / where, phase)


def test_a_list_that_is_not_there_names_the_nearest(dataset):
    (dataset / "List/train_signalhybrid").mkdir()  # empty
    for name, near in (("train_signalhybrid", "test_signalhybrid"), ("nohybrid", "test_nonhybrid")):
        for where, phase in ((dataset, name), (dataset / "Lists" / name, "test")):
            with pytest.raises(InputError, match=rf"\(the nearest there is {near}\); looked for"):
                find_list(where, phase)
    with pytest.raises(InputError, match="--phase test; looked for"):  # no list at all
        find_list(dataset / "Images", "test")


def test_pairs_and_their_names(dataset):
    files = find_list(dataset, "test_signalhybrid")
    path = files.edges
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    pairs = read_pairs(files, training=False)
    names = ["AF_9_8_gen00000.png", "AF_9_8_gen00001.png"]
    assert [pair.generated_name for pair in pairs] == names
    assert pairs[1].edges == dataset / "Images/9/train/pidinet_edges/1.png"
    assert pairs[1].reference == dataset / "Images/8/train/good/0.png"
    assert pairs[1].target == dataset / "Images/nowhere/x.png"  # need not be there
    with pytest.raises(InputError, match=r"test_color_gt\.txt, line 1: .*x\.png is not there"):
        read_pairs(files, training=True)
    files.column("color_gt").unlink()
    assert [pair.target for pair in read_pairs(files, training=False)] == [None, None]
    (dataset / "Images/8/a.png").touch()  # may lie right below its subspecies
    files.column("color_ref").write_text("Images/8/a.png\n" * 2)
    assert [pair.reference_subspecies for pair in read_pairs(files, False)] == ["8", "8"]


def test_a_photo_of_another_structure_is_named(dataset):
    files = find_list(dataset, "test_nonhybrid")
    for pair in read_pairs(files, training=True):  # where a photo is its own reference
        assert pair.reference == pair.target == pair.edges.parents[1] / "good" / pair.edges.name
    first, second, *others = files.column("color_gt").read_text().splitlines()
    files.column("color_gt").write_text("\n".join([second, first, *others]))
    assert len(read_pairs(files, training=False)) == 4
    message = r"gt\.txt, line 1: 1\.png is not .* edge map 0\.png of test_edges\.txt"
    for asked in ({"training": True}, {"training": False, "photos": True}):
        with pytest.raises(InputError, match=message):
            read_pairs(files, **asked)
    namesake = dataset / "Images/elsewhere/good" / Path(first).name
    namesake.parent.mkdir(parents=True)
    namesake.touch()
    line = namesake.relative_to(dataset).as_posix()
    files.column("color_gt").write_text("\n".join([line, second, *others]))
    with pytest.raises(InputError, match=rf"line 1: .*{line} is not the photo of "):
        read_pairs(files, training=False, photos=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Images/9/train/good/7.png", r".*7\.png is not there$"),
        (r"Images\9\train\good\0.PNG", ".* is not there, but 'Images/9/train/good/0.png' is there"),
        ("/etc/passwd", "'/etc/passwd' leaves the folder"),
        ("", "empty"),
        ("Images/photo.png", "'Images/photo.png' names no subspecies"),
    ],
)
def test_bad_line_is_named(dataset, line, message):
    (dataset / "Images/photo.png").touch()
    path = dataset / "List/test_nonhybrid/test_color_ref.txt"
    lines = path.read_text().splitlines()
    lines[2] = line
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"test_color_ref\.txt, line 3: .*({message})"):
        read_pairs(find_list(dataset, "test_nonhybrid"), training=False)


def test_lists_that_do_not_align_or_hold_nothing_are_named(dataset):
    files = find_list(dataset, "test_nonhybrid")
    path = files.column("color_ref")
    path.write_text(path.read_text().splitlines()[0])
    message = r"test_edges\.txt has 4 lines, test_color_ref\.txt has 1 lines"
    with pytest.raises(InputError, match=message):
        read_pairs(files, training=False)
    for column in ("edges", "color_ref", "color_gt"):
        files.column(column).write_text("\n")
    with pytest.raises(InputError, match=r"test_edges\.txt: the list is empty"):
        read_pairs(files, training=False)
