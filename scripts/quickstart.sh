#!/usr/bin/env bash
# The whole loop on butterflies that the project draws itself, in one command:
# draw -> edge maps -> lists -> train both generators -> paint -> judge the paintings -> train the
# classifiers, with and without the painted images -> score the test set, by the published members
# and by all -> one HTML page that tells it all and leads to the others.
# What is done is not done again: stop it at any time and start it again. No GPU is needed.
#   SCALE     size of the demo set and length of the training (default: 1, about 580 photographs);
#             0.3 has too few hybrids to train on, 0.5 enough
#   SEED      of the drawing, the lists and the generators (default: 0)
#   PAINTED   0 leaves the generators out: photographs only (default: 1)
#   PREPROCESS  cutout (default) shows the generators and the classifiers the specimens alone, on a
#             flat ground; photograph shows whole photographs
#   REPORTS   0 leaves out the pages about the paintings and the test set (default: 1)
#   BACKBONE  efficientnet_lite0 (default, needs no download) or dinov2_base
#   DETECTOR  pidinet or scharr (default: pidinet where the first run has or can fetch its weights)
#   MEMBERS   of the ensemble that score, sets of them (default: sgd+linear sgd+linear+subspecies)
#   GPU_IDS   for the generators, such as 0; -1 is the CPU (default)
#   WORK      folder of everything that is written (default: quickstart/ in the repository)
#   VENV      the Python environment, as for setup.sh
# Remove the run's folder to change one of these:
#   GENERATOR options of the networks (default: small ones, at 128 pixels)
#   EPOCHS    of AF4hybrid; AF4nonhybrid, which starts from it, trains a quarter (default: 6)
#   NEPOCH    of the linear classifier (default: 200)
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$ROOT/scripts/common/explain.sh"
(($# == 0)) || explain "$@"
SCALE=${SCALE:-1} SEED=${SEED:-0} BACKBONE=${BACKBONE:-efficientnet_lite0} GPU_IDS=${GPU_IDS:--1}
PAINTED=${PAINTED:-1} REPORTS=${REPORTS:-1} PREPROCESS=${PREPROCESS:-cutout} EPOCHS=${EPOCHS:-6} NEPOCH=${NEPOCH:-200}
read -ra members <<< "${MEMBERS:-sgd+linear sgd+linear+subspecies}"
small="--loadSize 128 --ngf 24 --n_downsample_global 3 --n_blocks_global 4"
read -ra networks <<< "${GENERATOR:-$small}"

case $PREPROCESS in
    cutout) cut=(--cutouts) keep=(--align --keep_ground) ;;
    photograph) cut=() keep=() ;;
    *) echo "quickstart: PREPROCESS is $PREPROCESS; it must be cutout or photograph" >&2; exit 2 ;;
esac

"$ROOT/scripts/setup.sh"
export PYTHON=${VENV:-$ROOT/.venv}/bin/python

work=${WORK:-$ROOT/quickstart}
mkdir -p "$work"
work=$(cd "$work" && pwd)
if [[ -z ${DETECTOR:-} && -e $work/detector ]]; then
    DETECTOR=$(cat "$work/detector")  # as the first run found out
elif [[ -z ${DETECTOR:-} ]]; then
    DETECTOR=pidinet
    if ! "$ROOT/scripts/download_models.sh" pidinet; then
        DETECTOR=scharr
        echo "quickstart: PiDiNet's weights are not to be had; edge maps by the plain scharr detector"
    fi
    echo "$DETECTOR" > "$work/detector"
fi

# Everything below depends on these four; another value is another folder.
run=$work/scale$SCALE-seed$SEED-$DETECTOR-$PREPROCESS
demo=$run/demo datasets=$run/Datasets generators=$run/generators painted=$run/results
detectors=$run/$BACKBONE
mkdir -p "$run/.done"
exec 9>> "$run/.lock"  # held until this script and the programs that it starts have ended
if ! flock --wait 5 9; then
    echo "quickstart: another one is at work in $run, or what a killed one started; wait until it ends, stop it, or name another folder in WORK" >&2
    exit 1
fi

# stage NAME TITLE COMMAND...: run the command once; its output goes to NAME.log. Bash does not
# stop at errors inside a function that is tested so: its commands are joined by &&.
stage() {
    local name=$1 title=$2 begin=$SECONDS
    shift 2
    if [[ -e $run/.done/$name ]]; then
        echo "quickstart: $title: done before"
        return
    fi
    echo "quickstart: $title"
    if ! "$@" > "$run/$name.log" 2>&1; then
        tail -n 20 "$run/$name.log" >&2
        echo "quickstart: $title failed; the whole log is $run/$name.log" >&2
        exit 1
    fi
    touch "$run/.done/$name"
    echo "quickstart: $title: $((SECONDS - begin)) s"
}

# The demo set has its own subspecies, so the pairing lists need its groups and signal pair. Minutes
# of training leave traces by which a painted image can be told from a photograph. Were most painted
# images hybrids, as in the published lists, the classifiers would learn those traces; so one is
# painted for each pair and each signal structure, a quarter of all.
make_lists() {
    local options cap
    cap=$("$PYTHON" -c "print(max(1, round($SCALE)))") &&
        read -ra options < "$demo/list_options.txt" &&
        "$PYTHON" "$ROOT/scripts/make_lists.py" --csv "$demo/train.csv" --datasets "$datasets" \
            "${options[@]}" --seed "$SEED" --cap "$cap" --references 1 --nearest
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
        --dataroot "$datasets/Images4TrainAFnonhybrid" --inherit 0.5 "${keep[@]}" "${@:2}"
}

# judge_paintings: a report on some of the images. The exit status 1 stands for images that were left
# out by name, and for a crash: only the former writes the page.
judge_paintings() {
    local status=0
    rm -rf "$run/evaluation" &&
        { "$PYTHON" "$ROOT/AnomalyFactory/evaluate.py" --results "$painted" \
            --dataset "$datasets/Images4TrainAFnonhybrid" --output "$run/evaluation" \
            --how_many 60 --gpu_ids "${GPU_IDS%%,*}" || status=$?; } &&
        [[ $status == 0 || ($status == 1 && -e $run/evaluation/index.html) ]]
}

# train_classifiers KIND: on the images in the list KIND.csv.
train_classifiers() {
    "$PYTHON" "$ROOT/HybridDetection/train/training.py" --backbone "$BACKBONE" \
        --ROOT_DATA_DIR "$datasets/Images4TrainClassifier" --DATA_FILE "$1.csv" \
        --CLF_SAVE_DIR "$detectors/$1" --CACHE_DIR "$work/features" \
        --NEPOCH "$NEPOCH" --preprocess "$PREPROCESS"
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

collect=(
    "$PYTHON" "$ROOT/scripts/make_classifier_csv.py" --csv "$demo/train.csv" --datasets "$datasets"
)

stage demo "drawing the demo set" \
    env PYTHONPATH="$ROOT/scripts" "$PYTHON" -m demo.make_demo_dataset --output "$demo" --scale "$SCALE" --seed "$SEED"
stage images "resizing the photographs" \
    "$PYTHON" "$ROOT/scripts/prepare_images.py" --csv "$demo/train.csv" \
    --photos "$demo/train/images" --datasets "$datasets" "${cut[@]}"
stage csv-photographs "listing the photographs" "${collect[@]}" --name photographs.csv
kinds=(photographs)
if [[ $PAINTED != 0 ]]; then
    kinds+=(generated)
    stage edges-hybrid "edge maps for AF4hybrid by $DETECTOR" \
        "$PYTHON" "$ROOT/AnomalyFactory/extract_edges.py" \
        --dataset "$datasets/Images4TrainAFhybrid" --detector "$DETECTOR"
    stage edges-nonhybrid "edge maps for AF4nonhybrid by $DETECTOR" \
        "$PYTHON" "$ROOT/AnomalyFactory/extract_edges.py" \
        --dataset "$datasets/Images4TrainAFnonhybrid" --detector "$DETECTOR"
    stage lists "pairing structures and references" make_lists
    # Minutes of training want many and large steps: a small batch, four times the published learning
    # rate. AF4nonhybrid takes a tenth of the published one: were its traces other than AF4hybrid's,
    # the classifiers would learn to tell the two generators apart.
    stage train-hybrid "training AF4hybrid" train_generator AF4hybrid "$EPOCHS" \
        --dataroot "$datasets/Images4TrainAFhybrid" --lr 0.0008
    stage train-nonhybrid "training AF4nonhybrid, from AF4hybrid" train_generator AF4nonhybrid \
        $(((EPOCHS + 3) / 4)) --dataroot "$datasets/Images4TrainAFnonhybrid" \
        --load_pretrain "$generators/AF4hybrid" --lr 0.00002
    stage paint-hybrid "painting hybrids" paint AF4hybrid --results_dir "$painted/hybrid"
    stage paint-nonhybrid "painting non-hybrids" paint AF4nonhybrid --results_dir "$painted/nonhybrid"
    if [[ $REPORTS != 0 ]]; then
        stage evaluation "judging the paintings" judge_paintings
    fi
    stage csv-generated "adding the painted images" "${collect[@]}" --name generated.csv \
        --results "$painted"
fi
for kind in "${kinds[@]}"; do
    stage "train-$kind-$BACKBONE" "training the classifiers on $kind.csv" train_classifiers "$kind"
    stage "examine-$kind-$BACKBONE" "examining the test set" examine "$kind"
    for chosen in "${members[@]}"; do
        stage "score-$kind-$BACKBONE-$chosen" "scoring it by $chosen" \
            score "$kind" "$chosen"
    done
done
if [[ $REPORTS != 0 ]]; then
    stage "show-${kinds[-1]}-$BACKBONE" "showing what was found" show "${kinds[-1]}"
fi
PYTHONPATH="$ROOT/scripts" "$PYTHON" -m demo.quickstart_page --run "$run" --backbone "$BACKBONE" \
    --preprocess "$PREPROCESS" --kinds "${kinds[@]}" --members "${members[@]}"
