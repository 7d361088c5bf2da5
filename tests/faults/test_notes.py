"""Hostile notes, logs and records of our own programs: each loads or is refused by name."""

import csv
import json
import re
from dataclasses import asdict

from collection_shards import SETTINGS_FILE, keep_settings
from cut_folder import RECORD, Folders, standing_row
from demo import make_demo_dataset
from demo import results as demo_results
from faults.hostile import HUGE, JSON, NESTED, TEXT, hostile, notes, refused
from hypothesis import example, given
from hypothesis import strategies as st
from journal import FOLDER, Journal
from listing import Images
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from util import lock
from util.errors import InputError
from util.results import Results
from util.visualizer import LossLog, SamplePage

NAMES = st.lists(TEXT.map(lambda text: f"AF_{text}_gen00001.png"), max_size=2)
SOURCE = st.dictionaries(TEXT, JSON, max_size=2)


@example(data=NESTED)
@example(data=HUGE)
@given(data=notes(source=SOURCE, names=NAMES, replaces=SOURCE))
def test_a_note_of_what_is_painted(tmp_path, data):
    note = tmp_path / "gallery/list/painted.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_bytes(data)

    def paint() -> None:
        results = Results(tmp_path, "list", {}, {"checkpoint": "1f"}, 256, with_page=False)
        results.begin(overwrite=True)
        results.check_unmixed()

    try:
        refused(paint, InputError, note.parents[2])
    except OSError as raised:  # which the program reports as its own
        assert str(tmp_path / "AF_") in str(raised)


@example(data=NESTED)
@example(data=HUGE)
@given(data=notes(scale=JSON, seed=JSON))
def test_a_record_of_a_demo_set(tmp_path, data):
    record = tmp_path / "demo.json"
    record.write_bytes(data)
    assert isinstance(
        refused(lambda: make_demo_dataset.read_record(record), ValueError, record) or {}, dict
    )


SCORES = dict.fromkeys([*demo_results.SCORES, "one_hybrid", "crosses"], JSON)


@example(data=NESTED)
@example(data=HUGE)
@given(data=notes(**SCORES))
def test_scores_of_a_quick_start(tmp_path, data):
    path = tmp_path / "kind/members/scores.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    scores = refused(
        lambda: demo_results.read_scores(tmp_path, "kind", "members"), ValueError, path
    )
    assert scores is None or set(scores) >= set(SCORES)


LOG = [["images", "epoch", "lr", "G_GAN"], ["2", "1", "0.0002", "1.5"], ["4", "1", "0.0002", "1"]]


@given(data=hostile(LOG, ","))
def test_a_spoilt_loss_log_is_cut_where_it_is_spoilt(tmp_path, data):
    path = tmp_path / "loss_log.csv"
    path.write_bytes(data)
    log = LossLog(tmp_path, 4)
    log.add({"images": 6, "epoch": 2, "lr": 0.0002, "G_GAN": 0.75})
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert {len(header)} == {len(row) for row in rows}
    assert rows[-1][header.index("images")] == "6"


@given(text=TEXT)
def test_foreign_files_among_the_samples_stay(tmp_path, text):
    name = re.sub(r"[/\0\ud800-\udfff]", "", text)[:40]
    foreign = tmp_path / f"samples/epoch{name}_images{name}.jpg"
    foreign.parent.mkdir(exist_ok=True)
    foreign.touch()
    page = SamplePage(tmp_path, "AF", 4)
    assert foreign.exists() or re.fullmatch(r"\d+", name)
    assert all(path.exists() for path in page.all)


@given(data=hostile([["host", "1"]], " "))
def test_a_spoilt_lock_is_an_error_or_taken_over(tmp_path, data):
    path = tmp_path / "AF" / lock.NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)

    def hold() -> None:
        with lock.held(path.parent):
            pass

    refused(hold, InputError, path)


SCORED = {
    "name": st.sampled_from(["a.jpg", "b.jpg"]) | JSON,
    "time": st.integers(0, 9) | JSON | st.just(10**30),
    "file": JSON,
    "score": st.floats(0, 1) | JSON,
    "members": st.dictionaries(TEXT, st.floats(0, 1), max_size=2) | JSON,
    "parents": st.none() | st.just(["8", "9", 0.5, 0.5]) | JSON,
}


@example(line=NESTED)
@example(line=HUGE)
@given(line=notes(**SCORED) | notes(name=SCORED["name"], time=SCORED["time"], error=JSON))
def test_a_journal_of_scores(tmp_path, line):
    images = Images(tmp_path, ["a.jpg", "b.jpg"])
    path = tmp_path / "out" / FOLDER / "0_of_1.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'{"settings": {}}\n' + line.replace(b"\n", b" ") + b"\n")

    def score() -> None:
        with Journal(tmp_path / "out", {}) as journal:
            journal.known(images)
            journal.add(images, {index: "broken" for index in range(2)})
            for _, outcome in journal.outcomes(images):
                assert isinstance(outcome, str) or f"{outcome.score:.4f}"

    refused(score, ValueError, path)


@example(data=NESTED)
@example(data=HUGE)
@given(data=notes(backbone=JSON, shard=JSON))
def test_settings_of_a_collection(tmp_path, data):
    path = tmp_path / SETTINGS_FILE
    path.write_bytes(data)
    refused(lambda: keep_settings(tmp_path, {"shard": 512}), ValueError, tmp_path)


ROW = {"file": JSON | st.just("a.png"), "confidence": st.floats() | JSON, "box": JSON | TEXT}


@given(row=st.fixed_dictionaries(ROW | {"reason": JSON | TEXT}, optional={"more": JSON}) | JSON)
@example(row={"file": "../a.png", "confidence": 0.5, "box": "", "reason": ""})
@example(row={"file": "a.png", "confidence": 0.5, "box": "", "reason": ""})
def test_a_record_in_a_mask(tmp_path, row):
    """Of the right photograph and program, so that all else must be as we write it."""
    folders = Folders(tmp_path / "photos", tmp_path, None)
    for path in (folders.image("a.png"), folders.mask("a.png")):
        path.parent.mkdir(exist_ok=True)
        record = PngInfo()
        record.add_text(RECORD, json.dumps({"made from": "1f", "row": row}))
        Image.new("1", (2, 2)).save(path, pnginfo=record)
    found = standing_row("a.png", folders, "1f")
    assert found is None or (found.file == "a.png" and asdict(found) == row)
    if row == {"file": "a.png", "confidence": 0.5, "box": "", "reason": ""}:
        assert found is not None
