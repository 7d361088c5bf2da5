"""benchmark.py: the speeds of the whole, and the work that they are held against."""

import re

import benchmark
import pytest
from options.train_options import train_options


def test_the_benchmark_times_training_and_painting(run, tiny, dataset):
    options = ["--dataroot", dataset, "--phase", "train_AFhybrid", "--ndf", 2, "--no_vgg_loss"]
    output = run("benchmark.py", *tiny, *options, "--steps", 2, "--peak", 3)
    assert "without VGG19" in output and "% waiting for samples" in output
    number = r"[\d.e-]+"
    for part in ("training", "painting"):
        line = (
            rf"^{part}: ({number}) images/s, each of ({number}) GFLOP: ({number}) TFLOP/s, .* of 3"
        )
        speed, work, done = map(float, re.search(line, output, re.MULTILINE).groups())
        assert done == pytest.approx(speed * work / 1e3, rel=0.01)


def test_the_work_of_an_image():
    """At the published size, 580 GFLOP to train and 121 to paint."""
    opt = train_options(["--name", "x", "--dataroot", "x"])
    training, painting = benchmark.work_of_an_image(opt, with_vgg=True)
    assert (round(training), round(painting)) == (580, 121)
    without, _ = benchmark.work_of_an_image(opt, with_vgg=False)
    assert round(training - without) == 142
    assert benchmark.said(150, 580, 1000) == (
        "150.00 images/s, each of 580 GFLOP: 87 TFLOP/s, 8.7% of 1000"
    )
