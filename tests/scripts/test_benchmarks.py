"""scripts/benchmarks/: what the tables say, and which program measures what."""

import importlib
import re
import sys

import pytest

CLAIMS = {
    "ingestion": ("speed.py", "photographs"),
    "network": ("speed.py", "network"),
    "ingestion_memory": ("speed.py", "memory"),
    "extraction": ("time_detector.py", "extraction"),
    "linear_training": ("time_detector.py", "linear"),
    "sgd_training": ("time_detector.py", "sgd"),
    "challenge_scoring": ("time_detector.py", "scoring"),
    "edge_maps": ("time_generators.py", "edge_maps"),
    "training_samples": ("time_generators.py", "training_samples"),
}


@pytest.fixture
def measured(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "scripts/benchmarks")
    return importlib.import_module("measured")


def test_medians_and_ratios(measured, monkeypatch):
    monkeypatch.setattr(measured, "machine", lambda: "a machine")
    ways = {
        "published": {"seconds": [4.0, 2.0, 9.0], "processor": [1.0, 2.0, 3.0]},
        "ours": {"seconds": [1.0, 1.0, 1.5], "processor": [0.5, 0.25, 1.0]},
    }
    text = measured.table({"title": "A claim", "ways": ways, "notes": ["It is so."]})
    assert text.splitlines() == [
        "## A claim",
        "",
        "| Way | Seconds, median | Fastest | Processor, median | Times as fast, median |",
        "| --- | --- | --- | --- | --- |",
        "| published | 4 | 2 | 2 | 1.00 |",
        "| ours | 1 | 1 | 0.5 | 4.00 |",  # of 4, 2 and 6
        "",
        "It is so. 3 rounds, a machine.",
    ]


def test_the_machine(measured, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("os.getloadavg", lambda: (0.26, 1.0, 1.0))
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert measured.machine().endswith(", 7 cores, 1 thread(s), load average 0.3")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "7 cores, as many threads as cores, load" in measured.machine()


def test_each_program_measures_its_claim(repository, tmp_path, run, monkeypatch):
    """A program that only says how it was called stands for the one that measures."""
    said = tmp_path / "said.py"
    said.write_text(
        "import json, sys\n"
        "print('a line before')\n"
        "way = {'seconds': [1.0], 'processor': [1.0]}\n"
        "print(json.dumps({'title': ' '.join(sys.argv[1:]), 'ways': {'w': way}, 'notes': []}))\n"
    )
    for name, (program, claim) in CLAIMS.items():
        source = (repository / f"scripts/benchmarks/{name}.py").read_text()
        copy = tmp_path / f"{name}.py"
        copy.write_text(source)
        measured = (repository / "scripts/benchmarks/measured.py").read_text()
        measured, replaced = re.subn(r'ROOT / ".*\.py"', f'Path("{said}")', measured)
        assert replaced == 3
        (tmp_path / "measured.py").write_text(measured)
        done = run(copy, "--rounds", 1)
        assert done.returncode == 0, done.stderr
        assert f"## {claim} --rounds 1\n" in done.stdout
        assert program in source


def test_a_failure_is_handed_on(measured, monkeypatch, tmp_path, capfd):
    program = tmp_path / "fails.py"
    program.write_text("raise SystemExit(3)")
    monkeypatch.setattr(sys, "argv", ["name.py"])
    assert measured.compare(program, "claim") == 3
    assert capfd.readouterr().out == ""


def test_run_all_runs_all(repository):
    """ingestion.py for each folder, the others once."""
    text = (repository / "scripts/benchmarks/run_all.sh").read_text()
    others = [name for name in CLAIMS if name != "ingestion"]
    assert f"for name in {' '.join(others)}; do" in text
    assert '"$HERE/ingestion.py" --photographs "$folder" --backbone $backbone' in text
