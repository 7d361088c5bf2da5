"""Programs of another tree that have a second name among the scripts."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def become(program: str) -> None:
    """Go on as `program`, relative to the repository, with the arguments of this one."""
    os.execv(sys.executable, [sys.executable, str(ROOT / program), *sys.argv[1:]])
