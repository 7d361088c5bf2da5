"""Training as a user does it: train.py, and as subprocesses the shell scripts and torchrun."""

import csv
import re
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

TORCHRUN = "-m torch.distributed.run --standalone --nproc_per_node=2".split()


@pytest.fixture
def options(tiny: list[str], dataset: Path, tmp_path: Path) -> list[str]:
    """Options of a training of four pairs, two steps an epoch, three epochs."""
    small = "--ndf 2 --no_vgg_loss --batchSize 2 --niter 2 --niter_decay 1 --print_freq 2".split()
    paths = ["--dataroot", str(dataset), "--checkpoints_dir", str(tmp_path)]
    return [*tiny, *small, *paths]


NAMED = ("--name", "AF", "--phase", "train_AFhybrid")


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "loss_log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_equal(found: object, expected: object) -> None:
    """Bit for bit, through dictionaries and lists."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_training_writes_networks_log_and_samples(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--save_epoch_freq", 2, "--display_freq", 4)
    folder = tmp_path / "AF"
    assert {path.name for path in folder.glob("*.pth")} == {
        "latest_net_G.pth",
        "latest_net_D.pth",
        "2_net_G.pth",
        "2_net_D.pth",
        "resume.pth",
    }
    rows = losses(folder)
    assert [row["images"] for row in rows] == ["2", "4", "6", "8", "10", "12"]
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert {row["lr"] for row in rows} == {"0.0002"}
    assert list(rows[0]) == [
        *("images", "epoch", "lr"),
        *("G_GAN", "G_GAN_Feat", "D_real", "D_fake"),
    ]
    with Image.open(folder / "loss_log.png") as plot:
        assert plot.width > 500
    page = (folder / "samples.html").read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    assert pictures == [
        "samples/epoch00003_images000000012.jpg",
        "samples/epoch00002_images000000008.jpg",
        "samples/epoch00001_images000000004.jpg",
    ]
    with Image.open(folder / pictures[0]) as strip:
        assert strip.size == (5 * 128, 128)


def test_learning_rate_falls_linearly(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--niter", 1, "--niter_decay", 4, "--print_freq", 4)
    rates = [float(row["lr"]) for row in losses(tmp_path / "AF")]
    assert rates == pytest.approx([2e-4, 2e-4, 1.5e-4, 1e-4, 0.5e-4])


def test_stopped_and_resumed_equals_uninterrupted(run, start, options, tmp_path):
    options = [*options, "--niter", 30, "--niter_decay", 30, "--nThreads", 1]
    options += ["--display_freq", 500, "--phase", "train_AFhybrid", "--name"]
    run("train.py", *options, "whole")
    resume, begin = tmp_path / "AF/resume.pth", []
    for number, images in ((signal.SIGTERM, ", 6 images,"), (signal.SIGINT, ", 90 images,")):
        process = start("train.py", *options, "AF", *begin)
        while images not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        output = "".join(process.communicate(timeout=60))
        assert process.returncode == 128 + number, output
        begin = ["--continue_train"]
    assert 45 <= load(resume)["steps"] < 120
    run("train.py", *options, "AF", *begin)
    assert_equal(load(resume), load(tmp_path / "whole/resume.pth"))
    assert_equal(load(tmp_path / "AF/latest_net_G.pth"), load(tmp_path / "whole/latest_net_G.pth"))
    assert losses(tmp_path / "AF") == losses(tmp_path / "whole")


def test_resumes_after_a_crash_from_the_last_save(run, options, tmp_path):
    """A shorter training leaves what a crash leaves: a resume file, and a log that is ahead."""
    run("train.py", *options, *NAMED, "--name", "whole")
    run("train.py", *options, *NAMED, "--niter", 1, "--niter_decay", 1, "--batchSize", 2)
    log = tmp_path / "AF/loss_log.csv"
    log.write_text(log.read_text() + "10,3,0.0002,9,9,9,9\n")
    run("train.py", *options, *NAMED, "--continue_train")
    assert load(tmp_path / "AF/resume.pth")["steps"] == 6
    images = [row["images"] for row in losses(tmp_path / "AF")]
    assert images == ["2", "4", "6", "8", "10", "12"]


def test_finished_training_has_nothing_to_continue(run, options, tmp_path):
    run("train.py", *options, *NAMED)
    before = load(tmp_path / "AF/latest_net_G.pth")
    assert "6 of 6 steps done" in run("train.py", *options, *NAMED, "--continue_train")
    assert_equal(load(tmp_path / "AF/latest_net_G.pth"), before)


def test_course_must_not_change_at_a_resume(run, options, tmp_path):
    run("train.py", *options, *NAMED)
    changed = [*options, *NAMED, "--continue_train", "--batchSize", 4]
    output = run("train.py", *changed, status=2)
    assert "resume.pth was written with --batchSize 2, but now it is 4" in output


def test_nothing_to_continue_is_an_error(run, options, tmp_path):
    output = run("train.py", *options, *NAMED, "--continue_train", status=2)
    assert f"{tmp_path}/AF/resume.pth is not there; leave it out to start anew" in output


def test_script_starts_from_another_generator(run_process, options, tmp_path):
    run_process("scripts/train_AF4hybrid.sh", *options)
    hybrid = load(tmp_path / "AF4hybrid/latest_net_G.pth")
    pretrained = ("--load_pretrain", tmp_path / "AF4hybrid", "--lr", 0)
    output = run_process("scripts/train_AF4nonhybrid.sh", *options, *pretrained)
    assert f"starting from the generator and discriminator in {tmp_path}/AF4hybrid" in output
    assert_equal(load(tmp_path / "AF4nonhybrid/latest_net_G.pth"), hybrid)


def test_two_processes_train_as_one(run, run_process, options, tmp_path):
    options = [*options, "--batchSize", 4, "--print_freq", 4, "--phase", "train_AFhybrid"]
    run("train.py", *options, "--name", "one")
    run_process("train.py", *options, "--name", "two", prefix=TORCHRUN)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        for name in ("G_GAN", "G_GAN_Feat", "D_real", "D_fake"):
            assert float(shared[name]) == pytest.approx(float(alone[name]), rel=1e-3)


def test_processes_stop_together(start, options, tmp_path):
    options = [*options, *NAMED, "--niter", 10000, "--nThreads", 1]
    process = start("train.py", *options, prefix=TORCHRUN)
    while ", 6 images," not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert load(tmp_path / "AF/resume.pth")["steps"] >= 3


def test_batch_must_divide_among_processes(start, options):
    process = start("train.py", *options, *NAMED, "--batchSize", 3, prefix=TORCHRUN)
    output = "".join(process.communicate(timeout=120))
    assert process.returncode != 0
    assert "--batchSize 3 is the total over all 2 processes" in output


def test_bfloat16_trains_close_to_float32(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--name", "exact")
    run("train.py", *options, *NAMED, "--name", "amp", "--amp")
    exact, amp = losses(tmp_path / "exact")[0], losses(tmp_path / "amp")[0]
    assert float(amp["G_GAN"]) == pytest.approx(float(exact["G_GAN"]), rel=0.05)
    assert amp["G_GAN"] != exact["G_GAN"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--netG", "local"], "argument --netG: invalid choice: 'local'"),
        (["--label_nc", "35"], "argument --label_nc: invalid choice: '35'"),
        (["--loadSize", "40"], "--loadSize 40: must be a multiple of 16"),
        (["--loadSize", "16"], "--loadSize 16: must be a multiple of 16 and at least 32"),
        (["--fineSize", "64"], "--fineSize 64: photos are not cropped"),
        (["--gpu_ids", "99"], "GPU 99 is not there"),
        (["--gpu_ids", "cuda"], "argument --gpu_ids: 'cuda': expected such as 0, or 0,1"),
        (["--batchSize", "0"], "argument --batchSize: '0': expected a whole number, 1 or more"),
        (["--phase", "train_none"], "no list for --phase train_none; looked for"),
        (["--load_pretrain", "/nowhere"], "/nowhere/latest_net_G.pth: no such checkpoint"),
    ],
)
def test_bad_option_is_named(run, options, arguments, message):
    assert message in run("train.py", *options, *NAMED, *arguments, status=2)
