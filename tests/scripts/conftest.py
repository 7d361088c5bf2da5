"""A small challenge for the dataset programs: its CSV, and the names of its photographs."""

from pathlib import Path

import pytest
from worlds import HEADER

# As in the challenge's butterfly_anomaly_train.csv.
REAL_COUNTS = dict(enumerate([21, 48, 489, 77, 16, 23, 2, 98, 856, 201, 8, 67, 2, 83]))
REAL_HYBRIDS = 91


def challenge_rows(counts: dict, hybrids: int) -> list[str]:
    """CSV rows: `counts` photographs of each subspecies, then `hybrids` of 8 and 9."""
    shown = [
        (f"S{name}N{number:03d}", f"non-hybrid,train,z,m,{name}.0,,")
        for name, count in counts.items()
        for number in range(count)
    ]
    shown += [(f"HYB{n:03d}", "hybrid,train,z,m,,8.0,9.0") for n in range(hybrids)]
    return [f"{name},http://x/{name}.JPG,{cells},{name}.jpg" for name, cells in shown]


@pytest.fixture
def write_csv(tmp_path):
    """Write rows below the challenge's header; gives the path of the CSV."""

    def write(rows: list[str], header: str = HEADER) -> Path:
        path = tmp_path / "challenge.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def real_counts_csv(write_csv) -> Path:
    """Made-up names with the challenge's real number of photographs for each subspecies."""
    return write_csv(challenge_rows(REAL_COUNTS, REAL_HYBRIDS))


@pytest.fixture
def small_csv(write_csv) -> Path:
    """Four photographs of 8, three of 9, one of 2, and two signal hybrids."""
    return write_csv(challenge_rows({8: 4, 9: 3, 2: 1}, 2))
