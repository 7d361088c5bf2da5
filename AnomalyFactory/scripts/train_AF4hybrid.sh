#!/usr/bin/env bash
# Train AF4hybrid: the generator that gives the colours of one subspecies to another's structure.
# Extra arguments override those below, which are the published ones; a --dataroot that names
# another list, such as .../List/train_AFnonhybrid/, trains on that. Paths start at the repository's
# root.
set -euo pipefail
options=(
    --name AF4hybrid
    --checkpoints_dir ./Models/AFgenerators     # latest_net_G.pth goes into its folder AF4hybrid
    --dataroot ./Datasets/Images4TrainAFhybrid  # the data set, with List/train_AFhybrid/
    --phase train_AFhybrid
    --gpu_ids 0                                 # GPUs, such as 0,1,2,3; -1 for the CPU
    --batchSize 40                              # over all GPUs together
    --micro_batch 8                             # at once on each GPU: less takes less memory
    --tps_aug 1 --tps_percent 0.99 --block_aug --reflect_aug
    --ngf 64
    --save_latest_freq 1000                     # images between savings
    --display_freq 100                          # images between pictures in samples.html
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" train.py "${options[@]}" "$@"
