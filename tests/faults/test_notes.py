"""Hostile notes, logs and records of our own programs: each loads or is refused by name."""

import argparse
import csv
import json
import os
import re
import struct
import zlib
from dataclasses import asdict
from pathlib import Path

import cut_folder
import extract_edges
import pytest
import torch
import train
from collection_shards import SETTINGS_FILE, keep_settings
from data.lists import ListFiles
from faults.hostile import HUGE, JSON, NESTED, TEXT, hostile, notes, refused
from hypothesis import example, given
from hypothesis import strategies as st
from journal import FOLDER, Journal
from listing import Images
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from quality.inputs import Dataset, edge_finder, how_painted, stated_inputs
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
@example(key="extract_edges", text="scharr dark_on_white", compressed=True, damage=b"")
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
    if not damage:
        assert stays == (key != "extract_edges" or text == "scharr dark_on_white")
    dataset = Dataset(tmp_path, {}, {("8", "a"): path})
    finder = edge_finder(dataset, None, tmp_path / "no.pth", torch.device("cpu"))
    assert finder.detect is None or finder.name == "scharr"


@given(text=st.binary(max_size=40))
def test_what_a_data_set_was_made_from(tmp_path, text):
    (tmp_path / "made_from.txt").write_bytes(text)
    files = ListFiles(tmp_path, "list", tmp_path / "list/train_edges.txt")
    course = train.course_of(argparse.Namespace(seed=0), files, [])
    assert type(course[train.MADE_FROM]) is str


LOG = [["images", "epoch", "lr", "G_GAN"], ["2", "1", "0.0002", "1.5"], ["4", "1", "0.0002", "1"]]


@example(data=b"images,lr,G_GAN\n1,0.0002,1.5\n")
@example(data=b"images,epoch,lr,G_GAN\n" + HUGE + b",1,0.0002,1.5\n")
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
@example(line=b'{"name": "a.jpg", "time": "5", "error": "e"}')
@example(line=b'{"name": "a.jpg", "time": 9000000000000000000, "error": "e"}')
@example(line=b'{"name": "a.jpg", "time": 1, "score": "x", "members": {}, "parents": null}')
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
            assert [outcome for _, outcome in journal.outcomes(images)] == ["broken"] * 2

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
    folders = cut_folder.Folders(tmp_path / "photos", tmp_path, None)
    for path in (folders.image("a.png"), folders.mask("a.png")):
        path.parent.mkdir(exist_ok=True)
        record = PngInfo()
        record.add_text(cut_folder.RECORD, json.dumps({"made from": "1f", "row": row}))
        Image.new("1", (2, 2)).save(path, pnginfo=record)
    found = cut_folder.standing_row("a.png", folders, "1f")
    assert found is None or (found.file == "a.png" and asdict(found) == row)
    if row == {"file": "a.png", "confidence": 0.5, "box": "", "reason": ""}:
        assert found is not None


@pytest.mark.parametrize("hostile", ["a pipe", "a bomb"])
def test_a_hostile_mask_stands_for_nothing(tmp_path, hostile):
    folders = cut_folder.Folders(tmp_path / "photos", tmp_path, None)
    image, mask = folders.image("a.png"), folders.mask("a.png")
    for path in (image, mask):
        path.parent.mkdir()
    image.touch()
    if hostile == "a pipe":
        os.mkfifo(mask)
    else:
        header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
        mask.write_bytes(
            b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))
        )
    assert cut_folder.standing_row("a.png", folders, "1f") is None
