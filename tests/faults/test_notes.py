"""Hostile notes, logs and records of our own programs: each loads or is refused by name."""

import argparse
import csv
import re
from pathlib import Path

import extract_edges
import torch
import train
from data.lists import ListFiles
from demo import make_demo_dataset
from demo import results as demo_results
from faults.hostile import HUGE, JSON, NESTED, TEXT, hostile, notes, refused
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from quality.edges import edge_finder
from quality.inputs import Dataset, stated_inputs
from quality.report import how_painted
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
@given(data=notes(source=SOURCE))
def test_how_images_were_painted(tmp_path, data):
    note = tmp_path / "list/painted.json"
    note.parent.mkdir(exist_ok=True)
    note.write_bytes(data)
    lines = how_painted(tmp_path)
    assert len(lines) <= 1
    assert all(line.startswith("list: generator ") for line in lines)


def png(path: Path, key: str, text: str, compressed: bool) -> None:
    """A picture with a text chunk, as any program may write it."""
    info = PngInfo()
    info.add_itxt(key, text.encode("utf-8", "replace").decode(), zip=compressed)
    Image.new("L", (1, 1)).save(path, pnginfo=info)


KEYS = st.sampled_from(["structure", "reference", "extract_edges"])
NOTES = st.one_of(TEXT, st.sampled_from(["scharr dark_on_white", "pidinet", " ", "\t\n"]))


@example(key="extract_edges", text=" ", compressed=False, damage=b"")
@given(key=KEYS, text=NOTES, compressed=st.booleans(), damage=st.binary(max_size=4))
def test_what_an_image_says_of_itself(tmp_path, key, text, compressed, damage):
    path = tmp_path / "AF_8_9_gen00000.png"
    png(path, key, text, compressed)
    whole = path.read_bytes()
    place = whole.index(key.encode()) + len(key)
    path.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    photo = tmp_path / "photo.png"
    photo.touch()
    stated = refused(lambda: stated_inputs(path), InputError, path)
    assert stated is None  # one of the two names is missing
    stays = refused(
        lambda: extract_edges.stands(photo, path, "scharr dark_on_white"), InputError, path
    )
    assert stays in (None, True, False)
    dataset = Dataset(tmp_path, {}, {("8", "a"): path})
    finder = edge_finder(dataset, None, tmp_path / "no.pth", torch.device("cpu"))
    assert finder.detect is None or finder.name == "scharr"


@given(text=st.binary(max_size=40))
def test_what_a_data_set_was_made_from(tmp_path, text):
    (tmp_path / "made_from.txt").write_bytes(text)
    files = ListFiles(tmp_path, "list", tmp_path / "list/train_edges.txt")
    course = train.course_of(argparse.Namespace(seed=0), files, [])
    assert type(course[train.MADE_FROM]) is str


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
