#!/usr/bin/env bash
# Make the Python environment and install requirements.txt. Returns at once when nothing changed.
#   --with NAME  also what requirements-NAME.txt lists, such as browser; may be given several times.
#                It stays, and is kept up to date, when this is called without.
#   VENV    the environment's folder (default: .venv in the repository)
#   PYTHON  the Python that makes it, 3.10 or newer (default: python3)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${VENV:-$ROOT/.venv}
BASE_PYTHON=${PYTHON:-python3}

source "$ROOT/scripts/common/explain.sh"
[[ ${1:-} != --help && ${1:-} != -h ]] || explain "$@"

extras=()
while [[ $# -gt 0 ]]; do
    if [[ $1 == --with && $# == 1 ]]; then
        echo "setup: --with wants a NAME, of a requirements-NAME.txt" >&2
        exit 2
    fi
    if [[ $1 != --with ]]; then
        echo "setup: unknown option $1; it takes --with NAME alone, any number of times" >&2
        exit 2
    fi
    if [[ ! $2 =~ ^[a-z]+$ || ! -f $ROOT/requirements-$2.txt ]]; then
        known=$(cd "$ROOT" && ls requirements-*.txt 2>/dev/null | sed 's/^requirements-\(.*\)\.txt$/\1/' | paste -sd " ")
        echo "setup: --with $2: there is no requirements-$2.txt; there is: ${known:-none}" >&2
        exit 2
    fi
    extras+=("$2")
    shift 2
done
for file in "$VENV"/.installed-*; do  # asked for before
    name=${file##*/.installed-}
    if [[ -f $file && -f $ROOT/requirements-$name.txt && " ${extras[*]} " != *" $name "* ]]; then
        extras+=("$name")
    fi
done

if ! "$BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    found=$("$BASE_PYTHON" --version 2>&1 || true)
    echo "setup: $BASE_PYTHON must be Python 3.10 or newer, but says: ${found:-nothing}" >&2
    echo "setup: install one (Debian: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3 $0" >&2
    exit 1
fi

# What is installed is described by the pins, by this script and its check, and by the Python; an
# extra has a stamp of its own, so that one that cannot be installed leaves the rest as it is.
wanted=$(cat "$ROOT/requirements.txt" "$ROOT/HybridDetection/requirements.txt" "$ROOT/scripts/setup.sh" "$ROOT/scripts/common/check_imports.py" | cksum)
wanted="$wanted $("$BASE_PYTHON" --version)"
stamp=$VENV/.installed

wanted_of() {
    echo "$wanted $(cksum < "$ROOT/requirements-$1.txt")"
}

is_stamped() {
    [[ -f $1 && $(cat "$1") == "$2" ]]
}

install() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

missing=()
for name in "${extras[@]}"; do
    if ! is_stamped "$stamp-$name" "$(wanted_of "$name")"; then
        missing+=("$name")
    fi
done
if is_stamped "$stamp" "$wanted" && [[ ${#missing[@]} -eq 0 ]]; then
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

if ! is_stamped "$stamp" "$wanted"; then
    rm -f "$stamp"
    echo "setup: installing requirements.txt (about 6 GB on disk with PyTorch's CUDA libraries)"
    install -r "$ROOT/requirements.txt"
    "$VENV/bin/python" "$ROOT/scripts/common/check_imports.py"
    echo "$wanted" > "$stamp"
fi
for name in "${missing[@]}"; do
    echo "setup: installing requirements-$name.txt"
    install -r "$ROOT/requirements.txt" -r "$ROOT/requirements-$name.txt"  # together: the pins stay
    wanted_of "$name" > "$stamp-$name"
done
echo "setup: $VENV is ready"
