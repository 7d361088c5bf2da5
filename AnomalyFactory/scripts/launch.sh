#!/usr/bin/env bash
# Run a program of AnomalyFactory: launch.sh PROGRAM OPTION...
# With $PYTHON, else that of the environment $VENV or .venv, else python3. Where $TORCHRUN is set,
# torchrun starts it with the options in there, for several machines: --nnodes=2 --nproc_per_node=4 ...
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-${VENV:-$ROOT/.venv}/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
launch=("$python")
if [[ -n ${TORCHRUN:-} ]]; then
    read -ra options <<< "$TORCHRUN"
    launch+=(-m torch.distributed.run "${options[@]}")
fi
exec "${launch[@]}" "$ROOT/AnomalyFactory/$1" "${@:2}"
