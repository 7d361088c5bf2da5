"""real_photos.py: leave-one-out and left-out subspecies on numbers that can be followed by hand."""

import sys
import zlib

import numpy as np
import pytest
import real_photos


class Nearest:
    """A member on a line: names the nearest mean, and scores the distance to it."""

    def __init__(self, features: np.ndarray, names: np.ndarray) -> None:
        self.names = np.unique(names)
        self.means = np.array([features[names == name].mean() for name in self.names])

    def distances(self, features: np.ndarray) -> np.ndarray:
        return np.abs(features - self.means)

    def name(self, features: np.ndarray) -> np.ndarray:
        return self.names[self.distances(features).argmin(axis=1)]

    def score(self, features: np.ndarray) -> np.ndarray:
        return self.distances(features).min(axis=1)


def line(**places: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 1) and names (n,) of photographs at `places`."""
    features = np.array([[place] for values in places.values() for place in values])
    return features, np.repeat(list(places), [len(values) for values in places.values()])


def test_leave_one_out():
    """Without the one at 9, which lies nearer to b, the mean of a is 0.5; with it, 5 or 4.5."""
    told, scores = real_photos.leave_one_out(*line(a=[0, 1, 9], b=[10, 11, 12]), Nearest)
    assert told.tolist() == ["a", "a", "b", "b", "b", "b"]
    assert scores.tolist() == [5, 3.5, 2, 1.5, 0, 1.5]


def test_a_subspecies_that_is_left_out_whole():
    """Means 1 and 21 of what is seen: the unseen score 0, 10 and 0, the others 1.5, 0, 1.5 twice.

    A score of 0 has two of six equal to it, which count half.
    """
    places = line(a=[0, 1, 2], b=[1, 11, 21], c=[20, 21, 22])
    unseen = real_photos.leave_out_whole(*places, Nearest, "b")
    assert unseen.roc_auc == pytest.approx((1 / 6 + 1 + 1 / 6) / 3)
    assert unseen.median_rank == pytest.approx(1 / 6)


def test_the_report():
    report = real_photos.make_report(*line(a=[0, 1, 9], b=[10, 11, 12], c=[50, 51, 52]), Nearest)
    lines = report.splitlines()
    assert lines[0].startswith("8 of 9 photographs of 3 subspecies are told rightly")
    assert "(0.889)" in lines[0]
    table = lines.index("|  | a | b | c |")
    assert lines[table + 2 : table + 5] == [
        "| a | 2 | 1 | 0 |",
        "| b | 0 | 3 | 0 |",
        "| c | 0 | 0 | 3 |",
    ]
    assert "| c | 3 | 1.000 | 1.000 |" in lines  # 38 and more from any other
    assert "A share of 9 photographs is uncertain by up to 0.33" in lines[-1]
    assert "few photographs show that this runs, not how good it is" in lines[-1]


@pytest.fixture
def folder(tmp_path, draw):
    """Three subspecies of five photographs, one of four, and what is no photograph."""
    colours = {"blue": (40, 60, 200), "orange": (220, 120, 30), "green": (40, 200, 60)}
    for name, colour in colours.items():
        for number in range(5):
            draw(tmp_path / "photos" / name / f"{name}{number}.png", colour)
    for number in range(4):
        draw(tmp_path / "photos/few" / f"few{number}.png")
    (tmp_path / "photos/blue/notes.txt").touch()
    (tmp_path / "photos/blue/.hidden.png").touch()
    (tmp_path / "photos/list.png").touch()
    return tmp_path / "photos"


def test_photographs_are_found_by_subspecies(folder, caplog):
    caplog.set_level("INFO")
    paths, names = real_photos.find_photographs(folder)
    assert names == ["blue"] * 5 + ["green"] * 5 + ["orange"] * 5
    assert paths[0] == folder / "blue/blue0.png"
    assert paths == sorted(paths)
    assert "few: left out, 4 photographs" in caplog.text


def test_fewer_than_three_subspecies_are_too_few(folder):
    (folder / "green/green0.png").unlink()
    with pytest.raises(ValueError, match="2 folders with at least 5 photographs; expected one"):
        real_photos.find_photographs(folder)


@pytest.fixture
def start(folder, monkeypatch, capsys):
    """Run the program on features that tell the subspecies; gives its status and its output."""

    def look(path) -> np.ndarray:
        centre = np.eye(3)[["blue", "green", "orange"].index(path.parent.name)]
        noise = np.random.default_rng(zlib.crc32(path.name.encode())).normal(size=12)
        return np.repeat(centre * 10, 4) + noise

    def run(failures: dict[int, str]) -> tuple[int, str, str]:
        def extract_features(paths, *_):
            return np.stack([look(path) for path in paths]).astype(np.float32), failures

        monkeypatch.setattr(real_photos, "extract_features", extract_features)
        monkeypatch.setattr(sys, "argv", ["real_photos.py", str(folder)])
        status = real_photos.main()
        return status, *capsys.readouterr()

    return run


def test_the_third_member_on_features_that_tell_everything(start):
    status, output, _ = start({})
    assert status == 0
    assert output.startswith("15 of 15 photographs of 3 subspecies are told rightly")
    for name in ("blue", "green", "orange"):
        assert f"| {name} | 5 | 1.000 | 1.000 |" in output


def test_a_photograph_that_cannot_be_read_is_named(start, folder):
    status, output, errors = start({7: "no image"})
    assert status == 1
    assert output == ""
    assert f"real_photos: {folder / 'green/green2.png'} cannot be used (no image)" in errors


def test_a_missing_folder_is_named(run, repository, tmp_path):
    done = run(repository / "scripts/benchmarks/real_photos.py", tmp_path / "none")
    assert done.returncode == 1
    assert f"real_photos: {tmp_path / 'none'}: no such folder" in done.stderr
