"""What the benchmarks share: medians and ratios of the ways that a program timed, as Markdown.

Such a program prints one line of JSON: a `title`, under `ways` each way's `seconds` and seconds of
the `processor`, round by round, and `notes`, sentences about the results. The first way is what
the others are compared with: the published one, where there is one.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEED = ROOT / "HybridDetection/submission/dino2B_contestAF_1024linear2cls/speed.py"
DETECTOR = ROOT / "HybridDetection/train/time_detector.py"
GENERATORS = ROOT / "AnomalyFactory/time_generators.py"


def machine() -> str:
    """Processor, cores, threads and load, in a line."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text(errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    threads = os.environ.get("OMP_NUM_THREADS", "as many threads as cores")
    threads = f"{threads} thread(s)" if threads.isdigit() else threads
    load = f"{os.getloadavg()[0]:.1f}"
    return f"{processor}, {os.cpu_count()} cores, {threads}, load average {load}"


def table(measured: dict) -> str:
    """The section of one program: a row for each way, the ratios those of each round's times."""
    ways = measured["ways"]
    first = next(iter(ways.values()))["seconds"]
    lines = [
        f"## {measured['title']}",
        "",
        "| Way | Seconds, median | Fastest | Processor, median | Times as fast, median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, times in ways.items():
        seconds = times["seconds"]
        ratio = statistics.median(a / b for a, b in zip(first, seconds, strict=True))
        lines.append(
            f"| {name} | {statistics.median(seconds):.3g} | {min(seconds):.3g} | "
            f"{statistics.median(times['processor']):.3g} | {ratio:.2f} |"
        )
    rounds = f"{len(first)} rounds, {machine()}."
    return "\n".join([*lines, "", " ".join([*measured["notes"], rounds]), ""])


def compare(program: Path, claim: str) -> int:
    """Run `program` for `claim` with the caller's options, and print its section."""
    command = [sys.executable, str(program), claim, *sys.argv[1:]]
    if {"-h", "--help"} & set(sys.argv):
        sys.exit(subprocess.call(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return done.returncode
    print(table(json.loads(done.stdout.splitlines()[-1])))
    return 0
