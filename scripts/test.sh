#!/usr/bin/env bash
# Set up if needed, check the style, run the tests, a process for each core. Further arguments go to
# pytest, such as --slow for the long tests too, or -k quickstart for some.
#   VENV    the Python environment, as for setup.sh (default: .venv in the repository)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$ROOT/scripts/common/explain.sh"
[[ ${1:-} != --help && ${1:-} != -h ]] || explain "$@"
cd "$ROOT"
echo "test: VENV='${VENV:-$ROOT/.venv}'"
scripts/setup.sh
PYTHON=${VENV:-$ROOT/.venv}/bin/python
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Tests of one file share what they make, so they stay together; one thread for each process.
export OMP_NUM_THREADS=1
exec "$PYTHON" -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"
