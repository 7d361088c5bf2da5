#!/usr/bin/env bash
# Score a collection on the GPUs of several machines, under Slurm: Ray is started on each of them,
# and stopped at the end. Submit it from the repository's root:
#
#   sbatch scripts/slurm/score_collection.sh --input DIR_OR_PARQUET --output DIR
#
# Copy it, and set below what your cluster wants. All machines see the repository, the weights, the
# input and the output at the same places. A job that is submitted again, or that Slurm starts again,
# goes on where it stopped.
#SBATCH --job-name=collection
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1     # Ray, which starts the processes
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=64      # the tasks that decode
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?this is for sbatch}"
source scripts/common/python.sh

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_ADDRESS=$first:$((20000 + SLURM_JOB_ID % 20000))  # jobs that share a machine do not meet
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token  # or whoever reaches these machines could run programs as you
[[ $PYTHON != */* ]] || export PATH=${PYTHON%/*}:$PATH  # there lies ray, which calls itself
ray get-auth-token --generate > /dev/null  # in your home, which all machines see
# srun does not take over what sbatch was told of the cores.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" ray symmetric-run \
    --address "$RAY_ADDRESS" --min-nodes "$SLURM_NNODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" --include-dashboard false \
    -- "$PYTHON" scripts/score_collection.py "$@"
