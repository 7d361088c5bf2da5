"""make_classifier_csv.py: the full set, photographs alone, links and copies, bad results."""

import csv
from collections import Counter
from itertools import count
from pathlib import Path

import make_classifier_csv
import pytest
from common.challenge_csv import COLUMNS, by_subspecies, read_photos
from make_lists import parse_excluded, parse_groups, unlike_pairs

PROGRAM = make_classifier_csv.__file__


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


def touch_photos(table: Path, datasets: Path) -> None:
    """The photographs as prepare_images.py puts them in place."""
    images = datasets / "Images4TrainClassifier/Images"
    touch(*(images / photo.status / photo.filename for photo in read_photos(table)))


def write_list(datasets: Path, name: str, pairs: list[tuple[str, str, str, str]]) -> None:
    """A list of Images4TrainAFnonhybrid: subspecies and name of a structure and of a reference."""
    folder = datasets / "Images4TrainAFnonhybrid/List" / name
    folder.mkdir(parents=True)
    edges = [f"Images/{i}/train/pidinet_edges/{structure}.png" for i, structure, _, _ in pairs]
    references = [f"Images/{j}/train/good/{reference}.jpg" for _, _, j, reference in pairs]
    (folder / "test_edges.txt").write_text("\n".join(edges) + "\n")
    (folder / "test_color_ref.txt").write_text("\n".join(references) + "\n")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_full_set_has_12947_rows(real_counts_csv, tmp_path, run):
    touch_photos(real_counts_csv, tmp_path)
    groups = by_subspecies(read_photos(real_counts_csv))
    known = list(groups)
    pairs = unlike_pairs(known, parse_groups(None, known), ("9", "8"), parse_excluded(None, known))
    index = count()
    results = tmp_path / "results"
    touch(*(results / f"nh/AF_{i}_{i}_gen{next(index):05d}.png" for i in known for _ in groups[i]))
    touch(*(results / f"sh/images/AF_9_8_gen{n:05d}.png" for n in range(4422)))
    index = count()
    touch(
        *(
            results / f"nsh/AF_{i}_{j}_gen{next(index):05d}.png"
            for i, j in pairs
            for _ in groups[i][:50]
        )
    )
    done = run(PROGRAM, "--csv", real_counts_csv, "--results", results, "--datasets", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12947 rows, 8965 hybrid and 3982 non-hybrid" in done.stderr
    assert "2082 photographs, 10865 generated" in done.stderr
    dataset = tmp_path / "Images4TrainClassifier"
    rows = read_rows(dataset / "List/butterfly_anomaly_AF.csv")
    assert len(rows) == 12947
    status = Counter(row["hybrid_stat"] for row in rows)
    assert status == {"hybrid": 8965, "non-hybrid": 3982}
    for row in rows:
        assert (dataset / "Images" / row["hybrid_stat"] / row["filename"]).is_file()


def test_rows_links_and_images_that_are_none_of_ours(small_csv, tmp_path, run):
    touch_photos(small_csv, tmp_path)
    results = tmp_path / "results"
    touch(
        results / "sh/AF_9_8_gen00007.png",
        results / "nh/AF_2_2_gen00000.png",
        results / "nh/images/00000_edges.png",
        results / "nh/AF_2_2_gen00000_mask.png",
        results / "nh/AF_2_2_gen0.png",
        results / "nh/AF_2_2_gen00000.jpg",
    )
    signal = [("9", f"S9N{number % 3:03d}", "8", "S8N000") for number in range(7)]
    write_list(tmp_path, "test_signalhybrid", [*signal, ("9", "S9N002", "8", "S8N001")])
    write_list(tmp_path, "test_nonsignalhybrid", [("2", "S2N000", "9", "S9N000")] * 9)
    write_list(tmp_path, "test_nonhybrid", [("2", "S2N000", "2", "S2N000")])
    done = run(PROGRAM, "--csv", small_csv, "--results", results, "--datasets", tmp_path)
    assert done.returncode == 0, done.stderr
    dataset = tmp_path / "Images4TrainClassifier"
    rows = read_rows(dataset / "List/butterfly_anomaly_AF.csv")
    assert list(rows[0]) == [*COLUMNS, "structure", "reference"]
    assert (rows[0]["structure"], rows[0]["reference"]) == ("", "")
    assert rows[0]["subspecies"] == "8.0"  # photographs as the challenge has them
    same, hybrid = rows[-2:]
    assert hybrid == {
        "CAMID": "AF_9_8_gen00007",
        "file_url": "",
        "hybrid_stat": "hybrid",
        "split": "train",
        "zenodo_link": "",
        "md5": "",
        "subspecies": "9_8",
        "parent_subspecies_1": "9",
        "parent_subspecies_2": "8",
        "filename": "AF_9_8_gen00007.png",
        "structure": "S9N002.jpg",
        "reference": "S8N001.jpg",
    }
    assert (same["structure"], same["reference"]) == ("S2N000.jpg", "S2N000.jpg")
    assert (same["filename"], same["hybrid_stat"]) == ("AF_2_2_gen00000.png", "non-hybrid")
    linked = dataset / "Images/hybrid/AF_9_8_gen00007.png"
    assert linked.samefile(results / "sh/AF_9_8_gen00007.png")
    assert not linked.is_symlink()
    assert not (dataset / "Images/non-hybrid/00000_edges.png").exists()


@pytest.fixture
def run_here(small_csv, tmp_path, caplog):
    """Run in this process on the small challenge; gives the last line of the log."""

    def run_here(*options) -> str:
        arguments = ["--csv", small_csv, "--datasets", tmp_path, *options]
        with caplog.at_level("INFO"):
            assert (
                make_classifier_csv.run(
                    make_classifier_csv.parse_arguments([str(argument) for argument in arguments])
                )
                == 0
            )
        return caplog.messages[-1]

    return run_here


def test_photographs_only_beside_the_full_csv(small_csv, tmp_path, run_here):
    touch_photos(small_csv, tmp_path)
    touch(tmp_path / "results/AF_9_8_gen00000.png")
    lists = tmp_path / "Images4TrainClassifier/List"
    assert "11 rows, 3 hybrid and 8 non-hybrid" in run_here("--results", tmp_path / "results")
    assert "10 rows, 2 hybrid and 8 non-hybrid" in run_here("--name", "photographs.csv")
    assert len(read_rows(lists / "butterfly_anomaly_AF.csv")) == 11
    assert len(read_rows(lists / "photographs.csv")) == 10


@pytest.mark.parametrize(
    ("i", "lines"),
    [
        ("9", 5),  # the list ends before the image's line
        ("2", 6),  # the line is of other subspecies
        ("9", 6),  # it names a photograph that the CSV lacks
    ],
)
def test_sources_that_the_lists_do_not_know(small_csv, tmp_path, run_here, caplog, i, lines):
    touch_photos(small_csv, tmp_path)
    touch(tmp_path / "results/AF_9_8_gen00005.png")
    write_list(tmp_path, "test_signalhybrid", [(i, "S9N009", "8", "S8N000")] * lines)
    run_here("--results", tmp_path / "results")
    assert "1 images were painted (first: AF_9_8_gen00005.png); their columns" in caplog.text
    row = read_rows(tmp_path / "Images4TrainClassifier/List/butterfly_anomaly_AF.csv")[-1]
    assert (row["structure"], row["reference"]) == ("", "")


def test_lists_that_cannot_be_read(small_csv, tmp_path, run_here):
    touch_photos(small_csv, tmp_path)
    touch(tmp_path / "results/AF_9_8_gen00000.png")
    write_list(tmp_path, "test_signalhybrid", [("9", "S9N000", "8", "S8N000")] * 2)
    folder = tmp_path / "Images4TrainAFnonhybrid/List/test_signalhybrid"
    (folder / "test_edges.txt").write_text("Images/9/train/pidinet_edges/S9N000.png\n")
    with pytest.raises(
        make_classifier_csv.CollectError, match=r"test_edges.txt has 1 lines and .* 2, expected"
    ):
        run_here("--results", tmp_path / "results")
    (folder / "test_edges.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(
        make_classifier_csv.CollectError, match=r"test_edges.txt: not a text file in UTF-8"
    ):
        run_here("--results", tmp_path / "results")
    run_here()  # photographs alone need no lists


@pytest.mark.parametrize("copy", [False, True])
def test_photographs_from_another_folder_and_results_made_anew(small_csv, tmp_path, run_here, copy):
    photos = [tmp_path / "photos" / photo.filename for photo in read_photos(small_csv)]
    result = tmp_path / "results/AF_9_8_gen00000.png"
    touch(*photos, result)
    options = ["--photos", tmp_path / "photos", "--results", tmp_path / "results"]
    options += ["--copy"] if copy else []
    run_here(*options)
    placed = tmp_path / "Images4TrainClassifier/Images/hybrid/AF_9_8_gen00000.png"
    assert placed.samefile(result) is not copy
    assert placed.read_text() == result.read_text()
    first = placed.stat()
    run_here(*options)
    assert placed.stat().st_ino == first.st_ino  # nothing was done again

    result.unlink()
    result.write_text("painted again")
    run_here(*options)
    assert placed.read_text() == "painted again"


def test_a_photograph_that_is_not_there(small_csv, tmp_path, run_here):
    with pytest.raises(make_classifier_csv.CollectError, match=r"S8N000\.jpg is missing.*prepare"):
        run_here()
    with pytest.raises(make_classifier_csv.CollectError, match=r"S8N000\.jpg is missing.*--photos"):
        run_here("--photos", tmp_path / "none")


@pytest.mark.parametrize(
    "names, message",
    [
        (["readme.png"], r"no AF_\*_\*_gen\*\.png in it"),
        (["AF_9_7_gen00000.png"], "subspecies '7' is not in the CSV, which has 2, 8, 9"),
        (
            ["a/AF_9_8_gen00000.png", "b/AF_9_8_gen00000.png"],
            r"a/AF_9_8_gen00000\.png and .*b/AF_9_8_gen00000\.png have the same name",
        ),
    ],
)
def test_results_that_cannot_be_collected(small_csv, tmp_path, run_here, names, message):
    touch_photos(small_csv, tmp_path)
    touch(*(tmp_path / "results" / name for name in names))
    with pytest.raises(make_classifier_csv.CollectError, match=message):
        run_here("--results", tmp_path / "results")
    assert not (tmp_path / "Images4TrainClassifier/List").exists()


def test_a_generated_name_that_is_a_photographs_name(write_csv, tmp_path, run):
    table = write_csv(["C1,u,non-hybrid,train,z,m,8.0,,,AF_8_8_gen00000.png"])
    touch_photos(table, tmp_path)
    touch(tmp_path / "results/AF_8_8_gen00000.png")
    done = run(PROGRAM, "--csv", table, "--datasets", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 1
    assert "has the same name" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["../x.csv", "x.txt", "a/b.csv"])
def test_the_csv_stays_in_its_folder(capsys, name):
    with pytest.raises(SystemExit):
        make_classifier_csv.parse_arguments(["--csv", "x", "--name", name])
    assert f"--name {name!r}" in capsys.readouterr().err
