"""No program runs what a file says."""

import ast

import pytest

TREES = ("HybridDetection", "AnomalyFactory", "scripts")

# What reads any object, or runs what it reads; and the argument that makes it safe.
LOADERS = {
    "torch.load": ("weights_only", "True"),
    "torch.serialization.load": ("weights_only", "True"),
    "numpy.load": ("allow_pickle", "False"),
    **dict.fromkeys(
        [
            *("torch.jit.load", "torch.hub.load", "pickle.load", "pickle.loads"),
            *("pickle.Unpickler", "joblib.load", "pandas.read_pickle", "pandas.read_hdf"),
            *("yaml.load", "yaml.unsafe_load", "eval", "exec", "__import__"),
            *("os.system", "os.popen"),
        ]
    ),
}
UNSAFE_MODULES = {"cloudpickle", "dill", "marshal", "runpy", "shelve"}  # whatever is called


def unsafe_calls(source: str) -> list[str]:
    """`line: call` of each call that could run what a file says."""
    tree = ast.parse(source)
    names = {}  # what each name that is imported stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node.func).split(".")
            name = ".".join([names.get(first, first), *rest])
            arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            needed = LOADERS.get(name, ("shell", arguments.get("shell")))
            safe = needed is not None and arguments.get(needed[0]) == needed[1]
            unsafe = name.split(".")[0] in UNSAFE_MODULES or arguments.get("shell") == "True"
            if unsafe or not safe:
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
    # `np` is numpy only where it is imported so, as here.
    assert [int(call.split(":")[0]) for call in unsafe_calls(source)] == [2, 3, 5, *range(7, 13)]


@pytest.mark.parametrize("tree", TREES)
def test_no_program_runs_what_a_file_says(repository, tree):
    paths = list((repository / tree).rglob("*.py"))
    assert len(paths) > 10
    found = {str(path): unsafe_calls(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: calls for path, calls in found.items() if calls} == {}
