"""setup.sh with a stand-in for Python: when it installs, and when it has nothing to do; and .ci/run
with stand-ins for all that it calls."""

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
    python = tmp_path / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(version: str = "3.12.1", options: tuple[str, ...] = ()) -> str:
        """The last line of the output; of that to stderr where it fails."""
        stand_in = {"PYTHON": str(python), "VERSION": version, "FOLDER": str(tmp_path)}
        environment = {**os.environ, **stand_in}
        environment.pop("VENV", None)
        command = ["bash", tmp_path / "scripts/setup.sh", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        output = done.stderr if done.returncode else done.stdout
        return output.splitlines()[-1].removeprefix("setup: ") if output else ""

    return run


def take_installed(folder) -> list[str]:
    """What was installed since it was last asked, a line a call of pip."""
    path = folder / "installed.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_what_describes_the_installation_installs_again(setup, tmp_path, name):
    venv = tmp_path / ".venv"
    assert setup() == f"{venv} is ready"
    assert setup() == f"{venv} is up to date"
    with (tmp_path / name).open("a") as file:
        file.write("# changed\n")
    assert setup() == f"{venv} is ready"
    assert setup() == f"{venv} is up to date"
    assert setup("3.12.2") == f"{venv} is ready"  # another Python


def test_a_missing_library_names_its_package():
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    assert advice(error) == "on Debian and Ubuntu: apt install libgl1"
    assert "holds libodd.so.2" in advice(OSError("libodd.so.2: cannot open shared object file"))


def test_an_extra_is_installed_when_asked_for_and_stays(setup, tmp_path):
    browser = tmp_path / "requirements-browser.txt"
    browser.write_text("playwright==1\n")
    with_browser = f"{BASE} -r requirements-browser.txt"
    setup()
    assert take_installed(tmp_path) == [BASE]
    setup(options=("--with", "browser"))
    assert take_installed(tmp_path) == [with_browser]
    assert setup() == f"{tmp_path / '.venv'} is up to date"
    browser.write_text("playwright==2\n")
    setup()
    assert take_installed(tmp_path) == [with_browser]
    setup("3.12.2")  # the environment is made anew
    assert take_installed(tmp_path) == [BASE, with_browser]
    browser.unlink()  # as in an older version of the repository
    assert setup("3.12.2") == f"{tmp_path / '.venv'} is up to date"


def test_an_extra_that_cannot_be_installed_leaves_the_rest(setup, tmp_path):
    (tmp_path / "requirements-one.txt").write_text("unavailable\n")
    (tmp_path / "requirements-two.txt").write_text("there\n")
    assert setup(options=("--with", "two", "--with", "one")) == ""
    assert take_installed(tmp_path) == [
        BASE,
        f"{BASE} -r requirements-two.txt",
        f"{BASE} -r requirements-one.txt",
    ]
    assert setup() == f"{tmp_path / '.venv'} is up to date"
    assert take_installed(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--with", "gpu"), "--with gpu: there is no requirements-gpu.txt; there is: one two"),
        (
            ("--with", "../x"),
            "--with ../x: there is no requirements-../x.txt; there is: one two",
        ),
        (("--with",), "--with wants a NAME, of a requirements-NAME.txt"),
        (("-v",), "unknown option -v; it takes --with NAME alone, any number of times"),
    ],
)
def test_an_unknown_option_installs_nothing(setup, tmp_path, options, message):
    for name in ("one", "two"):
        (tmp_path / f"requirements-{name}.txt").touch()
    assert setup(options=options) == message
    assert not (tmp_path / ".venv").exists()


def test_help_installs_nothing(setup, tmp_path):
    help = setup(options=("--help",))
    assert help == "  PYTHON  the Python that makes it, 3.10 or newer (default: python3)"
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def ci(repository, tmp_path):
    """A function that runs .ci/run, where only the commands that it is given exist."""
    for name in (".ci/run", "scripts/setup.sh", "scripts/test.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name}" "$@"\n[ "$2" != rare ]\n')
        (tmp_path / name).chmod(0o755)
    shutil.copy(repository / ".ci/run", tmp_path / ".ci/run")
    for name in ("browser", "rare"):
        (tmp_path / f"requirements-{name}.txt").touch()
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "sh", "dirname", "timeout"):
        (commands / name).symlink_to(shutil.which(name))

    def run(**programs: str) -> subprocess.CompletedProcess[str]:
        for name, body in programs.items():
            path = commands / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        command = [commands / "bash", tmp_path / ".ci/run"]
        environment = {"PATH": str(commands)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    return run


APT = 'echo "apt $* $DEBIAN_FRONTEND" >&2'
INSTALLS = "apt -qq update noninteractive\napt -qq install --no-install-recommends chromium non"


@pytest.mark.parametrize(
    ("programs", "installs", "complains"),
    [
        ({"id": "echo 0", "apt_get": APT}, True, False),
        ({"id": "echo 0", "apt_get": f"{APT}; exit 100"}, False, True),
        ({"id": "echo 0", "apt_get": APT, "google_chrome": ""}, False, False),
        ({"id": "echo 1000", "apt_get": APT}, False, False),
        ({"id": "echo 0"}, False, False),
    ],
)
def test_ci_installs_what_it_can_and_always_tests(ci, programs, installs, complains):
    done = ci(**programs)
    assert done.stdout.splitlines() == [
        "scripts/setup.sh",
        "scripts/setup.sh --with browser",
        "scripts/setup.sh --with rare",
        "scripts/test.sh",
    ]
    assert (INSTALLS in done.stderr) == installs
    assert ("ci: Chromium could not be installed" in done.stderr) == complains
    assert done.stderr.endswith(
        "ci: requirements-rare.txt could not be installed: tests that need it are skipped\n"
    )
