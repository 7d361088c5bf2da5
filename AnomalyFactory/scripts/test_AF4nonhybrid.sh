#!/usr/bin/env bash
# Paint further specimens of every subspecies (list test_nonhybrid) with AF4nonhybrid.
# Extra arguments override those below. Paths start at the repository's root.
set -euo pipefail
options=(
    --dataroot ./Datasets/Images4TrainAFnonhybrid  # the data set, with List/test_nonhybrid/
    --how_many 5000                                # at most so many lines of the list
    --gpu_ids 0                                    # GPUs, such as 0,1; -1 for the CPU
    --results_dir ./results/butterflyContest/nh/   # AF_*.png and test_nonhybrid.html go there
    --batchSize 8
    --name AF4nonhybrid
    --checkpoints_dir ./Models/AFgenerators
    --which_epoch latest
    --phase test_nonhybrid
)
exec "$(dirname "${BASH_SOURCE[0]}")/launch.sh" test.py "${options[@]}" "$@"
