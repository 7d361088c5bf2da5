#!/usr/bin/env bash
# Train AF4hybrid: the generator that gives the colours of one subspecies to another's structure.
# Extra arguments override those below. Paths start at the repository's root.
set -euo pipefail
options=(
    --dataroot ./Datasets/Images4TrainAFhybrid  # the data set, with List/train_AFhybrid/
    --gpu_ids 0                                 # GPUs, such as 0,1; -1 for the CPU
    --batchSize 8                               # over all GPUs together
    --name AF4hybrid
    --checkpoints_dir ./Models/AFgenerators     # latest_net_G.pth goes into its folder AF4hybrid
    --tps_aug 1 --tps_percent 0.99 --block_aug
    --phase train_AFhybrid
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" train.py "${options[@]}" "$@"
