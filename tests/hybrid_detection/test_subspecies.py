"""The member that knows the subspecies: how it is fitted, what it computes, its file."""

import re
import zipfile
from dataclasses import replace

import model
import numpy as np
import pandas as pd
import pytest
import subspecies
import subspecies_member
from classifier import save_subspecies
from data_utils import COLUMNS
from painted import SOURCES
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from worlds import third_member

# Photographs of each of 14 subspecies, uneven as in the challenge; one has a single one.
COUNTS = dict(enumerate([5, 9, 40, 12, 4, 5, 2, 15, 60, 30, 1, 11, 2, 13]))
SIZE = 32  # features
EMPTY = dict.fromkeys([*COLUMNS, *SOURCES], "")


class Drawn:
    """Photographs of made-up subspecies; one of i and j lies half-way between their means."""

    def __init__(self, counts: dict[int, int]) -> None:
        self.draw = np.random.default_rng(0)
        self.means = 4 * self.draw.standard_normal((max(counts) + 1, SIZE))
        self.rows, self.looks = [], []
        for place, count in counts.items():
            self.add(place, place, count, subspecies=f"{place}.0")

    def look(self, i: int, j: int) -> np.ndarray:
        return (self.means[i] + self.means[j]) / 2 + self.draw.standard_normal(SIZE)

    def add(self, i: int, j: int, count: int = 1, **cells: str) -> None:
        if i != j:
            cells |= {"parent_subspecies_1": f"{i}.0", "parent_subspecies_2": f"{j}.0"}
        for _ in range(count):
            row = EMPTY | {"filename": f"{len(self.rows)}.jpg", "label": int(i != j)} | cells
            self.rows.append(row)
            self.looks.append(self.look(i, j))

    def data(self) -> tuple[pd.DataFrame, np.ndarray]:
        return pd.DataFrame(self.rows), np.array(self.looks, np.float32)

    def fit(self) -> subspecies_member.SubspeciesScorer:
        return subspecies.fit_subspecies(*self.data(), "efficientnet_lite0")


@pytest.fixture(scope="module")
def fourteen() -> Drawn:
    drawn = Drawn(COUNTS)
    drawn.add(9, 8, 8)
    return drawn


@pytest.fixture(scope="module")
def fitted(fourteen) -> subspecies_member.SubspeciesScorer:
    return fourteen.fit()


def arrays_of(scorer: subspecies_member.SubspeciesScorer) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(scorer).items() if name != "origin"}


def test_the_evidence_written_out(fourteen, fitted):
    """A published regression with C = 0.03, balanced; Mahalanobis' distance among the means."""
    rows, features = fourteen.data()
    pure = rows["label"].to_numpy() == 0
    features = features[pure].astype(float)
    names = rows["subspecies"][pure].str.removesuffix(".0").to_numpy(str)
    regression = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.03, class_weight="balanced", max_iter=2000)
    ).fit(features, names)
    assert regression.classes_.tolist() == fitted.subspecies.tolist()  # `8` for 8.0
    (cross,) = fitted.crosses
    assert fitted.subspecies[cross].tolist() == ["8", "9"]
    means = np.stack([features[names == name].mean(axis=0) for name in fitted.subspecies])
    places = np.searchsorted(fitted.subspecies, names)
    covariance = ledoit_wolf(features - means[places], assume_centered=True)[0]
    inverse = np.linalg.inv(covariance)
    assert fitted.axes.T @ covariance @ fitted.axes == pytest.approx(np.eye(13), abs=1e-6)
    for i, j in [(0, 1), (3, 8), (6, 13)]:
        gap = means[i] - means[j]
        among = fitted.means[i] - fitted.means[j]
        assert among @ among == pytest.approx(gap @ inverse @ gap)

    looks = np.stack([fourteen.look(2, 2), fourteen.look(2, 7)])
    undecided, foreign = fitted.evidence(looks).T
    shares = regression.predict_proba(looks)
    entropy = -(shares * np.log(shares)).sum(axis=1) / np.log(14)
    assert undecided == pytest.approx(entropy, abs=1e-5)
    assert undecided[0] < undecided[1]
    gaps = (looks @ fitted.axes)[:, None] - fitted.means
    assert foreign == pytest.approx(np.sqrt((gaps**2).sum(axis=2)).min(axis=1))


def by_hand(**arrays: object) -> subspecies_member.SubspeciesScorer:
    """Three subspecies in two features, which are the discriminants: a triangle."""
    values = {"weights": np.zeros((3, 2)), "axes": np.eye(2), "crosses": np.zeros((0, 2), int)}
    values |= {"intercepts": np.zeros(3), "quantiles": np.array([[1.0, 1.5], [1.0, 3.0]])}
    values |= {"cross_weights": np.zeros((3, 2)), "cross_intercepts": np.zeros(3)}
    return replace(third_member(), **values | arrays)


@pytest.mark.parametrize(
    ("distance", "probability"),
    [(1.0, 1 - 3 / 4 * 3 / 4), (2.0, 1 - 3 / 4 / 2), (3.0, 1 - 3 / 4 / 4), (1e9, 1.0)],
)
def test_the_median_and_the_95_percent_quantile_are_a_quarter_and_three(distance, probability):
    """Without a preference the entropy is 1, here the median; a noisy-or joins both."""
    found = by_hand().hybrid_probability(np.array([[-distance, 0.0]]))
    assert found == pytest.approx([probability], abs=1e-9)


def test_quantiles_are_those_of_photographs_that_a_fit_did_not_see(fourteen, fitted, monkeypatch):
    """Every fit knows every subspecies; one of a single photograph is never judged."""
    judged = []
    fit_scorer = subspecies.fit_scorer

    def watched(features, places, names, backbone):
        assert set(places) == set(range(14))
        scorer = fit_scorer(features, places, names, backbone)

        def evidence(rows):
            assert not np.isin(rows, features).any()
            judged.extend(rows[:, 0])
            return type(scorer).evidence(scorer, rows)

        object.__setattr__(scorer, "evidence", evidence)
        return scorer

    photographs = subspecies.select(*fourteen.data())
    monkeypatch.setattr(subspecies, "fit_scorer", watched)
    evidence, squares = subspecies.judge_out_of_fold(photographs, "efficientnet_lite0")
    alone = photographs.names[photographs.places] == "10"
    assert sorted(judged) == sorted(photographs.features[~alone][:, 0])
    assert fitted.quantiles == pytest.approx(np.quantile(evidence, [0.5, 0.95], axis=0).T)
    assert fitted.spread == pytest.approx(squares.mean())
    assert subspecies.deal(np.repeat([0, 1], [7, 2])).tolist() == [1, 4, 1, 0, 3, 0, 2, 2, 3]
    assert subspecies.deal(np.array([5])).tolist() == [-1]


def test_hybrids_and_painted_images_teach_it_nothing_about_non_hybrids(fitted):
    drawn = Drawn(COUNTS)
    without = drawn.fit()
    drawn.add(9, 8, 8)
    painting = {"structure": "a", "reference": "b"}
    drawn.add(3, 3, subspecies="3_3", filename="AF_3_3_gen00001.png", **painting)
    drawn.add(2, 3, filename="AF_2_3_gen00001.png")
    drawn.add(4, 4)  # the CSV does not say of which subspecies
    again = drawn.fit()
    of_hybrids = ("crosses", "cross_weights", "cross_intercepts")
    for name, value in arrays_of(fitted).items():
        for other in (again,) if name in of_hybrids else (again, without):
            assert np.array_equal(value, getattr(other, name), equal_nan=name == "threshold")
    assert without.crosses.shape == (0, 2)


def test_what_cannot_be_fitted_says_why():
    with pytest.raises(ValueError, match="the CSV names 1 subspecies of non-hybrid photographs, e"):
        Drawn({3: 20}).fit()
    with pytest.raises(ValueError, match="all photographs of a subspecies have the same features"):
        Drawn({0: 1, 1: 1, 2: 1}).fit()


def test_parents_are_those_whose_line_is_near():
    """Nearer to one than a share of 0.75 is no hybrid."""
    places = np.array([(4.0, 0.5), (4.0, 4.0), (5.5, 0.0), (1.0, -0.5)])
    even, also_even, *others = by_hand().parents(places)
    assert ({even.first, even.second}, even.share) == ({"8", "9"}, pytest.approx(0.5))
    assert ({also_even.first, also_even.second}, also_even.share) == ({"9", "10"}, even.share)
    found = [(parents.first, parents.second, parents.share) for parents in others]
    assert found == [("9", "8", pytest.approx(0.6875)), ("8", "9", pytest.approx(0.75))]


def test_the_certainty_of_parents_written_out(fourteen, fitted):
    """A known cross is known by its look, that of dominant traits: it is off the line between the
    parents, near another pair.
    """
    (parents,) = by_hand(spread=np.array(2.0)).parents(np.array([[2.0, 1.0]]))
    squares = np.array([1.0, 5.0, 12.5])  # to 8-9, to 8-10, to 9-10
    chances = np.exp(-squares / 4) / np.exp(-squares / 4).sum()
    assert parents.certainty == pytest.approx(chances[0])
    assert str(parents) == "8 x 9"
    assert str(subspecies_member.Parents("10", "9", 0.6, 0.5)) == "9 x 10"
    assert str(subspecies_member.Parents("10", "9", 0.6, 0.499)) == "unknown"

    scorer = by_hand(
        crosses=np.array([[0, 2]]),
        cross_weights=np.array([[0.0, 0.0]] * 3 + [[1.0, 0.0]]),
        cross_intercepts=np.array([0.0, 0.0, 0.0, 1.0]),
    )
    (parents,) = scorer.parents(np.array([[4.0, 0.0]]))
    assert str(parents) == "8 x 10"
    assert parents.certainty == pytest.approx(np.exp(5) / (np.exp(5) + 3), abs=1e-3)
    looks = np.stack([fourteen.look(8, 9) for _ in range(20)])
    assert [str(parents) for parents in fitted.parents(looks)].count("8 x 9") >= 19


# ---- its file -----------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path, stored):
    path = tmp_path / "subspecies.npz"
    save_subspecies(stored, path)
    content = path.read_bytes()
    loaded = subspecies_member.load_subspecies(path, "efficientnet_lite0")
    assert loaded.origin == stored.origin
    for name, value in arrays_of(stored).items():
        assert np.array_equal(value, arrays_of(loaded)[name])
    save_subspecies(stored, path)
    assert path.read_bytes() == content
    with pytest.raises(ValueError, match="was trained on features of efficientnet_lite0, but"):
        subspecies_member.load_subspecies(path, "dinov2_base")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights"),
        ({"weights": np.zeros((3, 1281))}, "weights has the shape (3, 1281), expected (3, 1280)"),
        ({"quantiles": np.ones((2, 2))}, "quantiles do not ascend"),
        ({"spread": np.array(0.0)}, "the spread is not above 0"),
        ({"threshold": np.array(1.01)}, "threshold is no number of 0 to 1"),
        ({"crosses": np.array([[2, 0]])}, "crosses are not pairs of two places"),
        ({"subspecies": np.array(["8", "8", "9"])}, "expected two or more, all unlike"),
        ({"preprocess": np.array("mask")}, "unknown preprocess 'mask'"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path, stored, changes, message):
    path = tmp_path / "subspecies.npz"
    save_subspecies(stored, path)
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        subspecies_member.load_subspecies(path)
    assert str(raised.value).startswith(f"{path}: not a member that knows the subspecies (")


def test_what_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "subspecies.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", bytes(1000))
    assert subspecies_member.MAX_BYTES == 100_000_000
    monkeypatch.setattr(subspecies_member, "MAX_BYTES", 999)
    with pytest.raises(ValueError, match="unpacks to 1,000 bytes, expected 999 at the most"):
        subspecies_member.load_subspecies(path)


def test_members_are_combined_to_the_bit():
    draw = np.random.default_rng(0)
    # Cubes: of a plain random number, 1 - (1 - x) has the same bits.
    linear, sgd, other = draw.random(50, np.float32) ** 3, *draw.random((2, 50)) ** 3
    larger, members = np.maximum(linear, sgd), {"linear": linear, "sgd": sgd}
    for alone, expected in ((members, larger), ({"subspecies": other}, other), ({"sgd": sgd}, sgd)):
        assert np.array_equal(model.combine(alone), expected)
    both = model.combine(members | {"subspecies": other})
    assert both == pytest.approx(1 - (1 - larger) * (1 - other), abs=1e-12)
