#!/usr/bin/env bash
# Run the benchmarks that compare the published way with ours, one after the other, and write
# RESULTS.md beside them. It is replaced only when all of them ran.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-$HERE/../../.venv/bin/python}
[[ -x $PYTHON ]] || PYTHON=python3

results=$(mktemp "$HERE/.results.XXXXXX")
trap 'rm -f "$results"' EXIT
{
    echo "# Measured"
    echo
    echo "\`scripts/benchmarks/run_all.sh\` made this file. The first way of each table is the"
    echo "published or plain one; the others are ours."
    echo
} >"$results"
for name in ingestion extraction linear_training sgd_training challenge_scoring edge_maps training_samples; do
    echo "run_all: $name" >&2
    "$PYTHON" "$HERE/$name.py" >>"$results"
done
chmod 644 "$results"
mv "$results" "$HERE/RESULTS.md"
echo "run_all: wrote $HERE/RESULTS.md"
