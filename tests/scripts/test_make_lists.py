"""make_lists.py: the published counts, the rules of each list, options, missing images."""

from collections import Counter
from pathlib import Path

import make_lists
import numpy as np
import pytest
from common import alignment
from common.challenge_csv import by_subspecies, read_photos
from PIL import Image

PROGRAM = make_lists.__file__
PUBLISHED_COUNT = {"test_nonhybrid": 1991, "test_signalhybrid": 4422, "test_nonsignalhybrid": 4452}
PUBLISHED_PAIRS = {"test_nonhybrid": 14, "test_signalhybrid": 1, "test_nonsignalhybrid": 132}


def make_images(csv: Path, datasets: Path) -> None:
    """Empty files where the photographs and edge maps of `csv` belong."""
    folders = set()
    files = []
    for photo in read_photos(csv):
        for place in (
            f"Images4TrainAFhybrid/Images/{photo.status}",
            f"Images4TrainAFnonhybrid/Images/{photo.subspecies}",
        ):
            train = datasets / place / "train"
            folders |= {train / "good", train / "pidinet_edges"}
            files += [train / "good" / photo.filename, train / "pidinet_edges" / photo.edges]
    for folder in folders:
        folder.mkdir(parents=True)
    for file in files:
        file.touch()


def read_list(folder: Path) -> list[tuple[str, str, str]]:
    phase = folder.name.split("_")[0]
    columns = [
        (folder / f"{phase}_{kind}.txt").read_text().splitlines()
        for kind in ("edges", "color_ref", "color_gt")
    ]
    return list(zip(*columns, strict=True))


def subspecies_of(path: str) -> str:
    return path.split("/")[1]


def published_numbers(csv: Path, tmp_path: Path, run) -> None:
    """Run the program on `csv` with its defaults and check every published number."""
    make_images(csv, tmp_path)
    done = run(PROGRAM, "--csv", csv, "--datasets", tmp_path)
    assert done.returncode == 0, done.stderr
    hybrid, nonhybrid = tmp_path / "Images4TrainAFhybrid", tmp_path / "Images4TrainAFnonhybrid"

    for dataset, name in ((hybrid, "train_AFhybrid"), (nonhybrid, "train_AFnonhybrid")):
        lines = read_list(dataset / "List" / name)
        assert len(lines) == len(set(lines)) == 2082
        for edges, reference, truth in lines:
            assert reference == truth
            assert edges == truth.replace("/good/", "/pidinet_edges/").replace(".jpg", ".png")

    sizes = {name: len(group) for name, group in by_subspecies(read_photos(csv)).items()}
    lists = {name: read_list(nonhybrid / "List" / name) for name in PUBLISHED_COUNT}
    pairs = {
        name: Counter((subspecies_of(edges), subspecies_of(ref)) for edges, ref, _ in lines)
        for name, lines in lists.items()
    }
    assert {name: len(lines) for name, lines in lists.items()} == PUBLISHED_COUNT
    assert {name: len(found) for name, found in pairs.items()} == PUBLISHED_PAIRS
    assert pairs["test_nonhybrid"] == {(name, name): size for name, size in sizes.items()}
    assert pairs["test_signalhybrid"] == {("9", "8"): 201 * 22}
    assert all(n == min(50, sizes[i]) for (i, _), n in pairs["test_nonsignalhybrid"].items())
    for name, lines in lists.items():
        assert len(set(lines)) == len(lines), name
        for edges, _, truth in lines:  # the truth is the structure's own photograph
            assert edges.split("/")[-1].split(".")[0] == truth.split("/")[-1].split(".")[0]


def test_published_counts_on_made_up_names(real_counts_csv, tmp_path, run):
    published_numbers(real_counts_csv, tmp_path, run)


def test_published_counts_on_the_real_csv(shared, tmp_path, run):
    published_numbers(shared / "challenge/butterfly_anomaly_train.csv", tmp_path, run)


def test_pairs_that_are_left_out(real_counts_csv):
    known = list(by_subspecies(read_photos(real_counts_csv)))
    groups = make_lists.parse_groups(None, known)
    excluded = make_lists.parse_excluded(None, known)
    pairs = make_lists.unlike_pairs(known, groups, ("9", "8"), excluded)
    assert len(pairs) == len(set(pairs)) == 132
    for absent in [("0", "5"), ("13", "4"), ("8", "9"), ("9", "8"), ("6", "8"), ("8", "12")]:
        assert absent not in pairs
    assert ("9", "3") not in pairs and ("3", "9") in pairs
    assert ("8", "2") in pairs and ("10", "11") in pairs


def test_nonhybrid_reference_is_another_photograph_each_once(small_csv):
    photos = by_subspecies(read_photos(small_csv))
    pairs = make_lists.nonhybrid_pairs(photos, seed=3)
    assert Counter(pair.structure for pair in pairs) == Counter(pair.reference for pair in pairs)
    own = [pair.structure.subspecies for pair in pairs if pair.structure is pair.reference]
    assert own == ["2"]  # the only photograph of its subspecies


def test_signal_references_are_all_different_and_no_more_than_there_are(small_csv):
    photos = by_subspecies(read_photos(small_csv))
    pairs = make_lists.signal_pairs(photos, ("9", "8"), 3, seed=0)
    assert len(pairs) == len(set(map(str, pairs))) == 3 * 3
    assert len(make_lists.signal_pairs(photos, ("9", "8"), 22, seed=0)) == 3 * 4


def test_a_draw_depends_on_the_seed_and_on_its_own_pair_only(real_counts_csv):
    photos = by_subspecies(read_photos(real_counts_csv))
    both = make_lists.nonsignal_pairs(photos, [("2", "8"), ("3", "9")], 50, seed=0)
    assert both[50:] == make_lists.nonsignal_pairs(photos, [("3", "9")], 50, seed=0)
    assert both[50:] != make_lists.nonsignal_pairs(photos, [("3", "9")], 50, seed=1)
    references = Counter(pair.reference.filename for pair in both[:50])
    assert max(references.values()) == 1  # 856 to draw from: none comes twice


def test_another_set_of_subspecies(write_csv, tmp_path, run):
    rows = [
        f"{name},u,non-hybrid,train,z,m,{name[0]},,,{name}.png"
        for name in ("a1", "a2", "b1", "b2", "c1", "d1")
    ]
    csv = write_csv([*rows, "h1,u,hybrid,train,z,m,,a,b,h1.png"])
    make_images(csv, tmp_path)
    options = ["--groups", "a,c", "--signal", "a", "b", "--exclude", "d:a,b", "--cap", 1]
    done = run(PROGRAM, "--csv", csv, "--datasets", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    lists = tmp_path / "Images4TrainAFnonhybrid/List"
    pairs = [
        subspecies_of(edges) + subspecies_of(reference)
        for edges, reference, _ in read_list(lists / "test_nonsignalhybrid")
    ]
    assert pairs == ["ad", "bc", "bd", "cb", "cd", "dc"]
    assert len(read_list(lists / "test_signalhybrid")) == 2 * 2
    assert len(read_list(lists / "train_AFnonhybrid")) == 7
    assert (lists / "train_AFnonhybrid/train_edges.txt").read_text().splitlines()[-1] == (
        "Images/a_b/train/pidinet_edges/h1.png"
    )


def test_a_missing_image_is_named_with_the_program_that_makes_it(small_csv, tmp_path, run):
    make_images(small_csv, tmp_path)
    folder = tmp_path / "Images4TrainAFnonhybrid/Images/9/train"
    (folder / "pidinet_edges/S9N001.png").unlink()
    done = run(PROGRAM, "--csv", small_csv, "--datasets", tmp_path)
    assert done.returncode == 1
    assert f"{folder}/pidinet_edges/S9N001.png is missing" in done.stderr
    assert "extract_edges.py --dataset" in done.stderr
    assert "Traceback" not in done.stderr

    (folder / "good/S9N002.jpg").unlink()
    (folder / "pidinet_edges/S9N001.png").touch()
    done = run(PROGRAM, "--csv", small_csv, "--datasets", tmp_path)
    assert f"{folder}/good/S9N002.jpg is missing" in done.stderr
    assert "prepare_images.py" in done.stderr


def test_published_lists_are_not_mixed_with_new_ones(small_csv, tmp_path, run):
    make_images(small_csv, tmp_path)
    (tmp_path / "Images4TrainAFnonhybrid/Lists").mkdir()
    done = run(PROGRAM, "--csv", small_csv, "--datasets", tmp_path)
    assert done.returncode == 1
    assert "Images4TrainAFnonhybrid/Lists is there" in done.stderr
    assert not list(tmp_path.rglob("*.txt"))


@pytest.mark.parametrize(
    "options, message",
    [
        ("--signal 9 7", "--signal names subspecies '7'; the CSV has 2, 8, 9"),
        ("--signal 9 9", "--signal names subspecies '9' twice"),
        ("--groups 8,9 2,9", "--groups names subspecies '9' more than once"),
        ("--groups 8,1", "--groups names subspecies '1'"),
        ("--exclude 9,8", "expected STRUCTURES:REFERENCES"),
        ("--exclude 9:", "--exclude names subspecies ''"),
    ],
)
def test_options_that_fit_no_csv(small_csv, tmp_path, options, message):
    arguments = ["--csv", str(small_csv), "--datasets", str(tmp_path), *options.split()]
    with pytest.raises(make_lists.ListError) as error:
        make_lists.run(make_lists.parse_arguments(arguments))
    assert message in str(error.value)


@pytest.mark.parametrize("option", ["--cap", "--references"])
def test_counts_below_one_are_refused(capsys, option):
    with pytest.raises(SystemExit):
        make_lists.parse_arguments(["--csv", "x", option, "0"])
    assert f"{option} 0: must be 1 or more" in capsys.readouterr().err


def test_nearest_references_lie_like_their_structure(tmp_path):
    outlines = {}
    for number, left in enumerate([0, 2, 30, 60]):
        edges = np.full((96, 96), 255, np.uint8)
        edges[20:50, left : left + 30] = 0
        path = tmp_path / f"{number}.png"
        Image.fromarray(edges).save(path)
        outlines[number] = alignment.outline(path)
    assert outlines[0].shape == (1024,)
    groups = {"a": {0: outlines[0]}, "b": {n: outlines[n] for n in (1, 2, 3)}}
    assert alignment.nearest([(0, "b")] * 4, groups) == [1, 2, 3, 1]
    assert alignment.nearest([(3, "b"), (0, "a")], groups) == [2, 0]
