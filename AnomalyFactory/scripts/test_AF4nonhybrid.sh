#!/usr/bin/env bash
# Paint further specimens of every subspecies (list test_nonhybrid) with AF4nonhybrid.
# Edit the options below, or override them by extra arguments: both mean the same. A --dataroot that
# names another list, .../List/NAME/, paints that. Paths start at the repository's root.
set -euo pipefail
options=(
    --name AF4nonhybrid
    --checkpoints_dir ./Models/AFgenerators
    --which_epoch latest
    --dataroot ./Datasets/Images4TrainAFnonhybrid  # the data set, with List/test_nonhybrid/
    --phase test_nonhybrid
    --how_many 5                                   # at most so many lines of the list; inf: all
    --results_dir ./results/butterflyContest/nh/   # AF_*.png and the list's page go there
    --gpu_ids 0                                    # GPUs, such as 0,1; -1 for the CPU
    --batchSize 8
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" test.py "${options[@]}" "$@"
