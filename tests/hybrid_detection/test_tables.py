"""tables.py: the names of groups, which kinds of images are shown, and recalls by hand."""

import csv

import evaluation
import numpy as np
import pandas as pd
import plots
import pytest
import tables
from data_utils import COLUMNS


def held_out(names: list[str], kind: str = "all") -> tables.HeldOut:
    """Images whose labels alternate; every third is of subspecies 7, else of 8, or 8 x 9."""
    rows = pd.DataFrame("", range(len(names)), COLUMNS)
    labels = np.arange(len(names)) % 2
    rows = rows.assign(
        filename=names,
        label=labels,
        hybrid_stat=np.where(labels, "hybrid", "non-hybrid"),
        subspecies=np.where(labels, "", np.where(np.arange(len(names)) % 3, "8.0", "7.0")),
        parent_subspecies_1=np.where(labels, "9.0", ""),
        parent_subspecies_2=np.where(labels, "8.0", ""),
    )
    scores = np.random.default_rng(5).random(len(names)) + 0.3 * labels
    return tables.HeldOut(
        kind, rows, np.array(names), {"ensemble": scores, "sgd": scores[::-1].copy()}
    )


def test_groups_are_named_by_their_parents_in_order():
    cells = [
        ("8.0", "", "", "8"),
        ("10.0", "", "", "10"),
        ("10", "", "", "10"),
        ("", "10.0", "9.0", "9 x 10"),
        ("9_10", "9", "10", "9 x 10"),
        ("8_8", "8", "8", "8"),
        ("", "8.0", "", "not said"),
        ("erato", "", "", "erato"),
    ]
    rows = pd.DataFrame(
        [row[:3] for row in cells],
        columns=["subspecies", "parent_subspecies_1", "parent_subspecies_2"],
    )
    assert tables.group_names(rows).tolist() == [row[3] for row in cells]


def test_recalls_and_their_intervals_by_hand():
    images = held_out([f"{number}.jpg" for number in range(14)])
    draw = np.random.default_rng(0)
    counts = np.array([draw.multinomial(14, np.full(14, 1 / 14)) for _ in range(60)])
    counts[:, [0, 6, 12]] = 0
    counts[10:, 0] = 1  # so there is no image of subspecies 7 at first, and then one
    groups = {
        ("hybrid", "8 x 9"): [1, 3, 5, 7, 9, 11, 13],
        ("non-hybrid", "7"): [0, 6, 12],
        ("non-hybrid", "8"): [2, 4, 8, 10],
    }
    table = tables.recall_table(images, counts)
    assert len(table) == 2 * len(groups)
    for row in table.to_dict("records"):
        scores = images.scores[row["classifier"]]
        members = groups[row["hybrid_stat"], row["group"]]
        assert row["rows"] == len(members)

        def share(drawn: np.ndarray, scores=scores, members=members) -> float:
            """Called rightly of the members among `drawn` rows, whose threshold it is."""
            labels = images.labels
            threshold = evaluation.threshold_at_tnr(scores[drawn], labels[drawn])
            mine = drawn[np.isin(drawn, members)]
            return np.mean((scores[mine] > threshold) == labels[mine])

        assert row["recall"] == pytest.approx(share(np.arange(14)))
        drawn = [np.repeat(np.arange(14), count) for count in counts if count[members].any()]
        bounds = np.quantile([share(rows) for rows in drawn], [0.025, 0.975])
        assert (row["recall_low"], row["recall_high"]) == pytest.approx(tuple(bounds))


@pytest.mark.parametrize(
    ("painted", "kinds"),
    [
        ([], ["photographs"]),
        (range(12), ["painted"]),
        (range(6), ["photographs", "painted", "all"]),
    ],
)
def test_kinds_that_are_there_and_all_where_there_are_two(
    tmp_path, monkeypatch, caplog, painted, kinds
):
    monkeypatch.setattr(plots, "save", lambda figure, _: plots.plt.close(figure))
    names = [
        f"AF_9_8_gen{number:05d}.png" if number in painted else f"{number}.jpg"
        for number in range(12)
    ]
    with caplog.at_level("INFO"):
        tables.write_evaluation(tmp_path, "a title", held_out(names))
    for name in (tables.RESULTS_FILE, tables.RECALLS_FILE):
        with (tmp_path / name).open() as file:
            assert list(dict.fromkeys(row["images"] for row in csv.DictReader(file))) == kinds
    recalls = caplog.messages[-1].splitlines()  # of the first kind alone
    assert "share called rightly by the ensemble" in recalls[0]
    assert {line.split()[0] for line in recalls[2:]} == {kinds[0]}
