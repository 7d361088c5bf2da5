"""benchmark.py times the whole of training and painting."""

import re


def test_the_benchmark_times_training_and_painting(run, tiny, dataset):
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--no_vgg_loss"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2)
    assert "without VGG19" in output
    assert re.search(r"^training: \d+\.\d\d images/s, \d+% waiting for samples$", output, re.M)
    assert re.search(r"^painting: \d+\.\d\d images/s$", output, re.M)
