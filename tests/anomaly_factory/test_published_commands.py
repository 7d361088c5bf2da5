"""The command lines of the published repository, letter by letter; and the benchmark of both."""

import csv
import re
import shlex
import shutil

import pytest
from options import base_options, test_options, train_options

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


def test_the_defaults_are_the_published_ones(shared):
    rows = csv.DictReader((shared / "published/options.csv").read_text().splitlines())
    of_training = [row for row in rows if row["options_of"] in ("base", "train")]
    published = {row["name"].removeprefix("--"): row["default"] for row in of_training}
    ours = vars(train_options.train_options(["--name", "x", "--dataroot", "x"]))
    same = "ngf n_downsample_global n_blocks_global ndf n_layers_D num_D niter niter_decay lr beta1"
    same += " lambda_feat tps_percent loadSize batchSize nThreads print_freq save_latest_freq"
    for name in same.split():
        assert ours[name] == float(published[name]), name


@pytest.mark.parametrize("kind", [train_options, test_options])
def test_every_other_value_is_refused_with_a_reason(capsys, kind):
    parse = kind.train_options if kind is train_options else kind.test_options
    required = ["--name", "x", "--dataroot", "x"]
    spelled = "--use_edgemask 0 --input_nc 6.0 --kRef 01 --aspect_ratio 1".split()
    assert parse([*required, *spelled]) == parse(required)
    for name, (value, reason) in (base_options.PUBLISHED | kind.PUBLISHED).items():
        given = [f"--{name}"] if value is None else [f"--{name}", str(value)]
        assert parse([*required, *given]) == parse(required)
        if value is not None:
            with pytest.raises(SystemExit):
                parse([*required, f"--{name}", "7"])
            refused = f"argument --{name}: '7': expected {value}, the only one there is: {reason}"
            assert refused in capsys.readouterr().err


def test_the_benchmark_times_training_and_painting(run, tiny, dataset):
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--no_vgg_loss"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2)
    for part in ("training", "painting"):
        assert re.search(rf"^{part}: \d+\.\d\d images/s", output, re.MULTILINE)
