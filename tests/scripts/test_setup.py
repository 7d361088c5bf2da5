"""setup.sh: what it refuses before it installs; and what a missing library is called."""

import subprocess

import pytest
from common.check_imports import advice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--with gpu", "--with gpu: there is no requirements-gpu.txt; there is: "),
        ("--with ../x", "--with ../x: there is no requirements-../x.txt; there is:"),
        ("--with", "--with wants a NAME, of a requirements-NAME.txt"),
        ("-v", "unknown option -v; it takes --with NAME alone, any number of times"),
    ],
)
def test_an_unknown_option_installs_nothing(repository, tmp_path, options, message):
    command = ["bash", repository / "scripts/setup.sh", *options.split()]
    environment = {"PATH": "/usr/bin:/bin", "VENV": str(tmp_path / "venv")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"setup: {message}" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_library_names_its_package():
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    assert advice(error) == "on Debian and Ubuntu: apt install libgl1"
