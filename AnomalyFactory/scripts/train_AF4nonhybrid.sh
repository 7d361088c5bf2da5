#!/usr/bin/env bash
# Train AF4nonhybrid: the generator of further specimens of a subspecies. It starts from AF4hybrid.
# Extra arguments override those below, which are the published ones; a --dataroot that names
# another list trains on that. Paths start at the repository's root.
set -euo pipefail
options=(
    --name AF4nonhybrid
    --checkpoints_dir ./Models/AFgenerators          # latest_net_G.pth goes into AF4nonhybrid
    --load_pretrain ./Models/AFgenerators/AF4hybrid  # the generator to start from
    --dataroot ./Datasets/Images4TrainAFnonhybrid    # the data set, with List/train_AFnonhybrid/
    --phase train_AFnonhybrid
    --gpu_ids 0                                      # GPUs, such as 0,1,2,3; -1 for the CPU
    --batchSize 40                                   # over all GPUs together
    --micro_batch 8                                  # at once on each GPU: less takes less memory
    --tps_aug 1 --tps_percent 0.99 --block_aug --reflect_aug
    --ngf 64
    --save_latest_freq 1000                          # images between savings
    --display_freq 100                               # images between pictures in samples.html
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" train.py "${options[@]}" "$@"
