#!/usr/bin/env bash
# Download published weights (and, by name, the published data sets), each into its place.
# What is there already is left alone; run it again after an interruption.
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
#   PYTHON                                the Python to use (default: that of VENV, else of .venv, else python3)
#   PIDINET_URL, DINOV2_URL, VGG19_URL    other addresses of the first three, for a mirror
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common/python.sh"
[[ ${1:-} != -* ]] || explain "$@"
module common.downloads "$@"
