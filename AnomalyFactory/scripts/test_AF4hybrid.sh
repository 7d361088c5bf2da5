#!/usr/bin/env bash
# Paint hybrids with AF4hybrid: first the non-signal ones (list test_nonsignalhybrid, into nsh/),
# then the signal ones (list test_signalhybrid, into sh/).
# Extra arguments override those below, for both lists; a --dataroot that names one list,
# .../List/NAME/, paints that and no other. Paths start at the repository's root.
set -euo pipefail
options=(
    --name AF4hybrid
    --checkpoints_dir ./Models/AFgenerators
    --which_epoch latest
    --dataroot ./Datasets/Images4TrainAFnonhybrid  # the data set, with both lists in List/
    --how_many 5000                                # at most so many lines of each list
    --gpu_ids 0                                    # GPUs, such as 0,1; -1 for the CPU
    --batchSize 8
)
# AF_*.png and the list's page go there.
declare -A folders=([test_nonsignalhybrid]=nsh [test_signalhybrid]=sh)

dataroot=$(printf '%s\n' "$@" | sed -n '/^--dataroot$/ { n; p; }; s/^--dataroot=//p' | tail -n 1)
lists=(test_nonsignalhybrid test_signalhybrid)
[[ $dataroot =~ (^|/)Lists?/([^/]+)/*$ ]] && lists=("${BASH_REMATCH[2]}")
for list in "${lists[@]}"; do
    "$(dirname "${BASH_SOURCE[0]}")/launch.sh" test.py "${options[@]}" --phase "$list" \
        --results_dir "./results/butterflyContest/${folders[$list]:-$list}/" "$@"
done
