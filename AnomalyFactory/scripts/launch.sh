#!/usr/bin/env bash
# Run a program of AnomalyFactory: launch.sh PROGRAM OPTION... In one process, or in one for each
# GPU when the last --gpu_ids names several. Runs $PYTHON, else the repository's .venv, else python3.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=$ROOT/AnomalyFactory/$1
shift

python=${PYTHON:-$ROOT/.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3

gpu_ids='' previous=''
for argument in "$@"; do
    [[ $previous == --gpu_ids ]] && gpu_ids=$argument
    [[ $argument == --gpu_ids=* ]] && gpu_ids=${argument#*=}
    previous=$argument
done
if [[ $gpu_ids == *,* ]]; then
    commas=${gpu_ids//[!,]/}
    exec "$python" -m torch.distributed.run --standalone --nproc_per_node=$((${#commas} + 1)) \
        "$program" "$@"
fi
exec "$python" "$program" "$@"
