"""Every reader of what comes from outside x every damage: it loads, or is refused by name.

    pytest tests/faults/test_readers.py --examples 1000 --files 5000

tries as many hostile texts and damaged files; only what the programs write themselves is left out.
"""

import io
import random
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import corrections
import data_utils
import evaluation
import listing
import model
import numpy as np
import painted
import pytest
import torch
import weights
import worlds
from common import challenge_csv
from common.program import InputError as ScriptsError
from data import lists
from faults.hostile import damaged, hostile
from hypothesis import given
from hypothesis import strategies as st
from models import vgg
from models.anomaly_factory import load_network
from models.networks import Generator
from models.pidinet import PiDiNet, load_pidinet
from util.errors import InputError

# ---- tables and lists ---------------------------------------------------------------------------

HEADER = ",".join(challenge_csv.COLUMNS)
ROW = "a,http://x/a,non-hybrid,train,z,m,8.0,,,a.jpg"
PHOTOS = [HEADER.split(","), ROW.split(","), "b,,hybrid,train,z,m,,8.0,9.0,b.jpg".split(",")]
REFERENCE = ["filename,hybrid_stat,ssp_indicator", "a.jpg,1,major", "b.jpg,0,minor"]
DETAILS = ["filename,score,sgd,linear", "a.jpg,0.5,0.5,0.25", "b.jpg,1,1,0"]


def is_inside(name: str) -> bool:
    """Whether a path stays below its folder, on Windows, too."""
    parts = re.split(r"[/\\]", name)
    return parts[0] != "" and ".." not in parts and ":" not in parts[0] and "\0" not in name


def photographs(path: Path) -> bool:
    found = challenge_csv.read_photos(path)
    return all(is_inside(photo.filename) and photo.filename.isprintable() for photo in found)


def classifiers_table(path: Path) -> bool:
    table = data_utils.read_table(path)
    data_utils.find_images(table, path.parent, path.parent)
    names = table["filename"]
    return set(table["label"]) <= {0, 1} and names.map(is_inside).all() and names.is_unique


def images_to_score(path: Path) -> bool:
    images, _ = listing.listed_images(path, path.parent)
    names = images.names
    inside = all(is_inside(name) and name.isprintable() and "," not in name for name in names)
    return inside and list(names) == sorted(set(names))


def said(path: Path) -> bool:
    for name in ("a.jpg", "b.jpg"):
        (path.parent / name).write_text(name)
    found = corrections.read_corrections([path], {"a.jpg": path.with_name("a.jpg")})
    there = {path.with_name("a.jpg").resolve(), path.with_name("b.jpg").resolve()}
    return {place for _, place in found.values()} <= there


def details(path: Path) -> bool:
    return all(0 <= score <= 1 for score in evaluation.read_details(path, ["sgd"]).values())


@dataclass(frozen=True)
class Table:
    """A reader of texts: whether what it gives is right; and a good text in cells."""

    read: Callable[[Path], bool]
    rows: list[list[str]]
    error: type[Exception] = ValueError


TABLES = {
    "challenge.csv": Table(photographs, PHOTOS, ScriptsError),
    "classifier.csv": Table(classifiers_table, PHOTOS),
    "reference.csv": Table(
        lambda path: set(evaluation.read_reference(path)["hybrid_stat"]) <= {0, 1},
        [line.split(",") for line in REFERENCE],
    ),
    "details.csv": Table(details, [line.split(",") for line in DETAILS]),
    "predictions.txt": Table(
        lambda path: np.isfinite(list(evaluation.read_predictions(path).values())).all(),
        [["a.jpg", "0.5"], ["b.jpg", "1e-3"]],
    ),
    "corrections.csv": Table(
        said, [corrections.READ, ["a.jpg", "", "hybrid", "8 x 9"], ["b.jpg", ".", "unsure", ""]]
    ),
    "list.csv": Table(images_to_score, [["filename", "place"], ["a.jpg", "1"], ["b/c.jpg", "2"]]),
}


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_a_hostile_text_is_read_rightly_or_refused_by_file_and_line(tmp_path, name, data):
    table, path = TABLES[name], tmp_path / name
    path.write_bytes(data.draw(hostile(table.rows, ",")))
    try:
        assert table.read(path)
    except table.error as raised:
        assert type(raised) is table.error, repr(raised)
        assert str(raised).startswith(str(path))
        assert len(str(raised)) < 2**18


@pytest.mark.parametrize("name", ["challenge.csv", "classifier.csv"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER}\nz,{ROW}\n", "line 2"),  # a cell too many would shift all by one
        (f"{HEADER}\n{ROW[:30]}\n", "line 2"),
        (f"{HEADER},filename\n{ROW},b.jpg\n", "filename"),
        (f'{HEADER}\n"x\ny"{ROW[1:]}\n{ROW[:-5]}../b.jpg\n', "line 4.*b.jpg"),
        (f"{HEADER}\n{ROW[:-5]}/etc/a.jpg\n", "line 2.*leaves"),
        (f"{HEADER}\n{ROW[:-5]}a.jpg\0\n", "line 2"),
        (f'{HEADER}\n{ROW}\n{ROW[:-5]}"b.jpg\n', "line 3"),
        (f'{HEADER}\n{ROW}\n{ROW[:-5]}"b"c.jpg\n', "line 3"),
        (f"{HEADER}\n{ROW}\nb{ROW[1:-5]}\udcff.jpg\n", "line 3.*UTF-8"),
        (f"{HEADER}\n{ROW[:-5]}{'x' * 252}.jpg\n", "line 2.*256"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "line 3.*line 2"),
        (f"{HEADER}\n{ROW.replace('train', 'test')}\n", "line 2.*test"),
    ],
)
def test_a_hostile_table_names_its_line(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TABLES[name].error, match=f"(?s){re.escape(str(path))}.*{said}"):
        TABLES[name].read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("mark", "first"), [(",", ""), (";", "sep=;"), ("\t", "")])
def test_what_spreadsheets_and_other_systems_write_is_read(tmp_path, mark, first, end, encoding):
    """With the numbers of its lines, and a decimal comma where it separates no cells."""
    path = tmp_path / "table.csv"
    row = ROW.replace(",", mark).replace("8.0", "8,0" if mark != "," else "8.0")
    lines = [first] * bool(first) + [HEADER.replace(",", mark), row]
    path.write_bytes(end.join(lines).encode(encoding))
    (photo,) = challenge_csv.read_photos(path)
    assert (photo.filename, photo.subspecies) == ("a.jpg", "8")
    assert data_utils.group_names(data_utils.read_table(path)).tolist() == ["8"]
    path.write_bytes(end.join([*lines, row]).encode(encoding))
    for read in (challenge_csv.read_photos, data_utils.read_table):
        with pytest.raises((ScriptsError, ValueError), match=f", line {len(lines) + 1}"):
            read(path)
    path.write_bytes(f"Images/8/ü.png{end}".encode(encoding))
    assert lists.read_lines(path) == ["Images/8/ü.png"]
    assert listing.read_text(path, "a list").split() == ["Images/8/ü.png"]
    path.write_bytes(f"a.jpg,0.5{end}b.jpg,0.25".encode(encoding))
    assert evaluation.read_predictions(path) == {"a.jpg": 0.5, "b.jpg": 0.25}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a.jpg,0,major\n", "no major hybrids"),
        ("a.jpg,1,major\nb.jpg,1,minor\nc.jpg,1,mimic\n", "no non-hybrids"),
        ("a.jpg,0,major\nb.jpg,1,else\n", "ssp_indicator"),
    ],
)
def test_a_reference_without_a_class_is_named(tmp_path, rows, said):
    reference, predictions = tmp_path / "ref.csv", tmp_path / "predictions.txt"
    reference.write_text("filename,hybrid_stat,ssp_indicator\n" + rows)
    predictions.write_text("a.jpg,0.5\nb.jpg,0.5\nc.jpg,0.5")
    with pytest.raises(ValueError, match=rf"ref\.csv.*{said}"):
        evaluation.score_rows(evaluation.read_scored(predictions, reference), reference)


LINES = [[f"Images/{i}/train/good/{n}.png"] for i, n in ((8, 0), (9, 1))]


@given(edges=hostile(LINES, "/"), references=hostile(LINES, "/"))
def test_hostile_lists_to_paint(tmp_path, edges, references):
    for (line,) in LINES:
        (tmp_path / line).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / line).touch()
    folder = tmp_path / "List/test_nonhybrid"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_edges.txt").write_bytes(edges)
    (folder / "test_color_ref.txt").write_bytes(references)
    files = lists.find_list(tmp_path, "test_nonhybrid")
    try:
        for pair in lists.read_pairs(files, False):
            for path in (pair.edges, pair.reference):
                assert path.is_file() and is_inside(path.relative_to(tmp_path).as_posix())
            assert re.fullmatch(r"AF_[^/]+_[^/]+_gen\d{5}\.png", pair.generated_name)
    except InputError as raised:
        assert str(raised).startswith(str(folder))
    try:
        painted.read_pairs(tmp_path)
    except ValueError as raised:
        assert type(raised) is ValueError and str(raised).startswith(str(folder))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x" * 300, "line 2"),
        ("../a.png", "line 2.*leaves"),
        ("Images/8/\0.png", "line 2.*leaves"),
        ("Images/\udcff.png", "line 2.*UTF-8"),
    ],
)
def test_a_hostile_list_names_its_line(tmp_path, line, said):
    folder = tmp_path / "List/train"
    folder.mkdir(parents=True)
    (tmp_path / "a.png").touch()
    for kind in ("edges", "color_gt"):
        text = f"a.png\n{line}\n".encode("utf-8", "surrogateescape")
        (folder / f"train_{kind}.txt").write_bytes(text)
    path = re.escape(str(folder / "train_edges.txt"))
    with pytest.raises(InputError, match=f"{path}.*{said}"):
        lists.read_pairs(lists.find_list(tmp_path, "train"), training=True)


# ---- weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, bytes]:
    """Each file of weights that is fetched or passed on, as it should be."""
    folder = worlds.write_pair(tmp_path_factory.mktemp("good") / "members")
    torch.manual_seed(0)
    torch.save(Generator(2, 1, 1).state_dict(), folder / "latest_net_G.pth")
    state = {  # in the published layout, whose kernels are 3 x 3 at the most
        key: value[..., :3, :3].clone() if value.ndim == 4 else value
        for key, value in PiDiNet().state_dict().items()
    }
    torch.save({"state_dict": state}, folder / "table5_pidinet.pth")
    worlds.write_third(folder, worlds.third_member())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


VGG19 = vgg.FILE_NAME
MEMBERS = ("clf1024.pth", "sgd_clf.pkl", "subspecies.npz")


def load(path: Path) -> None:
    """Read the file by its name, as the program that it is for does."""
    if path.name in MEMBERS:
        member = {"clf1024.pth": "linear", "sgd_clf.pkl": "sgd"}.get(path.name, "subspecies")
        model.Model(device="cpu", classifiers=path.parent, members=[member]).load()
    elif path.name == "latest_net_G.pth":
        load_network(Generator(2, 1, 1), path.parent, "latest", "G")
    elif path.name == VGG19:
        vgg.vgg19_features(path.parent)
    else:
        load_pidinet(path)


def refused(path: Path) -> str:
    """What is said of a file that must be refused by name."""
    with pytest.raises((ValueError, InputError)) as raised:
        load(path)
    assert type(raised.value) in (ValueError, InputError), repr(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "weights_only" not in str(raised.value) and "add_safe_globals" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def without_backbone(monkeypatch) -> None:
    """Members are looked at before the backbone, which takes a second."""
    monkeypatch.setattr(model, "build_backbone", lambda *_: None)


@pytest.mark.parametrize("name", [*MEMBERS, "latest_net_G.pth"])
def test_damaged_weights_load_or_are_refused(tmp_path, good, request, name, without_backbone):
    path = tmp_path / name
    path.write_bytes(good[name])
    load(path)
    draw = random.Random(name)
    count = 0
    for _ in range(request.config.getoption("--files") // 4):
        path.write_bytes(damaged(draw, good[name]))
        try:
            load(path)
        except (ValueError, InputError) as raised:
            assert type(raised) in (ValueError, InputError), repr(raised)
            assert str(raised).startswith(str(path))
            count += 1
    assert count


NO_WEIGHTS = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3154116\n",
    "web page": b"\n <!DOCTYPE html><html><title>Quota exceeded</title></html>",
    "empty": b"",
}


@pytest.mark.parametrize("name", [*MEMBERS, "latest_net_G.pth", "table5_pidinet.pth", VGG19])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_what_a_failed_download_leaves_is_told(tmp_path, name, kind):
    (tmp_path / name).write_bytes(NO_WEIGHTS[kind])
    assert kind in refused(tmp_path / name)


@pytest.mark.parametrize("name", ["clf1024.pth", "latest_net_G.pth", "table5_pidinet.pth", VGG19])
def test_nobody_is_told_to_switch_safety_off(tmp_path, name):
    path = tmp_path / name
    torch.save({"state_dict": Path("a")}, path)
    assert "it asks for pathlib.PosixPath" in refused(path)
    for content in (b"no pickle", b"\x80\x02K"):
        path.write_bytes(content)
        refused(path)
    torch.save({}, path)
    with zipfile.ZipFile(path, "a") as archive:  # by which torch knows its scripts
        archive.writestr(f"{path.stem}/constants.pkl", b"")
    assert "save a state_dict() alone" in refused(path)


def test_the_prefix_of_data_parallel_is_taken_off(tmp_path, good):
    """A classifier's; for the generators', see test_painting.py."""
    path = tmp_path / "clf1024.pth"
    path.write_bytes(good[path.name])
    state = weights.read_state_dict(path)
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    found = weights.read_state_dict(path)
    assert list(found) == list(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


STATES = ("clf1024.pth", "latest_net_G.pth", "table5_pidinet.pth")
ODD_TENSORS = {
    "on no device": lambda tensor: tensor.to("meta"),
    "of another shape": lambda tensor: tensor[None],
    "a repeated number": lambda tensor: torch.zeros(1).expand(10**6, 10**6),
    "NaN": lambda tensor: tensor * torch.nan,
    "infinite": lambda tensor: tensor + torch.inf,
}


def read_state(content: bytes) -> dict[str, torch.Tensor]:
    state = torch.load(io.BytesIO(content), weights_only=True)
    return state.get("state_dict", state)


def write_state(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"state_dict": state} if "pidinet" in path.name else state, path)


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_a_state_dict_of_odd_tensors_is_refused(tmp_path, good, name, kind):
    state = read_state(good[name])
    key = next(iter(state))
    state[key] = ODD_TENSORS[kind](state[key])
    write_state(state, tmp_path / name)
    refused(tmp_path / name)


@pytest.mark.parametrize("name", STATES)
def test_compressed_weights_and_those_of_a_strange_key_are_refused(tmp_path, good, name):
    path = tmp_path / name
    zeros = {key: torch.zeros_like(value) for key, value in read_state(good[name]).items()}
    write_state(zeros, path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as source:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for member in source.infolist():
                target.writestr(member.filename, source.read(member), zipfile.ZIP_DEFLATED)
    refused(path)
    further = "enc_model.8.bias"  # of one more layer than any has
    write_state(zeros | {further: torch.zeros(1)}, path)
    assert further in refused(path)


HUGE = struct.pack("<Q", 2**40)
ARRAY = b"\x80\x03cnumpy._core.multiarray\n"
PICKLES = {
    "a memo of 1 GB": b"\x80\x03Nr" + struct.pack("<I", 2**26) + b".",
    "a memo of 1 GB in decimals": b"\x80\x03Np%d\n." % (2**26),
    "a text of 1 TB": b"\x80\x04\x8d" + HUGE + b"a.",
    "bytes of 1 TB": b"\x80\x04\x8e" + HUGE + b"a.",
    "a frame of 1 TB": b"\x80\x04\x95" + HUGE + b"N.",
    "a number of 2 GB": b"\x80\x03\x8b" + struct.pack("<I", 2**31 - 1) + b"a.",
    "nothing to pop": b"\x80\x03RRR.",
    "an extension": b"\x80\x03\x82\x01.",
    "a state that is no tuple": b"\x80\x03cnumpy\ndtype\nU\x02f8\x85RNb.",
    "an array without its dtype": ARRAY + b"_reconstruct\n)R(K\x01tb.",
    "a scalar of objects": ARRAY + b"scalar\ncnumpy\ndtype\nU\x01O\x85RU\x08AAAAAAAA\x86R.",
    "a dotted global": b"\x80\x04\x8c\x07sklearn\x8c\x0dos.system.pop\x93.",
    "another module": b"\x80\x03cos\nsystem\nX\x0c\x00\x00\x00touch hacked\x85R.",
    "an old class": b"(iposix\nsystem\n.",
    "20,000 tuples in each other": b"\x80\x03" + b"(" * 20_000 + b"t" * 20_000 + b".",
}


@pytest.mark.parametrize("name", ["sgd_clf.pkl", "clf1024.pth", "latest_net_G.pth"])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_hostile_pickle_is_refused_and_takes_no_memory(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(PICKLES[kind])
    if name.endswith(".pth"):
        with zipfile.ZipFile(path, "w") as archive:  # as torch lays it out
            archive.writestr("archive/data.pkl", PICKLES[kind])
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
    tracemalloc.start()
    refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
    assert [found.name for found in tmp_path.iterdir()] == [name]  # nothing was run
