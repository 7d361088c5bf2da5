"""Time the published way and ours side by side: scores and features of photographs.

    python HybridDetection/train/time_detector.py --photographs DIR --classifiers DIR [--rounds 3]

Every round takes each way once, so that a busy machine slows all alike. Prints Markdown: seconds,
how many times as fast, and how far the results lie apart; scripts/benchmarks/run_all.sh keeps it.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import submission  # noqa: F401  puts the submission folder on the path
import ingestion
import numpy as np
import products
import torch
from backbones import BACKBONES, build_backbone, has_bfloat16
from engine import WORTH
from files import images_in
from model import Model
from model_utils import Look, extract_features
from PIL import Image
from processes import CORES
from torchvision import transforms

LIGHT, CPU = "efficientnet_lite0", torch.device("cpu")  # of the features

Ways = dict[str, Callable[[], np.ndarray]]  # the published one first


def scoring(paths: list[Path], classifiers: Path) -> Ways:
    def published() -> np.ndarray:
        model = Model(device="cpu", classifiers=classifiers)
        model.load()
        with patch.object(products, "HAS_ONEDNN", False):  # PyTorch's own
            return np.array([model.predict(Image.open(path)) for path in paths])

    def ours(*arguments: str) -> np.ndarray:
        with tempfile.TemporaryDirectory() as output:
            sys.argv = ["ingestion.py", str(paths[0].parent), output, "--device", "cpu"]
            sys.argv += ["--classifiers", str(classifiers), *arguments]
            with redirect_stdout(sys.stderr):
                if ingestion.main():
                    raise ValueError("not all of the photographs were scored")
            lines = Path(output, "predictions.txt").read_text().splitlines()
            return np.array([float(line.rpartition(",")[2]) for line in lines])

    asked = {"ours": [], "--fast": ["--fast"]}
    by = {"" if name == "torch" else f", {name}": name for name in engines()}
    return {"published: one at a time": published} | {
        way + engine: partial(ours, "--engine", name, *arguments)
        for engine, name in by.items()
        for way, arguments in asked.items()
    }


def engines() -> list[str]:
    """PyTorch, and OpenVINO where it is installed."""
    return ["torch", *(["openvino"] if find_spec("openvino") else [])]


def features(paths: list[Path]) -> Ways:
    cache = paths[0].parent.with_name("cache")

    def published() -> np.ndarray:
        network, spec = build_backbone(LIGHT, CPU), BACKBONES[LIGHT]
        steps = [transforms.Resize((224, 224)), transforms.ToTensor()]
        steps.append(transforms.Normalize(spec.mean, spec.std))
        images = (transforms.Compose(steps)(Image.open(path))[None] for path in paths)
        with torch.inference_mode():
            return np.concatenate([network(image).numpy() for image in images])

    def ours(engine: str) -> np.ndarray:
        every = {Look(LIGHT): slice(None)}
        return extract_features(paths, every, CPU, 32, ingestion.WORKERS, cache, engine)[0][0]

    def first_run(engine: str) -> np.ndarray:
        shutil.rmtree(cache, ignore_errors=True)
        return ours(engine)

    first = {f"ours, {name}": partial(first_run, name) for name in engines()}
    again = {"ours, again": partial(ours, engines()[-1])}
    return {"published: one at a time": published} | first | again


def measure(title: str, ways: Ways, rounds: int) -> str:
    """A section of Markdown, a row for each way; the ratios are those of each round's times."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name, run in ways.items():
            begin = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - begin)
    first = next(iter(ways))
    lines = [f"## {title}\n", "| Way | Seconds | Times as fast | Differs by |", "|---|---|---|---|"]
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[first], own, strict=True))
        apart = np.abs(results[name] - results[first]).max()
        lines.append(f"| {name} | {statistics.median(own):.3g} | {ratio:.2f} | {apart:.1e} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the published way and ours side by side.")
    add = parser.add_argument
    add("--photographs", type=Path, required=True, help="a folder of them")
    add("--classifiers", type=Path, required=True, help="trained ones, that score them")
    add("--how_many", type=int, default=64, help="photographs of those in the folder")
    add("--rounds", type=int, default=3, help="times that each way is taken")
    options = parser.parse_args()
    there = torch.cpu.get_capabilities()
    rough = "" if has_bfloat16(CPU) else "out"
    print(f"# Published and ours\n\nMedians of {options.rounds} rounds on {CORES} cores of one")
    print(f"{there['cpu_name']}, {torch.backends.cpu.get_cpu_capability()}, with{rough} bfloat16.")
    if "openvino" in engines():
        print("Times by OpenVINO include taking over the networks; the programs choose it from")
        print(f"{WORTH} photographs on.")
    print()
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder, "photographs")
        photographs.mkdir()
        found = images_in(options.photographs, recursive=False)[0][: options.how_many]
        paths = [Path(shutil.copy(options.photographs / one, photographs)) for one in found]
        scores, count = scoring(paths, options.classifiers), f"{len(paths)} photographs"
        print(measure(f"Scores of {count}, from loading to writing", scores, options.rounds))
        print(measure(f"Features of {count} by {LIGHT}", features(paths), options.rounds))


if __name__ == "__main__":
    main()
