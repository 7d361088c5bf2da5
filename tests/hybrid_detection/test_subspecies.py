"""The member that knows the subspecies: how it is fitted, what it computes, its file."""

import re
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import subspecies
import subspecies_member
from classifier import save_arrays
from data_utils import COLUMNS
from painted import SOURCES
from published_members import Origin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from worlds import WING_FEATURES, third_member

# Photographs of each of 14 subspecies, uneven as in the challenge; one has a single one.
COUNTS = dict(enumerate([5, 9, 40, 12, 4, 5, 2, 15, 60, 30, 1, 11, 2, 13]))
SIZE = 32  # features
EMPTY = dict.fromkeys([*COLUMNS, *SOURCES], "")


class Drawn:
    """Photographs of made-up subspecies, in two views each; one of i and j lies half-way between
    their means.
    """

    def __init__(self, counts: dict[int, int]) -> None:
        self.draw = np.random.default_rng(0)
        self.means = 4 * self.draw.standard_normal((max(counts) + 1, SIZE))
        self.rows, self.looks = [], []
        for place, count in counts.items():
            self.add(place, place, count, subspecies=f"{place}.0")

    def look(self, i: int, j: int, count: int = 1) -> np.ndarray:
        return (self.means[i] + self.means[j]) / 2 + self.draw.standard_normal((count, SIZE))

    def add(self, i: int, j: int, count: int = 1, **cells: str) -> None:
        if i != j:
            cells = {"parent_subspecies_1": f"{i}.0", "parent_subspecies_2": f"{j}.0"} | cells
        for _ in range(count):
            row = EMPTY | {"filename": f"{len(self.rows)}.jpg", "label": int(i != j)} | cells
            self.rows.append(row)
            self.looks.append(self.look(i, j, 2).astype(np.float32))

    def fit(self) -> subspecies_member.SubspeciesScorer:
        wings = np.empty(len(self.looks), object)
        wings[:] = self.looks
        origin = Origin("efficientnet_lite0")
        return subspecies.fit_subspecies(self.select(), wings, origin)

    def select(self) -> subspecies.Photographs:
        return subspecies.select(pd.DataFrame(self.rows))


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


# ---- how it is fitted ---------------------------------------------------------------------------


def test_the_regression_written_out(fourteen, fitted):
    """Every view counts, and every class as much as any other, a cross like a subspecies."""
    table, looks = pd.DataFrame(fourteen.rows), np.concatenate(fourteen.looks).astype(float)
    names = sorted(map(str, COUNTS))
    assert fitted.subspecies.tolist() == names  # `8` for 8.0
    assert fitted.crosses.tolist() == [[names.index("8"), names.index("9")]]
    kinds = table["subspecies"].str.removesuffix(".0").map([*names, ""].index).repeat(2)
    shares = len(kinds) / 15 / np.bincount(kinds)[kinds]
    middle, spread = looks.mean(axis=0), looks.std(axis=0)
    regression = LogisticRegression(C=subspecies.C, max_iter=1000)
    regression.fit((looks - middle) / spread, kinds, shares)
    others = np.concatenate([fourteen.look(2, 2), fourteen.look(2, 7), fourteen.look(8, 9)])
    expected = regression.predict_proba((others - middle) / spread)
    assert np.exp(fitted.log_chances(others)) == pytest.approx(expected, abs=1e-4)
    assert (fitted.weights.dtype, np.isnan(fitted.threshold)) == (np.float32, True)


def test_what_hardly_varies_in_training_is_not_blown_up():
    draw = np.random.default_rng(1)
    features, classes = draw.standard_normal((60, 4)), np.repeat([0, 1, 2], 20)
    features[:, 0] = 7 + 1e-6 * (classes == 2)
    weights, _ = subspecies.fit_regression(features, classes)
    assert weights.shape == (3, 4)
    assert np.abs(weights[:, 0]).max() < 0.1  # of 1e-6 it would be 1,000 times this
    # Two classes have one regression: the logit of the second.
    weights, intercepts = subspecies.fit_regression(features[:40, 1:], classes[:40])
    assert np.array_equal(weights[0], -weights[1]) and intercepts[0] == -intercepts[1]
    scaled = StandardScaler().fit_transform(features[:40, 1:])
    regression = LogisticRegression(C=subspecies.C, class_weight="balanced")
    expected = regression.fit(scaled, classes[:40]).decision_function(scaled)
    logits = features[:40, 1:] @ weights.T + intercepts
    assert logits[:, 1] - logits[:, 0] == pytest.approx(expected, abs=1e-5)


def test_what_says_too_little_is_left_out(fitted):
    drawn = Drawn(COUNTS)
    drawn.add(9, 8, 8)
    painting = {"structure": "a", "reference": "b"}
    drawn.add(3, 3, subspecies="3_3", filename="AF_3_3_gen00001.png", **painting)
    drawn.add(2, 3, filename="AF_2_3_gen00001.png")
    drawn.add(4, 4)  # the CSV does not say of which subspecies
    for other in ("", "5.0", "99.0"):  # one parent is not said, or the other, or unknown
        drawn.add(4, 5, parent_subspecies_1=other)
    again = drawn.fit()
    for name, value in arrays_of(fitted).items():
        assert np.array_equal(value, getattr(again, name), equal_nan=name == "threshold"), name
    assert Drawn({0: 3, 1: 3}).fit().crosses.shape == (0, 2)
    assert Drawn({3: 20}).select().names.tolist() == ["3"]


# ---- what it computes ---------------------------------------------------------------------------


def by_hand(*probabilities: float) -> subspecies_member.SubspeciesScorer:
    """Says this of `8`, `9`, `10` and the cross 8 x 10, whatever it looks at."""
    logits = np.log(np.array(probabilities))
    return replace(third_member(), weights=np.zeros((4, 2), np.float32), intercepts=logits)


def test_probabilities_by_hand():
    scorer = by_hand(0.2, 0.1, 0.3, 0.4)
    weights = np.array([[0, 0], [1, 0], [0, 0], [0, 2]], np.float32)
    features = np.array([[0, 0], [np.log(2), 0], [0, np.log(3) / 2], [900, 0]], np.float32)
    found = np.exp(replace(scorer, weights=weights).log_chances(features))
    parts = np.array([[2, 1, 3, 4], [2, 2, 3, 4], [2, 1, 3, 12], [0, 1, 0, 0]])
    assert found == pytest.approx(parts / parts.sum(axis=1, keepdims=True), abs=1e-6)
    hybrid = replace(scorer, weights=weights).hybrid_probability(features)
    assert hybrid == pytest.approx([0.7, 8 / 11, 15 / 18, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "first", "second", "share", "certainty", "said"),
    [
        # Squares of what is not the likeliest's: 4, 1 and 16 for 8, 9 and the cross.
        ((0.2, 0.1, 0.3, 0.4), "10", "8", 0.6, 20 / 21, "8 x 10"),
        ((0.4, 0.5, 0.1, 0.0), "9", "8", 5 / 9, 16 / 17, "8 x 9"),  # a cross that nobody has seen
        ((0.1, 0.4, 0.1, 0.4), "8", "10", 0.5, 16 / 18, "8 x 10"),  # the likeliest has no part
        ((0.01, 0.9, 0.09, 0.0), "9", "10", 0.75, 81 / 82, "9 x 10"),  # no larger share
        ((0.21, 0.4, 0.2, 0.19), "9", "8", 40 / 61, 441 / 1202, "unknown"),
    ],
)
def test_parents_by_hand(probabilities, first, second, share, certainty, said):
    (parents,) = by_hand(*(value + 1e-12 for value in probabilities)).parents(np.zeros((1, 2)))
    assert (parents.first, parents.second, str(parents)) == (first, second, said)
    assert (parents.share, parents.certainty) == pytest.approx((share, certainty))
    assert list(parents.cells()) == subspecies_member.PARENTS
    assert parents.cells()["share_2"] == 1 - parents.share


def test_extreme_features_name_no_parents_by_accident():
    """Where the likeliest takes everything, the others still share what there is."""
    weights = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], np.float32)
    scorer = replace(by_hand(0.25, 0.2, 0.3, 0.25), weights=weights)
    far = np.array([[1e4, 0]])
    (parents,) = scorer.parents(far)
    assert (parents.first, parents.second, str(parents)) == ("8", "10", "8 x 10")
    assert parents.certainty == pytest.approx((0.3**2 + 0.25**2) / (0.2**2 + 0.3**2 + 0.25**2))
    assert scorer.hybrid_probability(far) == 0
    assert np.isfinite(scorer.slopes(far)).all()


# ---- its file -----------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path, stored):
    path = tmp_path / "subspecies.npz"
    save_arrays(stored, path)
    content = path.read_bytes()
    loaded = subspecies_member.load_subspecies(path)
    assert loaded.origin == stored.origin
    for name, value in arrays_of(stored).items():
        assert np.array_equal(value, arrays_of(loaded)[name])
    save_arrays(stored, path)
    assert path.read_bytes() == content


EXPECTED = f"expected (4, {WING_FEATURES})"
OLD = {"axes": np.zeros((1280, 2)), "weights": np.zeros((3, 1280))}  # as before the wings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights"),
        ({"weights": np.zeros((4, 1280))}, f"weights has the shape (4, 1280), {EXPECTED}"),
        ({"threshold": np.array(1.01)}, "threshold is no number of 0 to 1"),
        ({"crosses": np.array([[2, 0]])}, "crosses are not pairs of two places"),
        ({"subspecies": np.array(["8", "8", "9"])}, "expected two subspecies or more, all unlike"),
        ({"version": np.array(0)}, "wings are laid otherwise now"),
        ({"subspecies": np.array(["8", "9", "\x1b"])}, "a subspecies' name is no printable text"),
        ({"subspecies": np.array(["8", "9", object()], object)}, "Object arrays cannot be loaded"),
        (OLD, f"weights has the shape (3, 1280), {EXPECTED}"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path, stored, changes, message):
    path = tmp_path / "subspecies.npz"
    save_arrays(stored, path)
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=f"{re.escape(message)}.*; train again") as raised:
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
