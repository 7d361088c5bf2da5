#!/usr/bin/env bash
# Paint hybrids with AF4hybrid: first the non-signal ones (list test_nonsignalhybrid, into nsh/),
# then the signal ones (list test_signalhybrid, into sh/).
# Extra arguments override those below, for both lists. Paths start at the repository's root.
set -euo pipefail
options=(
    --dataroot ./Datasets/Images4TrainAFnonhybrid  # the data set, with both lists in List/
    --how_many 5000                                # at most so many lines of each list
    --gpu_ids 0                                    # GPUs, such as 0,1; -1 for the CPU
    --batchSize 8
    --name AF4hybrid
    --checkpoints_dir ./Models/AFgenerators
    --which_epoch latest
)
nonsignal=(
    --phase test_nonsignalhybrid
    --results_dir ./results/butterflyContest/nsh/  # AF_*.png and test_nonsignalhybrid.html
)
signal=(
    --phase test_signalhybrid
    --results_dir ./results/butterflyContest/sh/   # AF_*.png and test_signalhybrid.html
)
launch=$(dirname "${BASH_SOURCE[0]}")/launch.sh
"$launch" test.py "${options[@]}" "${nonsignal[@]}" "$@"
"$launch" test.py "${options[@]}" "${signal[@]}" "$@"
