"""What the tests of faults share: how many hostile texts are tried, and damage to files."""

import random
from collections.abc import Callable, Iterator

import pytest
from faults.programs import Programs
from hypothesis import HealthCheck, settings


def pytest_configure(config):
    settings.register_profile(
        "faults",
        max_examples=config.getoption("--examples"),
        derandomize=config.getoption("--examples") <= 100,  # more: others each time
        deadline=None,
        database=None,
        # tmp_path is shared by the examples: each writes its files anew.
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("faults")


@pytest.fixture
def mutate() -> Callable[[random.Random, bytes], bytes]:
    """Damages the bytes of a file: flips, cuts, repeats, overwrites and removes some."""

    def mutate_bytes(draw: random.Random, whole: bytes) -> bytes:
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            start = draw.randrange(len(data) + 1)
            end = min(len(data), start + draw.choice((1, 2, 4, 64, 1024)))
            kind = draw.choice(("flip", "cut", "repeat", "set", "remove", "count"))
            if kind == "flip" and start < len(data):
                data[start] ^= 1 << draw.randrange(8)
            elif kind == "cut":
                del data[start:]
            elif kind == "repeat":
                data[start:start] = data[start:end]
            elif kind == "set":
                data[start:end] = bytes([draw.choice((0, 255, 127, 10))]) * (end - start)
            elif kind == "remove":
                del data[start:end]
            elif kind == "count":  # a length that is far too large, in either byte order
                number = draw.choice((2**31 - 1, 2**32 - 1, 2**16, 10**6))
                order = draw.choice(("little", "big"))
                data[start : start + 4] = number.to_bytes(4, order)
        return bytes(data)

    return mutate_bytes


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Iterator[Programs]:
    """Starts programs of the repository as processes of their own."""
    started = Programs(tmp_path_factory.mktemp("logs"))
    yield started
    started.launcher.kill()
    started.launcher.communicate()
