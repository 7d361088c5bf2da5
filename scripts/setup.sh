#!/usr/bin/env bash
# Make the Python environment and install requirements.txt. Returns at once when nothing changed.
#   VENV    the environment's folder (default: .venv in the repository)
#   PYTHON  the Python that makes it, 3.10 or newer (default: python3)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${VENV:-$ROOT/.venv}
BASE_PYTHON=${PYTHON:-python3}

if ! "$BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    found=$("$BASE_PYTHON" --version 2>&1 || true)
    echo "setup: $BASE_PYTHON must be Python 3.10 or newer, but says: ${found:-nothing}" >&2
    echo "setup: install one (Debian: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3 $0" >&2
    exit 1
fi

# What is installed is described by the pins, by this script and its check, and by the Python.
wanted=$(cat "$ROOT/requirements.txt" "$ROOT/HybridDetection/requirements.txt" "$ROOT/scripts/setup.sh" "$ROOT/scripts/common/check_imports.py" | cksum)
wanted="$wanted $("$BASE_PYTHON" --version)"
stamp=$VENV/.installed
if [[ -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
    echo "setup: $VENV is up to date"
    exit 0
fi

if [[ ! -x $VENV/bin/python ]] || [[ $("$VENV/bin/python" --version) != $("$BASE_PYTHON" --version) ]]; then
    if [[ -d $VENV && ! -f $VENV/.made_by_setup && -n $(ls -A "$VENV") ]]; then
        echo "setup: $VENV was not made by this script, and would be replaced; remove it, or name another folder in VENV" >&2
        exit 1
    fi
    echo "setup: making $VENV with $("$BASE_PYTHON" --version)"
    if ! "$BASE_PYTHON" -m venv --clear "$VENV"; then
        echo "setup: making the environment failed; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
    touch "$VENV/.made_by_setup"
fi

rm -f "$stamp"
echo "setup: installing requirements.txt (about 6 GB on disk with PyTorch's CUDA libraries)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$ROOT/requirements.txt"
"$VENV/bin/python" "$ROOT/scripts/common/check_imports.py"
echo "$wanted" > "$stamp"
echo "setup: $VENV is ready"
