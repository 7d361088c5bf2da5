"""Training as a user does it: train.py, and as subprocesses the shell scripts and torchrun."""

import csv
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import data.datasets
import models.anomaly_factory
import pytest
import torch
from data.datasets import TrainingPairs
from data.few_photos import FewPhotos
from models.anomaly_factory import AnomalyFactory, micro_batches
from options.train_options import train_options
from PIL import Image
from torch import nn
from util import checkpoint
from util.distributed import Process
from util.training_page import DONE

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
    page = (folder / "training.html").read_text()
    assert "The training is done." in page
    assert "<dd>6 of 6</dd>" in page
    assert [name for name in pictures if f'src="{name}"' in page] == pictures


def test_without_pages_there_are_none_but_the_plot(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--display_freq", 4, "--no_html")
    assert list((tmp_path / "AF").glob("*.html")) == []
    assert not (tmp_path / "AF/samples").exists()
    assert (tmp_path / "AF/loss_log.png").exists()


def test_the_page_says_what_went_wrong(run, options, tmp_path, monkeypatch):
    def step(self):
        raise MemoryError("no <memory>")

    monkeypatch.setattr(AnomalyFactory, "step", step)
    with pytest.raises(MemoryError):
        run("train.py", *options, *NAMED)
    page = (tmp_path / "AF/training.html").read_text()
    assert "The training stopped early: MemoryError: no &lt;memory&gt;" in page
    assert "http-equiv" not in page


def test_learning_rate_falls_linearly(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--niter", 1, "--niter_decay", 4, "--print_freq", 4)
    rates = [float(row["lr"]) for row in losses(tmp_path / "AF")]
    assert rates == pytest.approx([2e-4, 2e-4, 1.5e-4, 1e-4, 0.5e-4])


def wait_for_a_report(process: subprocess.Popen) -> None:
    while "images/s" not in process.stdout.readline():
        assert process.poll() is None


@pytest.mark.parametrize(
    ("chosen", "published", "beyond"),
    [
        ("", {"flips": True, "windows": False, "warps": 0.99}, FewPhotos(0.0, 0.0, 0.1)),
        (
            "--tps_percent 0.5 --block_aug --no_flip --ask_reference --gentle",
            {"flips": False, "windows": True, "warps": 0.5},
            FewPhotos(0.5, 0.9, 0.04),
        ),
        ("--tps_aug 0", {"flips": True, "windows": False, "warps": 0.0}, FewPhotos()),
    ],
)
def test_options_reach_the_samples(run, options, monkeypatch, chosen, published, beyond):
    made = []

    class Recorded(TrainingPairs):
        def __init__(self, pairs, size, augment, few_photos):
            super().__init__(pairs, size, augment, few_photos)
            made.append((size, augment.keywords, few_photos))

    monkeypatch.setattr(data.datasets, "TrainingPairs", Recorded)
    run("train.py", *options, *NAMED, *chosen.split())
    assert made == [(32, published, beyond)]


def test_stopped_and_resumed_equals_uninterrupted(run, start, options, tmp_path):
    """Stopped in a training far too long to end first, then ended soon after the second stop."""
    options = [*options, "--nThreads", 1, "--display_freq", 500, "--phase", "train_AFhybrid"]
    resume, steps = tmp_path / "AF/resume.pth", [0]
    for number in (signal.SIGTERM, signal.SIGINT):
        begin = ["--continue_train"] if resume.exists() else []
        process = start("train.py", *options, "--name", "AF", "--niter", 100_000, *begin)
        wait_for_a_report(process)
        process.send_signal(number)
        output = "".join(process.communicate(timeout=60))
        assert process.returncode == 128 + number, output
        steps.append(load(resume)["steps"])
        assert steps[-1] > steps[-2]
        page = (tmp_path / "AF/training.html").read_text()
        assert f"stopped early: it received {signal.Signals(number).name}." in page
    options += ["--niter", steps[-1] // 2 + 2, "--niter_decay", 2, "--name"]
    run("train.py", *options, "AF", "--continue_train")
    assert load(resume)["steps"] > steps[-1]
    run("train.py", *options, "whole")
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


def test_a_training_beyond_the_epochs_asked_for_is_done(run, options, tmp_path):
    run("train.py", *options, *NAMED)
    fewer = ("--niter", 1, "--niter_decay", 0, "--continue_train")
    assert "6 of 2 steps done" in run("train.py", *options, *NAMED, *fewer)
    page = (tmp_path / "AF/training.html").read_text()
    assert "stopped early" not in page and DONE in page


def test_the_precision_is_that_of_the_training_which_is_gone_on_with(run, options):
    run("train.py", *options, *NAMED, "--amp")
    assert "6 of 6 steps done" in run("train.py", *options, *NAMED, "--continue_train")
    output = run("train.py", *options, *NAMED, "--continue_train", "--no-amp", status=2)
    assert "--amp True, but now it is False" in output


@pytest.mark.parametrize("count", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_a_restart_goes_on(run, options, tmp_path, monkeypatch, count):
    monkeypatch.setenv(count, "1")
    run("train.py", *options, *NAMED, "--niter", 1, "--niter_decay", 0)  # nothing was saved yet
    assert load(tmp_path / "AF/resume.pth")["steps"] == 2
    assert "6 of 6 steps done, 12 images" in run("train.py", *options, *NAMED)
    monkeypatch.setenv(count, "0")
    assert "is there already: go on with --continue_train" in run(
        "train.py", *options, *NAMED, status=2
    )


def test_a_training_that_comes_apart_saves_no_more(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--niter", 1, "--niter_decay", 0)
    before = load(tmp_path / "AF/resume.pth")
    again = ("--lr", 1e30, "--save_latest_freq", 2, "--continue_train")
    output = run("train.py", *options, *NAMED, *again, status=2)
    assert re.search(r"error: step [34], epoch 2: the loss G_GAN is (nan|inf), so the", output)
    assert load(tmp_path / "AF/resume.pth")["steps"] <= 3
    assert before["steps"] == 2


def test_every_save_is_of_its_own_step(run, options, tmp_path, monkeypatch):
    """Each writes the weights of its moment, before the next step changes them."""
    written, save = [], checkpoint.save

    def save_and_note(content: dict, path: Path) -> None:
        save(content, path)
        written.append((path.name, load(path)))

    monkeypatch.setattr(checkpoint, "save", save_and_note)
    run("train.py", *options, *NAMED, "--save_latest_freq", 4, "--save_epoch_freq", 2)
    names = ["resume.pth", "latest_net_G.pth", "latest_net_D.pth"]
    epoch = ["2_net_G.pth", "2_net_D.pth"]
    assert [name for name, _ in written] == [*names, *epoch, *names, *names]
    steps = [content["steps"] for name, content in written if name == "resume.pth"]
    assert steps == [2, 4, 6]
    assert_equal(written[3][1], written[6][1])  # epoch 2 ends with step 4
    assert_equal(written[5][1]["model"]["netD"], written[4][1])
    moments = [content["model"]["optimizer_G"] for name, content in written if name == "resume.pth"]
    assert [int(memory["0.step"]) for memory in moments] == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--batchSize", 4], "--batchSize 2, but now it is 4"),
        (["--beta1", 0.6], "--beta1 0.5, but now it is 0.6"),
        (["--lambda_feat", 5], "--lambda_feat 10.0, but now it is 5.0"),
        (["--seed", 1], "--seed 0, but now it is 1"),
        (["--amp"], "--amp False, but now it is True"),
        (["--gentle"], "--gentle False, but now it is True"),
        (["--ask_reference"], "--ask_reference False, but now it is True"),
        (["--no_ganFeat_loss"], "--no_ganFeat_loss False, but now it is True"),
    ],
)
def test_course_must_not_change_at_a_resume(run, options, change, message):
    run("train.py", *options, *NAMED)
    output = run("train.py", *options, *NAMED, "--continue_train", *change, status=2)
    assert f"resume.pth was written with {message}" in output


def test_another_list_must_not_be_resumed(run, options, dataset):
    """As long as before, but another: line 1 of the list names another photo."""
    run("train.py", *options, *NAMED)
    for column in ("edges", "color_ref", "color_gt"):
        path = dataset / f"List/train_AFhybrid/train_{column}.txt"
        first, second, *others = path.read_text().splitlines()
        path.write_text("\n".join([second, first, *others]))
    output = run("train.py", *options, *NAMED, "--continue_train", status=2)
    assert "resume.pth was written with the list's content, in SHA-256, " in output


def test_other_images_must_not_be_resumed(run, options, dataset, tmp_path):
    note, resume = dataset / "made_from.txt", tmp_path / "AF/resume.pth"
    run("train.py", *options, *NAMED)
    again = (*options, *NAMED, "--continue_train")
    note.write_text("cutouts in cutouts\n")
    output = run("train.py", *again, status=2)
    assert (
        "resume.pth was written with images made from photographs, but now it is cutouts in cutouts"
    ) in output
    note.write_text("photographs\n")  # back again: what they are without a note, too
    assert "6 of 6 steps done" in run("train.py", *again)
    note.unlink()
    state = load(resume)
    del state["course"]["images made from"]  # as in older resume files
    torch.save(state, resume)
    assert "6 of 6 steps done" in run("train.py", *again)
    note.write_text("cutouts in cutouts\n")
    torch.save(state, resume)
    assert "images made from photographs, but now" in run("train.py", *again, status=2)


def test_what_does_not_shape_the_course_may_change_at_a_resume(run, options, tmp_path):
    run("train.py", *options, *NAMED)
    free = ["--micro_batch", 1, "--lr", 0.1, "--niter", 4, "--display_freq", 7, "--fineSize", 32]
    output = run("train.py", *options, *NAMED, "--continue_train", *free)
    assert "10 of 10 steps done" in output


def remove(*keys: object):
    def change(state: dict) -> None:
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def replace(value: object, *keys: object):
    def change(state: dict) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


G = ("model", "netG", "enc_model.1.bias")
ADAM = ("model", "optimizer_D")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("steps"), "not a resume file of this program; move"),
        (replace("6", "steps"), "not a resume file of this program; move"),
        (replace(-6, "steps"), "not a resume file of this program; move"),
        (replace([], "course"), "not a resume file of this program; move"),
        (replace(1, "course", "--gone"), "was written with --gone 1, but now it is None"),
        (remove(*ADAM), "'model' must hold netG, netD, optimizer_G, optimizer_D and nothing"),
        (replace([], "model"), "'model' must hold netG"),
        (replace([], *ADAM), "expected a state dict, found list"),
        (remove(*G), "has no 'enc_model.1.bias'"),
        (replace(1.0, *G), "expected a tensor at 'enc_model.1.bias', found float"),
        (remove(*ADAM, "0.step"), "has no '0.step'; expected what Adam remembers"),
        (replace(torch.zeros(3), *ADAM, "1.exp_avg"), "'1.exp_avg' is [3], expected [2]"),
        (replace(torch.zeros(3), *ADAM, "99.exp_avg"), "'99.exp_avg' has no place"),
    ],
)
def test_a_wrong_resume_file_is_named(run, options, tmp_path, change, message):
    short = ["--niter", 1, "--niter_decay", 0, "--batchSize", 4]
    run("train.py", *options, *NAMED, *short)
    path = tmp_path / "AF/resume.pth"
    state = load(path)
    change(state)
    torch.save(state, path)
    output = run("train.py", *options, *NAMED, *short, "--continue_train", status=2)
    assert re.search(rf"error: {path}:? {re.escape(message)}", output), output


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_starting_anew_leaves_a_training_as_it_is(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--display_freq", 4)
    before = contents(tmp_path / "AF")
    assert len(before) == 10  # four of weights and state, the log, its plot, two pages and samples
    output = run("train.py", *options, *NAMED, status=2)
    assert f"{tmp_path}/AF/resume.pth is there already: go on with --continue_train" in output
    assert contents(tmp_path / "AF") == before


def test_starting_anew_leaves_a_downloaded_generator_as_it_is(run, options, tmp_path):
    (tmp_path / "AF").mkdir()
    generator = tmp_path / "AF/latest_net_G.pth"
    generator.write_bytes(b"published")
    output = run("train.py", *options, *NAMED, status=2)
    assert f"{generator} is there already: choose another --name" in output
    assert f"--load_pretrain {tmp_path}/AF" in output
    assert contents(tmp_path / "AF") == {generator: b"published"}


def test_the_resume_file_is_written_first(run, options, tmp_path):
    (tmp_path / "AF/latest_net_D.pth").mkdir(parents=True)  # cannot be replaced by a file
    assert "latest_net_D.pth" in run("train.py", *options, *NAMED, status=2)
    assert load(tmp_path / "AF/resume.pth")["steps"] == 6


def test_ctrl_c_before_training_leaves_at_once(run, options, tmp_path, monkeypatch):
    def interrupted(_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(models.anomaly_factory, "build_generator", interrupted)
    run("train.py", *options, *NAMED, status=130)
    assert not (tmp_path / "AF").exists()


def test_nothing_to_continue_is_an_error(run, options, tmp_path):
    output = run("train.py", *options, *NAMED, "--continue_train", status=2)
    assert f"{tmp_path}/AF/resume.pth is not there; leave it out to start anew" in output


def test_a_generator_is_looked_for_among_all_generators(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--name", "AF4hybrid")
    gone = tmp_path / "checkpoints/AF4hybrid"
    output = run("train.py", *options, *NAMED, "--load_pretrain", gone)
    assert f"{gone} is not there: taking {tmp_path}/AF4hybrid" in output
    assert f"starting from the generator and discriminator in {tmp_path}/AF4hybrid" in output


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
    run_process("train.py", *options, "--micro_batch", 1, "--name", "two", prefix=TORCHRUN)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        for name in ("G_GAN", "G_GAN_Feat", "D_real", "D_fake"):
            assert float(shared[name]) == pytest.approx(float(alone[name]), rel=1e-3)


def test_processes_stop_together(start, options, tmp_path):
    options = [*options, *NAMED, "--niter", 100_000, "--nThreads", 1]
    process = start("train.py", *options, prefix=TORCHRUN)
    wait_for_a_report(process)
    process.send_signal(signal.SIGTERM)
    output = "".join(process.communicate(timeout=60))
    assert process.returncode != 0
    assert "error:" not in output
    steps = load(tmp_path / "AF/resume.pth")["steps"]
    assert f"{steps} of 200002 steps done" in output


def test_a_second_start_of_a_training_is_refused(start, run, options, tmp_path):
    """Also when the first has not saved anything yet; a killed one is taken over."""
    options = [*options, *NAMED, "--niter", 100_000]
    process = start("train.py", *options)
    wait_for_a_report(process)
    lock = tmp_path / "AF/training.lock"
    leftover = tmp_path / "AF/.0123456789abcdef.part.pth"
    leftover.touch()
    held = lock.read_text()
    output = run("train.py", *options, status=2)
    assert f"{lock}: a training of this name is running, process {process.pid}" in output
    assert lock.read_text() == held and leftover.exists()
    process.kill()
    process.wait()
    assert lock.exists()
    short = ["--niter", 1, "--niter_decay", 0]
    assert "2 of 2 steps done" in run("train.py", *options, *short)
    assert not lock.exists() and not leftover.exists()


def test_a_mistaken_start_leaves_nothing(run, options, tmp_path, dataset):
    (dataset / "Images/8/train/good/0.png").write_text("not a picture")
    assert "not a readable image" in run("train.py", *options, *NAMED, status=2)
    assert not (tmp_path / "AF").exists()


class Counted(Process):
    """A process that counts how often gradients are reduced."""

    reductions: ClassVar[list[int]] = []

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        self.reductions.append(len(list(tensors)))


def test_a_batch_in_parts_is_the_same_step(monkeypatch):
    """One step of 8 images against 4 x 2, and against 3 + 3 + 2."""

    def small_vgg(_: Path) -> nn.Sequential:
        layers = [(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()) for _ in range(15)]
        return nn.Sequential(*(layer for pair in layers for layer in pair))

    monkeypatch.setattr(models.anomaly_factory, "vgg19_features", small_vgg)
    arguments = "--name x --dataroot x --gpu_ids -1 --ngf 4 --ndf 4 --n_blocks_global 1".split()
    opt = train_options([*arguments, "--loadSize", "32", "--gentle"])
    random = torch.Generator().manual_seed(0)
    size = (8, 32, 32, 3)
    batch = {
        name: torch.randint(256, size, dtype=torch.uint8, generator=random)
        for name in ("edges", "reference", "target")
    }

    def step(micro_batch: int) -> tuple[list[torch.Tensor], dict[str, float]]:
        model = AnomalyFactory(opt, Counted(torch.device("cpu")))
        for images, share in micro_batches(batch, micro_batch):
            model.set_input(images, share)
            model.forward()
            model.backward_D()
            model.backward_G()
        gradients = [
            torch.cat([weight.grad.ravel() for weight in network.parameters()])
            for network in (model.netG, model.netD)
        ]
        Counted.reductions.clear()
        model.step()
        assert len(Counted.reductions) == 2  # each network's gradients, once a step
        losses = dict(zip(model.last_losses, model.losses().tolist(), strict=True))
        return gradients, losses

    whole, losses = step(8)
    assert list(losses) == ["G_GAN", "G_GAN_Feat", "G_L1", "G_VGG", "D_real", "D_fake"]
    for micro_batch in (2, 3):
        parts, losses_of_parts = step(micro_batch)
        for expected, found in zip(whole, parts, strict=True):
            assert (found - expected).norm() < 1e-5 * expected.norm()
        assert losses_of_parts == pytest.approx(losses, rel=1e-5)


def test_an_image_lost_in_mid_training_ends_it(start, options, dataset):
    process = start("train.py", *options, *NAMED, "--niter", 100_000, "--nThreads", 1)
    wait_for_a_report(process)
    (dataset / "Images/8/train/good/0.png").unlink()
    output = "".join(process.communicate(timeout=60))
    assert process.returncode == 2
    assert re.search(r"error: .*0\.png: not a readable image", output)
    assert "Traceback" not in output


def test_batch_must_divide_among_processes(start, options):
    process = start("train.py", *options, *NAMED, "--batchSize", 3, prefix=TORCHRUN)
    output = "".join(process.communicate(timeout=120))
    assert process.returncode != 0
    assert output.count("--batchSize 3 is the total over all 2 processes") == 1


def test_processes_name_a_bad_image_once(start, options, dataset):
    (dataset / "Images/8/train/good/0.png").write_text("not a picture")
    process = start("train.py", *options, *NAMED, prefix=TORCHRUN)
    output = "".join(process.communicate(timeout=120))
    assert process.returncode != 0
    assert output.count("0.png: not a readable image") == 1
    assert 'train.py", line' not in output  # no traceback of ours


def test_bfloat16_trains_close_to_float32(run, options, tmp_path):
    run("train.py", *options, *NAMED, "--name", "exact")
    run("train.py", *options, *NAMED, "--name", "amp", "--amp")
    exact, amp = losses(tmp_path / "exact")[0], losses(tmp_path / "amp")[0]
    assert float(amp["G_GAN"]) == pytest.approx(float(exact["G_GAN"]), rel=0.05)
    assert amp["G_GAN"] != exact["G_GAN"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--micro_batch", "0"], "argument --micro_batch: '0': expected a whole number, 1 or more"),
        (["--niter", "0", "--niter_decay", "0"], "no epoch to train"),
        (["--loadSize", "40"], "--loadSize 40: must be a multiple of 16"),
        (["--loadSize", "16"], "--loadSize 16: must be a multiple of 16 and at least 32"),
        (["--fineSize", "64"], "--fineSize 64: photos are not cropped"),
        (["--gpu_ids", "99"], "GPU 99 is not there"),
        (["--gpu_ids", "cuda"], "argument --gpu_ids: 'cuda': expected such as 0, or 0,1"),
        (["--batchSize", "0"], "argument --batchSize: '0': expected a whole number, 1 or more"),
        (["--lr", "-1"], "argument --lr: '-1': expected a finite number, 0 or more"),
        (["--lr", "nan"], "argument --lr: 'nan': expected a finite number, 0 or more"),
        (["--lambda_feat", "inf"], "argument --lambda_feat: 'inf': expected a finite number"),
        (["--beta1", "1.5"], "argument --beta1: '1.5': expected a number from 0 to below 1"),
        (["--tps_percent", "2"], "argument --tps_percent: '2': expected a number from 0 to 1"),
        (["--seed", str(2**63)], "expected a whole number below 2**63"),
        (["--phase", "train_none"], "no list for --phase train_none; looked for"),
        (["--load_pretrain", "/nowhere"], "/nowhere/latest_net_G.pth: no such checkpoint"),
        (["--load_pretrain", "/nowhere"], "fetch it: scripts/download_models.sh AF4hybrid"),
    ],
)
def test_bad_option_is_named(run, options, arguments, message):
    assert message in run("train.py", *options, *NAMED, *arguments, status=2)
