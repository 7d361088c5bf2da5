#!/usr/bin/env bash
# Time the generators at full size, on the photographs of Images4TrainAFnonhybrid: training and
# painting as the programs do them. Extra arguments override those below.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
exec "$ROOT/AnomalyFactory/scripts/launch.sh" benchmark.py \
    --dataroot ./Datasets/Images4TrainAFnonhybrid --phase train_AFnonhybrid --gpu_ids -1 "$@"
