"""One image, equal labels, a class that is missing: a message that says what is needed."""

import data_utils
import evaluation
import numpy as np
import pytest

HEADER = "filename,hybrid_stat,ssp_indicator\n"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "the 0 images in all: 0 hybrid and 0 non-hybrid; at least 5 of each are needed"),
        ([1], "the 1 images in all: 1 hybrid and 0 non-hybrid; at least 5 of each"),
        ([1] * 40, "the 40 images in all: 40 hybrid and 0 non-hybrid; at least 5 of each"),
        ([0] * 40, "the 40 images in all: 0 hybrid and 40 non-hybrid; at least 5 of each"),
        ([0] * 40 + [1] * 4, "the 44 images in all: 4 hybrid and 40 non-hybrid"),
        ([0] * 5 + [1] * 5, "6 of 10 images are to fit on: [0-5] hybrid and"),
    ],
)
def test_too_few_images_to_split(labels, message):
    with pytest.raises(ValueError, match=message):
        data_utils.split_rows(np.array(labels, int))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,0,major\n", "no major hybrids among the reference rows"),
        ("a.jpg,1,major\nb.jpg,1,minor\nc.jpg,1,mimic\n", "no non-hybrids, so no threshold"),
        ("a.jpg,0,major\nb.jpg,1,else\n", "unknown ssp_indicator"),
    ],
)
def test_a_reference_without_a_class_is_named(tmp_path, rows, message):
    reference, predictions = tmp_path / "ref.csv", tmp_path / "predictions.txt"
    reference.write_text(HEADER + rows)
    predictions.write_text("a.jpg,0.5\nb.jpg,0.5\nc.jpg,0.5")
    with pytest.raises(ValueError, match=rf"ref\.csv: {message}"):
        evaluation.score_rows(evaluation.read_scored(predictions, reference), reference)


def test_scores_that_are_all_equal_call_nobody_a_hybrid(tmp_path):
    reference, predictions = tmp_path / "ref.csv", tmp_path / "predictions.txt"
    kinds = ("major", "minor", "mimic")
    rows = [f"{kind}{label}.jpg,{label},{kind}" for kind in kinds for label in (0, 1)]
    reference.write_text(HEADER + "\n".join(rows))
    predictions.write_text("\n".join(f"{row.split(',')[0]},0.5" for row in rows))
    rows = evaluation.read_scored(predictions, reference)
    scores = evaluation.score_rows(rows, reference)
    assert scores["challenge_score"] == 0
    assert scores["A_PRC_AUC"] == 0.5
