"""What the tests of faults share: how many hostile texts are tried, and running programs."""

from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Iterator[Programs]:
    """Starts programs of the repository as processes of their own."""
    started = Programs(tmp_path_factory.mktemp("logs"))
    yield started
    started.launcher.kill()
    started.launcher.communicate()
