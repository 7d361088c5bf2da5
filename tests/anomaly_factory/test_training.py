"""Training as a user does it, by train.py and its shell script."""

import csv
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from data.datasets import training_pairs
from models.anomaly_factory import AnomalyFactory
from options.train_options import train_options
from PIL import Image
from util import checkpoint
from util.visualizer import LossLog

NAMED = ("--name", "AF", "--phase", "train_AFhybrid")
SHORT = ("--niter", 1, "--niter_decay", 0)
SMALL = "--ndf 2 --no_vgg_loss --batchSize 2 --niter 2 --niter_decay 1 --print_freq 2".split()


@pytest.fixture
def options(tiny: list[str], dataset: Path, tmp_path: Path, monkeypatch) -> list[str]:
    """Options of a training of four pairs, two steps an epoch, three epochs, without its plot,
    which takes longer than all steps."""
    monkeypatch.setattr(LossLog, "draw", lambda _: None)
    paths = ["--dataroot", str(dataset), "--checkpoints_dir", str(tmp_path)]
    return [*tiny, *SMALL, *paths]


@pytest.fixture(scope="module")
def short(run, tiny: list[str], discs: Path, tmp_path_factory) -> Path:
    """A training of two steps, which is done."""
    folder = tmp_path_factory.mktemp("short")
    paths = ("--dataroot", discs, "--checkpoints_dir", folder)
    run("train.py", *tiny, *SMALL, *NAMED, *SHORT, *paths)
    return folder / "AF"


@pytest.fixture
def begun(short: Path, tmp_path: Path) -> Path:
    """A copy of `short` where `options` look for it, to be gone on with."""
    return shutil.copytree(short, tmp_path / "AF")


def losses(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "loss_log.csv").read_text().splitlines()))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_training_writes_networks_log_and_samples(run, options, short, tmp_path):
    run("train.py", *options, *NAMED, "--save_epoch_freq", 2, "--display_freq", 4)
    folder = tmp_path / "AF"
    assert {path.name for path in folder.glob("*.pth")} == {
        *("latest_net_G.pth", "latest_net_D.pth", "2_net_G.pth", "2_net_D.pth", "resume.pth")
    }
    rows = losses(folder)
    assert [row["images"] for row in rows] == ["2", "4", "6", "8", "10", "12"]
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    names = "images epoch lr G_GAN G_GAN_Feat D_real D_fake".split()
    assert list(rows[0]) == names and {row["lr"] for row in rows} == {"0.0002"}
    with Image.open(short / "loss_log.png") as plot:
        assert plot.width > 500
    pictures = re.findall(r'src="([^"]+)"', (folder / "samples.html").read_text())
    assert pictures == [f"samples/epoch0000{n}_images0000000{4 * n:02}.jpg" for n in (3, 2, 1)]
    with Image.open(folder / pictures[0]) as strip:
        assert strip.size == (5 * 128, 128)
    page = (folder / "training.html").read_text()
    assert "The training is done." in page and "<dd>6 of 6</dd>" in page
    assert [name for name in pictures if f'src="{name}"' in page] == pictures
    # Starting anew leaves it as it is; there is nothing to go on with, either.
    before = contents(folder)
    output = run("train.py", *options, *NAMED, status=2)
    assert f"{folder}/resume.pth is there already: go on with --continue_train" in output
    fewer = ("--continue_train", *SHORT, "--no_html")
    assert "6 of 2 steps done" in run("train.py", *options, *NAMED, *fewer)
    assert contents(folder) == before


def test_options_reach_the_samples(options):
    other = "--tps_aug 1 --tps_percent 0.5 --block_aug --no_flip --gentle"
    for chosen, *drawn in (
        ("", True, False, 0.0, 0.1),
        (other, False, True, 0.5, 0.04),
        ("--tps_aug 1", True, False, 0.99, 0.1),
    ):
        samples = training_pairs([], train_options([*options, *NAMED, *chosen.split()]))
        assert (samples.size, [*samples.augment.keywords.values()]) == (32, drawn)


def test_options_for_a_look_at_a_training(run, options, tmp_path):
    """Of four lines, and of one of them: each reported."""
    look = ("--debug", "--serial_batches", "--verbose", "--batchSize", 1)
    output = run("train.py", *options, *NAMED, *look)
    assert "4 of 4 steps done" in output
    assert "Generator(\n" in output and "MultiscaleDiscriminator(\n" in output
    assert [row["images"] for row in losses(tmp_path / "AF")] == ["1", "2", "3", "4"]
    assert len(list((tmp_path / "AF/samples").iterdir())) == 4
    opt = train_options([*options, *NAMED, "--debug", "--fp16"])
    assert (opt.max_dataset_size, opt.amp) == (10, True)
    one = ("--name", "one", "--max_dataset_size", 1, *SHORT)
    assert "1 of 1 steps done" in run("train.py", *options, *NAMED, *one)


def test_a_published_training_goes_on(run, options, short, tmp_path):
    """It leaves networks and iter.txt: here in epoch 2 of 3, of whose 4 images 2 are done."""
    folder, again = tmp_path / "AF", (*options, *NAMED, "--continue_train")
    folder.mkdir()
    networks = ("latest_net_G.pth", "latest_net_D.pth")
    for name in networks:
        shutil.copy(short / name, folder)
    without = run("train.py", *again, status=2)
    assert "resume.pth is not there; leave it out to start anew. Neither is iter.txt" in without
    for wrong in ("0\n2\n", "2\n-1\n", "2\n", "two\n2\n"):
        (folder / "iter.txt").write_text(wrong)
        output = run("train.py", *again, status=2)
        assert f"{folder}/iter.txt: expected two whole numbers, the epoch, from 1" in output
    (folder / "iter.txt").write_text("2\n2\n")
    output = run("train.py", *again, "--lr", 0)
    going_on = f"going on from the generator and discriminator in {folder}, 3 steps done; Adam beg"
    assert going_on in output and "6 of 6 steps done, 12 images" in output
    assert [row["images"] for row in losses(folder)] == ["8", "10", "12"]
    assert [row["epoch"] for row in losses(folder)] == ["2", "3", "3"]
    for name in networks:
        assert (folder / name).read_bytes() == (short / name).read_bytes()
    state = torch.load(folder / "resume.pth")
    assert int(state["model"]["optimizer_G"]["0.step"]) == 3
    # From there it goes on exactly.
    output = run("train.py", *again, "--niter", 4)
    assert "Adam begins anew" not in output and "10 of 10 steps done" in output


def test_stopped_and_resumed_equals_uninterrupted(run, options, tmp_path, monkeypatch):
    """Stopped in the middle of an epoch, at its end, and then ended."""
    resume, step = tmp_path / "AF/resume.pth", AnomalyFactory.step
    for number, steps in ((signal.SIGTERM, 3), (signal.SIGINT, 1)):
        taken = []

        def stopped(self, taken=taken, number=number, steps=steps):
            step(self)
            taken.append(1)
            if len(taken) == steps:
                signal.raise_signal(number)

        again = ["--continue_train"] if resume.exists() else []
        with monkeypatch.context() as patch:
            patch.setattr(AnomalyFactory, "step", stopped)
            run("train.py", *options, *NAMED, *again, status=128 + number)
        page = (tmp_path / "AF/training.html").read_text()
        assert f"stopped early: it received {signal.Signals(number).name}." in page
    assert torch.load(resume)["steps"] == 4
    run("train.py", *options, *NAMED, "--continue_train")
    run("train.py", *options, *NAMED, "--name", "whole", "--no_html", "--display_freq", 4)
    assert {path.suffix for path in (tmp_path / "whole").rglob("*.*")} <= {".pth", ".csv", ".lock"}
    for name in ("resume.pth", "latest_net_G.pth", "latest_net_D.pth"):
        assert (tmp_path / "AF" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert losses(tmp_path / "AF") == losses(tmp_path / "whole")


@pytest.mark.parametrize("count", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_a_restart_goes_on_from_the_last_save(run, options, begun, monkeypatch, count):
    """A shorter training leaves what a crash leaves: a resume file, and a log that is ahead."""
    monkeypatch.setenv(count, "1")
    with (begun / "loss_log.csv").open("a") as log:
        log.write("6,2,0.0002,9,9,9,9\n")
    assert "6 of 6 steps done, 12 images" in run("train.py", *options, *NAMED)
    assert [row["images"] for row in losses(begun)] == ["2", "4", "6", "8", "10", "12"]
    assert "2 of 2 steps" in run("train.py", *options, *NAMED, *SHORT, "--name", "new")


@pytest.mark.parametrize(
    "seen_by",
    [
        ("--print_freq", 8),  # images, as of which a row is due
        ("--save_latest_freq", 8, "--niter", 4),
        ("--save_epoch_freq", 1, "--niter", 4),
        ("--save_epoch_freq", 9),  # its end
    ],
)
def test_a_loss_that_is_no_number_is_never_saved_and_the_page_says_so(run, options, begun, seen_by):
    """Step 3 makes the weights wild, step 4 is looked at; what was saved before stays."""
    before = {path: path.read_bytes() for path in begun.glob("*.pth")}
    wild = ["--continue_train", "--lr", "1e30", "--niter_decay", 0, "--print_freq", 1000]
    output = run("train.py", *options, *NAMED, *wild, *seen_by, status=2)
    assert re.search(r"step 4, epoch 2: the loss \w+ is (nan|inf), so the trai", output)
    assert "The training stopped early: InputError: step 4" in (begun / "training.html").read_text()
    assert {path: path.read_bytes() for path in begun.glob("*.pth")} == before


def test_every_save_is_of_its_own_step_and_the_resume_file_comes_first(
    run, options, tmp_path, monkeypatch
):
    written, save = [], checkpoint.save

    def save_and_note(content: dict, path: Path) -> None:
        save(content, path)
        written.append((path.name, torch.load(path)))

    monkeypatch.setattr(checkpoint, "save", save_and_note)
    run("train.py", *options, *NAMED, "--save_latest_freq", 4, "--save_epoch_freq", 2)
    names = ["resume.pth", "latest_net_G.pth", "latest_net_D.pth"]
    epoch = ["2_net_G.pth", "2_net_D.pth"]
    assert [name for name, _ in written] == [*names, *epoch, *names, *names]
    states = [state for name, state in written if name == "resume.pth"]
    assert [state["steps"] for state in states] == [2, 4, 6]
    assert [int(state["model"]["optimizer_G"]["0.step"]) for state in states] == [2, 4, 6]
    for place, state in ((2, 0), (4, 1), (7, 1), (10, 2)):  # of the discriminators
        for key, value in written[place][1].items():
            assert torch.equal(states[state]["model"]["netD"][key], value)


def test_the_course_must_not_change_at_a_resume_and_the_rest_may(run, options, dataset, begun):
    again = (*options, *NAMED, "--continue_train")
    changes = [("batchSize", 2, 4), ("beta1", 0.5, 0.6), ("lambda_feat", 10.0, 5.0), ("seed", 0, 1)]
    switches = ("amp", "gentle", "no_ganFeat_loss", "serial_batches")
    state = torch.load(begun / "resume.pth")
    del state["course"]["--serial_batches"], state["course"]["--max_dataset_size"]
    torch.save(state, begun / "resume.pth")  # as it was before there were these
    for option, before, now in [*changes, *((name, False, True) for name in switches)]:
        output = run("train.py", *again, f"--{option}", *([] if now is True else [now]), status=2)
        before = None if option == "serial_batches" else before
        assert f"resume.pth was written with --{option} {before}, but now it is {now}" in output
    note = dataset / "made_from.txt"
    note.write_text("cutouts in cutouts\n")
    output = run("train.py", *again, status=2)
    assert "with images made from photographs, but now it is cutouts in cutouts" in output
    note.unlink()
    free = ["--micro_batch", 1, "--lr", 0.1, "--niter", 4, "--display_freq", 7, "--fineSize", 32]
    assert "10 of 10 steps done" in run("train.py", *again, *free)
    for column in ("edges", "color_ref", "color_gt"):  # as long as before, but another
        path = dataset / f"List/train_AFhybrid/train_{column}.txt"
        first, second, *others = path.read_text().splitlines()
        path.write_text("\n".join([second, first, *others]))
    output = run("train.py", *again, status=2)
    assert "resume.pth was written with the list's content, in SHA-256, " in output


def test_the_precision_is_that_of_the_training_which_is_gone_on_with(run, options):
    run("train.py", *options, *NAMED, *SHORT, "--amp")
    assert "2 of 2 steps done" in run("train.py", *options, *NAMED, *SHORT, "--continue_train")
    output = run("train.py", *options, *NAMED, "--continue_train", "--no-amp", status=2)
    assert "--amp True, but now it is False" in output


def test_a_wrong_resume_file_is_named(run, options, begun):
    path = begun / "resume.pth"
    whole = torch.load(path)
    for keys, value, message in (
        (["steps"], "6", "not a resume file of this program; move"),
        (["course", "--gone"], 1, "was written with --gone 1, but now it is None"),
        (["model"], {"netG": {}}, "'model' must hold netG, netD, optimizer_G, optimizer_D and no"),
        (["model", "netG", "more"], torch.zeros(1), 'Unexpected key(s) in state_dict: "more"'),
        (["model", "optimizer_D", "1.exp_avg"], torch.zeros(3), "does not hold what Adam rem"),
    ):
        state = part = {**whole}
        for key in keys[:-1]:
            part[key] = {**part[key]}
            part = part[key]
        part[keys[-1]] = value
        torch.save(state, path)
        output = run("train.py", *options, *NAMED, *SHORT, "--continue_train", status=2)
        assert re.search(rf"error: {path}:? {re.escape(message)}", output), output
    path.unlink()
    output = run("train.py", *options, *NAMED, "--continue_train", status=2)
    assert f"{path} is not there; leave it out to start anew" in output


def test_a_training_starts_from_another_generator(run_script, options, short, tmp_path):
    """By the script; a generator that is not where it is said to be is looked for by its name."""
    shutil.copytree(short, tmp_path / "AF4hybrid")
    gone = tmp_path / "there/AF4hybrid"
    pretrained = ("--load_pretrain", gone, "--lr", 0)
    output = run_script("train_AF4nonhybrid.sh", *options, *SHORT, *pretrained)
    found = f"starting from the generator and discriminator in {tmp_path}/AF4hybrid"
    assert f"{found}: {gone} is not there" in output
    trained = tmp_path / "AF4nonhybrid/latest_net_G.pth"
    assert trained.read_bytes() == (short / trained.name).read_bytes()
    # Starting anew leaves a downloaded generator as it is.
    (trained.parent / "resume.pth").unlink()
    before = contents(trained.parent)
    output = run_script("train_AF4nonhybrid.sh", *options, *SHORT, status=2)
    assert f"{trained} is there already: " in output
    assert f"--load_pretrain {trained.parent}" in output and contents(trained.parent) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--micro_batch 0", "argument --micro_batch: '0': expected a whole number, 1 or more"),
        ("--niter 0 --niter_decay 0", "no epoch to train"),
        ("--loadSize 40", "--loadSize 40: must be a multiple of 16"),
        ("--loadSize 16", "--loadSize 16: must be a multiple of 16 and at least 32"),
        ("--fineSize 64", "--fineSize 64: photos are not cropped"),
        ("--gpu_ids cuda", "argument --gpu_ids: 'cuda': expected such as 0, or 0,1"),
        ("--lambda_feat inf", "argument --lambda_feat: 'inf': expected a finite number"),
        ("--beta1 1.0", "argument --beta1: '1.0': expected a number from 0 to below 1"),
        ("--tps_percent 2", "argument --tps_percent: '2': expected a number from 0 to 1"),
        ("--phase train_none", "no list for --phase train_none (the nearest there is train_AF"),
        ("--load_pretrain /nowhere", "/nowhere/latest_net_G.pth: no such checkpoint"),
    ],
)
def test_bad_option_is_named(run, options, arguments, message):
    assert message in run("train.py", *options, *NAMED, *arguments.split(), status=2)
