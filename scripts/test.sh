#!/usr/bin/env bash
# Set up if needed, check the style, run the tests. Further arguments go to pytest.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
scripts/setup.sh
PYTHON=${VENV:-$ROOT/.venv}/bin/python
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
exec "$PYTHON" -m pytest "$@"
