"""setup.sh with a stand-in for Python: when it installs, and when it has nothing to do."""

import os
import shutil
import subprocess

import pytest
from common.check_imports import advice

# Answers as Python does; "-m venv" makes a folder whose Python is this one again; "-m pip" notes
# what it installs, and fails for a file of requirements that says so.
PYTHON = """#!/bin/sh
case "$1 $2" in
    "--version "*) echo "Python $VERSION" ;;
    "-m venv") rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip")
        shift 5
        echo "$@" | sed "s:$FOLDER/::g" >> "$FOLDER/installed.txt"
        for file; do case $file in *.txt) ! grep -q unavailable "$file" || exit 1 ;; esac; done ;;
esac
"""
BASE = "-r requirements.txt"
FILES = [
    "requirements.txt",
    "HybridDetection/requirements.txt",
    "scripts/setup.sh",
    "scripts/common/check_imports.py",
]


@pytest.fixture
def setup(repository, tmp_path):
    """A copy of what describes the installation; a function that runs setup.sh there."""
    for name in [*FILES, "scripts/common/explain.sh"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    (tmp_path / "requirements-browser.txt").write_text("playwright==1\n")
    (tmp_path / "requirements-rare.txt").write_text("unavailable\n")
    python = tmp_path / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*options: str, version: str = "3.12.1") -> tuple[str, list[str]]:
        """The last line of what it says, and what it installed, a line a call of pip."""
        stand_in = {"PYTHON": str(python), "VERSION": version, "FOLDER": str(tmp_path)}
        environment = {**os.environ, **stand_in}
        environment.pop("VENV", None)
        command = ["bash", tmp_path / "scripts/setup.sh", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        said = (done.stderr if done.returncode else done.stdout).splitlines() or [""]
        installed = tmp_path / "installed.txt"
        lines = installed.read_text().splitlines() if installed.exists() else []
        installed.unlink(missing_ok=True)
        return said[-1].replace(str(tmp_path / ".venv"), "VENV").removeprefix("setup: "), lines

    return run


@pytest.mark.parametrize("name", [*FILES, "another Python"])
def test_a_change_of_what_describes_the_installation_installs_again(setup, tmp_path, name):
    assert setup() == ("VENV is ready", [BASE])
    assert setup() == ("VENV is up to date", [])
    version = "3.12.1"
    if name in FILES:
        with (tmp_path / name).open("a") as file:
            file.write("# changed\n")
    else:
        version = "3.12.2"
    assert setup(version=version) == ("VENV is ready", [BASE])
    assert setup(version=version) == ("VENV is up to date", [])


def test_an_extra_stays_and_one_that_cannot_be_installed_leaves_the_rest(setup, tmp_path):
    browser, rare = (f"{BASE} -r requirements-{name}.txt" for name in ("browser", "rare"))
    assert setup("--with", "browser", "--with", "rare") == ("", [BASE, browser, rare])
    assert setup() == ("VENV is up to date", [])
    (tmp_path / "requirements-browser.txt").write_text("playwright==2\n")
    assert setup() == ("VENV is ready", [browser])
    assert setup(version="3.12.2") == ("VENV is ready", [BASE, browser])  # made anew


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--with", "gpu"], "--with gpu: there is no requirements-gpu.txt; there is: browser rare"),
        (["--with", "../x"], "--with ../x: there is no requirements-../x.txt; there is:"),
        (["--with"], "--with wants a NAME, of a requirements-NAME.txt"),
        (["-v"], "unknown option -v; it takes --with NAME alone, any number of times"),
        (["--help"], "  PYTHON  the Python that makes it, 3.10 or newer (default: python3)"),
    ],
)
def test_help_and_an_unknown_option_install_nothing(setup, tmp_path, options, message):
    said, installed = setup(*options)
    assert said.startswith(message)
    assert installed == []
    assert not (tmp_path / ".venv").exists()


def test_a_missing_library_names_its_package():
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    assert advice(error) == "on Debian and Ubuntu: apt install libgl1"
    assert "holds libodd.so.2" in advice(OSError("libodd.so.2: cannot open shared object file"))
