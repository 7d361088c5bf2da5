#!/usr/bin/env bash
# Download published weights (and, by name, the published data sets), each into its place.
# What is there already is left alone; run it again to go on after an interruption.
#
#   scripts/download_models.sh [NAME ...]        (default: all models, no data set)
#
#   pidinet       Models/edges/table5_pidinet.pth                  edge detector
#   dinov2        Models/backbones/dinov2_vitb14_pretrain.pth      backbone of the classifiers
#   vgg19         Models/backbones/vgg19-dcbb9e9d.pth              perceptual loss of the generators
#   classifiers   Models/classifiers/                              the authors' classifiers
#   AF4hybrid, AF4nonhybrid        Models/AFgenerators/NAME/       the authors' generators
#   Images4TrainClassifier, Images4TrainAFhybrid, Images4TrainAFnonhybrid
#                                  Datasets/NAME/                  the authors' data sets
#
#   PYTHON                                the Python to use (default: the repository's .venv, else python3)
#   PIDINET_URL, DINOV2_URL, VGG19_URL    other addresses of the first three, for a mirror
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=$ROOT/.venv/bin/python
    [[ -x $PYTHON ]] || PYTHON=python3
fi
GDOWN=6.5.1

fail() {
    echo "download_models: $*" >&2
    exit 1
}

# public NAME URL FILE SHA256: fetch one file with curl. SHA256 may be the first digits of the
# checksum, where its authors publish no more, or empty, where they publish none.
public() {
    local name=$1 url=$2 file=$ROOT/$3 sha256=$4 found status=0
    if [[ -e $file ]]; then
        echo "download_models: $name is there: $file"
        return
    fi
    command -v curl >/dev/null || fail "curl is missing (Debian: apt install curl)"
    echo "download_models: $name from $url"
    mkdir -p "$(dirname "$file")"
    local part=$file.part
    local fetch=(curl --fail --location --silent --show-error --retry 3 --connect-timeout 30 --output "$part")
    if [[ -t 2 ]]; then
        fetch+=(--progress-bar)
    fi
    "${fetch[@]}" --continue-at - "$url" || status=$?
    # 22 and 33: the server cannot go on from where the part stops. Begin again.
    if [[ ($status == 22 || $status == 33) && -e $part ]]; then
        rm -f "$part"
        status=0
        "${fetch[@]}" "$url" || status=$?
    fi
    (( status == 0 )) || fail "$name could not be fetched from $url (curl status $status); put it at $file yourself, or run the same command again"
    found=$(sha256sum "$part" | cut -d ' ' -f 1)
    if [[ $found != "$sha256"* ]]; then
        rm -f "$part"
        fail "$name from $url has SHA-256 $found, expected $sha256; it was removed"
    fi
    if [[ -z $sha256 ]]; then
        echo "download_models: $name has no published checksum; SHA-256 of what came: $found"
    fi
    mv "$part" "$file"
}

# drive NAME ID FOLDER CONTENT...: fetch an archive from Google Drive and unpack it; CONTENT are
# the names that must be in it.
drive() {
    local name=$1 id=$2 folder=$ROOT/$3 content present=1
    shift 3
    for content in "$@"; do
        [[ -e $folder/$content ]] || present=0
    done
    if (( present )); then
        echo "download_models: $name is there: $folder"
        return
    fi
    if [[ $("$PYTHON" -m gdown --version 2>/dev/null || true) != *"$GDOWN"* ]]; then
        echo "download_models: installing gdown $GDOWN"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check "gdown==$GDOWN" ||
            fail "gdown could not be installed for $PYTHON; run scripts/setup.sh first"
    fi
    echo "download_models: $name from Google Drive"
    local downloads=$ROOT/Models/.downloads/$name files
    mkdir -p "$downloads"
    "$PYTHON" -m gdown --continue --output "$downloads/" "$id" ||
        fail "$name could not be fetched. Google Drive limits the downloads of a day: try later, or open https://drive.google.com/file/d/$id/view in a browser, then: PYTHONPATH=$ROOT/scripts $PYTHON -m common.archives DOWNLOADED_FILE $folder $*"
    files=("$downloads"/*)
    (( ${#files[@]} == 1 )) || fail "$downloads should hold one file, but holds ${#files[@]}; remove that folder and run the same command again"
    PYTHONPATH="$ROOT/scripts" "$PYTHON" -m common.archives "${files[0]}" "$folder" "$@" || exit 1
    rm -rf "$downloads"
}

download() {
    case $1 in
        pidinet) public pidinet "${PIDINET_URL:-https://raw.githubusercontent.com/hellozhuo/pidinet/master/trained_models/table5_pidinet.pth}" \
            Models/edges/table5_pidinet.pth 80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c ;;
        dinov2) public dinov2 "${DINOV2_URL:-https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth}" \
            Models/backbones/dinov2_vitb14_pretrain.pth "" ;;
        # PyTorch's file names carry the first digits of the checksum.
        vgg19) public vgg19 "${VGG19_URL:-https://download.pytorch.org/models/vgg19-dcbb9e9d.pth}" \
            Models/backbones/vgg19-dcbb9e9d.pth dcbb9e9d ;;
        classifiers) drive "$1" 1Un188eNc8Nit644ZAzcOYwUoA3Dfh1TE Models/classifiers clf1024.pth sgd_clf.pkl ;;
        AF4hybrid) drive "$1" 1-D06R7eiCF6mlCsELzopHlmsCMWhlmsQ Models/AFgenerators/AF4hybrid latest_net_G.pth ;;
        AF4nonhybrid) drive "$1" 12duO1fsfuhVmBzuf0ll9n2lgiKtBsoiL Models/AFgenerators/AF4nonhybrid latest_net_G.pth ;;
        Images4TrainClassifier) drive "$1" 1MLIP8gbKVm_A0a5HTowBvfzsuRk7j37u Datasets/Images4TrainClassifier Images ;;
        Images4TrainAFnonhybrid) drive "$1" 1Fk41aXh9n02roX57ynnUip069Hc3amWv Datasets/Images4TrainAFnonhybrid Images ;;
        Images4TrainAFhybrid) drive "$1" 1UUqLajOSo1faw_tE_JkWMMKvl_Ck6xdJ Datasets/Images4TrainAFhybrid Images ;;
        -*)
            sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
        *) fail "unknown name $1; $0 --help lists them" ;;
    esac
}

if (( $# == 0 )); then
    set -- pidinet dinov2 vgg19 classifiers AF4hybrid AF4nonhybrid
fi
if (( $# == 1 )); then
    download "$1"
    exit
fi
# One that fails must not keep the others from coming.
failed=()
for name in "$@"; do
    "$BASH" "${BASH_SOURCE[0]}" "$name" || failed+=("$name")
done
(( ${#failed[@]} == 0 )) || fail "not fetched: ${failed[*]}"
