"""What all tests share: the repository's root, the optional reference data, small pictures."""

import functools
import http.server
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import worlds
from PIL import Image

pytest_plugins = ["browser"]

REPOSITORY = Path(__file__).resolve().parents[1]

# Files that take a minute or more: they begin first, so that no core waits for one at the end.
SLOWEST = (
    "test_contracts.py",
    "test_quickstart.py",
    "test_package_submission.py",
    "test_training.py",
    "test_prepare_images.py",
    "test_writers.py",
)


def pytest_addoption(parser):
    """How hard tests/faults/ tries: little by default, so that every run of the tests can."""
    parser.addoption("--examples", type=int, default=40, help="hostile texts for each reader")
    parser.addoption("--files", type=int, default=60, help="mutated images")
    parser.addoption("--kills", type=int, default=0, help="kills of each long program")
    parser.addoption("--slow", action="store_true", help="also the tests marked slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def shared() -> Path:
    """The folder of real data and reference numbers beside the repository; skips without it."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(f"needs the reference data in {folder}")
    return folder


@pytest.fixture
def stored() -> worlds.SubspeciesScorer:
    return worlds.third_member()


@pytest.fixture
def run():
    """Run a Python program of ours as a user does; gives the finished process with its output."""

    def run_program(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"HF_HUB_OFFLINE": "1"} | options.pop("env", {})
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, **options)

    return run_program


@pytest.fixture
def draw():
    """Draw a small noisy photograph of one colour, seeded by its name."""

    def draw_image(path: Path, colour=(200, 120, 40), size=(60, 40)) -> Path:
        rng = np.random.default_rng(zlib.crc32(path.name.encode()))
        noise = rng.integers(-30, 30, (size[1], size[0], 3))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
        return path

    return draw_image


@pytest.fixture
def specimen():
    return worlds.draw_specimen


@pytest.fixture
def server(tmp_path):
    """A folder and the address of a local server that serves it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        threading.Thread(target=http_server.serve_forever, args=[0.01], daemon=True).start()
        yield folder, f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
