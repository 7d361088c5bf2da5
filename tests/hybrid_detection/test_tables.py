"""tables.py: which kinds of images are shown, and recalls by hand."""

from dataclasses import replace

import metrics
import numpy as np
import pandas as pd
import plots
import pytest
import tables
from data_utils import COLUMNS
from dataset import Rows
from painted import is_painted
from PIL import Image


def held_out(names: list[str], labels: np.ndarray | None = None) -> tables.HeldOut:
    """Images whose labels alternate; every third is of subspecies 7, else of 8, or 8 x 9."""
    places = np.arange(len(names))
    labels = places % 2 if labels is None else labels
    table = pd.DataFrame("", places, COLUMNS).assign(
        filename=names,
        label=labels,
        hybrid_stat=np.where(labels, "hybrid", "non-hybrid"),
        subspecies=np.where(labels, "", np.where(places % 3, "8.0", "7.0")),
        parent_subspecies_1=np.where(labels, "9.0", ""),
        parent_subspecies_2=np.where(labels, "8.0", ""),
    )
    features = np.zeros((len(names), 0), np.float32)
    rows = Rows(table, names, features, labels, is_painted(table), np.array(names)[:, None], labels)
    scores = np.random.default_rng(5).random(len(names)) + 0.3 * labels
    return tables.HeldOut("all", rows, {"ensemble": scores, "sgd": scores[::-1].copy()})


def test_recalls_and_their_intervals_by_hand():
    images = held_out([f"{number}.jpg" for number in range(14)])
    draw = np.random.default_rng(0)
    counts = np.array([draw.multinomial(14, np.full(14, 1 / 14)) for _ in range(60)])
    counts[:, [0, 6, 12]] = 0
    counts[10:, 0] = 1  # so there is no image of subspecies 7 at first, and then one
    groups = {"8 x 9": [1, 3, 5, 7, 9, 11, 13], "7": [0, 6, 12], "8": [2, 4, 8, 10]}
    table = tables.recall_table(images, counts)
    assert len(table) == 2 * len(groups)
    for row in table.to_dict("records"):
        scores, labels = images.scores[row["classifier"]], images.rows.labels
        members = groups[row["group"]]
        assert row["rows"] == len(members)
        assert row["hybrid_stat"] == ("hybrid" if "x" in row["group"] else "non-hybrid")

        def share(drawn: np.ndarray, scores=scores, labels=labels, members=members) -> float:
            """Called rightly of the members among `drawn` rows, whose threshold it is."""
            threshold = metrics.threshold_at_tnr(scores[drawn], labels[drawn])
            mine = drawn[np.isin(drawn, members)]
            return np.mean((scores[mine] > threshold) == labels[mine])

        assert row["recall"] == pytest.approx(share(np.arange(14)))
        drawn = [np.repeat(np.arange(14), count) for count in counts if count[members].any()]
        bounds = np.quantile([share(rows) for rows in drawn], [0.025, 0.975])
        assert (row["recall_low"], row["recall_high"]) == pytest.approx(tuple(bounds))


@pytest.mark.parametrize(
    ("painted", "hybrids", "kinds"),
    [
        ([], range(1, 12, 2), ["photographs"]),
        (range(6), range(1, 12, 2), ["photographs", "painted", "all"]),
        (range(6), range(1, 6, 2), ["painted", "all"]),  # photographs of non-hybrids alone
    ],
)
def test_kinds_of_both_classes_and_all_where_there_are_two(
    tmp_path, monkeypatch, caplog, painted, hybrids, kinds
):
    if painted:  # else the plots are drawn, which takes seconds
        monkeypatch.setattr(plots, "save", lambda figure, path: path.touch())
    names = [f"AF_9_8_gen{n:05d}.png" if n in painted else f"{n}.jpg" for n in range(12)]
    labels = np.isin(range(12), hybrids).astype(int)
    tables.write_evaluation(tmp_path, "a title", held_out(names, labels))
    for name in (tables.RESULTS_FILE, tables.RECALLS_FILE):
        assert pd.read_csv(tmp_path / name)["images"].unique().tolist() == kinds
    unscored = "a title, photographs: not scored, 0 hybrids among 6 images; both classes are needed"
    assert (unscored in caplog.messages) == (kinds == ["painted", "all"])
    rows = pd.read_csv(tmp_path / tables.SCORES_FILE)
    assert rows["filename"].tolist() == names
    assert (rows["images"] == "painted").tolist() == [place in painted for place in range(12)]
    drawn = list(tmp_path.glob("*.png"))
    assert len(drawn) == 3
    for path in drawn if not painted else ():
        assert np.asarray(Image.open(path).convert("L")).std() > 10
    tables.remove_evaluation(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_threshold_is_that_of_the_photographs_of_non_hybrids():
    """21 of them, of which the highest 5 % may pass; hybrids and painted images do not matter."""
    names = [f"{n}.jpg" for n in range(30)] + [f"AF_8_8_gen{n:05d}.png" for n in range(30)]
    images = held_out(names, np.arange(60) % 30 // 21)
    assert np.isnan(tables.held_out_threshold(images))  # no member knows the subspecies
    assert np.isnan(tables.held_out_threshold(None))
    images.scores["subspecies"] = images.scores["ensemble"]
    expected = sorted(images.scores["ensemble"][:21])[19]
    assert tables.held_out_threshold(images) == expected
    assert np.isnan(tables.held_out_threshold(images.part("", np.arange(60) > 20)))


def test_a_third_member_that_makes_it_worse_is_named(caplog):
    """Of photographs; the painted images say the opposite."""
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "AF_8_8_gen00000.png", "AF_8_9_gen00001.png"]
    good = np.array([0.1, 0.8, 0.2, 0.9, 1, 0])
    bad = np.array([0.9, 0.8, 0.2, 0.9, 0, 1])
    for scores in ({"published": bad, "ensemble": good}, {"ensemble": bad}):
        tables.warn_of_third(replace(held_out(names), scores=scores))
        assert not caplog.text
    tables.warn_of_third(replace(held_out(names), scores={"published": good, "ensemble": bad}))
    assert "of 4 held-out photographs from" in caplog.text
