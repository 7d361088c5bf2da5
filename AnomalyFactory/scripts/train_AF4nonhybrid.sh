#!/usr/bin/env bash
# Train AF4nonhybrid: the generator of further specimens of a subspecies. It starts from AF4hybrid.
# Extra arguments override those below. Paths start at the repository's root.
set -euo pipefail
options=(
    --dataroot ./Datasets/Images4TrainAFnonhybrid          # the data set, with List/train_AFnonhybrid/
    --gpu_ids 0                                            # GPUs, such as 0,1; -1 for the CPU
    --load_pretrain ./Models/AFgenerators/AF4hybrid        # the generator to start from
    --batchSize 8                                          # over all GPUs together
    --name AF4nonhybrid
    --checkpoints_dir ./Models/AFgenerators                # latest_net_G.pth goes into AF4nonhybrid
    --tps_aug 1 --tps_percent 0.99 --block_aug
    --phase train_AFnonhybrid
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" train.py "${options[@]}" "$@"
