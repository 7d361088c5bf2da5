# What scripts that start our programs share, to be sourced: ROOT, the repository; PYTHON, the one that
# the user names, else that of the environment VENV or .venv, else python3; how they run our modules,
# and how they print their help.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$ROOT/scripts/common/explain.sh"
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=${VENV:-$ROOT/.venv}/bin/python
    [[ -n ${VENV:-} || -x $PYTHON ]] || PYTHON=python3
fi
if [[ $PYTHON == */* && $PYTHON != /* ]]; then
    PYTHON=$PWD/$PYTHON # a script may change its folder
fi
if [[ -n ${VENV:-} && $PYTHON == */* && ! -x $PYTHON ]]; then
    echo "$0: VENV is $VENV, but there is no $PYTHON; scripts/setup.sh makes it" >&2
    exit 1
fi

# module NAME ARGUMENT...: run scripts/NAME of ours, such as common.downloads. By its path: with -m,
# Python would take a common.py of the user's folder for ours.
module() {
    PYTHONPATH=$ROOT/scripts${PYTHONPATH:+:$PYTHONPATH} "$PYTHON" "$ROOT/scripts/${1//.//}.py" "${@:2}"
}
