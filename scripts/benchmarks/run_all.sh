#!/usr/bin/env bash
# Run the benchmarks that compare the published way with ours, one after the other, and write
# RESULTS.md beside them. It is replaced only when all of them ran.
#     scripts/benchmarks/run_all.sh [FOLDER ...]
# scores the photographs of each FOLDER, with its sub-folders; the sample images without one.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/../common/python.sh"
SAMPLES=$ROOT/HybridDetection/submission/dino2B_contestAF_1024linear2cls/ImageSamples

results=$(mktemp "$HERE/.results.XXXXXX")
trap 'rm -f "$results"' EXIT
{
    echo "# Measured"
    echo
    echo "\`scripts/benchmarks/run_all.sh\` made this file. The first way of each table is the"
    echo "published or plain one; the others are ours."
    echo
} >"$results"
for folder in "${@:-$SAMPLES}"; do
    for backbone in dinov2_base efficientnet_lite0; do
        many=32
        [[ $backbone == dinov2_base ]] || many=128  # so that a round takes seconds
        echo "run_all: ingestion, $backbone, $folder" >&2
        "$PYTHON" "$HERE/ingestion.py" --photographs "$folder" --backbone $backbone --how_many $many >>"$results"
    done
done
for name in network ingestion_memory extraction linear_training sgd_training challenge_scoring edge_maps training_samples; do
    echo "run_all: $name" >&2
    "$PYTHON" "$HERE/$name.py" >>"$results"
done
chmod 644 "$results"
mv "$results" "$HERE/RESULTS.md"
echo "run_all: wrote $HERE/RESULTS.md"
