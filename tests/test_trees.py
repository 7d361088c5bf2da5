"""The three trees meet on disk only: none imports from another."""

import ast
from pathlib import Path

import pytest

TREES = ["HybridDetection", "AnomalyFactory", "scripts"]
SUBMISSION = "submission/dino2B_contestAF_1024linear2cls"


def names_of(tree: Path) -> set[str]:
    """Every name under which code of `tree` could be imported."""
    files = {path.stem for path in tree.rglob("*.py")}
    folders = {path.parent.name for path in tree.rglob("*.py")} - {"submission", "train"}
    return (files | folders | {tree.name}) - {"__init__"}


def imports_of(path: Path) -> set[str]:
    """Each part of each module name that `path` imports, relative imports left out."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            parts |= {part for alias in node.names for part in alias.name.split(".")[:1]}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts.add(node.module.split(".")[0])
    return parts


def foreign_imports(root: Path, tree: str) -> list[str]:
    own = names_of(root / tree)
    found = []
    for other in TREES:
        if other != tree:
            foreign = names_of(root / other) - own
            found += [
                f"{path.relative_to(root)} imports {name} of {other}"
                for path in sorted((root / tree).rglob("*.py"))
                for name in sorted(imports_of(path) & foreign)
            ]
    return found


@pytest.mark.parametrize("tree", TREES)
def test_no_tree_imports_another(repository, tree):
    assert foreign_imports(repository, tree) == []


def test_pins_agree(repository):
    """The platform, which runs Python 3.10, installs what the project is tested with there."""
    pins = (repository / "HybridDetection/requirements.txt").read_text().splitlines()
    oldest = {pin.partition(";")[0].strip().lower() for pin in pins if ">=" not in pin}
    submission = repository / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
    packages = (submission / "requirements.txt").read_text().lower()
    # The platform has OpenCV without windows alone.
    packages = packages.replace("opencv-python-headless", "opencv-python")
    assert set(packages.split()) <= oldest


def test_the_file_modules_are_alike(repository):
    """Each tree's module for files on disk is the same; two have a function more."""
    modules = [
        "HybridDetection/submission/dino2B_contestAF_1024linear2cls/files.py",
        "AnomalyFactory/util/files.py",
        "scripts/common/files.py",
    ]
    sources = [(repository / module).read_text() for module in modules]
    assert sources[1] == sources[2]
    spelling = [Path(repository, path).with_name("spelling.py").read_text() for path in modules]
    assert spelling[0] == spelling[1] == spelling[2]
    assert sources[1].startswith(sources[0])
    assert sources[1].count("\n") <= 320


def test_the_submission_folder_stands_alone(repository):
    """Codabench gets that folder alone; of HybridDetection nothing else is imported in it."""
    tree = repository / "HybridDetection"
    own = {path.stem for path in (tree / SUBMISSION).glob("*.py")}
    others = names_of(tree) - own
    for path in (tree / SUBMISSION).glob("*.py"):
        assert not imports_of(path) & others, path.name


@pytest.mark.parametrize("tree", TREES)
def test_a_class_name_means_one_thing(repository, tree):
    places: dict[str, list[str]] = {}
    for path in sorted((repository / tree).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_file_is_past_450_lines(repository):
    for folder in (*TREES, "tests"):
        for path in (repository / folder).rglob("*.py"):
            assert path.read_text(encoding="utf-8").count("\n") <= 450, path
