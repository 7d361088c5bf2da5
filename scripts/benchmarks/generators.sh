#!/usr/bin/env bash
# Time the generators' training samples, painting and training steps at full size, side by side, on
# the photographs of Images4TrainAFnonhybrid. Extra arguments override those below.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
exec "$ROOT/AnomalyFactory/scripts/launch.sh" benchmark.py \
    --dataroot ./Datasets/Images4TrainAFnonhybrid --phase train_AFnonhybrid --gpu_ids -1 "$@"
