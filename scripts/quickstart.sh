#!/usr/bin/env bash
# The whole loop on butterflies that the project draws itself, in one command and two acts:
# draw -> cut out -> train the classifiers on photographs -> score the test set, by the published
# members and by all -> an HTML page that tells it all and leads to others; then edge maps -> lists ->
# train both generators -> paint -> judge the paintings -> train the classifiers with painted images,
# too -> score -> the page anew.
# What is done is not done again: stop it at any time and start it again. No GPU is needed.
#   SCALE     size of the demo set and length of the training (default: 0.25, about 160 photographs,
#             which is the least)
#   SEED      of the drawing, the lists and the generators (default: 0)
#   PAINTED   0 leaves the second act out (default: 1)
#   PREPROCESS  cutout (default) shows the generators and the classifiers the specimens alone, on a
#             flat ground; photograph shows whole photographs
#   REPORTS   0 leaves out the pages about the paintings and the test set (default: 1)
#   BACKBONE  efficientnet_lite0 (default, needs no download) or dinov2_base
#   MEMBERS   of the ensemble that score, sets of them (default: sgd+linear sgd+linear+subspecies)
#   GPU_IDS   for the generators, such as 0; -1 is the CPU (default)
#   WORK      folder of everything that is written (default: quickstart/ in the repository)
#   VENV      the Python environment, as for setup.sh
# Remove the run's folder to change one of these:
#   DETECTOR  pidinet or scharr (default: pidinet where its weights are there or can be fetched)
#   GENERATOR options of the networks (default: small ones, at 128 pixels)
#   EPOCHS    of AF4hybrid; AF4nonhybrid, which starts from it, trains a quarter (default: 6)
#   NEPOCH    of the linear classifier (default: 50)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$ROOT/scripts/common/explain.sh"
(($# == 0)) || explain "$@"
SCALE=${SCALE:-0.25} SEED=${SEED:-0} PAINTED=${PAINTED:-1} REPORTS=${REPORTS:-1}
PREPROCESS=${PREPROCESS:-cutout} BACKBONE=${BACKBONE:-efficientnet_lite0} DETECTOR=${DETECTOR:-}
MEMBERS=${MEMBERS:-sgd+linear sgd+linear+subspecies} GPU_IDS=${GPU_IDS:--1}
GENERATOR=${GENERATOR:---loadSize 128 --ngf 24 --n_downsample_global 3 --n_blocks_global 4}
EPOCHS=${EPOCHS:-6} NEPOCH=${NEPOCH:-50} WORK=${WORK:-$ROOT/quickstart} VENV=${VENV:-$ROOT/.venv}
LEAST_SCALE=25  # in hundredths: smaller sets have too few butterflies to train on
echo "quickstart: $(for name in SCALE SEED PAINTED REPORTS PREPROCESS BACKBONE MEMBERS GPU_IDS WORK VENV \
    DETECTOR GENERATOR EPOCHS NEPOCH; do printf "%s='%s' " "$name" "${!name}"; done)"

case $PREPROCESS in
    cutout) cut=(--cutouts) keep=(--align --keep_ground) ;;
    photograph) cut=() keep=() ;;
    *) echo "quickstart: PREPROCESS is $PREPROCESS; it must be cutout or photograph" >&2; exit 2 ;;
esac
if ! LC_ALL=C printf -v percent %.0f "${SCALE}e2" 2> /dev/null || ((percent < LEAST_SCALE)); then
    echo "quickstart: SCALE is $SCALE; it must be 0.$LEAST_SCALE or more: a smaller set has too few butterflies to train on" >&2
    exit 2
fi
read -ra members <<< "$MEMBERS"
read -ra networks <<< "$GENERATOR"
base_python=${PYTHON:-python3}
export VENV PYTHON=$VENV/bin/python
# Threads that wait give their core away; spinning, they take twice the time on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

# Everything below depends on these three; another value is another folder.
mkdir -p "$WORK"
work=$(cd "$WORK" && pwd)
run=$work/scale$SCALE-seed$SEED-$PREPROCESS
demo=$run/demo datasets=$run/Datasets generators=$run/generators painted=$run/results
detectors=$run/$BACKBONE
mkdir -p "$run/.done"
exec 9>> "$run/.lock"  # held until this script and the programs that it starts have ended
if ! flock --wait 5 9; then
    echo "quickstart: another one is at work in $run, or what a killed one started; wait until it ends, stop it, or name another folder in WORK" >&2
    exit 1
fi

source "$ROOT/scripts/common/progress.sh"

# stage NAME SECONDS TITLE COMMAND...: run the command once; its output goes to NAME.log. Bash does
# not stop at errors inside a function that is tested so: its commands are joined by &&.
stage() {
    local name=$1 seconds=$2 title=$3 status=0 begin=$SECONDS
    shift 3
    if [[ -n $counting ]]; then
        stages=$((stages + 1))
        [[ -e $run/.done/$name ]] || waiting=$((waiting + seconds))
        return
    fi
    stage_number=$((stage_number + 1))
    if [[ -e $run/.done/$name ]]; then
        echo "quickstart: $title: done before"
        return
    fi
    waiting=$((waiting - seconds))
    advance "$title" "$seconds" 9>&- &
    ticker=$!
    ("$@") > "$run/$name.log" 2>&1 || status=$?  # a shell of its own: traps speak to the user
    stop_advancing
    if ((status != 0)); then
        tail -n 20 "$run/$name.log" >&2
        echo "quickstart: $title failed; the whole log is $run/$name.log" >&2
        exit 1
    fi
    touch "$run/.done/$name"
    took=$((took + SECONDS - begin)) meant=$((meant + seconds))
    echo "quickstart: $title: $((SECONDS - begin)) s"
}

draw() {
    PYTHONPATH=$ROOT/scripts "$PYTHON" "$ROOT/scripts/demo/make_demo_dataset.py" \
        --output "$demo" --scale "$SCALE" --seed "$SEED"
}

# By PiDiNet, which is fetched where it is not there, else by what needs no weights.
draw_edges() {
    local detector=${DETECTOR:-pidinet} set
    if [[ -z $DETECTOR ]] && ! "$ROOT/scripts/download_models.sh" pidinet; then
        echo "PiDiNet's weights are not to be had: edge maps by the plain scharr detector"
        detector=scharr
    fi
    for set in hybrid nonhybrid; do
        "$PYTHON" "$ROOT/AnomalyFactory/extract_edges.py" --dataset "$datasets/Images4TrainAF$set" \
            --detector "$detector" || return
    done
}

# The demo set has its own subspecies, so the pairing lists need its groups and signal pair. Minutes
# of training leave traces by which a painted image can be told from a photograph. Were most painted
# images hybrids, as in the published lists, the classifiers would learn those traces; so few are
# painted for each pair, one at the default SCALE.
make_lists() {
    local options cap=$(((percent + 50) / 100))
    read -ra options < "$demo/list_options.txt" &&
        "$PYTHON" "$ROOT/scripts/make_lists.py" --csv "$demo/train.csv" --datasets "$datasets" \
            "${options[@]}" --seed "$SEED" --cap "$((cap > 0 ? cap : 1))" --references 1 --nearest
}

generator=(--checkpoints_dir "$generators" --gpu_ids "$GPU_IDS" "${networks[@]}")
if grep -qE '(avx512_|amx_| )bf16' /proc/cpuinfo; then  # elsewhere it takes a hundred times as long
    generator+=(--amp)
fi

# train_generator NAME EPOCHS OPTION...: the learning rate falls in the second half; a training
# that was interrupted goes on. Minutes of training, without a perceptual loss, want an easier task
# than the published one: small warps, and the plain distance to the target.
train_generator() {
    local name=$1 epochs=$2
    shift 2
    if [[ -e $generators/$name/resume.pth ]]; then
        set -- "$@" --continue_train
    fi
    "$ROOT/AnomalyFactory/scripts/train_$name.sh" "${generator[@]}" --batchSize 2 --ndf 32 \
        --no_vgg_loss --gentle --seed "$SEED" \
        --niter $((epochs - epochs / 2)) --niter_decay $((epochs / 2)) "$@"
}

# paint NAME OPTION...: hybrids lie between their parents, so they inherit half of what changes. So
# do the non-hybrids, of another of their subspecies: both bear the same traces of the generator.
paint() {
    "$ROOT/AnomalyFactory/scripts/test_$1.sh" "${generator[@]}" \
        --dataroot "$datasets/Images4TrainAFnonhybrid" --how_many inf --inherit 0.5 "${keep[@]}" "${@:2}"
}

# judge_paintings: a report on some of the images. The exit status 1 stands for images that were left
# out by name, and for a crash: only the former writes the page.
judge_paintings() {
    local status=0
    rm -rf "$run/evaluation" &&
        { "$PYTHON" "$ROOT/AnomalyFactory/evaluate.py" --results "$painted" \
            --dataset "$datasets/Images4TrainAFnonhybrid" --output "$run/evaluation" \
            --how_many 40 --gpu_ids "${GPU_IDS%%,*}" || status=$?; } &&
        [[ $status == 0 || ($status == 1 && -e $run/evaluation/index.html) ]]
}

# told KIND: whether the page of the test set is about the classifiers of KIND, the last ones. Only
# theirs are asked about held-out photographs, which sets the threshold of that page.
told() {
    [[ $1 == generated || $PAINTED == 0 ]]
}

# train_classifiers KIND: on the images in the list KIND.csv.
train_classifiers() {
    "$PYTHON" "$ROOT/HybridDetection/train/training.py" --backbone "$BACKBONE" \
        --ROOT_DATA_DIR "$datasets/Images4TrainClassifier" --DATA_FILE "$1.csv" \
        --CLF_SAVE_DIR "$detectors/$1" --CACHE_DIR "$work/features" \
        --NEPOCH "$NEPOCH" --preprocess "$PREPROCESS" --evaluate $(told "$1" && echo held_out_photographs)
}

# examine KIND: what every member says of the test set, by the classifiers of KIND.
examine() {
    "$PYTHON" "$ROOT/HybridDetection/submission/dino2B_contestAF_1024linear2cls/ingestion.py" \
        "$demo/test/images" "$detectors/$1" --backbone "$BACKBONE" \
        --classifiers "$detectors/$1" --details
}

# score KIND MEMBERS: challenge scores and calls of the test set, by MEMBERS such as sgd+linear.
score() {
    local names folder=$detectors/$1/$2
    IFS=+ read -ra names <<< "$2"
    mkdir -p "$folder" &&
        "$PYTHON" "$ROOT/scripts/score_predictions.py" --predictions "$detectors/$1/details.csv" \
            --members "${names[@]}" --reference "$demo/ref_test.csv" --output "$folder/scores.json" \
            --calls "$folder/calls.csv"
}

# show KIND: a page of the test set's photographs, with what it knows of them.
show() {
    "$PYTHON" "$ROOT/scripts/report.py" --predictions "$detectors/$1/predictions.txt" \
        --images "$demo/test/images" --classifiers "$detectors/$1" \
        --reference "$demo/ref_test.csv"
}

# tell KIND...: the page, of detectors trained on each KIND.
tell() {
    local more=()
    [[ $PAINTED == 0 || $# == 2 ]] || more=(--more)
    PYTHONPATH=$ROOT/scripts "$PYTHON" "$ROOT/scripts/demo/quickstart_page.py" --run "$run" \
        --backbone "$BACKBONE" --preprocess "$PREPROCESS" --members "${members[@]}" --kinds "$@" \
        "${more[@]}"
}

collect=(
    "$PYTHON" "$ROOT/scripts/make_classifier_csv.py" --csv "$demo/train.csv" --datasets "$datasets"
)

# detect KIND SECONDS...: train on the images in the list KIND.csv, and score the test set.
detect() {
    local kind=$1 chosen
    stage "train-$kind-$BACKBONE" "$2" "training the classifiers on $kind.csv" train_classifiers "$kind"
    stage "examine-$kind-$BACKBONE" "$3" "examining the test set" examine "$kind"
    for chosen in "${members[@]}"; do
        stage "score-$kind-$BACKBONE-$chosen" 1 "scoring it by $chosen" score "$kind" "$chosen"
    done
    if [[ $REPORTS != 0 ]] && told "$kind"; then
        stage "show-$kind-$BACKBONE" "$4" "showing what was found" show "$kind"
    fi
}

# All stages, with the seconds that they take on two idle cores at the default SCALE.
acts() {
    stage setup "$setup" "the Python environment" env PYTHON="$base_python" "$ROOT/scripts/setup.sh"
    took=10 meant=10  # the network's pace says nothing of what follows
    stage demo 8 "drawing the demo set" draw
    stage images 13 "resizing the photographs" \
        "$PYTHON" "$ROOT/scripts/prepare_images.py" --csv "$demo/train.csv" \
        --photos "$demo/train/images" --datasets "$datasets" "${cut[@]}"
    stage csv-photographs 1 "listing the photographs" "${collect[@]}" --name photographs.csv
    detect photographs 42 21 27
    if [[ $PAINTED == 0 ]]; then
        stage page 1 "writing the page" tell photographs
        return
    fi
    stage "first-page-$BACKBONE" 1 "writing the first page" tell photographs
    [[ -n $counting ]] || tail -n 1 "$run/first-page-$BACKBONE.log"
    stage edges 15 "edge maps" draw_edges
    [[ -n $counting ]] || grep -h "plain scharr detector" "$run/edges.log" || true
    stage lists 1 "pairing structures and references" make_lists
    # Minutes of training want many and large steps: a small batch, four times the published learning
    # rate. AF4nonhybrid takes a tenth of the published one: were its traces other than AF4hybrid's,
    # the classifiers would learn to tell the two generators apart.
    stage train-hybrid 120 "training AF4hybrid" train_generator AF4hybrid "$EPOCHS" \
        --dataroot "$datasets/Images4TrainAFhybrid" --lr 0.0008
    stage train-nonhybrid 45 "training AF4nonhybrid, from AF4hybrid" train_generator AF4nonhybrid \
        $(((EPOCHS + 3) / 4)) --dataroot "$datasets/Images4TrainAFnonhybrid" \
        --load_pretrain "$generators/AF4hybrid" --lr 0.00002
    stage paint-hybrid 18 "painting hybrids" paint AF4hybrid --results_dir "$painted/hybrid"
    stage paint-nonhybrid 15 "painting non-hybrids" paint AF4nonhybrid --results_dir "$painted/nonhybrid"
    if [[ $REPORTS != 0 ]]; then
        stage evaluation 25 "judging the paintings" judge_paintings
    fi
    stage csv-generated 1 "adding the painted images" "${collect[@]}" --name generated.csv \
        --results "$painted"
    detect generated 45 19 27
    stage page 1 "writing the page anew" tell photographs generated
}

rm -f "$run"/.done/{setup,page}  # done each time
setup=1
[[ -e $VENV/.installed ]] || setup=180
counting=1 acts
acts
cat "$run/page.log"
