"""make_lists.py: the published counts, the rules of each list, options, missing images."""

from collections import Counter
from pathlib import Path

import make_lists
import numpy as np
import pytest
from common.challenge_csv import Photo, by_subspecies, read_photos
from common.program import ROOT, InputError
from PIL import Image

PUBLISHED_COUNT = {"test_nonhybrid": 1991, "test_signalhybrid": 4422, "test_nonsignalhybrid": 4452}


def make_images(csv: Path, datasets: Path) -> None:
    """Empty files where the photographs and edge maps of `csv` belong."""
    for photo in read_photos(csv):
        for place in (f"hybrid/Images/{photo.status}", f"nonhybrid/Images/{photo.subspecies}"):
            folder = datasets / f"Images4TrainAF{place}/train"
            for file in (f"good/{photo.filename}", f"pidinet_edges/{photo.filename[:-4]}.png"):
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()


def run(csv: Path, datasets: Path, *options: object) -> None:
    arguments = map(str, ["--csv", csv, "--datasets", datasets, *options])
    assert make_lists.run(make_lists.parse_arguments(arguments)) == 0


def read_list(folder: Path) -> list[tuple[str, str, str]]:
    phase = folder.name.split("_")[0]
    files = [folder / f"{phase}_{kind}.txt" for kind in ("edges", "color_ref", "color_gt")]
    return list(zip(*(file.read_text().splitlines() for file in files), strict=True))


def subspecies_of(path: str) -> str:
    return path.split("/")[1]


def test_the_published_numbers(real_counts_csv, tmp_path):
    """With the defaults, every published number; of the real names, where they are to be had."""
    csv = ROOT.parent / "shared/challenge/butterfly_anomaly_train.csv"
    csv = csv if csv.is_file() else real_counts_csv
    make_images(csv, tmp_path)
    run(csv, tmp_path)
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
    assert pairs["test_nonhybrid"] == {(name, name): size for name, size in sizes.items()}
    assert pairs["test_signalhybrid"] == {("9", "8"): 201 * 22}
    assert all(n == min(50, sizes[i]) for (i, _), n in pairs["test_nonsignalhybrid"].items())
    a, b, c = {"0", "5", "6", "12"}, {"4", "7", "10", "13"}, {"1", "2", "3", "11"}
    references = dict.fromkeys(a, b | c | {"9"}) | dict.fromkeys(b, a | c | {"8", "9"})
    references |= dict.fromkeys(c, a | b | {"8", "9"}) | {"8": b | c, "9": a | b}
    expected = {(i, j) for i, others in references.items() for j in others}
    assert set(pairs["test_nonsignalhybrid"]) == expected
    for name, lines in lists.items():
        assert len(set(lines)) == len(lines), name
        for edges, _, truth in lines:  # the truth is the structure's own photograph
            assert edges.split("/")[-1].split(".")[0] == truth.split("/")[-1].split(".")[0]


def test_the_draws_are_the_same_everywhere():
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

    nonhybrid = "80-83 81-82 82-85 83-81 84-80 85-84 90-91 91-92 92-90 20-21 21-20"
    assert drawn(make_lists.nonhybrid_pairs(photos, 1)) == nonhybrid
    signal = "90-85 90-81 91-83 91-84 92-84 92-82"
    assert drawn(make_lists.signal_pairs(photos, ("9", "8"), 2, 1)) == signal
    nonsignal = "85-21 83-20 80-21 82-20 84-21 21-92 20-90"
    pairs = [("8", "2"), ("2", "9")]
    assert drawn(make_lists.nonsignal_pairs(photos, pairs, 5, 1)) == nonsignal


def test_another_set_of_subspecies(write_csv, tmp_path):
    """In whatever order the CSV has them."""
    names = ("d1", "c1", "b2", "b1", "a2", "a1")
    rows = [f"{name},u,non-hybrid,train,z,m,{name[0]},,,{name}.png" for name in names]
    csv = write_csv(["h1,u,hybrid,train,z,m,,a,b,h1.png", *rows])
    make_images(csv, tmp_path)
    run(csv, tmp_path, *"--groups a,c --signal a b --exclude d:a,b --cap 1".split())
    lists = tmp_path / "Images4TrainAFnonhybrid/List"
    lines = read_list(lists / "test_nonsignalhybrid")
    pairs = [subspecies_of(edges) + subspecies_of(reference) for edges, reference, _ in lines]
    assert pairs == ["ad", "bc", "bd", "cb", "cd", "dc"]
    assert len(read_list(lists / "test_signalhybrid")) == 2 * 2  # of 22 references two are there
    own = [
        Path(truth).stem for _, ref, truth in read_list(lists / "test_nonhybrid") if ref == truth
    ]
    assert own == ["c1", "d1"]  # their subspecies have no other
    trained = read_list(lists / "train_AFnonhybrid")
    assert [Path(truth).stem for *_, truth in trained] == [*names[::-1], "h1"]
    assert trained[-1][0] == "Images/a_b/train/pidinet_edges/h1.png"


def test_photographs_that_were_left_out_are_left_out_here(small_csv, tmp_path, caplog):
    """Of both kinds, as prepare_images.py --allow_missing leaves them."""
    make_images(small_csv, tmp_path)
    for name in ("S9N001", "HYB000"):
        for path in tmp_path.rglob(f"{name}.*"):
            path.unlink()
    with pytest.raises(InputError, match=r"2 of 10 .*HYB000.jpg; make .*; or .*--allow_missing"):
        run(small_csv, tmp_path)
    run(small_csv, tmp_path, "--allow_missing")
    assert "2 of 10 photographs are missing and left out: HYB000.jpg, S9N001.jpg" in caplog.text
    lists = {path.name: read_list(path) for path in tmp_path.glob("*/List/*")}
    assert len(lists["train_AFhybrid"]) == 8 and len(lists["test_nonhybrid"]) == 7
    assert not any(name in str(lists) for name in ("S9N001", "HYB000"))


def test_a_missing_image_is_named_with_the_program_that_makes_it(small_csv, tmp_path):
    make_images(small_csv, tmp_path)
    for kind, program in [("good/S9N001.jpg", "prep"), ("pidinet_edges/S9N001.png", "extract_ed")]:
        missing = tmp_path / "Images4TrainAFnonhybrid/Images/9/train" / kind
        missing.unlink()
        with pytest.raises(InputError, match=f"{missing} is missing, and 0 more for .*{program}"):
            run(small_csv, tmp_path)
        missing.touch()


@pytest.mark.parametrize(
    "options, message",
    [
        ("--signal 9 7", "--signal names subspecies '7'; the CSV has 2, 8, 9"),
        ("--signal 9 9", "--signal names subspecies '9' more than once"),
        ("--groups 9,8 2,9 8", "--groups names subspecies '9' more than once"),
        ("--exclude 9,8", "expected STRUCTURES:REFERENCES"),
        ("--exclude 9:", "--exclude names subspecies ''"),
        ("--groups 8", "Images4TrainAFnonhybrid/Lists is there"),
    ],
)
def test_options_that_fit_no_csv_and_published_lists(small_csv, tmp_path, options, message):
    make_images(small_csv, tmp_path)
    (tmp_path / "Images4TrainAFnonhybrid/Lists").mkdir()
    with pytest.raises(InputError) as error:
        run(small_csv, tmp_path, *options.split())
    assert message in str(error.value)
    assert not list(tmp_path.rglob("*.txt"))


def draw_edges(path: Path, columns: slice, rows: slice = slice(20, 50), side: int = 96) -> Path:
    edges = np.full((side, side), 255, np.uint8)
    edges[rows, columns] = 0
    Image.fromarray(edges).save(path)
    return path


def test_a_shift_of_a_64th_of_the_width_counts_as_alike(tmp_path):
    """Lines as thin as edges, of a map 256 wide; those at 127 and 128 lie in different cells."""
    here, beside, shifted = (
        make_lists.outline(draw_edges(tmp_path / "a.png", slice(place, place + 1), slice(256), 256))
        for place in (127, 128, 123)
    )
    assert here @ beside > 0.97
    assert 0.75 < here @ shifted < 0.88


def test_nearest_takes_references_of_the_drawn_subspecies_that_lie_alike(write_csv, tmp_path):
    """Specimens at the left or the right of their edge maps; the photographs are not looked at."""
    left_of = {"a1": 0, "a2": 40, "a3": 14, "b1": 42, "b2": 2, "c1": 1}
    csv = write_csv([f"{n},u,non-hybrid,train,z,m,{n[0]},,,{n}.png" for n in left_of])
    make_images(csv, tmp_path)
    dataset = tmp_path / "Images4TrainAFnonhybrid"
    for name, left in left_of.items():
        path = dataset / f"Images/{name[0]}/train/pidinet_edges/{name}.png"
        draw_edges(path, slice(left, left + 30))

    def pairs(name: str) -> str:
        lines = read_list(dataset / "List" / name)
        return " ".join(f"{Path(edges).stem}-{Path(ref).stem}" for edges, ref, _ in lines)

    options = "--groups a b c --signal a b --exclude --nearest --references".split()
    run(csv, tmp_path, *options, 1)
    assert pairs("train_AFnonhybrid") == "a1-a1 a2-a2 a3-a3 b1-b1 b2-b2 c1-c1"
    assert pairs("test_signalhybrid") == "a1-b2 a2-b1 a3-b2"
    assert pairs("test_nonhybrid") == "a1-a3 a2-a3 a3-a1 b1-b2 b2-b1 c1-c1"
    of_a_and_b = {"a1-c1", "a2-c1", "a3-c1", "b1-c1", "b2-c1"}
    assert {*pairs("test_nonsignalhybrid").split()} == {"c1-a1", "c1-b2"} | of_a_and_b
    run(csv, tmp_path, *options, 2)  # a structure that comes again gets the next nearest
    assert pairs("test_signalhybrid") == "a1-b2 a1-b1 a2-b1 a2-b2 a3-b2 a3-b1"
