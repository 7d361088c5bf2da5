#!/usr/bin/env bash
# Download the photographs that a challenge CSV lists, with the organisers' downloader
# cautious-robot, and check every file. Run it again to go on after an interruption.
#
#   scripts/download_challenge.sh CSV [FOLDER]
#
#   CSV     butterfly_anomaly_train.csv from github.com/Imageomics/HDR-anomaly-challenge, or any
#           CSV with the columns filename and file_url; with md5, the checksums are compared.
#           ref_val.csv and ref_test.csv, from there too, have no checksums: of their photographs
#           is checked that each opens as an image, no more
#   FOLDER  where the photographs go (default: Datasets/challenge/images in the repository);
#           the downloader's logs go to FOLDER_download
#
#   PYTHON  the Python to use (default: that of VENV, else of .venv, else python3)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common/python.sh"
CAUTIOUS_ROBOT=2.0.0

(( $# == 1 || $# == 2 )) && [[ $1 != -* ]] || explain "$@"
csv=$1
folder=${2:-$ROOT/Datasets/challenge/images}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
logs=${folder}_download

# The downloader skips every file that is there, a half one too; so half ones are renamed. It names
# its logs after the CSV's path up to the first dot, and reads commas and UTF-8 alone: hence a copy.
status=0
module common.check_photos "$csv" "$folder" "$logs/photos.csv" || status=$?
case $status in
    0) exit 0 ;;
    3) ;;
    *) exit "$status" ;;
esac

if [[ $("$PYTHON" -m cautiousrobot --version 2>/dev/null || true) != *" $CAUTIOUS_ROBOT" ]]; then
    echo "download_challenge: installing cautious-robot $CAUTIOUS_ROBOT"
    if ! "$PYTHON" -m pip install --quiet --disable-pip-version-check "cautious-robot==$CAUTIOUS_ROBOT"; then
        echo "download_challenge: cautious-robot could not be installed for $PYTHON; run scripts/setup.sh first" >&2
        exit 1
    fi
fi

set -- --input-file photos.csv --output-dir "$folder"
if head -n 1 "$logs/photos.csv" | grep -qE '(^|,)md5(,|$)'; then
    set -- "$@" --verifier-col md5
fi
cd "$logs"
"$PYTHON" -m cautiousrobot "$@" ||
    echo "download_challenge: cautious-robot stopped with status $?" >&2

# It ends with status 0 whatever happened to the photographs; so the last word is ours.
status=0
module common.check_photos photos.csv "$folder" || status=$?
if (( status == 3 )); then
    echo "download_challenge: not complete; see $logs/photos_error_log.jsonl, then run the same command again" >&2
fi
exit "$status"
