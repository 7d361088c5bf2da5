"""Hostile weights: claims of gigabytes, odd arguments, cycles, tensors that are no numbers."""

import ast
import io
import pickle
import random
import re
import struct
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import published_members
import pytest
import subspecies_member
import torch
import train
import training
import weights
from models.networks import Generator
from models.pidinet import DIFFERENCES, PiDiNet, load_pidinet
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import SGDClassifier
from training_index import TrainingIndex, load_index, save_index
from util import checkpoint
from util.errors import InputError

TREES = ("HybridDetection", "AnomalyFactory", "scripts")

# ------------------------------------------------------------------------------- the source

# What reads any object, or runs what it reads; and the argument that makes it safe.
LOADERS = {
    "torch.load": ("weights_only", True),
    "torch.serialization.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "torch.jit.load": None,
    "torch.hub.load": None,
    "pickle.load": None,
    "pickle.loads": None,
    "pickle.Unpickler": None,
    "joblib.load": None,
    "pandas.read_pickle": None,
    "pandas.read_hdf": None,
    "yaml.load": None,
    "yaml.unsafe_load": None,
    "eval": None,
    "exec": None,
    "__import__": None,
    "os.system": None,
    "os.popen": None,
}
UNSAFE_MODULES = {"cloudpickle", "dill", "marshal", "runpy", "shelve"}  # whatever is called


def imported(tree: ast.Module) -> dict[str, str]:
    """What each name that is imported stands for: `numpy` for np, `pickle.load` for load."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names = node.names
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in names}
    return found


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    if not isinstance(node, ast.Name | ast.Attribute):
        return ""
    first, *rest = ast.unparse(node).split(".")
    return ".".join([names.get(first, first), *rest])


def unsafe_calls(source: str) -> list[str]:
    """`line: call` of each call that could run what a file says."""
    found = []
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        unsafe = name.split(".")[0] in UNSAFE_MODULES
        needed = None if unsafe else LOADERS.get(name, ("", ""))
        safe = needed is not None and (not needed[0] or arguments.get(needed[0]) == str(needed[1]))
        if not safe or arguments.get("shell") == "True":
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_unsafe_calls_are_found():
    source = """import numpy as np, pickle as p; from pickle import load, loads as read; import dill
torch.load(path, map_location="cpu")
torch.load(path, weights_only=False)
torch.load(path, weights_only=True)
np.load(path)
np.load(path, allow_pickle=False)
pickle.loads(data)
subprocess.run("ls", shell=True)
load(file)
read(data)
p.load(file)
dill.load(file)
model.load(file)
"""
    assert [int(call.split(":")[0]) for call in unsafe_calls(source)] == [2, 3, 5, *range(7, 13)]


@pytest.mark.parametrize("tree", TREES)
def test_no_program_runs_what_a_file_says(repository, tree):
    found = {
        path.relative_to(repository).as_posix(): unsafe_calls(path.read_text(encoding="utf-8"))
        for path in (repository / tree).rglob("*.py")
    }
    assert len(found) > 10
    assert {path: calls for path, calls in found.items() if calls} == {}


# ------------------------------------------------------------------------------- pickles


def sgd() -> CalibratedClassifierCV:
    """A classifier as training pickles it."""
    features = np.random.default_rng(0).standard_normal((20, 1536))
    labels = (features[:, 0] > 0).astype(int)
    return CalibratedClassifierCV(SGDClassifier(loss="log_loss"), cv=2).fit(features, labels)


@pytest.fixture(scope="module")
def good() -> bytes:
    return pickle.dumps(sgd())


CLASS = b"csklearn.calibration\nCalibratedClassifierCV\n"
CYCLE = (  # a classifier whose list of folds holds the list itself
    b"\x80\x03" + CLASS + b")\x81}X\x18\x00\x00\x00calibrated_classifiers_]q\x01h\x01asb."
)
DEEP = b"\x80\x03" + b"(" * 200_000 + b"t" * 200_000 + b"."
HUGE = 2**40
CLAIMS = {
    "a memo of 1 GB": b"\x80\x03Nr" + struct.pack("<I", 2**26) + b".",
    "a memo of 1 GB in decimals": b"\x80\x03Np%d\n." % (2**26),
    "a text of 1 TB": b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"a.",
    "bytes of 1 TB": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"a.",
    "an array of bytes of 1 TB": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"a.",
    "a frame of 1 TB": b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.",
    "bytes of 2 GB": b"\x80\x03T" + struct.pack("<I", 2**31 - 1) + b"a.",
    "a number of 2 GB": b"\x80\x03\x8b" + struct.pack("<I", 2**31 - 1) + b"a.",
}
ARGUMENTS = {
    "a name that is no text": b"\x80\x04NN\x93.",
    "nothing to pop": b"\x80\x03RRR.",
    "no such memo": b"\x80\x03hx.",
    "a persistent object": b"\x80\x03N\x51.",
    "an extension": b"\x80\x03\x82\x01.",
    "a state that is no tuple": b"\x80\x03cnumpy\ndtype\nU\x02f8\x85RNb.",
    "an array without its dtype": b"\x80\x03cnumpy._core.multiarray\n_reconstruct\n)R(K\x01tb.",
    "a scalar of objects": (
        b"\x80\x03cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nU\x01O\x85RU\x08AAAAAAAA\x86R."
    ),
    "a dtype that a name calls": b"\x80\x03cnumpy\ndtype\nX\x04\x00\x00\x00evil\x85R.",
    "a dotted global": b"\x80\x04\x8c\x07sklearn\x8c\x0dos.system.pop\x93.",
    "another module": b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
    "an old class": b"(iposix\nsystem\n.",
    "a cycle": CYCLE,
    "200,000 tuples in each other": DEEP,
}


@pytest.mark.parametrize("name", [*CLAIMS, *ARGUMENTS])
def test_a_hostile_pickle_is_refused(tmp_path, name):
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes({**CLAIMS, **ARGUMENTS}[name])
    with pytest.raises(ValueError, match=r"sgd_clf\.pkl: not an SGD classifier \(") as raised:
        published_members.load_sgd(path)
    assert type(raised.value) is ValueError


def test_a_classifier_of_a_million_folds_is_refused(tmp_path, good):
    """Each fold costs two bytes of the pickle, and 12,288 once its numbers are joined."""
    classifier = pickle.loads(good)
    classifier.calibrated_classifiers_ *= 600
    path = tmp_path / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(classifier))
    with pytest.raises(ValueError, match="1,200 folds, expected 1000 at the most"):
        published_members.load_sgd(path)
    del classifier.calibrated_classifiers_[1000:]
    path.write_bytes(pickle.dumps(classifier))
    assert published_members.load_sgd(path).weights.shape == (1000, 1536)


# ------------------------------------------------------------------------------- state dicts


def linear_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return published_members.LinearClassifier(1536).state_dict()


def generator_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return Generator(2, 1, 1).state_dict()


def load_generator(path: Path) -> None:
    checkpoint.fit(Generator(2, 1, 1), checkpoint.load_weights(path), path)


def pidinet_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = PiDiNet().state_dict()
    for layer, kind in DIFFERENCES.items():
        if kind == "rd":
            state[f"{layer}.weight"] = state[f"{layer}.weight"][:, :, 1:4, 1:4].clone()
    return state


READERS = {
    "clf1024.pth": (linear_state, published_members.load_linear, ValueError),
    "latest_net_G.pth": (generator_state, load_generator, InputError),
    "table5_pidinet.pth": (pidinet_state, load_pidinet, InputError),
}


def write(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"state_dict": state} if "pidinet" in path.name else state, path)


ODD_TENSORS = {
    "complex": lambda tensor: tensor.to(torch.complex64),
    "whole numbers": lambda tensor: tensor.to(torch.int32),
    "flags": lambda tensor: tensor > 0,
    "sparse": lambda tensor: tensor.to_sparse(),
    "sparse rows": lambda tensor: tensor.to_sparse_csr(dense_dim=tensor.dim() - 2),
    "on no device": lambda tensor: tensor.to("meta"),
    "of another shape": lambda tensor: tensor[None],
    "empty": lambda tensor: tensor[:0],
    "a repeated number": lambda tensor: torch.zeros(1).expand(10**6, 10**6),
    "NaN": lambda tensor: tensor * torch.nan,
    "infinite": lambda tensor: tensor + torch.inf,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_a_state_dict_of_odd_tensors_is_refused(tmp_path, name, kind):
    make, load, error = READERS[name]
    state = make()
    key = next(iter(state))
    state[key] = ODD_TENSORS[kind](state[key])
    path = tmp_path / name
    write(state, path)
    with pytest.raises(error) as raised:
        load(path)
    assert type(raised.value) is error
    assert str(raised.value).startswith(str(path))
    assert key in str(raised.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_precision_are_read(tmp_path, name, dtype):
    make, load, _ = READERS[name]
    path = tmp_path / name
    write({key: t.to(dtype) if t.is_floating_point() else t for key, t in make().items()}, path)
    load(path)


def pickled(path: Path, content: bytes) -> None:
    """A checkpoint that says `content`, as torch lays it out."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


NESTS = {
    "a cycle": b"]q\x01h\x01a",
    "20,000 tuples in each other": b"(" * 20_000 + b"t" * 20_000,
    "20,000 lists in each other": b"]" * 20_000 + b"a" * 19_999,
}
STATE = b"\x80\x02}(" + text("model") + b"}" + text("steps") + b"K\x00" + text("course")


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("place", [b"%s", b"}" + text("w") + b"%ss"], ids=["alone", "in a dict"])
def test_weights_in_each_other_are_refused(tmp_path, nest, place):
    path = tmp_path / "latest_net_G.pth"
    pickled(path, b"\x80\x02" + place % NESTS[nest] + b".")
    for load, error in (
        (checkpoint.load_weights, InputError),
        (load_pidinet, InputError),
        (weights.read_state_dict, ValueError),
    ):
        with pytest.raises(error, match=re.escape(str(path))) as raised:
            load(path)
        assert type(raised.value) is error


def test_weights_without_names_are_refused(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    pickled(path, b"\x80\x02}" + b"(" * 2_000 + b"t" * 2_000 + b"Ns.")
    with pytest.raises(InputError, match="expected names of tensors, found tuple"):
        checkpoint.load_weights(path)


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("place", [b"%s", b"}" + text("--lr") + b"%ss"], ids=["alone", "in a dict"])
def test_a_resume_file_of_things_in_each_other_is_refused(tmp_path, nest, place):
    path = tmp_path / "resume.pth"
    pickled(path, STATE + place % NESTS[nest] + b"u.")
    with pytest.raises(InputError, match="not a resume file of this program"):
        train.resumable(path)


def test_a_resume_file_with_a_tensor_for_an_option_is_refused(tmp_path):
    path = tmp_path / "resume.pth"
    torch.save({"model": {}, "steps": 0, "course": {"--beta1": torch.zeros(2)}}, path)
    with pytest.raises(InputError, match="not a resume file of this program"):
        train.resumable(path)


def bomb(path: Path) -> None:
    """The weights in `path` with their numbers compressed, as torch would unpack them."""
    plain = io.BytesIO(path.read_bytes())
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member), zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize("name", READERS)
def test_compressed_weights_are_refused(tmp_path, name):
    make, load, error = READERS[name]
    path = tmp_path / name
    write({key: torch.zeros_like(value) for key, value in make().items()}, path)
    load(path)
    bomb(path)
    with pytest.raises(error, match=r"bytes that unpack to") as raised:
        load(path)
    assert str(raised.value).startswith(str(path))


# ------------------------------------------------------------------------------- damage


def index_of_three(origin: published_members.Origin) -> TrainingIndex:
    return TrainingIndex(
        names=np.array(["a.jpg", "b.jpg", "c.jpg"]),
        groups=np.array(["8", "9", "8 x 9"]),
        hybrid=np.array([False, False, True]),
        painted=np.zeros(3, bool),
        features=np.ones((3, 1280), np.float16),
        thumbnails=[b"picture"] * 3,
        origin=origin,
    )


@pytest.mark.parametrize("name", [*READERS, "sgd_clf.pkl", "subspecies.npz", "training_index.npz"])
def test_damaged_weights_load_or_are_refused(tmp_path, good, stored, mutate, request, name):
    path = tmp_path / name
    error = ValueError
    if name in READERS:
        make, load, error = READERS[name]
        write(make(), path)
    elif name == "sgd_clf.pkl":
        load = published_members.load_sgd
        path.write_bytes(good)
    elif name == "subspecies.npz":
        load = subspecies_member.load_subspecies
        training.save_subspecies(stored, path)
    else:
        load = partial(load_index, origin=stored.origin)
        save_index(index_of_three(stored.origin), path)
    load(path)
    whole = path.read_bytes()
    draw = random.Random(name)
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(request.config.getoption("--files") // 4):
        path.write_bytes(mutate(draw, whole))
        try:
            load(path)
            outcomes["loaded"] += 1
        except error as raised:
            assert type(raised) is error, repr(raised)
            assert str(raised).startswith(str(path))
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0, outcomes


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.array(["a.jpg"])},
        {"hybrid": np.zeros(3)},
        {"features": np.full((3, 1280), np.nan, np.float16)},
        {"ends": np.array([21, 14, 7])},
        {"ends": np.array([7, 14, 20])},
        {"backbone": np.array("resnet")},
    ],
    ids=str,
)
def test_an_index_of_odd_arrays_is_refused(tmp_path, stored, change):
    path = tmp_path / "training_index.npz"
    save_index(index_of_three(stored.origin), path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=re.escape(f"{path}: no index of a training (")):
        load_index(path, stored.origin)


MEMORY = """
import re, sys
from pathlib import Path
import model
from util import checkpoint
from published_members import load_sgd
from subspecies_member import load_subspecies
LOADERS = load_sgd, weights.read_state_dict, checkpoint.load_weights, load_subspecies
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
for path in map(Path, sys.argv[1:]):
    for load in LOADERS:
        try:
            load(path)
            print("loaded", path)
        except ValueError:
            pass
print(peak() - before)
"""
MEGABYTES = 64  # more than a reader may take for a file of a few kilobytes, whatever that claims


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_claims_take_no_memory(tmp_path, repository):
    files = []
    for number, content in enumerate(CLAIMS.values()):
        files.append(tmp_path / f"{number}.pkl")
        files[-1].write_bytes(content)
        files.append(tmp_path / f"{number}.pth")
        pickled(files[-1], content)
    zeros = tmp_path / "zeros.pth"  # 120 MB in 120 KB
    torch.save({"w": torch.zeros(30_000_000)}, zeros)
    bomb(zeros)
    legacy = tmp_path / "legacy.pth"
    torch.save({"w": torch.zeros(7)}, legacy, _use_new_zipfile_serialization=False)
    seven = (7).to_bytes(8, "little")
    assert seven in legacy.read_bytes()
    legacy.write_bytes(legacy.read_bytes().replace(seven, (10**9).to_bytes(8, "little")))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**4)}
    )
    arrays = tmp_path / "arrays.npz"
    with zipfile.ZipFile(arrays, "w") as archive:
        archive.writestr("weights.npy", header.getvalue())
    submission = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, [*files, zeros, legacy, arrays])],
        env={"PYTHONPATH": f"{submission}:{repository / 'AnomalyFactory'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "loaded" not in done.stdout
    assert int(done.stdout) < MEGABYTES
