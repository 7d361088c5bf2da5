"""setup.sh with a stand-in for Python: when it installs, and when it has nothing to do."""

import os
import shutil
import subprocess

import pytest
from common.check_imports import advice

# Answers as Python does; "-m venv" makes a folder whose Python is this one again.
PYTHON = """#!/bin/sh
case "$1 $2" in
    "--version "*) echo "Python $VERSION" ;;
    "-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
esac
"""
FILES = [
    "requirements.txt",
    "HybridDetection/requirements.txt",
    "scripts/setup.sh",
    "scripts/common/check_imports.py",
]


@pytest.fixture
def setup(repository, tmp_path):
    """A copy of what describes the installation; a function that runs setup.sh there."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    python = tmp_path / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(version: str = "3.12.1") -> str:
        environment = {**os.environ, "PYTHON": str(python), "VERSION": version}
        environment.pop("VENV", None)
        done = subprocess.run(
            ["bash", tmp_path / "scripts/setup.sh"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1].removeprefix("setup: ")

    return run


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_what_describes_the_installation_installs_again(setup, tmp_path, name):
    venv = tmp_path / ".venv"
    assert setup() == f"{venv} is ready"
    assert setup() == f"{venv} is up to date"
    with (tmp_path / name).open("a") as file:
        file.write("# changed\n")
    assert setup() == f"{venv} is ready"
    assert setup() == f"{venv} is up to date"


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libGL.so.1", "libgl1"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
        ("libgomp.so.1", "libgomp1"),
    ],
)
def test_a_missing_library_names_its_package(library, package):
    error = ImportError(f"{library}: cannot open shared object file: No such file or directory")
    assert advice(error) == f"on Debian and Ubuntu: apt install {package}"


def test_another_python_installs_again(setup, tmp_path):
    assert setup() == f"{tmp_path / '.venv'} is ready"
    assert setup("3.12.2") == f"{tmp_path / '.venv'} is ready"
