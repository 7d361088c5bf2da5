#!/usr/bin/env bash
# Run a program on the GPUs of several machines, under Slurm. Submit it from the repository's root:
#
#   sbatch scripts/slurm/torchrun.sh AnomalyFactory/scripts/train_AF4hybrid.sh --gpu_ids 0,1,2,3
#   sbatch scripts/slurm/torchrun.sh AnomalyFactory/extract_edges.py --dataset DIR
#
# Copy it, and set below what your cluster wants; --gpu_ids names the GPUs of one machine. All
# machines see the repository at the same place. A job that is submitted again, or that Slurm starts
# again, goes on where it stopped; a training that is submitted again wants --continue_train.
#SBATCH --job-name=butterflies
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1     # torchrun, which starts a process for each GPU
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32      # for --nThreads on each GPU, and for writing
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120       # so long before the end a training saves
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?this is for sbatch}"
source scripts/common/python.sh
[[ $# -gt 0 ]] || { echo "torchrun.sh: which program? See its head" >&2; exit 2; }

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))  # jobs that share a machine do not meet
export TORCHRUN="--nnodes=$SLURM_NNODES --nproc_per_node=$SLURM_GPUS_ON_NODE --max-restarts=3
 --rdzv_backend=c10d --rdzv_id=$SLURM_JOB_ID --rdzv_endpoint=$first:$port"
TORCHRUN=${TORCHRUN//$'\n'/}

command=("$@")
if [[ $1 == *.py ]]; then
    read -ra options <<< "$TORCHRUN"
    command=("$PYTHON" -m torch.distributed.run "${options[@]}" "$@")
fi
# srun does not take over what sbatch was told of the cores.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "${command[@]}"
