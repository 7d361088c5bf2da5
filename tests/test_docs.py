"""Every command in the README and in docs/ is one that its program accepts."""

import argparse
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Options of other people's programs.
FOREIGN = {"--nproc-per-node", "--nnodes", "--max-restarts", "--rdzv-backend", "--rdzv-endpoint"}


class Accepted(Exception):
    """Raised where a program has taken its arguments."""


def commands(page: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder and the words of each command in the page's blocks of shell code."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        folder, variables = ROOT, {"/path/to/": "/nowhere/"}
        for line in block.replace("\\\n", " ").splitlines():
            for name, value in variables.items():
                line = line.replace(name, value)
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                words = words[1:]
            if words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                name, _, value = words.pop(0).partition("=")
                variables[f"${name}"] = value
            if words[:1] == ["cd"]:
                folder = folder / words[1]
            elif words and words[0] not in ("source", "pip", "pytest"):
                yield folder, words


def accepts(monkeypatch, program: Path, arguments: list[str]) -> None:
    """Runs `program` up to where it has taken `arguments`; a refusal is its SystemExit."""
    taken = argparse.ArgumentParser.parse_args

    def parse_args(parser, *given, **named):
        taken(parser, *given, **named)
        raise Accepted

    def run_other(command, *_, **__):
        accepts(monkeypatch, Path(command[1]), [str(word) for word in command[2:]])
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(os, "execv", lambda _, command: run_other(command))
    monkeypatch.setattr("subprocess.run", run_other)
    monkeypatch.setattr(sys, "argv", [str(program), *arguments])
    monkeypatch.setattr(sys, "path", [str(program.parent), *sys.path])
    with pytest.raises(Accepted):
        runpy.run_path(str(program), run_name="__main__")


CASES = [
    pytest.param(folder, words, id=f"{page.stem}: {' '.join(words)}")
    for page in PAGES
    for folder, words in commands(page)
]


@pytest.mark.parametrize(("folder", "words"), CASES)
def test_a_documented_command_is_accepted(folder, words, monkeypatch):
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", argparse.ArgumentParser.parse_args)
    scripts = [word for word in words if word.endswith((".py", ".sh"))]
    assert scripts, f"{words[0]} is no program of ours"
    for script in scripts:
        assert (folder / script).is_file(), script
    program = folder / scripts[-1]
    arguments = words[words.index(scripts[-1]) + 1 :]
    if program.suffix == ".py":
        accepts(monkeypatch, program, arguments)
    elif program.parent == ROOT / "AnomalyFactory/scripts":
        phase = "train.py" if program.name.startswith("train") else "test.py"
        own = re.search(r"options=\((.*?)\n\)", program.read_text(encoding="utf-8"), re.S)[1]
        given = ["--dataroot", "any", *shlex.split(own, comments=True), *arguments]
        accepts(monkeypatch, ROOT / "AnomalyFactory" / phase, given)
    else:
        assert os.access(program, os.X_OK)
        text = program.read_text(encoding="utf-8")
        assert all(word in text for word in arguments if word.startswith("--"))


def test_every_option_that_the_pages_name_exists():
    sources = [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("scripts/**/*.sh")]
    sources += [*ROOT.glob("HybridDetection/**/*.py"), *ROOT.glob("AnomalyFactory/**/*.py")]
    sources += [*ROOT.glob("tests/**/conftest.py"), ROOT / "HybridDetection/train/training.py"]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    known = set(re.findall(r"--[A-Za-z_]+", text)) | FOREIGN
    # Options that are made of a name: the constants of training.py, and the off-switches.
    known |= {f"--{name}" for name in re.findall(r"^([A-Z_]+) = ", text, re.M)}
    for page in PAGES:
        named = set(
            re.findall(r"(?<![\w-])--[A-Za-z][A-Za-z_-]*", page.read_text(encoding="utf-8"))
        )
        missing = {name for name in named - known if f"--{name.removeprefix('--no-')}" not in known}
        assert not missing, f"{page.name} names {sorted(missing)}"


def test_the_front_door_is_one_page_and_leads_to_the_others():
    text = PAGES[0].read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name} leads to {target}"
    assert all(f"docs/{page.name}" in text for page in PAGES[1:])
