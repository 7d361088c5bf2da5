"""The command lines of the published repository, letter by letter; and the benchmark of both."""

import csv
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from options import base_options
from options.published import BOTH, TEST, TRAIN
from options.test_options import test_options as options_of_test
from options.train_options import train_options as options_of_train

TRAIN_HYBRID = """
python train.py --dataroot ./Datasets/Images4TrainAFhybrid/List/train_AFhybrid/
    --primitive seg_edges --no_instance --tps_aug 1 --tps_percent 0.99 --gpu_ids 0,1,2,3
    --batchSize 40 --ngf 64 --name AF4hybrid --block_aug --reflect_aug --save_latest_freq 1000
    --display_freq 100 --input_nc 6 --encoder_nc 6 --decoder_nc 3 --output_nc 3 --kRef 1
    --netG AFsplitglobal --use_edgemask 0.0 --mask_loss_weight 10 --train_mode BootAF_I2DE
"""
TRAIN_NONHYBRID = (
    TRAIN_HYBRID.replace("hybrid", "nonhybrid") + " --load_pretrain ./checkpoints/AF4hybrid"
)
PAINT_NONHYBRID = """
python test.py --dataroot ./Datasets/Images4TrainAFnonhybrid/List/test_nonhybrid/
    --primitive seg_edges --phase test --no_instance --results_dir ./results/butterflyContest/nh/
    --input_nc 6 --encoder_nc 6 --decoder_nc 3 --output_nc 3 --kRef 1 --tps_aug 0
    --tps_percent 0.99 --netG AFsplitglobal --how_many 5 --gpu_ids 0 --name AF4nonhybrid
    --train_mode BootAF_I2DE --test_mode BootAF_I2DE --use_edgemask 0.0 --refImgExt png
"""
SHORT = "--ndf 2 --no_vgg_loss --niter 1 --niter_decay 0 --batchSize 4".split()


def test_published_commands_run(run, run_script, discs, tmp_path, repository, monkeypatch, tiny):
    for name in ("Images4TrainAFhybrid", "Images4TrainAFnonhybrid"):
        shutil.copytree(discs, tmp_path / "Datasets" / name)
    monkeypatch.setattr(base_options, "ROOT", tmp_path)
    monkeypatch.chdir(repository / "AnomalyFactory")
    outputs = []
    for command in (TRAIN_HYBRID, TRAIN_NONHYBRID, PAINT_NONHYBRID):
        _, program, *words = shlex.split(command)
        small = [*tiny, *(SHORT if program == "train.py" else [])]
        outputs.append(run(program, *words, *small))
    generators = tmp_path / "Models/AFgenerators"
    assert "1 of 1 steps done, 4 images" in outputs[0]
    assert f"in {generators}/AF4hybrid: {tmp_path}/checkpoints/AF4hybrid is not" in outputs[1]
    assert (generators / "AF4nonhybrid/latest_net_G.pth").is_file()
    assert "4 pairs of test_nonhybrid, 0 of them painted before" in outputs[2]
    # The way of the published README: the script with one list paints that list and no other.
    dataroot = "./Datasets/Images4TrainAFnonhybrid/List/test_signalhybrid/"
    run_script("test_AF4hybrid.sh", "--dataroot", dataroot, *tiny)
    results = tmp_path / "results/butterflyContest"
    painted = sorted(path.relative_to(results).as_posix() for path in results.rglob("AF_*.png"))
    assert painted == [
        *(f"nh/AF_{s}_{s}_gen0000{n}.png" for n, s in enumerate([8, 8, 9, 9])),
        *(f"sh/AF_9_8_gen0000{n}.png" for n in (0, 1)),
    ]


def asked_by(script: Path, *arguments: str) -> list[dict[str, object]]:
    """What each program that the script starts is asked for."""
    environment = os.environ | {"PYTHON": "echo"}
    said = subprocess.check_output([script, *arguments], env=environment, text=True)
    return [vars(options_of_test(line.split()[1:])) for line in said.splitlines()]


@pytest.mark.parametrize(
    ("lines", "painted"),
    [
        (["--how_many 7"], [("nonsignalhybrid", "nsh", 7), ("signalhybrid", "sh", 7)]),
        (["--dataroot ./D/List/test_signalhybrid/"], [("signalhybrid", "sh", 5)]),
        (
            ["--dataroot ./D/List/test_signalhybrid/", "--results_dir ./results/x/"],
            [("signalhybrid", "x", 5)],
        ),
        (["--phase=test_nonhybrid", "--how_many inf"], [("nonhybrid", "test_nonhybrid", None)]),
    ],
)
def test_editing_the_script_and_giving_arguments_mean_the_same(
    tmp_path, repository, lines, painted
):
    scripts = shutil.copytree(
        repository / "AnomalyFactory/scripts", tmp_path / "AnomalyFactory/scripts"
    )
    script = scripts / "test_AF4hybrid.sh"

    by_arguments = asked_by(script, *" ".join(lines).split())
    text = script.read_text()
    for line in lines:  # in the place of its option, where there is one
        name = re.split("[ =]", line)[0]
        text, found = re.subn(rf"^    {name} \S+", f"    {line}", text, flags=re.MULTILINE)
        text = text if found else text.replace("options=(\n", f"options=(\n    {line}\n")
    script.write_text(text)
    found = asked_by(script)
    assert found == by_arguments
    found = [(one["phase"], Path(one["results_dir"]).name, one["how_many"]) for one in found]
    assert found == [(f"test_{name}", folder, count) for name, folder, count in painted]


def test_both_scripts_paint_five_lines_as_published(repository):
    for name in ("test_AF4hybrid.sh", "test_AF4nonhybrid.sh"):
        for command in asked_by(repository / "AnomalyFactory/scripts" / name):
            assert command["how_many"] == 5


REQUIRED = ["--name", "x", "--dataroot", "x"]
PARSERS = {"train": options_of_train, "test": options_of_test}


def published_options(shared: Path, program: str) -> list[dict[str, str]]:
    rows = csv.DictReader((shared / "published/options.csv").read_text().splitlines())
    required = ("--name", "--dataroot")  # they have no default that could be of use
    return [
        row
        for row in rows
        if row["options_of"] in ("base", program) and row["name"] not in required
    ]


def test_the_defaults_are_the_published_ones(shared):
    rows = published_options(shared, "train")
    published = {row["name"].removeprefix("--"): row["default"] for row in rows}
    ours = vars(options_of_train(REQUIRED))
    same = "ngf n_downsample_global n_blocks_global ndf n_layers_D num_D niter niter_decay lr beta1"
    same += " lambda_feat tps_aug tps_percent loadSize batchSize nThreads print_freq display_freq"
    for name in [*same.split(), "save_latest_freq", "save_epoch_freq"]:
        assert ours[name] == float(published[name]), name


# Where the published default is a network that is not built, or none: what the scripts say.
SAID = {
    **{"input_nc": "6", "encoder_nc": "6", "netG": "AFsplitglobal", "engine": "torch"},
    **dict.fromkeys(("train_mode", "test_mode"), "BootAF_I2DE"),
}
NOT_DONE = "use_dropout use_clipvfeat use_LR_fake instance_feat label_feat load_features no_lsgan"
NOT_DONE = [*NOT_DONE.split(), "use_encoded_image", "export_onnx", "onnx"]


@pytest.mark.parametrize(("program", "count"), [("train", 84), ("test", 81)])
def test_every_published_option_is_accepted_or_refused_with_a_reason(
    shared, capsys, program, count
):
    rows, parse = published_options(shared, program), PARSERS[program]
    assert len(rows) == count
    tables = BOTH | {"train": TRAIN, "test": TEST}[program]
    unread = {name: row for names, row in tables.items() for name in names.split()}
    for row in rows:
        name = row["name"].removeprefix("--")
        default = re.sub(r"^float\('inf'\)$", "inf", row["default"]).strip("'")
        given = [row["name"]] if row["action"] else [row["name"], SAID.get(name, default)]
        if name in NOT_DONE:
            with pytest.raises(SystemExit):
                parse([*REQUIRED, *given])
            said = capsys.readouterr().err
            assert f"argument {row['name']}: " in said and said.endswith(f"{unread[name][1]}\n")
        else:
            found = parse([*REQUIRED, *given])
            assert name not in unread or found == parse(REQUIRED), name


NEUTRAL = {
    "train": "--model pix2pixHD --data_type 32 --affine_aug none --canny_aug 0 --cutmix_aug 0"
    " --pool_size 0 --local_rank 0 --canny_sigma_step 0.4 --nef 8 --mask_loss_weight 1 --kRef 02"
    " --use_edgemask 0e0 --input_nc 6.0 --reflect_aug --no_instance --load_pretrain=",
    "test": "--no_flip --block_aug --reflect_aug --serial_batches --tf_log --continue_train"
    " --mask_loss_weight 10 --refImgExt JPG --ntest inf --load_pretrain= --cluster_path x.npy"
    " --aspect_ratio 1 --vid_mode 0 --tps_aug 0 --display_freq 7 --how_many inf",
}


@pytest.mark.parametrize("program", PARSERS)
def test_neutral_values_change_nothing(program):
    parse = PARSERS[program]
    assert parse([*REQUIRED, *NEUTRAL[program].split()]) == parse(REQUIRED)


@pytest.mark.parametrize(
    ("program", "given", "message"),
    [
        ("train", "--model UI", "'UI': expected 'pix2pixHD': there is one model"),
        ("train", "--mask_loss_weight 7", "'7': expected 1 or 10: in BootAF_I2DE"),
        ("train", "--use_dropout", "leave it out: the generator has no dropout"),
        ("train", "--input_nc x", "'x': expected 6: an edge map and a reference are read"),
        ("test", "--tps_aug 1", "'1': expected 0: painting warps nothing"),
        ("test", "--export_onnx x", "'x': expected nothing, leave it out: the generator paints"),
        ("test", "--load_pretrain x", "'x': expected '': painting takes the generator of --name"),
        ("test", "--ntest 5", "'5': expected inf: --how_many says"),
    ],
)
def test_other_values_are_refused_with_a_reason(capsys, program, given, message):
    with pytest.raises(SystemExit):
        PARSERS[program]([*REQUIRED, *given.split()])
    assert f"error: argument {given.split()[0]}: {message}" in capsys.readouterr().err


def test_the_benchmark_times_training_and_painting(run, tiny, dataset):
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--no_vgg_loss"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2)
    for part in ("training", "painting"):
        assert re.search(rf"^{part}: \d+\.\d\d images/s", output, re.MULTILINE)
