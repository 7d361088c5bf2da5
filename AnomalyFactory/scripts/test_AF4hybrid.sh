#!/usr/bin/env bash
# Paint hybrids with AF4hybrid: first the non-signal ones (list test_nonsignalhybrid, into nsh/),
# then the signal ones (list test_signalhybrid, into sh/).
# Edit the options below, or override them by extra arguments: both mean the same. A --dataroot that
# names one list, .../List/NAME/, paints that and no other, and so does --phase NAME; --results_dir
# says where to, instead of nsh/ and sh/. Paths start at the repository's root.
set -euo pipefail
options=(
    --name AF4hybrid
    --checkpoints_dir ./Models/AFgenerators
    --which_epoch latest
    --dataroot ./Datasets/Images4TrainAFnonhybrid  # the data set, with both lists in List/
    --how_many 5                                   # at most so many lines of each list; inf: all
    --gpu_ids 0                                    # GPUs, such as 0,1; -1 for the CPU
    --batchSize 8
)
options+=("$@")
# AF_*.png and the list's page go there.
declare -A folders=([test_nonsignalhybrid]=nsh [test_signalhybrid]=sh)

# given NAME: the value of the last option --NAME, the one that counts.
given() {
    printf '%s\n' "${options[@]}" | sed -n "/^--$1\$/ { n; p; }; s/^--$1=//p" | tail -n 1
}
lists=(test_nonsignalhybrid test_signalhybrid)
[[ -z $(given phase) ]] || lists=("$(given phase)")
[[ ! $(given dataroot) =~ (^|/)Lists?/([^/]+)/*$ ]] || lists=("${BASH_REMATCH[2]}")
for list in "${lists[@]}"; do
    "$(dirname "${BASH_SOURCE[0]}")/launch.sh" test.py --phase "$list" \
        --results_dir "./results/butterflyContest/${folders[$list]:-$list}/" "${options[@]}"
done
