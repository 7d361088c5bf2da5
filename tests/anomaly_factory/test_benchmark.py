"""benchmark.py times the whole of training and painting."""

import re


def test_the_benchmark_times_training_and_painting(run, tiny, dataset):
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--no_vgg_loss"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2)
    for part in ("training", "painting"):
        assert re.search(rf"^{part}: \d+\.\d\d images/s", output, re.MULTILINE)
