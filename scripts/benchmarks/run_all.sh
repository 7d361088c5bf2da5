#!/usr/bin/env bash
# Time the published way and ours side by side, on the test photographs of a finished quick start and
# with the classifiers that it trained, and write RESULTS.md beside this file:
#     scripts/benchmarks/run_all.sh [RUN [OPTION ...]]
# RUN is the quick start's folder (default: quickstart/scale*-cutout, the first there is); the
# options are those of HybridDetection/train/time_detector.py. AnomalyFactory/benchmark.py times the
# generators.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/../common/python.sh"

runs=("$ROOT"/quickstart/scale*-cutout)
run=${1:-${runs[0]}}
photographs=$run/demo/test/images classifiers=$run/efficientnet_lite0/photographs
if [[ ! -d $classifiers ]]; then
    echo "run_all: $run: no finished quick start; run scripts/quickstart.sh first" >&2
    exit 1
fi
results=$(mktemp "$HERE/.results.XXXXXX")
trap 'rm -f "$results"' EXIT
"$PYTHON" "$ROOT/HybridDetection/train/time_detector.py" --photographs "$photographs" \
    --classifiers "$classifiers" "${@:2}" > "$results"
chmod 644 "$results"
mv "$results" "$HERE/RESULTS.md"
echo "run_all: wrote $HERE/RESULTS.md"
