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
from benchmarks import detection
from collection_shards import SETTINGS_FILE, keep_settings
from common.challenge_csv import COLUMNS
from data.lists import ListFiles
from demo import evaluation, make_demo_dataset
from demo import results as demo_results
from demo.misses import what_it_looks_like, what_members_said
from demo.quickstart_page import print_scores
from demo.run import UNSAID, Call, Run
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


@example(data=NESTED)
@example(data=HUGE)
@given(data=notes(scale=JSON, seed=JSON))
def test_a_record_of_a_demo_set(tmp_path, data):
    record = tmp_path / "demo.json"
    record.write_bytes(data)
    assert isinstance(
        refused(lambda: make_demo_dataset.read_record(record), ValueError, record) or {}, dict
    )


RECORD = make_demo_dataset.description(0, 1.0)


def run_with(folder: Path, file: str, data: bytes) -> Run:
    """The quick start in `folder`, with a good record and good tables, and `data` in `file`."""
    tables = {"train.csv": TRAIN, "ref_test.csv": CALLS}
    contents = {f"demo/{name}": "\n".join(map(",".join, rows)) for name, rows in tables.items()}
    for name, content in {**contents, "demo/demo.json": json.dumps(RECORD)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)
    return Run(folder)


def record_keys(name: str) -> st.SearchStrategy:
    return JSON | st.just(RECORD[name])


@example(data=NESTED)
@example(data=HUGE)
@example(data=json.dumps(RECORD | {"scale": 10**400}).encode())
@example(data=json.dumps(RECORD | {"signal_pair": [0, 99]}).encode())
@example(data=json.dumps(RECORD | {"signal_pair": [0, -1]}).encode())
@given(data=notes(**{name: record_keys(name) for name in RECORD}))
def test_a_record_that_a_quick_start_tells_of(tmp_path, data):
    run = run_with(tmp_path, "demo/demo.json", data)

    def tell() -> str:
        run.are_alike(frozenset(list(run.subspecies.values())[:2]))
        assert run.paintings == []
        return f"{run.record['scale']:g} {run.record['seed']}"

    refused(tell, ValueError, tmp_path / "demo/demo.json")


TRAIN = [
    list(COLUMNS),
    "a,,non-hybrid,train,,,8.0,,,a.jpg".split(","),
    "b,,hybrid,train,,,,8.0,9.0,b.jpg".split(","),
]
CALLS = [
    "filename,subspecies_ref,ssp_indicator,hybrid_stat,score,threshold,called".split(","),
    "a.jpg,erato,major,0,0.25,0.5,0".split(","),
    "b.jpg,erato x hydara,minor,1,0.75,0.5,1".split(","),
]
DETAILS = [
    "filename,score,sgd,linear,subspecies,parent_1,share_1,parent_2".split(","),
    "a.jpg,0.5,0.5,0.25,0.5,8,0.75,9".split(","),
    "b.jpg,0.5,0.5,,,,,".split(","),
]


@given(train=hostile(TRAIN, ","))
def test_photographs_that_a_quick_start_trained_on(tmp_path, train):
    run = run_with(tmp_path, "demo/train.csv", train)
    path = tmp_path / "demo/train.csv"
    refused(lambda: (run.photographs, run.crosses_in_training), ValueError, path)


@given(test=hostile(CALLS, ","))
def test_photographs_that_a_quick_start_tested_on(tmp_path, test):
    run = run_with(tmp_path, "demo/ref_test.csv", test)
    refused(lambda: run.photographs, ValueError, tmp_path / "demo/ref_test.csv")


@given(calls=hostile(CALLS, ","))
def test_calls_of_a_quick_start(tmp_path, calls):
    file = "lite/generated/sgd/calls.csv"
    run = run_with(tmp_path, file, calls)
    refused(lambda: run.calls("lite", "generated", "sgd"), ValueError, tmp_path / file)


@given(details=hostile(DETAILS, ","))
def test_details_of_a_quick_start(tmp_path, details):
    file = "lite/generated/details.csv"
    run = run_with(tmp_path, file, details)
    found = refused(lambda: run.details("lite", "generated"), ValueError, tmp_path / file)
    for said in (found or {"": UNSAID}).values():
        what_members_said(said, ["sgd", "linear", "subspecies"])
        what_it_looks_like(Call("a.jpg", "erato", "major", False, 0.5, 0.5, False), said)


NUMBERS = st.fixed_dictionaries({}, optional={"value": JSON, "f1_of_another": JSON})
FIGURES = st.fixed_dictionaries(
    {},
    optional={
        "structure": JSON | st.fixed_dictionaries({"f1": NUMBERS | JSON, "f1_of_another": JSON}),
        "appearance": JSON | st.fixed_dictionaries({"way": NUMBERS | JSON}),
        "told_apart": JSON | NUMBERS,
        "memorised": JSON | st.fixed_dictionaries({"close": NUMBERS | JSON}),
    },
)
SETS = st.fixed_dictionaries({}, optional={"hybrids": FIGURES, "non-hybrids": FIGURES})


@example(data=NESTED)
@example(data=HUGE)
@example(data=b'{"sets": {"hybrids": 3}}')
@given(data=notes(sets=SETS | JSON))
def test_figures_of_paintings(tmp_path, data):
    path = tmp_path / "evaluation/figures.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    lines = refused(lambda: evaluation.read_evaluation(tmp_path), ValueError, path)
    assert all(isinstance(line, str) for line in lines or ())


SCORES = dict.fromkeys(demo_results.SCORES, st.just(0.5))
CROSS = {"ssp_indicator": st.just("minor") | JSON, "hybrids": st.just(3) | JSON}
CROSS |= {"recall": st.just(0.5) | JSON}


@example(data=NESTED)
@example(data=HUGE)
@given(
    data=notes(
        **SCORES | {"mimic_recall": st.just(0.5) | JSON},
        one_hybrid=st.fixed_dictionaries(SCORES) | JSON,
        crosses=st.dictionaries(TEXT, st.fixed_dictionaries(CROSS) | JSON, max_size=2) | JSON,
    )
)
def test_scores_of_a_quick_start(tmp_path, data):
    path = tmp_path / "kind/members/scores.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    scores = refused(
        lambda: demo_results.read_scores(tmp_path, "kind", "members"), ValueError, path
    )
    if scores is not None:
        print_scores({("kind", "members"): scores})
        assert all(type(cross["found"]) is int for cross in scores["crosses"].values())


KEPT = [
    detection.COLUMNS,
    "lite,cutout,3,generated,sgd,mimic_recall,0.5,,".split(","),
    "lite,cutout,3,generated,sgd,a x b,0.5,minor,4".split(","),
]


@example(data="\n,".join(map(",".join, KEPT)).encode())  # pandas takes a cell too many for an index
@given(data=hostile(KEPT, ","))
def test_kept_scores_of_many_seeds(tmp_path, data):
    path = tmp_path / "detection.csv"
    path.write_bytes(data)
    rows = refused(lambda: detection.read_rows(path), ValueError, path)
    if rows is not None:
        assert rows.dtypes[["seed", "value", "hybrids"]].tolist() == ["Int64", "float64", "Int64"]
        assert rows["seed"].notna().all()
        assert rows.loc[rows["group"] != "", "hybrids"].notna().all()


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
