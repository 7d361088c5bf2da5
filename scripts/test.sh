#!/usr/bin/env bash
# Set up if needed, check the style, run the tests, a process for each core. Further arguments go to
# pytest.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
scripts/setup.sh
PYTHON=${VENV:-$ROOT/.venv}/bin/python
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Tests of one file share what they make, so they stay together; one thread for each process.
export OMP_NUM_THREADS=1
exec "$PYTHON" -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"
