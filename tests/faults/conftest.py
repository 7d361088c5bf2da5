"""What the tests of faults share: how many hostile texts are tried."""

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
