"""make_lists.py: the published counts, the rules of each list, options, missing images."""

from collections import Counter
from pathlib import Path

import make_lists
import numpy as np
import pytest
from common import alignment
from common.challenge_csv import Photo, by_subspecies, read_photos
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


def test_every_pair_of_the_published_list(real_counts_csv):
    """For each structure's subspecies, those of its references."""
    a, b, c = {"0", "5", "6", "12"}, {"4", "7", "10", "13"}, {"1", "2", "3", "11"}
    expected = {
        **dict.fromkeys(a, b | c | {"9"}),
        **dict.fromkeys(b, a | c | {"8", "9"}),
        **dict.fromkeys(c, a | b | {"8", "9"}),
        "8": b | c,
        "9": a | b,
    }
    known = list(by_subspecies(read_photos(real_counts_csv)))
    groups = make_lists.parse_groups(None, known)
    excluded = make_lists.parse_excluded(None, known)
    pairs = make_lists.unlike_pairs(known, groups, ("9", "8"), excluded)
    assert len(pairs) == len(set(pairs)) == 132
    assert {i: {j for structure, j in pairs if structure == i} for i in known} == expected


def test_the_published_choices():
    args = make_lists.parse_arguments(["--csv", "x"])
    assert (args.signal, args.cap, args.references) == (["9", "8"], 50, 22)
    assert (args.seed, args.nearest) == (0, False)


@pytest.mark.parametrize(
    "seed, nonhybrid, signal, nonsignal",
    [
        (
            1,
            "80-83 81-82 82-85 83-81 84-80 85-84 90-91 91-92 92-90 20-21 21-20",
            "90-85 90-81 91-83 91-84 92-84 92-82",
            "85-21 83-20 80-21 82-20 84-21 21-92 20-90",
        ),
        (
            2,
            "80-82 81-80 82-85 83-81 84-83 85-84 90-92 91-90 92-91 20-21 21-20",
            "90-80 90-82 91-85 91-84 92-80 92-81",
            "81-21 85-20 80-21 84-20 83-21 21-90 20-92",
        ),
    ],
)
def test_the_draws_are_the_same_everywhere(seed, nonhybrid, signal, nonsignal):
    """Photographs 0, 1, ... of each subspecies, structure-reference: another draw would be another
    data set. Every subspecies and pair has its own; references of a pair come again in turn."""
    photos = {
        name: [Photo(f"{name}{number}.jpg", False, name, {}) for number in range(count)]
        for name, count in {"8": 6, "9": 3, "2": 2}.items()
    }

    def drawn(pairs: list[make_lists.Pair]) -> str:
        return " ".join(
            f"{structure.filename[:2]}-{reference.filename[:2]}" for structure, reference in pairs
        )

    assert drawn(make_lists.nonhybrid_pairs(photos, seed)) == nonhybrid
    assert drawn(make_lists.signal_pairs(photos, ("9", "8"), 2, seed)) == signal
    pairs = [("8", "2"), ("2", "9")]
    assert drawn(make_lists.nonsignal_pairs(photos, pairs, 5, seed)) == nonsignal


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
    for name in ("S9N000.png", "S9N001.png", "S9N002.png"):
        (folder / "pidinet_edges" / name).unlink()
    done = run(PROGRAM, "--csv", small_csv, "--datasets", tmp_path)
    assert done.returncode == 1
    missing = f"{folder}/pidinet_edges/S9N000.png is missing, and 2 more for train_AFnonhybrid;"
    assert missing in done.stderr
    assert "extract_edges.py --dataset" in done.stderr
    assert "Traceback" not in done.stderr

    (folder / "good/S9N002.jpg").unlink()
    for name in ("S9N000.png", "S9N001.png", "S9N002.png"):
        (folder / "pidinet_edges" / name).touch()
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
        ("--groups 9,8 2,9 8", "--groups names subspecies '9' more than once"),
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


def test_a_signal_pair_of_one_long_name_is_refused(write_csv, tmp_path):
    csv = write_csv(["a,u,non-hybrid,train,z,m,10.0,,,a.jpg"])
    arguments = f"--csv {csv} --datasets {tmp_path} --groups --signal 10 10 --exclude".split()
    with pytest.raises(make_lists.ListError, match="--signal names subspecies '10' twice"):
        make_lists.run(make_lists.parse_arguments(arguments))


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


def test_a_shift_of_a_64th_of_the_width_counts_as_alike(tmp_path):
    """Lines as thin as edges, of a map 256 wide; those at 127 and 128 lie in different cells."""
    outlines = []
    for place in (127, 128, 123, 160):
        edges = np.full((256, 256), 255, np.uint8)
        edges[:, place] = 0
        Image.fromarray(edges).save(tmp_path / f"{place}.png")
        outlines.append(alignment.outline(tmp_path / f"{place}.png"))
    here, beside, shifted, elsewhere = outlines
    assert here @ beside > 0.97
    assert 0.75 < here @ shifted < 0.88
    assert here @ elsewhere < 0


def test_nearest_takes_references_of_the_drawn_subspecies_that_lie_alike(write_csv, tmp_path):
    """Specimens at the left or the right of their edge maps; the photographs are not looked at."""
    left_of = {"a1": 0, "a2": 40, "a3": 14, "b1": 42, "b2": 2, "c1": 1}
    csv = write_csv([f"{n},u,non-hybrid,train,z,m,{n[0]},,,{n}.png" for n in left_of])
    make_images(csv, tmp_path)
    dataset = tmp_path / "Images4TrainAFnonhybrid"
    for name, left in left_of.items():
        edges = np.full((96, 96), 255, np.uint8)
        edges[20:50, left : left + 30] = 0
        Image.fromarray(edges).save(dataset / f"Images/{name[0]}/train/pidinet_edges/{name}.png")
    options = "--groups a b c --signal a b --exclude --references 1 --nearest".split()
    paths = ["--csv", str(csv), "--datasets", str(tmp_path)]
    make_lists.run(make_lists.parse_arguments([*paths, *options]))

    def pairs(name: str) -> set[str]:
        lines = read_list(dataset / "List" / name)
        return {f"{Path(edges).stem}-{Path(reference).stem}" for edges, reference, _ in lines}

    assert pairs("train_AFnonhybrid") == {f"{name}-{name}" for name in left_of}
    assert pairs("test_signalhybrid") == {"a1-b2", "a2-b1", "a3-b2"}
    alone = {"c1-c1"}
    assert pairs("test_nonhybrid") == {"a1-a3", "a2-a3", "a3-a1", "b1-b2", "b2-b1"} | alone
    of_a_and_b = {"a1-c1", "a2-c1", "a3-c1", "b1-c1", "b2-c1"}
    assert pairs("test_nonsignalhybrid") == {"c1-a1", "c1-b2"} | of_a_and_b


def test_the_lists_depend_on_the_seed_and_not_on_the_order_of_the_csv(small_csv, tmp_path):
    def lists(seed: int) -> dict[str, str]:
        options = f"--groups 8 9 2 --exclude --references 2 --cap 2 --seed {seed}".split()
        paths = ["--csv", str(small_csv), "--datasets", str(tmp_path)]
        make_lists.run(make_lists.parse_arguments([*paths, *options]))
        files = tmp_path.glob("*/List/*/*.txt")
        return {f"{path.parent.name}/{path.name}": path.read_text() for path in files}

    make_images(small_csv, tmp_path)
    first, other = lists(3), lists(4)
    for name in ("test_nonhybrid", "test_signalhybrid", "test_nonsignalhybrid"):
        assert first[f"{name}/test_color_ref.txt"] != other[f"{name}/test_color_ref.txt"], name
    header, *rows = small_csv.read_text().splitlines()
    small_csv.write_text("\n".join([header, *rows[::-1]]) + "\n")
    assert lists(3) == first
