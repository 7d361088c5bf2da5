#!/usr/bin/env bash
# Run a program of AnomalyFactory: launch.sh PROGRAM OPTION...
# With $PYTHON, else the repository's .venv, else python3.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-$ROOT/.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
exec "$python" "$ROOT/AnomalyFactory/$1" "${@:2}"
