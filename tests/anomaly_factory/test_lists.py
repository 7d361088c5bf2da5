"""Where a list is looked for, and what is said about a bad one."""

import re
from pathlib import Path

import pytest
from data.lists import check_images, find_list, read_lines, read_pairs
from util.errors import InputError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("place", "dataroot", "phase"),
    [
        ("List/test_nonhybrid/test_edges.txt", ".", "test_nonhybrid"),
        ("Lists/test_nonhybrid/test_edges.txt", ".", "test_nonhybrid"),
        ("List/test_nonhybrid/test_nonhybrid_edges.txt", ".", "test_nonhybrid"),
        ("List/test_nonhybrid_edges.txt", ".", "test_nonhybrid"),
        ("List/test_edges.txt", ".", "test"),
        ("List/train_AFhybrid/train_edges.txt", ".", "train_AFhybrid"),
        ("List/test_nonhybrid/test_edges.txt", "List", "test_nonhybrid"),
        ("List/test_nonhybrid/test_edges.txt", "List/test_nonhybrid", "test"),
        ("Lists/test_nonhybrid/test_edges.txt", "Lists/test_nonhybrid", "test_nonhybrid"),
        ("List/test_nonhybrid/test_nonhybrid_edges.txt", "List/test_nonhybrid", "test"),
        # A list's own folder says which list it is, whatever a script's --phase.
        ("List/test_signalhybrid/test_edges.txt", "List/test_signalhybrid", "test_nonhybrid"),
        ("Lists/train_AFhybrid/train_edges.txt", "List/train_AFhybrid", "train"),
    ],
)
def test_finds_the_list(tmp_path, place, dataroot, phase):
    edges = touch(tmp_path / place)
    found = find_list(tmp_path / dataroot, phase)
    assert found.edges == edges
    assert found.dataset == tmp_path
    assert found.column("color_ref").name == edges.name.replace("edges", "color_ref")


def test_list_comes_before_lists_and_its_own_folder_before_both(tmp_path):
    for folder, name in (
        ("Lists", "test_x_edges.txt"),
        ("List", "test_x_edges.txt"),
        ("Lists/test_x", "test_edges.txt"),
        ("List/test_x", "test_edges.txt"),
    ):  # each goes before those above it
        (tmp_path / folder).mkdir(exist_ok=True)
        edges = tmp_path / folder / name
        edges.touch()
        assert find_list(tmp_path, "test_x").edges == edges


def test_list_of_another_name_is_not_taken(tmp_path):
    touch(tmp_path / "List/test_edges.txt")  # says nothing about which list it is
    with pytest.raises(
        InputError,
        match=r"looked for .*List/test_nonhybrid/test_edges\.txt.*make_lists\.py makes the lists",
    ):
        find_list(tmp_path, "test_nonhybrid")


def test_a_list_to_train_on_is_not_painted(tmp_path):
    touch(tmp_path / "List/train_AFhybrid/train_edges.txt")
    with pytest.raises(InputError, match=r"looked for .*List/train_AFhybrid/test_edges\.txt"):
        find_list(tmp_path / "List/train_AFhybrid", "test")


def test_pairs_and_their_names(dataset):
    pairs = read_pairs(find_list(dataset, "test_signalhybrid"), training=False)
    assert [pair.generated_name for pair in pairs] == [
        "AF_9_8_gen00000.png",
        "AF_9_8_gen00001.png",
    ]
    assert pairs[1].edges == dataset / "Images/9/train/pidinet_edges/1.png"
    assert pairs[1].reference == dataset / "Images/8/train/good/0.png"
    assert pairs[1].target == dataset / "Images/nowhere/x.png"  # need not be there


def test_painting_needs_no_ground_truth_list(dataset):
    (dataset / "List/test_signalhybrid/test_color_gt.txt").unlink()
    pairs = read_pairs(find_list(dataset, "test_signalhybrid"), training=False)
    assert [pair.target for pair in pairs] == [None, None]


@pytest.mark.parametrize(
    ("line", "photo"),
    [
        (0, "Images/8/train/good/1.png"),  # its name comes after that of the structure
        (1, "Images/8/train/good/0.png"),
        (3, "Images/9/train/good/0.png"),
        (0, "Images/8/test/good/0.png"),
    ],
)
def test_a_photo_of_another_structure_is_named(dataset, line, photo):
    files = find_list(dataset, "test_nonhybrid")
    assert len(read_pairs(files, training=False, photos=True)) == 4
    (dataset / photo).parent.mkdir(parents=True, exist_ok=True)
    (dataset / photo).touch()
    lines = files.column("color_gt").read_text().splitlines()
    lines[line] = photo
    files.column("color_gt").write_text("\n".join(lines))
    assert len(read_pairs(files, training=False)) == len(read_pairs(files, training=True)) == 4
    structure = rf".*{line % 2}\.png"
    message = rf"test_color_gt\.txt, line {line + 1}: .*{photo} is not the photo of {structure}"
    with pytest.raises(InputError, match=message):
        read_pairs(files, training=False, photos=True)


def test_an_image_may_lie_right_below_its_subspecies(dataset):
    (dataset / "Images/8/a.png").touch()
    (dataset / "List/test_signalhybrid/test_color_ref.txt").write_text("Images/8/a.png\n" * 2)
    pairs = read_pairs(find_list(dataset, "test_signalhybrid"), training=False)
    assert [pair.reference_subspecies for pair in pairs] == ["8", "8"]


def test_training_needs_the_ground_truth(dataset):
    files = find_list(dataset, "test_signalhybrid")
    with pytest.raises(InputError, match=r"test_color_gt\.txt, line 1: .*x\.png is not there"):
        read_pairs(files, training=True)


def test_list_files_of_windows_are_read(dataset):
    path = dataset / "List/test_signalhybrid/test_edges.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(read_pairs(find_list(dataset, "test_signalhybrid"), training=False)) == 2


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Images/9/train/good/7.png", r".*7\.png is not there"),
        ("../secret.png", r"'\.\./secret\.png' leaves the folder"),
        ("/etc/passwd", "'/etc/passwd' leaves the folder"),
        ("", "empty"),
        ("photo.png", "'photo.png' names no subspecies"),
        ("Images/photo.png", "'Images/photo.png' names no subspecies"),
    ],
)
def test_bad_line_is_named(dataset, number, line, message):
    for place in ("photo.png", "Images/photo.png"):
        (dataset / place).touch()
    path = dataset / "List/test_nonhybrid/test_color_ref.txt"
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"test_color_ref\.txt, line {number}: {message}"):
        read_pairs(find_list(dataset, "test_nonhybrid"), training=False)


def test_unequal_lengths_are_named(dataset):
    path = dataset / "List/test_nonhybrid/test_color_ref.txt"
    path.write_text(path.read_text().splitlines()[0])
    message = r"test_edges\.txt has 4 lines, test_color_ref\.txt has 1 lines"
    with pytest.raises(InputError, match=message):
        read_pairs(find_list(dataset, "test_nonhybrid"), training=False)


def test_empty_list_is_named(dataset):
    for column in ("edges", "color_ref", "color_gt"):
        (dataset / f"List/test_nonhybrid/test_{column}.txt").write_text("\n")
    with pytest.raises(InputError, match=r"test_edges\.txt: the list is empty"):
        read_pairs(find_list(dataset, "test_nonhybrid"), training=False)


def test_photo_that_is_no_image_is_named(dataset):
    (dataset / "Images/9/train/good/1.png").write_text("not a picture")
    files = find_list(dataset, "test_nonhybrid")
    pairs = read_pairs(files, training=False)
    check_images(files, pairs, ["edges"])
    check_images(files, pairs, ["color_ref"], slice(0, None, 2))
    for share in (slice(None), slice(1, None, 2)):
        with pytest.raises(InputError, match=r"test_color_ref\.txt, line 4: .*1\.png: not a rea"):
            check_images(files, pairs, ["color_ref"], share)


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [("util", {"data", "models", "options"}), ("data", {"models", "options", "util.distributed"})],
)
def test_rooms_below_know_nothing_of_those_above(repository, room, forbidden):
    code = "\n".join(
        path.read_text()
        for path in (repository / "AnomalyFactory" / room).iterdir()
        if path.suffix == ".py"
    )
    imported = {
        name
        for found in re.findall(r"^ *(?:from|import) (\w+)(?:\.(\w+))?", code, re.MULTILINE)
        for name in (found[0], ".".join(found))
    }
    assert "numpy" in imported and not imported & forbidden


def test_a_list_that_is_not_in_utf_8_names_the_line(tmp_path):
    path = tmp_path / "test_edges.txt"
    path.write_bytes(b"a.jpg\nb.jpg\n\xff.jpg\n")
    with pytest.raises(InputError, match=re.escape(f"{path}, line 3: not in UTF-8 (invalid start")):
        read_lines(path)
